//! What a recorded target writes down of its calls, and what never.

use super::*;
use crate::{
    evidence::{Clock, Redactor},
    target::fake::Fake,
    verdict::{Outcome, ScenarioResult},
};

#[tokio::test]
async fn calls_are_written_once_and_secrets_of_applied_objects_never() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let evidence = Evidence::create(&root.path().join("s"), Clock::start(), Redactor::default()).expect("begins");
    let fake: Arc<dyn Target> = Arc::new(Fake::default());
    let target = Recorded::new(fake, evidence.clone(), Manner::Changes);
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

#[tokio::test]
async fn who_shares_a_place_may_look_and_not_change() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let evidence = Evidence::create(&root.path().join("s"), Clock::start(), Redactor::default()).expect("begins");
    let fake: Arc<dyn Target> = Arc::new(Fake::default());
    let target = Recorded::new(fake, evidence, Manner::Looks);
    let key = ObjectKey { kind: "Pod".into(), namespace: "mcp".into(), name: "redis".into() };
    let container = ContainerRef { namespace: "mcp".into(), pod: "redis".into(), container: "redis".into() };
    target.get(&key).await.expect("seen");
    target.exec(&container, &["true"], b"").await.expect("ran");
    let refusals = [
        target.delete(&key, None).await.err(),
        target.evict(&key).await.err(),
        target.patch(&key, &json!({})).await.err(),
        target.kill(&container, Kill::Kill).await.err(),
        target.freeze(&container).await.err(),
        target.thaw(&container).await.err(),
        target.stop_node("a").await.err(),
        target.start_node("a").await.err(),
        target.restart_everything().await.err(),
        target.new_volumes_belong_to_root().await.err(),
    ];
    for refusal in refusals {
        let words = refusal.expect("refused").to_string();
        assert!(words.ends_with("is refused"), "{words}");
    }
}
