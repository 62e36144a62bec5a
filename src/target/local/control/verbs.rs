//! What steps do to single objects and containers.

use super::{
    super::{
        node,
        runtime::{ExecError, FreezeError, Running},
    },
    apply,
    cluster::{Cluster, OBSERVER},
    deletion, eviction,
    json::{self, key_of, text},
    kubelet::Instance,
    merge, pods,
    store::Refusal,
};
use crate::{
    manifest::{ObjectKey, Place},
    target::{Attached, Capability, ContainerRef, ExecOutput, Kill, Process, TargetError, Unsupported, image::CLIENT_IMAGE},
    wait::{Look, Until},
};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::{io, path::PathBuf, sync::Arc, time::Duration};

/// A pod is started within milliseconds; more is a machine that does not come to anything.
const CLIENT_LIMIT: Duration = Duration::from_secs(60);

fn refused(key: &ObjectKey) -> impl FnOnce(Refusal) -> TargetError {
    let key = key.clone();
    move |refusal| TargetError::Refused {
        key,
        place: Place { file: Arc::new(PathBuf::from("(no file)")), line: 0, column: 0 },
        reason: refusal.to_string(),
    }
}

/// Deletes an object.
pub(super) fn delete(cluster: &Cluster, key: &ObjectKey, grace: Option<Duration>) -> Result<(), TargetError> {
    let object = cluster.store.get(key).ok_or_else(|| TargetError::Missing(key.to_string()))?;
    deletion::delete(&cluster.store, &object, grace.map(|grace| grace.as_secs()));
    Ok(())
}

/// Evicts a pod.
pub(super) fn evict(cluster: &Cluster, key: &ObjectKey) -> Result<(), TargetError> {
    let pod = cluster.store.get(key).ok_or_else(|| TargetError::Missing(key.to_string()))?;
    eviction::evict(&cluster.store, &pod).map_err(|reason| TargetError::Kept { pod: key.clone(), reason })
}

/// Patches an object.
pub(super) fn patch(cluster: &Cluster, key: &ObjectKey, patch: &Value) -> Result<Value, TargetError> {
    let live = cluster.store.get(key).ok_or_else(|| TargetError::Missing(key.to_string()))?;
    let mut changed = Value::clone(&live);
    merge::patch(&mut changed, patch);
    if let Some(kind) = super::kinds::find(&key.kind) {
        super::kinds::check_schema(kind, &changed).map_err(refused(key))?;
    }
    apply::change(cluster, &live, changed).map(|object| Value::clone(&object)).map_err(refused(key))
}

fn instance(cluster: &Cluster, container: &ContainerRef) -> Result<(Arc<Value>, Instance), TargetError> {
    let ContainerRef { namespace, pod, container } = container;
    let object = cluster.store.get(&key_of("Pod", namespace, pod)).ok_or_else(|| TargetError::Missing(format!("pod {namespace}/{pod}")))?;
    let runtime = cluster.kubelets.pod(text(&object, "/metadata/uid"));
    let instance = runtime.and_then(|runtime| runtime.container(container));
    instance
        .map(|instance| (object, instance))
        .ok_or_else(|| TargetError::Missing(format!("container {container} of pod {namespace}/{pod}")))
}

fn running(cluster: &Cluster, container: &ContainerRef) -> Result<Running, TargetError> {
    let (_, instance) = instance(cluster, container)?;
    let running = instance.running.filter(|running| running.exit().is_none());
    running.ok_or_else(|| not_running(container))
}

fn not_running(container: &ContainerRef) -> TargetError {
    let ContainerRef { namespace, pod, container } = container;
    TargetError::Missing(format!("running container {container} of pod {namespace}/{pod}"))
}

/// Runs a command in a container.
pub(super) async fn exec(cluster: &Cluster, container: &ContainerRef, command: &[&str], stdin: &[u8]) -> Result<ExecOutput, TargetError> {
    let running = running(cluster, container)?;
    let command: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
    let failed = |code, words: String| Ok(ExecOutput { code, stdout: Vec::new(), stderr: words.into_bytes() });
    match running.exec(&command, &[], stdin, None).await {
        Ok(output) => Ok(output),
        Err(ExecError::NotFound(words)) => failed(127, words),
        Err(ExecError::NotPermitted(words)) => failed(126, words),
        Err(ExecError::NotRunning) => Err(not_running(container)),
        Err(error) => Err(TargetError::broken(format!("running {} in {}", command.join(" "), container.pod), error)),
    }
}

/// Starts a command and keeps its input and output.
pub(super) async fn attach(cluster: &Cluster, container: &ContainerRef, command: &[&str]) -> Result<Attached, TargetError> {
    let running = running(cluster, container)?;
    let command: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
    match running.attach(&command).await {
        Ok(attached) => Ok(attached),
        Err(ExecError::NotRunning) => Err(not_running(container)),
        Err(error) => Err(TargetError::broken(format!("starting {} in {}", command.join(" "), container.pod), error)),
    }
}

