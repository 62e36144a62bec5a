//! The kubelets of all nodes: a worker for each pod that is bound to a node with power.

mod backoff;
mod container;
mod environment;
mod expand;
mod fields;
mod pod;
mod probe;
mod security;
mod start;
mod status;
mod volumes;
mod watching;

use super::{
    super::{
        node,
        runtime::{self, Network},
    },
    cluster::Cluster,
    json::text,
    pods,
};
pub(super) use pod::{Instance, PodRuntime};
use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::task::JoinHandle;

/// The address that all nodes share: probes come from it.
const NODE_ADDRESS: Ipv4Addr = Network::NODE;

/// The pods that run here, by UID.
#[derive(Default)]
pub(super) struct Kubelets {
    pods: Mutex<BTreeMap<String, Tracked>>,
}

struct Tracked {
    runtime: Arc<PodRuntime>,
    worker: JoinHandle<()>,
}

impl Tracked {
    /// Its worker has something left to do.
    fn is_alive(&self) -> bool {
        !self.runtime.is_gone() && !self.worker.is_finished()
    }
}

impl Kubelets {
    /// The running parts of a pod.
    pub(super) fn pod(&self, uid: &str) -> Option<Arc<PodRuntime>> {
        self.lock().get(uid).map(|tracked| tracked.runtime.clone())
    }

    /// Starts workers for pods that have none; forgets those that are done.
    pub(super) fn look(&self, cluster: &Arc<Cluster>) {
        let pods = cluster.store.list("Pod", None);
        let mut tracked = self.lock();
        tracked.retain(|uid, pod| pod.is_alive() || pods.iter().any(|pod| text(pod, "/metadata/uid") == uid));
        for pod in pods {
            let uid = text(&pod, "/metadata/uid");
            let node = text(&pod, "/spec/nodeName");
            if node.is_empty() || !cluster.nodes.is_up(node) || tracked.get(uid).is_some_and(Tracked::is_alive) {
                continue;
            }
            let known = tracked.get(uid).map(|pod| pod.runtime.clone());
            if pods::is_finished(&pod) && (known.is_some() || !pods::is_terminating(&pod)) {
                continue;
            }
            let runtime = Arc::new(PodRuntime::new(node, known.as_deref()));
            let worker = tokio::spawn(pod::run(cluster.clone(), pod.clone(), runtime.clone()));
            tracked.insert(uid.to_owned(), Tracked { runtime, worker });
        }
    }

    /// Takes power from the pods for which `of` says so; returns once nothing of them runs.
    pub(super) async fn cut_power(&self, of: impl Fn(&PodRuntime) -> bool) {
        let hit: Vec<Arc<PodRuntime>> = self.lock().values().filter(|pod| of(&pod.runtime)).map(|pod| pod.runtime.clone()).collect();
        // All off the network first, so that none of them sees another one go.
        futures::future::join_all(hit.iter().map(|pod| pod.unplug())).await;
        Self::power_off(&hit).await;
    }

    /// Ends every pod, with nobody left to see in which order they go: pulling plugs would take the kernel tens of milliseconds.
    pub(super) async fn end(&self) {
        let all: Vec<Arc<PodRuntime>> = self.lock().values().map(|pod| pod.runtime.clone()).collect();
        Self::power_off(&all).await;
    }

    async fn power_off(pods: &[Arc<PodRuntime>]) {
        for pod in pods {
            pod.kill();
        }
        for pod in pods {
            pod.power_off().await;
        }
    }

    /// Waits until no worker is left. Their pods must be gone from the store, or without power.
    pub(super) async fn finished(&self) {
        let workers: Vec<JoinHandle<()>> = std::mem::take(&mut *self.lock()).into_values().map(|pod| pod.worker).collect();
        for worker in workers {
            // A worker that panicked has told so already.
            drop(worker.await);
        }
    }

    /// Ends every process without waiting.
    pub(super) fn kill(&self) {
        for pod in self.lock().values() {
            pod.runtime.kill();
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Tracked>> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether files can be given to other users and groups here.
fn has_users() -> bool {
    runtime::facts().run_as_user.is_ok()
}

/// Where the containers of a cluster log to.
pub(super) fn logs(cluster: &str) -> PathBuf {
    node::run_directory().join("logs").join(cluster)
}
