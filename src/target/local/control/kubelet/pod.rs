//! One pod on its node: volumes, sandbox, init containers, containers, and its end.

mod runtime;

use super::{
    super::{
        super::runtime::{Sandbox, storage},
        cluster::Cluster,
        events::{self, Level},
        json::{self, list, number, text},
        pods,
    },
    container::Role,
    security,
    status::{self, Report},
    volumes::{self, Volume},
};
use crate::{
    manifest::ObjectKey,
    target::{Unsupported, image::Image},
    wait::pause,
};
use futures::{
    FutureExt, StreamExt,
    future::{BoxFuture, join_all, pending},
    stream::FuturesUnordered,
};
pub(in super::super) use runtime::{Instance, PodRuntime};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};
use tokio::{sync::watch, time::Instant};

/// When the pod's containers must have ended; `None` while it lives.
pub(super) type Stop = watch::Receiver<Option<Instant>>;

/// Brings the pod to life and stays with it until it is gone from its node.
pub(super) async fn run(cluster: Arc<Cluster>, pod: Arc<Value>, runtime: Arc<PodRuntime>) {
    let worker = Worker::new(cluster, &pod, runtime.clone());
    let ended = tokio::select! {
        biased;
        () = runtime.powerless() => false,
        () = worker.live() => true,
    };
    worker.clear(ended).await;
    runtime.gone();
}

/// A pod's worker.
pub(super) struct Worker {
    pub(super) cluster: Arc<Cluster>,
    pub(super) key: ObjectKey,
    pub(super) uid: Value,
    pub(super) runtime: Arc<PodRuntime>,
    /// The pod as it was bound: for names and events.
    pub(super) pod: Value,
    images: BTreeMap<String, Result<Image, Unsupported>>,
    left_out: Vec<String>,
    statuses: Mutex<BTreeMap<String, status::Container>>,
    pub(super) sandbox: OnceLock<Arc<Sandbox>>,
    pub(super) volumes: OnceLock<BTreeMap<String, Volume>>,
    failed: OnceLock<(&'static str, &'static str)>,
    initialized: OnceLock<()>,
}

impl Worker {
    fn new(cluster: Arc<Cluster>, pod: &Value, runtime: Arc<PodRuntime>) -> Self {
        let all = || list(pod, "/spec/containers").iter().chain(list(pod, "/spec/initContainers"));
        let images: BTreeMap<_, _> =
            all().map(|spec| (text(spec, "/name").to_owned(), cluster.options.programs.image(text(spec, "/image")))).collect();
        let mains = || list(pod, "/spec/containers").iter().map(|spec| text(spec, "/name"));
        let without: Vec<String> = mains().filter(|name| images.get(*name).is_some_and(Result::is_err)).map(str::to_owned).collect();
        // As long as one of them runs the pod is worth having.
        let left_out = if without.len() < mains().count() { without } else { Vec::new() };
        // As the kubelet says while init containers have the floor.
        let reason = if list(pod, "/spec/initContainers").is_empty() { "ContainerCreating" } else { "PodInitializing" };
        let statuses = all().map(|spec| {
            let name = text(spec, "/name");
            let mut status = status::Container::waiting(reason);
            status.restore(pod, name);
            (name.to_owned(), status)
        });
        Self {
            key: json::key(pod),
            uid: pod["metadata"]["uid"].clone(),
            statuses: Mutex::new(statuses.collect()),
            pod: pod.clone(),
            sandbox: OnceLock::new(),
            volumes: OnceLock::new(),
            failed: OnceLock::new(),
            initialized: OnceLock::new(),
            cluster,
            runtime,
            images,
            left_out,
        }
    }

    /// The whole life, until nothing of it is wanted any more.
    async fn live(&self) {
        let (stop, stopping) = watch::channel(None);
        tokio::select! {
            () = self.watch_for_deletion(&stop) => {}
            () = self.watch_for_deadline(&stop) => {}
            () = self.phases(stopping) => {}
        }
    }