/// What a container wrote.
pub(super) async fn logs(cluster: &Cluster, container: &ContainerRef, previous: bool) -> Result<Vec<u8>, TargetError> {
    let (_, instance) = instance(cluster, container)?;
    let log = if previous {
        let name = format!("previous terminated container {} of pod {}/{}", container.container, container.namespace, container.pod);
        instance.previous.ok_or(TargetError::Missing(name))?
    } else {
        instance.log
    };
    match tokio::fs::read(&log).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        other => other.map_err(|error| TargetError::broken(format!("reading {}", log.display()), error)),
    }
}

/// The main process as it is now.
pub(super) fn process(cluster: &Cluster, container: &ContainerRef) -> Result<Process, TargetError> {
    let (pod, instance) = instance(cluster, container)?;
    let running = instance.running.filter(|running| running.exit().is_none()).ok_or_else(|| not_running(container))?;
    Ok(Process {
        pod_uid: text(&pod, "/metadata/uid").to_owned(),
        restarts: instance.restarts,
        started: running.started(),
        frozen: running.frozen(),
    })
}

/// Sends a signal from the node.
pub(super) fn kill(cluster: &Cluster, container: &ContainerRef, how: Kill) -> Result<(), TargetError> {
    let signal = match how {
        Kill::Term => Signal::SIGTERM,
        Kill::Kill => Signal::SIGKILL,
    };
    running(cluster, container)?
        .signal(signal)
        .map_err(|error| TargetError::broken(format!("sending {signal} to {}", container.pod), error))
}

fn frozen(container: &ContainerRef) -> impl FnOnce(FreezeError) -> TargetError {
    let container = container.clone();
    move |error| match error {
        FreezeError::NotRunning => not_running(&container),
        FreezeError::TimedOut(timed_out) => timed_out.into(),
        FreezeError::Signal(error) => TargetError::broken(format!("stopping the processes of {}", container.pod), error),
    }
}

/// Stops every process of a container.
pub(super) async fn freeze(cluster: &Cluster, container: &ContainerRef) -> Result<(), TargetError> {
    running(cluster, container)?.freeze().await.map_err(frozen(container))
}

/// Lets them run on.
pub(super) async fn thaw(cluster: &Cluster, container: &ContainerRef) -> Result<(), TargetError> {
    running(cluster, container)?.thaw().await.map_err(frozen(container))
}

/// Why no shell can be opened from outside, if so.
pub(super) fn nsenter() -> Result<(), String> {
    which::which("nsenter").map(drop).map_err(|_| "nsenter is not installed (package util-linux)".into())
}

/// Twice nsenter: the first enters the node, where the second finds the container's process under the number that it has here. As root
/// of the container, who sees more than its user does.
pub(super) fn shell(cluster: &Cluster, container: &ContainerRef) -> Result<String, TargetError> {
    let pid = running(cluster, container)?.pid();
    nsenter().map_err(|reason| Unsupported { capability: Capability::Shell, reason })?;
    let node = node::outside().ok_or_else(|| TargetError::broken("naming the node", io::Error::other("its number outside is unknown")))?;
    Ok(format!("nsenter --preserve-credentials -U -m -p -t {node} nsenter -m -u -i -n -p -t {pid} sh"))
}

/// The namespace's client pod, made at the first call, on the node that no fault reaches.
pub(super) async fn client(cluster: &Cluster, namespace: &str) -> Result<ContainerRef, TargetError> {
    let container = ContainerRef::of_client(namespace);
    let key = key_of("Pod", namespace, &container.pod);
    if cluster.store.get(&key).is_none() {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": container.pod, "namespace": namespace, "labels": { "app.kubernetes.io/managed-by": "redis-conformance" } },
            "spec": { "nodeName": OBSERVER, "terminationGracePeriodSeconds": 1, "enableServiceLinks": false,
                "containers": [{ "name": container.container, "image": CLIENT_IMAGE }] }
        });
        match pods::create(&cluster.store, pod, cluster.options.toleration) {
            Ok(_) | Err(Refusal::AlreadyExists(_)) => {}
            Err(refusal) => return Err(refused(&key)(refusal)),
        }
    }
    Until::within(CLIENT_LIMIT)
        .on(cluster.store.changes())
        .met("the client pod to be ready", || async {
            let pod = cluster.store.get(&key).ok_or_else(|| TargetError::Missing(key.to_string()))?;
            Ok(if pods::is_ready(&pod) {
                Look::Ready(())
            } else {
                Look::NotYet(json::condition(&pod, "Ready").unwrap_or(&pod["status"]).to_string())
            })
        })
        .await
        .map(|()| container)
}
