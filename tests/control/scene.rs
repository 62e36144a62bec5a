//! A cluster for a test, and the few words in which tests speak of it.

use anyhow::{Context, Result, bail, ensure};
use redis_conformance::{
    manifest::{Object, ObjectKey, Place},
    target::{
        Applied, ContainerRef, Target, TargetError,
        image::Programs,
        local::control::{LocalOptions, LocalTarget},
    },
    wait::{Look, Until},
};
use serde_json::{Value, json};
use std::{
    ops::Deref,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

/// The namespace of every test.
pub(crate) const NAMESPACE: &str = "shop";

static PROGRAMS: LazyLock<Programs> = LazyLock::new(Programs::find);
static CLUSTERS: AtomicU32 = AtomicU32::new(1);

/// A cluster with one namespace.
pub(crate) struct Scene(Arc<dyn Target>);

impl Deref for Scene {
    type Target = dyn Target;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl Scene {
    /// With the defaults.
    pub(crate) async fn new() -> Result<Self> {
        Self::with(|_| {}).await
    }

    /// With other options.
    pub(crate) async fn with(change: impl FnOnce(&mut LocalOptions)) -> Result<Self> {
        let mut options = LocalOptions::named(format!("test-{}", CLUSTERS.fetch_add(1, Ordering::Relaxed)), PROGRAMS.clone());
        change(&mut options);
        let scene = Self(LocalTarget::start(options).await?);
        scene.put(&[json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE } })]).await?;
        Ok(scene)
    }

    /// Applies objects; the namespace is filled in.
    pub(crate) async fn put(&self, objects: &[Value]) -> Result<Applied, TargetError> {
        let objects: Vec<Object> = objects
            .iter()
            .map(|json| {
                let mut json = json.clone();
                if !matches!(json["kind"].as_str(), Some("Namespace" | "StorageClass" | "PersistentVolume"))
                    && json["metadata"]["namespace"].is_null()
                {
                    json["metadata"]["namespace"] = NAMESPACE.into();
                }
                Object::made(json, Place::default())
            })
            .collect();
        self.0.apply(&objects).await
    }

    /// The live object.
    pub(crate) async fn object(&self, kind: &str, name: &str) -> Result<Value> {
        self.0.get(&key(kind, name)).await?.with_context(|| format!("no {kind} {name}"))
    }

    /// Waits until an object is as asked.
    pub(crate) async fn until(&self, kind: &str, name: &str, limit: u64, fits: impl Fn(&Value) -> bool) -> Result<Value> {
        let wait = Until::within(Duration::from_secs(limit)).on(self.0.changes());
        wait.met(format!("{kind} {name} as asked for"), || async {
            Ok::<_, anyhow::Error>(match self.0.get(&key(kind, name)).await? {
                Some(object) if fits(&object) => Look::Ready(object),
                Some(object) => Look::NotYet(object["status"].to_string()),
                None => Look::NotYet("nothing".into()),
            })
        })
        .await
    }

    /// Waits until nothing of that name is left.
    pub(crate) async fn until_gone(&self, kind: &str, name: &str, limit: u64) -> Result<()> {
        let wait = Until::within(Duration::from_secs(limit)).on(self.0.changes());
        wait.met(format!("{kind} {name} to be gone"), || async {
            Ok::<_, anyhow::Error>(match self.0.get(&key(kind, name)).await? {
                None => Look::Ready(()),
                Some(object) => Look::NotYet(object["metadata"].to_string()),
            })
        })
        .await
    }

    /// The pods with this label `app`.
    pub(crate) async fn pods(&self, app: &str) -> Result<Vec<Value>> {
        Ok(self.0.list("Pod", Some(NAMESPACE)).await?.into_iter().filter(|pod| pod["metadata"]["labels"]["app"] == app).collect())
    }

    /// Waits until so many pods of the app are there and fit.
    pub(crate) async fn until_pods(&self, app: &str, count: usize, limit: u64, fits: impl Fn(&Value) -> bool) -> Result<Vec<Value>> {
        let wait = Until::within(Duration::from_secs(limit)).on(self.0.changes());
        wait.met(format!("{count} pods of {app} as asked for"), || async {
            let pods = self.pods(app).await?;
            Ok::<_, anyhow::Error>(if pods.len() == count && pods.iter().all(&fits) {
                Look::Ready(pods)
            } else {
                let seen: Vec<String> = pods.iter().map(|pod| format!("{} {}", pod["metadata"]["name"], pod["status"])).collect();
                Look::NotYet(seen.join("\n"))
            })
        })
        .await
    }

    /// The app's only pod, ready.
    pub(crate) async fn ready_pod(&self, app: &str) -> Result<Value> {
        Ok(self.until_pods(app, 1, 20, is_ready).await?.remove(0))
    }

    /// Waits for an event about an object of that name whose message has these words.
    pub(crate) async fn told(&self, object: &str, reason: &str, words: &str) -> Result<Value> {
        let wait = Until::within(Duration::from_secs(20)).on(self.0.changes());
        wait.met(format!("event {reason} {words:?} about {object}"), || async {
            let events = self.0.list("Event", None).await?;
            let found = events.iter().find(|event| {
                let name = event["involvedObject"]["name"].as_str().unwrap_or_default();
                name.starts_with(object) && event["reason"] == reason && event["message"].as_str().unwrap_or_default().contains(words)
            });
            Ok::<_, anyhow::Error>(match found {
                Some(event) => Look::Ready(event.clone()),
                None => Look::NotYet(
                    events.iter().map(|event| format!("{} {}", event["reason"], event["message"])).collect::<Vec<_>>().join("\n"),
                ),
            })
        })
        .await
    }

    /// Runs a command in a container; its output, if it succeeds. A Redis that does not listen yet, and a Service
    /// that does not lead to it yet, are given a moment.
    pub(crate) async fn run(&self, pod: &str, container: &str, command: &[&str]) -> Result<String> {
        let wait = Until::within(Duration::from_secs(10));
        wait.met(format!("{command:?} to find its Redis"), || async {
            let output = self.0.exec(&of(pod, container), command, &[]).await?;
            let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            if stderr.contains("Could not connect to Redis") {
                return Ok(Look::NotYet(stderr.into_owned()));
            }
            ensure!(output.code == 0, "{command:?} ended with {}: {stdout}{stderr}", output.code);
            Ok(Look::Ready(stdout.trim().to_owned()))
        })
        .await
    }

    /// A command of Redis in the only pod of `app`, container `redis`.
    pub(crate) async fn redis(&self, app: &str, command: &[&str]) -> Result<String> {
        let pod = self.ready_pod(app).await?;
        self.run(name(&pod), "redis", &[&["redis-cli"], command].concat()).await
    }

    /// Kills the container's process and waits for the next instance.
    pub(crate) async fn kill_and_wait(&self, pod: &str, container: &str, how: redis_conformance::target::Kill) -> Result<()> {
        let container = of(pod, container);
        let before = self.0.process(&container).await?;
        self.0.kill(&container, how).await?;
        let wait = Until::within(Duration::from_secs(20)).on(self.0.changes());
        wait.met("the next instance", || async {
            Ok::<_, anyhow::Error>(match self.0.process(&container).await {
                Ok(process) if process.restarts == before.restarts + 1 => Look::Ready(()),
                Ok(process) => Look::NotYet(format!("{process:?}")),
                Err(TargetError::Missing(what)) => Look::NotYet(format!("no {what}")),
                Err(error) => bail!(error),
            })
        })
        .await
    }

    /// Takes it down; the last line of each test.
    pub(crate) async fn end(self) -> Result<()> {
        Ok(self.0.down().await?)
    }
}

