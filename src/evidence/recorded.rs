//! A target that writes each call, its answer and its time into the evidence; steps log nothing.
//!
//! Waits look many times a second: a look that saw the same as the one before is counted, not written again.

use super::Evidence;
use crate::{
    manifest::{Object, ObjectKey},
    target::{Applied, Attached, Capability, ContainerRef, DEFAULT_CLASS, ExecOutput, Kill, Manner, Process, Target, TargetError},
};
use async_trait::async_trait;
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    fmt::Display,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// Bytes of a command's output that go into the timeline.
const SHOWN: usize = 4096;

/// Decorates a target.
pub struct Recorded<T: ?Sized> {
    inner: Arc<T>,
    evidence: Evidence,
    /// What the scenario may do.
    manner: Manner,
    /// What each look saw last, and how many saw the same since.
    seen: Mutex<HashMap<String, (Value, u64)>>,
}

impl<T: Target + ?Sized> Recorded<T> {
    /// Records every call of `inner`; verbs that are not for scenarios of this manner are refused.
    pub fn new(inner: Arc<T>, evidence: Evidence, manner: Manner) -> Self {
        Self { inner, evidence, manner, seen: Mutex::default() }
    }

    /// Notes a look unless it saw what the one before saw.
    fn look<V, E: Display + std::error::Error>(
        &self,
        verb: &str,
        of: Value,
        began: Instant,
        result: &Result<V, E>,
        answer: impl Fn(&V) -> Value,
    ) {
        let saw = match result {
            Ok(value) => answer(value),
            Err(error) => chain(error).into(),
        };
        let key = format!("{verb} {of}");
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let same = match seen.get_mut(&key) {
            Some((last, same)) if *last == saw => {
                *same += 1;
                return;
            }
            Some((_, same)) => *same,
            None => 0,
        };
        seen.insert(key, (saw, 0));
        drop(seen);
        let of = if same == 0 { of } else { json!({"of": of, "looks_that_saw_the_same_before": same}) };
        self.note(verb, of, began, result, answer);
    }

    /// Notes a call that has ended.
    fn note<V, E: Display + std::error::Error>(
        &self,
        verb: &str,
        of: Value,
        began: Instant,
        result: &Result<V, E>,
        answer: impl FnOnce(&V) -> Value,
    ) {
        let mut call = json!({"verb": verb, "took_ms": (began.elapsed().as_secs_f64() * 10_000.0).round() / 10.0});
        call["of"] = of;
        match result {
            Ok(value) => call["answer"] = answer(value),
            Err(error) => call["error"] = chain(error).into(),
        }
        self.evidence.timeline("call", call);
    }
}

/// An error with all its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

fn shown(bytes: &[u8]) -> Value {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]).into_owned();
    if bytes.len() > SHOWN { json!({"text": text, "cut_from_bytes": bytes.len()}) } else { text.into() }
}

fn name(container: &ContainerRef) -> Value {
    format!("{}/{}/{}", container.namespace, container.pod, container.container).into()
}

fn nothing<V>(_: &V) -> Value {
    Value::Null
}

fn process(process: &Process) -> Value {
    let Process { pod_uid, restarts, started, frozen } = process;
    json!({"pod_uid": pod_uid, "restarts": restarts, "started": crate::time::rfc3339(*started), "frozen": frozen})
}

#[deny(clippy::missing_trait_methods, reason = "a verb that is not handed on would be refused in place of the target")]
#[async_trait]
impl<T: Target + ?Sized> Target for Recorded<T> {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    async fn capability(&self, capability: Capability) -> Result<(), TargetError> {
        let began = Instant::now();
        if capability == Capability::NodeFaults {
            self.manner.may("a fault of a node", Manner::Disturbs)?;
        }
        let of = capability.to_string().into();
        let result = self.inner.capability(capability).await;
        self.look("capability", of, began, &result, nothing);
        result
    }

    async fn apply(&self, objects: &[Object]) -> Result<Applied, TargetError> {
        for object in objects {
            self.evidence.secrets_of(&object.json);
        }
        let list: Vec<&Value> = objects.iter().map(|object| &object.json).collect();
        let text = serde_json::to_vec_pretty(&list).map_err(|cause| TargetError::broken("writing the objects down", cause))?;
        self.evidence.file("objects.json", text);
        let began = Instant::now();
        let result = self.inner.apply(objects).await;
        self.note("apply", json!({"objects": objects.len()}), began, &result, |applied| {
            let without: Vec<String> = applied
                .without_program
                .iter()
                .map(|missing| format!("{}: {} ({})", missing.owner, missing.container, missing.image))
                .collect();
            json!({"without_program": without, "remarks": applied.remarks})
        });
        result
    }

    async fn get(&self, key: &ObjectKey) -> Result<Option<Value>, TargetError> {
        let began = Instant::now();
        let result = self.inner.get(key).await;
        // Waits look at objects many times a second; the status is what they look for.
        self.look("get", key.to_string().into(), began, &result, |object| {
            object.as_ref().map_or(Value::Null, |object| object["status"].clone())
        });
        result
    }

    async fn list(&self, kind: &str, namespace: Option<&str>) -> Result<Vec<Value>, TargetError> {
        let began = Instant::now();
        let result = self.inner.list(kind, namespace).await;
        self.look("list", json!({"kind": kind, "namespace": namespace}), began, &result, |objects| {
            objects.iter().map(|object| object["metadata"]["name"].clone()).collect()
        });
        result
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changes()
    }

