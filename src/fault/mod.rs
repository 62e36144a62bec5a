//! Breaks things on purpose through the target's verbs, with proof that each fault happened; it judges no promise.

use crate::{
    manifest::{ObjectKey, json},
    target::{ContainerRef, Kill, Process, Target, TargetError},
    wait::{Look, TimedOut, Until},
};
use serde_json::{Value, json};
use std::time::Duration;

/// A fault could not be done, or not be proved.
#[derive(Debug, thiserror::Error)]
pub enum FaultError {
    /// The target refused or failed.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// Something keeps pods where they are.
    #[error("a drain does not come to its end: {0}")]
    Kept(String),
    /// It was told to happen, and nothing shows that it did.
    #[error("the fault is not proved: {0}")]
    Unproved(#[from] TimedOut),
}

/// How a pod is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// SIGTERM, the grace period, SIGKILL.
    InOrder,
    /// `--force --grace-period=0`.
    ByForce,
}

/// How long a proof may take beyond what the pod's own grace allows: signals and status travel in milliseconds locally, in seconds on a cluster.
const PROOF: Duration = Duration::from_secs(20);
/// As often as `kubectl drain` asks again.
const AGAIN: Duration = Duration::from_secs(5);

/// Deletes the pod; proof is that its UID is gone.
///
/// # Errors
/// [`FaultError`] when it is still there after its grace period and the time for a proof.
pub async fn delete_pod(target: &dyn Target, pod: &Value, how: Deletion) -> Result<(), FaultError> {
    let asked = match how {
        Deletion::InOrder => None,
        Deletion::ByForce => Some(Duration::ZERO),
    };
    target.delete(&key_of(pod), asked).await?;
    is_gone(target, pod).await
}

/// Waits until the pod is gone that was told to go.
async fn is_gone(target: &dyn Target, pod: &Value) -> Result<(), FaultError> {
    let (key, uid) = (key_of(pod), &pod["metadata"]["uid"]);
    let grace = pod["spec"]["terminationGracePeriodSeconds"].as_u64().unwrap_or(30);
    Until::within(Duration::from_secs(grace) + PROOF)
        .on(target.changes())
        .met(format!("{key} with uid {uid} to be gone"), || async {
            Ok(match target.get(&key).await? {
                Some(now) if now["metadata"]["uid"] == *uid => Look::NotYet(format!("it is {}", now["status"]["phase"])),
                _ => Look::Ready(()),
            })
        })
        .await
}

/// Sends the signal to the container's main process; proof is another process under the same pod, or the container's end.
///
/// # Errors
/// [`FaultError`] when the same process still runs after the pod's grace period and the time for a proof.
pub async fn kill_container(target: &dyn Target, container: &ContainerRef, how: Kill) -> Result<Process, FaultError> {
    let before = target.process(container).await?;
    target.kill(container, how).await?;
    Until::within(Duration::from_secs(30) + PROOF)
        .on(target.changes())
        .met(format!("another process in {container} than that of {:?}", before.started), || async {
            match target.process(container).await {
                Ok(now) if now.restarts > before.restarts || now.started > before.started => Ok(Look::Ready(())),
                Ok(now) => Ok(Look::NotYet(format!("restarts {}, started {:?}", now.restarts, now.started))),
                // Between the end and the restart there is no process: that is proof as well.
                Err(TargetError::Missing(_)) => Ok(Look::Ready(())),
                Err(error) => Err(FaultError::from(error)),
            }
        })
        .await?;
    Ok(before)
}

/// Freezes the container; proof is that its process is there and stands still.
///
/// # Errors
/// [`FaultError`] when it still runs.
pub async fn freeze(target: &dyn Target, container: &ContainerRef) -> Result<Process, FaultError> {
    let before = target.process(container).await?;
    target.freeze(container).await?;
    Until::within(PROOF)
        .met(format!("every process of {container} to be stopped"), || async {
            let now = target.process(container).await?;
            Ok(if now.frozen { Look::Ready(()) } else { Look::NotYet("it runs".into()) })
        })
        .await
        .map(|()| before)
}

/// Takes the node's power; proof is that the cluster sees it NotReady.
///
/// # Errors
/// [`FaultError`] when it stays Ready for `limit`.
pub async fn lose_node(target: &dyn Target, node: &str, limit: Duration) -> Result<(), FaultError> {
    target.stop_node(node).await?;
    node_is(target, node, "NotReady", limit, |node| !is_ready(node)).await
}

