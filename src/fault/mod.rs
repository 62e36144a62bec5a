//! Breaks things on purpose through the target's verbs, with proof that each fault happened; it judges no promise.

use crate::{
    manifest::{ObjectKey, json},
    target::{ContainerRef, Kill, Process, Target, TargetError},
    wait::{Look, TimedOut, Until},
};
use serde_json::Value;
use std::time::Duration;

/// A fault could not be done, or not be proved.
#[derive(Debug, thiserror::Error)]
pub enum FaultError {
    /// The target refused or failed.
    #[error(transparent)]
    Target(#[from] TargetError),
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

/// Deletes the pod; proof is that its UID is gone.
///
/// # Errors
/// [`FaultError`] when it is still there after its grace period and the time for a proof.
pub async fn delete_pod(target: &dyn Target, pod: &Value, how: Deletion) -> Result<(), FaultError> {
    let key = key_of(pod);
    let uid = pod["metadata"]["uid"].clone();
    let grace = pod["spec"]["terminationGracePeriodSeconds"].as_u64().unwrap_or(30);
    let asked = match how {
        Deletion::InOrder => None,
        Deletion::ByForce => Some(Duration::ZERO),
    };
    target.delete(&key, asked).await?;
    Until::within(Duration::from_secs(grace) + PROOF)
        .on(target.changes())
        .met(format!("{key} with uid {uid} to be gone"), || async {
            Ok(match target.get(&key).await? {
                Some(now) if now["metadata"]["uid"] == uid => Look::NotYet(format!("it is {}", now["status"]["phase"])),
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
    node_is(target, node, false, limit).await
}

/// Gives the node back; proof is that the cluster sees it Ready.
///
/// # Errors
/// [`FaultError`] when it stays NotReady for `limit`.
pub async fn return_node(target: &dyn Target, node: &str, limit: Duration) -> Result<(), FaultError> {
    target.start_node(node).await?;
    node_is(target, node, true, limit).await
}

async fn node_is(target: &dyn Target, node: &str, ready: bool, limit: Duration) -> Result<(), FaultError> {
    let key = ObjectKey { kind: "Node".into(), namespace: String::new(), name: node.into() };
    Until::within(limit)
        .on(target.changes())
        .met(format!("node {node} to be {}", if ready { "Ready" } else { "NotReady" }), || async {
            let status =
                target.get(&key).await?.and_then(|node| json::condition(&node, "Ready")?["status"].as_str().map(ToOwned::to_owned));
            let status = status.unwrap_or_else(|| "unknown".into());
            Ok(if (status == "True") == ready { Look::Ready(()) } else { Look::NotYet(format!("Ready is {status}")) })
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