    /// Tells the containers when the pod is deleted, and again when less time is left for it.
    async fn watch_for_deletion(&self, stop: &watch::Sender<Option<Instant>>) {
        let mut changes = self.cluster.store.changes();
        let mut told = None;
        loop {
            changes.mark_unchanged();
            let grace = match self.live_pod() {
                // Its object is gone already: by force.
                None => Some(1),
                Some(pod) if pods::is_terminating(&pod) => {
                    number(&pod, "/metadata/deletionGracePeriodSeconds").and_then(|seconds| u64::try_from(seconds).ok()).or(Some(30))
                }
                Some(_) => None,
            };
            if grace.is_some() && grace != told {
                told = grace;
                let deadline = Instant::now() + Duration::from_secs(grace.unwrap_or(0));
                stop.send_modify(|stop| *stop = Some(stop.map_or(deadline, |before| before.min(deadline))));
            }
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    async fn watch_for_deadline(&self, stop: &watch::Sender<Option<Instant>>) {
        let Some(seconds) = number(&self.pod, "/spec/activeDeadlineSeconds").and_then(|seconds| u64::try_from(seconds).ok()) else {
            return pending().await;
        };
        pause(Duration::from_secs(seconds)).await;
        self.failed.get_or_init(|| ("DeadlineExceeded", "Pod was active on the node longer than the specified deadline"));
        stop.send_modify(|stop| *stop = stop.or(Some(Instant::now() + self.grace())));
        pending::<()>().await;
    }

    async fn phases(&self, mut stop: Stop) {
        self.publish();
        if !self.mount(&mut stop).await || !self.make_sandbox(&mut stop).await {
            return;
        }
        self.publish();
        let (stop_sidecars, sidecars_stop) = watch::channel(None);
        let mut sidecars: FuturesUnordered<BoxFuture<'_, ()>> = FuturesUnordered::new();
        let mut initialized = true;
        for spec in list(&self.pod, "/spec/initContainers") {
            if status::is_sidecar(spec) {
                sidecars.push(self.container(spec, Role::Sidecar, sidecars_stop.clone()).boxed());
                beside(&mut sidecars, self.is_started(text(spec, "/name"), &mut stop)).await;
            } else {
                beside(&mut sidecars, self.container(spec, Role::Init, stop.clone())).await;
                initialized = self.succeeded(text(spec, "/name"));
            }
            if stop.borrow().is_some() || !initialized {
                initialized = false;
                break;
            }
        }
        if initialized {
            self.initialized.get_or_init(|| ());
            let mains = list(&self.pod, "/spec/containers").iter().map(|spec| self.container(spec, Role::Main, stop.clone()));
            beside(&mut sidecars, join_all(mains)).await;
        }
        let deadline = (*stop.borrow()).unwrap_or_else(|| Instant::now() + self.grace());
        stop_sidecars.send_replace(Some(deadline));
        while sidecars.next().await.is_some() {}
        self.publish();
    }

    /// Waits for the pod's volumes and makes them; `false` where the pod is deleted before.
    async fn mount(&self, stop: &mut Stop) -> bool {
        let mut changes = self.cluster.store.changes();
        loop {
            changes.mark_unchanged();
            let pod = self.live_pod().unwrap_or_else(|| Arc::new(self.pod.clone()));
            let why = match volumes::wanted(&self.cluster.store, &self.cluster.options.name, &pod) {
                Ok(wanted) => {
                    let (directory, group) = (self.directory(), security::fs_group(&self.pod).filter(|_| super::has_users()));
                    match self.runtime.on_disk(move || volumes::make(&wanted, &directory, group)).await {
                        Ok(volumes) => return self.volumes.set(volumes).is_ok(),
                        Err(error) => format!("MountVolume.SetUp failed: {error}"),
                    }
                }
                Err((volume, why)) => format!("MountVolume.SetUp failed for volume {volume:?} : {why}"),
            };
            self.tell_once(Level::Warning, "FailedMount", &why);
            tokio::select! {
                _ = changes.changed() => {}
                _ = stop.wait_for(Option::is_some) => return false,
            }
        }
    }

    async fn make_sandbox(&self, stop: &mut Stop) -> bool {
        loop {
            match self.runtime.make_sandbox(&self.cluster.network, super::start::hostname(&self.pod)).await {
                Ok(sandbox) => return self.sandbox.set(sandbox).is_ok(),
                Err(error) => {
                    let error = anyhow::Error::from(error);
                    tracing::warn!(pod = %self.key, "{error:#}");
                    self.tell(Level::Warning, "FailedCreatePodSandBox", &format!("Failed to create pod sandbox: {error:#}"));
                }
            }
            // As the kubelet, which comes back to it at its next look.
            tokio::select! {
                () = pause(Duration::from_secs(1)) => {}
                _ = stop.wait_for(Option::is_some) => return false,
            }
        }
    }

    /// Ends what is left and takes it off the machine; `ended` if the pod came to its end, not its node.
    async fn clear(&self, ended: bool) {
        self.runtime.end_all().await;
        if !ended {
            let memory = format!("{}/memory", self.directory());
            remove_volume(memory).await;
            return;
        }
        self.publish();
        let mut changes = self.cluster.store.changes();
        loop {
            changes.mark_unchanged();
            match self.live_pod() {
                Some(pod) if pods::is_terminating(&pod) => {
                    self.cluster.store.remove(&self.key);
                    break;
                }
                None => break,
                // It ended by itself and stays until somebody deletes it.
                Some(_) => {}
            }
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { break },
                () = self.runtime.powerless() => return,
            }
        }
        remove_volume(self.directory()).await;
    }

    /// Where the pod's own volumes lie, by the name that `storage` takes.
    fn directory(&self) -> String {
        format!("{}/pods/{}", self.cluster.options.name, self.uid.as_str().unwrap_or_default())
    }

    /// The pod as it is now, if it is still this one.
    pub(super) fn live_pod(&self) -> Option<Arc<Value>> {
        self.cluster.store.get(&self.key).filter(|pod| pod["metadata"]["uid"] == self.uid)
    }

    /// What stands for the container's image.
    pub(super) fn image(&self, name: &str) -> Option<&Result<Image, Unsupported>> {
        self.images.get(name)
    }

    /// `terminationGracePeriodSeconds`.
    pub(super) fn grace(&self) -> Duration {
        Duration::from_secs(
            number(&self.pod, "/spec/terminationGracePeriodSeconds").and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(30),
        )
    }

    /// Changes a container's status and reports it.
    pub(super) fn change(&self, name: &str, change: impl FnOnce(&mut status::Container)) {
        if let Some(status) = self.statuses().get_mut(name) {
            change(status);
        }
        self.publish();
    }

    /// A look at a container's status.
    pub(super) fn status_of<T>(&self, name: &str, look: impl FnOnce(&status::Container) -> T) -> Option<T> {
        self.statuses().get(name).map(look)
    }

    fn statuses(&self) -> MutexGuard<'_, BTreeMap<String, status::Container>> {
        self.statuses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self) {
        let containers = self.statuses().clone();
        let report = Report {
            containers: &containers,
            left_out: &self.left_out,
            initialized: self.initialized.get().is_some(),
            address: self.sandbox.get().map(|sandbox| sandbox.address().to_string()),
            failed: self.failed.get().copied(),
        };
        let silenced = self.cluster.nodes.silent_for(self.runtime.node()).is_some();
        if !silenced {
            self.cluster.store.update_uid(&self.key, &self.uid, |pod| report.write(pod));
        }
    }

