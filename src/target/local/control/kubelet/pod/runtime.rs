//! The running parts of a pod: what faults and commands from outside reach for.

use crate::target::{
    TargetError,
    local::runtime::{ContainerSpec, Network, Running, Sandbox, StartError},
};
use nix::sys::signal::Signal;
use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// A container as it runs, or as it ran last.
#[derive(Clone, Debug, Default)]
pub(in crate::target::local::control) struct Instance {
    /// Its main process, while it has one.
    pub(in crate::target::local::control) running: Option<Running>,
    /// `restartCount`.
    pub(in crate::target::local::control) restarts: u32,
    /// What it wrote.
    pub(in crate::target::local::control) log: PathBuf,
    /// What the one before it wrote.
    pub(in crate::target::local::control) previous: Option<PathBuf>,
}

/// The running parts of a pod.
#[derive(Debug)]
pub(in crate::target::local::control) struct PodRuntime {
    node: String,
    power: CancellationToken,
    gone: CancellationToken,
    starting: TaskTracker,
    parts: Mutex<Parts>,
}

#[derive(Debug, Default)]
struct Parts {
    sandbox: Option<Arc<Sandbox>>,
    containers: BTreeMap<String, Instance>,
}

impl PodRuntime {
    /// For a pod on that node; `before` where it ran there already before the node lost power.
    pub(in super::super) fn new(node: &str, before: Option<&Self>) -> Self {
        let mut containers = before.map(|before| before.parts().containers.clone()).unwrap_or_default();
        for instance in containers.values_mut() {
            instance.running = None;
        }
        Self {
            node: node.to_owned(),
            power: CancellationToken::new(),
            gone: CancellationToken::new(),
            starting: TaskTracker::new(),
            parts: Mutex::new(Parts { sandbox: None, containers }),
        }
    }

    /// The pod's node.
    pub(in crate::target::local::control) fn node(&self) -> &str {
        &self.node
    }

    /// The container as it is now.
    pub(in crate::target::local::control) fn container(&self, name: &str) -> Option<Instance> {
        self.parts().containers.get(name).cloned()
    }

    /// Starts a container's process; it cannot be forgotten, whoever stops waiting for it.
    pub(in super::super) async fn start(
        self: &Arc<Self>,
        sandbox: Arc<Sandbox>,
        name: &str,
        restarts: u32,
        spec: ContainerSpec,
    ) -> Result<Running, StartError> {
        let runtime = self.clone();
        let (name, log) = (name.to_owned(), spec.log.clone());
        let started = self.starting.spawn(async move {
            let started = sandbox.start(spec).await;
            let mut parts = runtime.parts();
            let before = parts.containers.remove(&name);
            let previous = before.filter(|before| before.log != log).map(|before| before.log);
            if let Ok(running) = &started
                && runtime.power.is_cancelled()
                && let Err(error) = running.signal(Signal::SIGKILL)
            {
                tracing::warn!(%error, container = name, "not killed");
            }
            parts.containers.insert(name, Instance { running: started.as_ref().ok().cloned(), restarts, log, previous });
            drop(parts);
            started
        });
        started.await.map_err(io::Error::other)?
    }

    /// Makes the pod's sandbox; it cannot be forgotten, whoever stops waiting for it.
    pub(super) async fn make_sandbox(self: &Arc<Self>, network: &Arc<Network>, hostname: String) -> Result<Arc<Sandbox>, TargetError> {
        let (runtime, network) = (self.clone(), network.clone());
        let made = self.starting.spawn(async move {
            let sandbox = Sandbox::create(&network, &hostname, None).await?;
            runtime.parts().sandbox = Some(sandbox.clone());
            Ok(sandbox)
        });
        made.await.map_err(|error| TargetError::broken("making a sandbox", error))?
    }

    /// Works on the disk; waited for, whoever stops waiting.
    pub(super) async fn on_disk<T: Send + 'static>(&self, work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
        self.starting.spawn_blocking(work).await.map_err(io::Error::other)?
    }

    /// The process has ended and is cleared away.
    pub(in super::super) fn ended(&self, name: &str) {
        if let Some(instance) = self.parts().containers.get_mut(name) {
            instance.running = None;
        }
    }

    /// Resolves when the node loses power.
    pub(super) async fn powerless(&self) {
        self.power.cancelled().await;
    }

    /// Takes the pod off the network, so that nobody hears of what comes next.
    pub(in super::super) async fn unplug(&self) {
        let sandbox = self.parts().sandbox.clone();
        if let Some(sandbox) = sandbox
            && let Err(error) = sandbox.unplug().await
        {
            tracing::warn!(%error, "not unplugged");
        }
    }

    /// Ends every process at once.
    pub(in super::super) fn kill(&self) {
        self.power.cancel();
        for instance in self.parts().containers.values() {
            if let Some(Err(error)) = instance.running.as_ref().map(|running| running.signal(Signal::SIGKILL)) {
                tracing::warn!(%error, "not killed");
            }
        }
    }

    /// Takes power and waits until nothing of the pod runs.
    pub(in super::super) async fn power_off(&self) {
        self.kill();
        self.gone.cancelled().await;
    }

    /// Whether nothing of the pod runs any more.
    pub(in super::super) fn is_gone(&self) -> bool {
        self.gone.is_cancelled()
    }

    /// Nothing of the pod runs any more.
    pub(super) fn gone(&self) {
        self.gone.cancel();
    }

    /// Ends what runs and gives back what it used; logs stay.
    pub(super) async fn end_all(&self) {
        self.starting.close();
        self.starting.wait().await;
        let (sandbox, running): (_, Vec<Running>) = {
            let mut parts = self.parts();
            (parts.sandbox.take(), parts.containers.values_mut().filter_map(|instance| instance.running.take()).collect())
        };
        for running in running {
            if let Err(error) = running.remove().await {
                tracing::warn!(%error, "a container was not removed");
            }
        }
        if let Some(sandbox) = sandbox
            && let Err(error) = sandbox.remove().await
        {
            tracing::warn!("{:#}", anyhow::Error::from(error));
        }
    }

    fn parts(&self) -> MutexGuard<'_, Parts> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