pub(crate) fn key(kind: &str, name: &str) -> ObjectKey {
    let namespaced = !matches!(kind, "Node" | "Namespace" | "PersistentVolume" | "StorageClass");
    ObjectKey { kind: kind.into(), namespace: if namespaced { NAMESPACE.into() } else { String::new() }, name: name.into() }
}

pub(crate) fn of(pod: &str, container: &str) -> ContainerRef {
    ContainerRef { namespace: NAMESPACE.into(), pod: pod.into(), container: container.into() }
}

pub(crate) fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

pub(crate) fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    pod["metadata"]["deletionTimestamp"].is_null()
        && conditions.into_iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// A workload of one container `redis`.
pub(crate) fn workload(kind: &str, app: &str, container: Value) -> Value {
    let mut main = json!({ "name": "redis", "image": "redis:7-alpine" });
    merge(&mut main, container);
    let mut object = json!({
        "apiVersion": "apps/v1", "kind": kind, "metadata": { "name": app },
        "spec": { "replicas": 1, "selector": { "matchLabels": { "app": app } },
            "template": { "metadata": { "labels": { "app": app } }, "spec": { "terminationGracePeriodSeconds": 5, "containers": [main] } } }
    });
    if kind == "StatefulSet" {
        object["spec"]["serviceName"] = app.into();
    }
    object
}

/// A bare pod of one container.
pub(crate) fn pod(app: &str, spec: Value) -> Value {
    let mut object = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": app, "labels": { "app": app } }, "spec": { "terminationGracePeriodSeconds": 5 } });
    merge(&mut object["spec"], spec);
    object
}

/// A Service for the app.
pub(crate) fn service(app: &str, spec: Value) -> Value {
    let mut object = json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": app }, "spec": { "selector": { "app": app }, "ports": [{ "port": 6379 }] } });
    merge(&mut object["spec"], spec);
    object
}

/// A claim of 1Gi.
pub(crate) fn claim(name: &str, spec: Value) -> Value {
    let mut object = json!({ "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": { "name": name },
        "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } } });
    merge(&mut object["spec"], spec);
    object
}

/// Puts the fields of `more` into `into`.
pub(crate) fn merge(into: &mut Value, more: Value) {
    match (into, more) {
        (Value::Object(into), Value::Object(more)) => {
            for (field, value) in more {
                merge(into.entry(field).or_insert(Value::Null), value);
            }
        }
        (into, more) => *into = more,
    }
}