/// Gives the node back; proof is that the cluster sees it Ready.
///
/// # Errors
/// [`FaultError`] when it stays NotReady for `limit`.
pub async fn return_node(target: &dyn Target, node: &str, limit: Duration) -> Result<(), FaultError> {
    target.start_node(node).await?;
    node_is(target, node, "Ready", limit, is_ready).await
}

/// Drains the node as `kubectl drain --ignore-daemonsets` does: it takes no more pods, and what controllers would make anew is evicted; while
/// a budget keeps a pod, it asks again, for `limit` at most. Proof is that the node is unschedulable and that the pods are gone.
///
/// # Errors
/// [`FaultError`] when a budget keeps a pod for good, a pod has no controller, or one is still there after its grace period and the time for a proof.
pub async fn drain_node(target: &dyn Target, node: &str, limit: Duration) -> Result<(), FaultError> {
    let key = node_key(node);
    target.patch(&key, &json!({ "spec": { "unschedulable": true } })).await?;
    let pods = target.list("Pod", None).await?;
    for pod in pods.iter().filter(|pod| pod["spec"]["nodeName"] == node) {
        match json::controller(pod).and_then(|owner| owner["kind"].as_str()) {
            Some("DaemonSet" | "Node") => {}
            Some(_) => {
                evict(target, &key_of(pod), limit).await?;
                is_gone(target, pod).await?;
            }
            None => return Err(FaultError::Kept(format!("{} has no controller that would make it anew", key_of(pod)))),
        }
    }
    node_is(target, node, "unschedulable", PROOF, |node| node["spec"]["unschedulable"] == true).await
}

async fn evict(target: &dyn Target, pod: &ObjectKey, limit: Duration) -> Result<(), FaultError> {
    let asked = Until::within(limit).every(AGAIN).met(format!("{pod} to be evicted"), || async {
        match target.evict(pod).await {
            Ok(()) | Err(TargetError::Missing(_)) => Ok(Look::Ready(())),
            Err(TargetError::Kept { reason, .. }) => Ok(Look::NotYet(reason)),
            Err(error) => Err(FaultError::from(error)),
        }
    });
    match asked.await {
        Err(FaultError::Unproved(timed_out)) if !timed_out.blind => Err(FaultError::Kept(timed_out.to_string())),
        asked => asked,
    }
}

/// Lets the node take pods again; proof is that it is schedulable.
///
/// # Errors
/// [`FaultError`] when it stays as it was.
pub async fn uncordon_node(target: &dyn Target, node: &str) -> Result<(), FaultError> {
    target.patch(&node_key(node), &json!({ "spec": { "unschedulable": null } })).await?;
    node_is(target, node, "schedulable", PROOF, |node| node["spec"]["unschedulable"] != true).await
}

fn node_key(node: &str) -> ObjectKey {
    ObjectKey { kind: "Node".into(), namespace: String::new(), name: node.into() }
}

fn is_ready(node: &Value) -> bool {
    json::holds(node, "Ready")
}

async fn node_is(target: &dyn Target, node: &str, state: &str, limit: Duration, is: impl Fn(&Value) -> bool) -> Result<(), FaultError> {
    let key = node_key(node);
    Until::within(limit)
        .on(target.changes())
        .met(format!("node {node} to be {state}"), || async {
            let Some(node) = target.get(&key).await? else { return Ok(Look::NotYet("there is no such node".into())) };
            let ready = json::condition(&node, "Ready").map_or("unknown", |ready| json::text(ready, "/status"));
            Ok(if is(&node) { Look::Ready(()) } else { Look::NotYet(format!("Ready is {ready}")) })
        })
        .await
}

/// The key of a live object; one that tells no kind, as the items of a list may, is a pod.
#[must_use]
pub fn key_of(object: &Value) -> ObjectKey {
    let kind = match json::text(object, "/kind") {
        "" => "Pod",
        kind => kind,
    };
    let (namespace, name) = (json::text(object, "/metadata/namespace"), json::text(object, "/metadata/name"));
    ObjectKey { kind: kind.into(), namespace: namespace.into(), name: name.into() }
}