    fn succeeded(&self, name: &str) -> bool {
        self.status_of(name, |status| matches!(&status.state, status::State::Terminated(ended) if ended.code == 0)).unwrap_or(false)
    }

    async fn is_started(&self, name: &str, stop: &mut Stop) {
        let mut changes = self.cluster.store.changes();
        loop {
            changes.mark_unchanged();
            if self.status_of(name, |status| status.started).unwrap_or(false) {
                return;
            }
            tokio::select! {
                _ = changes.changed() => {}
                _ = stop.wait_for(Option::is_some) => return,
            }
        }
    }

    /// `redis-0_shop(uid)`, as the kubelet names pods in messages.
    pub(super) fn long_name(&self) -> String {
        format!("{}_{}({})", self.key.name, self.key.namespace, self.uid.as_str().unwrap_or_default())
    }

    pub(super) fn tell(&self, level: Level, reason: &str, words: &str) {
        events::tell(&self.cluster.store, &self.pod, level, reason, words, "kubelet");
    }

    pub(super) fn tell_once(&self, level: Level, reason: &str, words: &str) {
        events::tell_once(&self.cluster.store, &self.pod, level, reason, words, "kubelet");
    }
}

/// Drives the sidecars while something else is waited for.
async fn beside<T>(sidecars: &mut FuturesUnordered<BoxFuture<'_, ()>>, other: impl Future<Output = T>) -> T {
    let mut other = std::pin::pin!(other);
    loop {
        tokio::select! {
            done = &mut other => return done,
            _ = sidecars.next(), if !sidecars.is_empty() => {}
        }
    }
}

async fn remove_volume(name: String) {
    let removed = tokio::task::spawn_blocking(move || storage::remove(&name)).await;
    if let Ok(Err(error)) = removed {
        // It goes with the run's directory.
        tracing::warn!(%error, "a pod's volumes were not removed");
    }
}
