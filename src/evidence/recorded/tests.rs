//! What a recorded target writes down of its calls, and what never.

use super::*;
use crate::{
    evidence::{Clock, Redactor},
    verdict::{Outcome, ScenarioResult},
};
use std::sync::atomic::{AtomicU64, Ordering};

/// A target of one pod that becomes ready at the third look.
struct Fake {
    looks: AtomicU64,
    changes: watch::Receiver<u64>,
}

fn no<V>() -> Result<V, TargetError> {
    Err(TargetError::broken("asking the fake", anyhow::anyhow!("it has none")))
}

#[async_trait]
impl Target for Fake {
    fn name(&self) -> &'static str {
        "fake"
    }
    async fn capability(&self, _: Capability) -> Result<(), Unsupported> {
        Ok(())
    }
    async fn apply(&self, _: &[Object]) -> Result<Applied, TargetError> {
        Ok(Applied::default())
    }
    async fn get(&self, _: &ObjectKey) -> Result<Option<Value>, TargetError> {
        Ok(Some(json!({"status": {"ready": self.looks.fetch_add(1, Ordering::Relaxed) >= 2}})))
    }
    async fn list(&self, _: &str, _: Option<&str>) -> Result<Vec<Value>, TargetError> {
        no()
    }
    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.clone()
    }
    async fn delete(&self, _: &ObjectKey, _: Option<Duration>) -> Result<(), TargetError> {
        no()
    }
    async fn patch(&self, _: &ObjectKey, _: &Value) -> Result<Value, TargetError> {
        no()
    }
    async fn exec(&self, _: &ContainerRef, _: &[&str], _: &[u8]) -> Result<ExecOutput, TargetError> {
        Ok(ExecOutput { code: 0, stdout: b"hunter22".to_vec(), stderr: Vec::new() })
    }
    async fn attach(&self, _: &ContainerRef, _: &[&str]) -> Result<Attached, TargetError> {
        no()
    }
    async fn logs(&self, _: &ContainerRef, _: bool) -> Result<Vec<u8>, TargetError> {
        no()
    }
    async fn process(&self, _: &ContainerRef) -> Result<Process, TargetError> {
        no()
    }
    async fn kill(&self, _: &ContainerRef, _: Kill) -> Result<(), TargetError> {
        no()
    }
    async fn freeze(&self, _: &ContainerRef) -> Result<(), TargetError> {
        no()
    }
    async fn thaw(&self, _: &ContainerRef) -> Result<(), TargetError> {
        no()
    }
    async fn restart_everything(&self) -> Result<(), TargetError> {
        no()
    }
    async fn client(&self, _: &str) -> Result<ContainerRef, TargetError> {
        no()
    }
    async fn down(&self) -> Result<(), TargetError> {
        Ok(())
    }
}

#[tokio::test]
async fn calls_are_written_once_and_secrets_of_applied_objects_never() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let evidence = Evidence::create(&root.path().join("s"), Clock::start(), Redactor::default()).expect("begins");
    let (_sender, changes) = watch::channel(0);
    let fake: Arc<dyn Target> = Arc::new(Fake { looks: AtomicU64::new(0), changes });
    let target = Recorded::new(fake, evidence.clone());
    let secret = json!({"kind": "Secret", "metadata": {"name": "s"}, "stringData": {"password": "hunter22"}});
    let object = Object::made(secret, crate::manifest::Place::default());
    target.apply(&[object]).await.expect("applied");
    let key = ObjectKey { kind: "Pod".into(), namespace: "mcp".into(), name: "redis".into() };
    for _ in 0..3 {
        target.get(&key).await.expect("seen");
    }
    let container = ContainerRef { namespace: "mcp".into(), pod: "redis".into(), container: "redis".into() };
    target.exec(&container, &["redis-cli", "-a", "hunter22"], b"").await.expect("ran");
    target.kill(&container, Kill::Kill).await.expect_err("the fake kills nothing");
    crate::evidence::diagnose(&target, &evidence).await;
    let folder = evidence.finish(&ScenarioResult::sample("A-1", Outcome::Passed)).await.expect("written");
    let text = std::fs::read_to_string(folder.join("timeline.jsonl")).expect("read");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let verbs: Vec<&str> = lines.iter().filter_map(|line| line["detail"]["verb"].as_str()).take(5).collect();
    assert_eq!(verbs, ["apply", "get", "get", "exec", "kill"]);
    assert_eq!(lines[2]["detail"]["of"]["looks_that_saw_the_same_before"], 1);
    assert_eq!(lines[4]["detail"]["error"], "asking the fake: it has none");
    assert!(lines.iter().any(|line| line["kind"] == "diagnosis"), "what could not be had is told: {text}");
    assert!(!text.contains("hunter22"), "{text}");
    assert!(!std::fs::read_to_string(folder.join("objects.json")).expect("read").contains("hunter22"));
}