    async fn delete(&self, key: &ObjectKey, grace: Option<Duration>) -> Result<(), TargetError> {
        self.manner.may("delete", Manner::Changes)?;
        let began = Instant::now();
        let result = self.inner.delete(key, grace).await;
        let of = json!({"object": key.to_string(), "grace_seconds": grace.map(|grace| grace.as_secs_f64())});
        self.note("delete", of, began, &result, nothing);
        result
    }

    async fn evict(&self, pod: &ObjectKey) -> Result<(), TargetError> {
        self.manner.may("evict", Manner::Changes)?;
        let began = Instant::now();
        let result = self.inner.evict(pod).await;
        self.note("evict", pod.to_string().into(), began, &result, nothing);
        result
    }

    async fn patch(&self, key: &ObjectKey, patch: &Value) -> Result<Value, TargetError> {
        let default_class = || patch["metadata"]["annotations"].get(DEFAULT_CLASS).is_some();
        let of_the_cluster = key.kind == "Node" || key.kind == "StorageClass" && default_class();
        self.manner.may("patch", if of_the_cluster { Manner::Disturbs } else { Manner::Changes })?;
        let began = Instant::now();
        let result = self.inner.patch(key, patch).await;
        self.note("patch", json!({"object": key.to_string(), "patch": patch}), began, &result, nothing);
        result
    }

    async fn exec(&self, container: &ContainerRef, command: &[&str], stdin: &[u8]) -> Result<ExecOutput, TargetError> {
        let began = Instant::now();
        let result = self.inner.exec(container, command, stdin).await;
        let of = json!({"container": name(container), "command": command, "stdin_bytes": stdin.len()});
        self.note(
            "exec",
            of,
            began,
            &result,
            |output| json!({"code": output.code, "stdout": shown(&output.stdout), "stderr": shown(&output.stderr)}),
        );
        result
    }

    async fn attach(&self, container: &ContainerRef, command: &[&str]) -> Result<Attached, TargetError> {
        let began = Instant::now();
        let result = self.inner.attach(container, command).await;
        // `Attached` has no Debug, and its streams are the ledger's to record.
        let noted = result.as_ref().map(|_| ()).map_err(|error| Told(chain(error)));
        self.note("attach", json!({"container": name(container), "command": command}), began, &noted, nothing);
        result
    }

    async fn logs(&self, container: &ContainerRef, previous: bool) -> Result<Vec<u8>, TargetError> {
        let began = Instant::now();
        let result = self.inner.logs(container, previous).await;
        let of = json!({"container": name(container), "previous": previous});
        self.look("logs", of, began, &result, |bytes| json!({"bytes": bytes.len()}));
        result
    }

    async fn process(&self, container: &ContainerRef) -> Result<Process, TargetError> {
        let began = Instant::now();
        let result = self.inner.process(container).await;
        self.look("process", name(container), began, &result, process);
        result
    }

    async fn kill(&self, container: &ContainerRef, how: Kill) -> Result<(), TargetError> {
        self.manner.may("kill", Manner::Changes)?;
        let began = Instant::now();
        let result = self.inner.kill(container, how).await;
        self.note("kill", json!({"container": name(container), "how": format!("{how:?}")}), began, &result, nothing);
        result
    }

    async fn freeze(&self, container: &ContainerRef) -> Result<(), TargetError> {
        self.manner.may("freeze", Manner::Changes)?;
        let began = Instant::now();
        let result = self.inner.freeze(container).await;
        self.note("freeze", name(container), began, &result, nothing);
        result
    }

    async fn thaw(&self, container: &ContainerRef) -> Result<(), TargetError> {
        self.manner.may("thaw", Manner::Changes)?;
        let began = Instant::now();
        let result = self.inner.thaw(container).await;
        self.note("thaw", name(container), began, &result, nothing);
        result
    }

    async fn stop_node(&self, node: &str) -> Result<(), TargetError> {
        self.manner.may("stop_node", Manner::Disturbs)?;
        let began = Instant::now();
        let result = self.inner.stop_node(node).await;
        self.note("stop_node", node.into(), began, &result, nothing);
        result
    }

    async fn start_node(&self, node: &str) -> Result<(), TargetError> {
        self.manner.may("start_node", Manner::Disturbs)?;
        let began = Instant::now();
        let result = self.inner.start_node(node).await;
        self.note("start_node", node.into(), began, &result, nothing);
        result
    }

    async fn restart_everything(&self) -> Result<(), TargetError> {
        self.manner.may("restart_everything", Manner::Disturbs)?;
        let began = Instant::now();
        let result = self.inner.restart_everything().await;
        self.note("restart_everything", Value::Null, began, &result, nothing);
        result
    }

    async fn client(&self, namespace: &str) -> Result<ContainerRef, TargetError> {
        let began = Instant::now();
        let result = self.inner.client(namespace).await;
        self.note("client", namespace.into(), began, &result, name);
        result
    }

    fn host(&self, name: &str) -> String {
        self.inner.host(name)
    }

    async fn new_volumes_belong_to_root(&self) -> Result<(), TargetError> {
        self.manner.may("new_volumes_belong_to_root", Manner::Changes)?;
        let began = Instant::now();
        let result = self.inner.new_volumes_belong_to_root().await;
        self.note("new_volumes_belong_to_root", Value::Null, began, &result, nothing);
        result
    }

    async fn shell(&self, container: &ContainerRef) -> Result<String, TargetError> {
        let began = Instant::now();
        let result = self.inner.shell(container).await;
        self.note("shell", name(container), began, &result, |command| command.as_str().into());
        result
    }

    async fn down(&self) -> Result<(), TargetError> {
        let began = Instant::now();
        let result = self.inner.down().await;
        self.note("down", Value::Null, began, &result, nothing);
        result
    }
}

/// An error that has been told already.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Told(String);

#[cfg(test)]
mod tests;
