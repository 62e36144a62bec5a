//! The part of a cluster that one scenario has for itself: namespaces and objects under names of its own, and the verbs on them.

use super::{
    cluster::{Access, Cluster, gone},
    disturbing::Disturbed,
    error::{broken, kept, refused},
    kinds::Kind,
    names::Names,
    watches::{self, Watches},
};
use crate::{
    manifest::{Object, ObjectKey, Place, json},
    target::{Applied, Attached, Capability, ContainerRef, ExecOutput, Kill, Process, Target, TargetError, Unsupported},
};
use async_trait::async_trait;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{DeleteParams, EvictParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, watch};
use tokio_util::sync::CancellationToken;

/// A scenario on a cluster.
pub(super) struct Scenario {
    pub(super) cluster: Arc<Cluster>,
    pub(super) names: Names,
    pub(super) watches: Watches,
    pub(super) frozen: Mutex<BTreeSet<ContainerRef>>,
    /// What containers wrote that were ended.
    pub(super) heard: Mutex<BTreeMap<ContainerRef, Arc<Mutex<Vec<u8>>>>>,
    held: Mutex<Held>,
    pub(super) disturbed: Mutex<Disturbed>,
    /// Ends what goes through an API server that loses its power.
    pub(super) cut: Mutex<CancellationToken>,
    pub(super) share: Share,
}

/// What this scenario has made.
#[derive(Default)]
pub(super) struct Held {
    /// Namespaces, as the manifests name them.
    pub(super) namespaces: BTreeSet<String>,
    /// Objects that are in no namespace: kind and name on the cluster.
    pub(super) objects: BTreeSet<(String, String)>,
    /// What a namespace that was lent had to tell before, of others of the same names: uids.
    pub(super) events_before: BTreeSet<String>,
}

/// How the cluster is used; given back when this is dropped.
pub(super) enum Share {
    WithOthers { _guard: OwnedRwLockReadGuard<()> },
    Alone { _guard: OwnedRwLockWriteGuard<()> },
}

impl Scenario {
    pub(super) async fn begin(cluster: Arc<Cluster>, number: usize, alone: bool) -> Self {
        let gate = Arc::clone(&cluster.gate);
        let share =
            if alone { Share::Alone { _guard: gate.write_owned().await } } else { Share::WithOthers { _guard: gate.read_owned().await } };
        Self {
            names: Names::new(&cluster.run, number).within(cluster.lent.clone()),
            watches: Watches::new(cluster.client.clone()),
            cluster,
            frozen: Mutex::default(),
            heard: Mutex::default(),
            held: Mutex::default(),
            disturbed: Mutex::default(),
            cut: Mutex::default(),
            share,
        }
    }

    pub(super) fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cancelled when the way to the cluster is cut.
    pub(super) fn cut(&self) -> CancellationToken {
        self.cut.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The name on the cluster of a namespace of this scenario.
    pub(super) fn namespace(&self, name: &str) -> Option<String> {
        self.held().namespaces.contains(name).then(|| self.names.namespace(name))
    }

    /// Where an object is: its kind, its namespace on the cluster and its name there. `None` where it can be nowhere.
    fn find(&self, key: &ObjectKey) -> Option<(&Kind, String, String)> {
        let kind = self.cluster.kinds.named(&key.kind)?;
        if key.kind == "Namespace" {
            return self.namespace(&key.name).map(|name| (kind, String::new(), name));
        }
        if kind.namespaced {
            return self.namespace(&key.namespace).map(|namespace| (kind, namespace, key.name.clone()));
        }
        Some((kind, String::new(), self.names.cluster_scoped(&key.kind, &key.name)))
    }
}

#[async_trait]
impl Target for Scenario {
    fn name(&self) -> &'static str {
        self.cluster.target
    }

    async fn capability(&self, capability: Capability) -> Result<(), TargetError> {
        let lacks = |reason: String| Unsupported { capability: capability.clone(), reason };
        let found = match &capability {
            Capability::MemoryLimit => self.cluster.probed().await?.memory,
            Capability::RunAsUser => self.cluster.probed().await?.user,
            Capability::NodeFaults => {
                self.nodes()?;
                return self.may_disturb(capability);
            }
            Capability::StorageClasses if self.cluster.owned => Ok(()),
            Capability::StorageClasses => Err("others use this cluster and its storage classes".into()),
            Capability::VolumeExpansion => {
                let grows = self.list("StorageClass", None).await?.iter().any(|class| class["allowVolumeExpansion"] == true);
                if grows { Ok(()) } else { Err("none of its classes allows volumes to grow".into()) }
            }
            Capability::SharedStorage => Err("whether a volume follows its pod is known only of classes that are bound to nodes".into()),
            Capability::RootOwnedVolumes => Err("its storage makes directories that everybody may write".into()),
            Capability::PowerLoss => Err("a killed process keeps its node's page cache".into()),
            Capability::Shell => which::which("kubectl").map(drop).map_err(|_| "kubectl is not installed".into()),
            Capability::Program(image) => self.cluster.has_image(image, "").await?,
            Capability::Field(field) => Err(format!("{field} is not carried out here")),
        };
        Ok(found.map_err(lacks)?)
    }

    async fn apply(&self, objects: &[Object]) -> Result<Applied, TargetError> {
        self.apply_all(objects).await
    }

    async fn get(&self, key: &ObjectKey) -> Result<Option<Value>, TargetError> {
        let Some((kind, namespace, name)) = self.find(key) else { return Ok(None) };
        if key.kind == "Namespace" && self.cluster.lent.is_some() {
            return Ok(Some(active(&key.name)));
        }
        let object = self.watches.get(kind, &namespace, &name).await?;
        Ok(object.map(|object| self.names.incoming(Value::clone(&object))))
    }

    async fn list(&self, kind: &str, namespace: Option<&str>) -> Result<Vec<Value>, TargetError> {
        let Some(kind) = self.cluster.kinds.named(kind) else { return Ok(Vec::new()) };
        if kind.resource.kind == "Namespace" && self.cluster.lent.is_some() {
            return Ok(self.held().namespaces.iter().map(|name| active(name)).collect());
        }
        if !kind.namespaced {
            let all = self.watches.list(kind, "").await?;
            return Ok(all.iter().filter(|object| self.names.is_visible(object)).map(|it| self.names.incoming(Value::clone(it))).collect());
        }
        let namespaces: Vec<String> = match namespace {
            Some(namespace) => self.namespace(namespace).into_iter().collect(),
            None => self.held().namespaces.iter().map(|name| self.names.namespace(name)).collect(),
        };
        let mut found = Vec::new();
        for namespace in namespaces {
            let all = self.watches.list(kind, &namespace).await?;
            let held = self.held();
            let now = all.iter().filter(|object| !held.events_before.contains(json::text(object, "/metadata/uid")));
            found.extend(now.map(|object| self.names.incoming(Value::clone(object))));
        }
        Ok(found)
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.watches.changes()
    }

    async fn delete(&self, key: &ObjectKey, grace: Option<Duration>) -> Result<(), TargetError> {
        let missing = || TargetError::Missing(key.to_string());
        let (kind, namespace, name) = self.find(key).ok_or_else(missing)?;
        if self.is_of_the_cluster(kind, key, &name) {
            return Err(not_ours(key));
        }
        self.may_change(kind, key, &namespace).await?;
        let mut parameters = DeleteParams::background();
        parameters.grace_period_seconds = grace.map(|grace| u32::try_from(grace.as_secs()).unwrap_or(u32::MAX));
        let deleted = watches::api(&self.cluster.client, kind, &namespace).delete(&name, &parameters).await.map_err(refused(
            key,
            &Place::default(),
            |reason| self.names.words(&reason),
        ))?;
        // With its grace period over at once, the object in the answer is the one that is gone.
        let at_once = grace == Some(Duration::ZERO);
        let (gone, version) = deleted.either(
            |object| (object.metadata.uid.filter(|_| at_once), object.metadata.resource_version),
            |status| (status.details.map(|details| details.uid), None),
        );
        match gone {
            Some(uid) => self.watches.gone(kind, &namespace, &name, &uid.into()).await,
            None => self.watches.seen(kind, &namespace, version.as_deref()).await,
        }
    }

    async fn evict(&self, pod: &ObjectKey) -> Result<(), TargetError> {
        let namespace = self.namespace(&pod.namespace).ok_or_else(|| TargetError::Missing(pod.to_string()))?;
        let pods: Api<Pod> = Api::namespaced(self.cluster.client.clone(), &namespace);
        self.may_change(self.cluster.kind("Pod")?, pod, &namespace).await?;
        let evicted = pods.evict(&pod.name, &EvictParams::default()).await;
        evicted.map(drop).map_err(kept(pod, |reason| self.names.words(&reason)))
    }

    async fn patch(&self, key: &ObjectKey, patch: &Value) -> Result<Value, TargetError> {
        let missing = || TargetError::Missing(key.to_string());
        let (kind, namespace, name) = self.find(key).ok_or_else(missing)?;
        let of_the_cluster = self.is_of_the_cluster(kind, key, &name);
        if of_the_cluster {
            self.will_change_the_cluster(key, patch).await?;
        }
        self.may_change(kind, key, &namespace).await?;
        let done = watches::api(&self.cluster.client, kind, &namespace)
            .patch(&name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .map_err(refused(key, &Place::default(), |reason| self.names.words(&reason)))?;
        self.watches.seen(kind, &namespace, done.metadata.resource_version.as_deref()).await?;
        let done = watches::json(&done, kind);
        if of_the_cluster {
            self.has_changed_the_cluster(&done)?;
        }
        Ok(self.names.incoming(done))
    }

    async fn exec(&self, container: &ContainerRef, command: &[&str], stdin: &[u8]) -> Result<ExecOutput, TargetError> {
        self.run(container, command, stdin).await
    }

    async fn attach(&self, container: &ContainerRef, command: &[&str]) -> Result<Attached, TargetError> {
        self.start(container, command).await
    }

    async fn logs(&self, container: &ContainerRef, previous: bool) -> Result<Vec<u8>, TargetError> {
        self.read_logs(container, previous).await
    }

    async fn process(&self, container: &ContainerRef) -> Result<Process, TargetError> {
        self.running(container).await
    }

    async fn kill(&self, container: &ContainerRef, how: Kill) -> Result<(), TargetError> {
        let (node, id) = self.on_node(container).await?;
        self.remember_log(container).await?;
        self.nodes()?.signal(&node, &id, how).await
    }

    async fn freeze(&self, container: &ContainerRef) -> Result<(), TargetError> {
        let (node, id) = self.on_node(container).await?;
        self.nodes()?.hold(&node, &id, true).await?;
        self.frozen.lock().unwrap_or_else(PoisonError::into_inner).insert(container.clone());
        Ok(())
    }

    async fn thaw(&self, container: &ContainerRef) -> Result<(), TargetError> {
        let (node, id) = self.on_node(container).await?;
        self.nodes()?.hold(&node, &id, false).await?;
        self.frozen.lock().unwrap_or_else(PoisonError::into_inner).remove(container);
        Ok(())
    }

    async fn stop_node(&self, node: &str) -> Result<(), TargetError> {
        self.take_power(&[node]).await
    }

    async fn start_node(&self, node: &str) -> Result<(), TargetError> {
        self.give_power(&[node]).await
    }

    async fn restart_everything(&self) -> Result<(), TargetError> {
        self.restart_nodes().await
    }

    async fn client(&self, namespace: &str) -> Result<ContainerRef, TargetError> {
        self.client_pod(namespace).await
    }

    fn host(&self, name: &str) -> String {
        self.names.host(name)
    }

    async fn shell(&self, container: &ContainerRef) -> Result<String, TargetError> {
        self.capability(Capability::Shell).await?;
        let namespace = self.namespace(&container.namespace).ok_or_else(|| TargetError::Missing(container.to_string()))?;
        let Access { kubeconfig, context } = &self.cluster.access;
        let (pod, name) = (&container.pod, &container.container);
        Ok(format!("kubectl --kubeconfig {} --context {context} exec -it -n {namespace} {pod} -c {name} -- sh", kubeconfig.display()))
    }

    async fn down(&self) -> Result<(), TargetError> {
        let Held { namespaces, objects, .. } = std::mem::take(&mut *self.held());
        let mut first = self.put_back().await;
        let mut note = |done: Result<(), TargetError>| {
            if first.is_ok() {
                first = done;
            }
        };
        match self.cluster.lent_namespace() {
            Some(lent) => {
                let [_, (label, value)] = self.names.labels();
                let emptied = lent.empty(&format!("{label}={value}")).await;
                note(emptied.map_err(|error| broken("taking the scenario down", error)));
            }
            None => {
                for namespace in &namespaces {
                    note(self.cluster.let_go(&self.names.namespace(namespace)).await);
                }
            }
        }
        for (kind, name) in objects {
            let deleted = async {
                let kind = self.cluster.kind(&kind)?;
                gone(watches::api(&self.cluster.client, kind, "").delete(&name, &DeleteParams::default()).await)
                    .map_err(|error| broken(format!("deleting {name}"), error))
            };
            note(deleted.await);
        }
        first
    }
}

impl Scenario {
    /// In a namespace that was lent, an object is this scenario's to change that bears its labels or was made by one that does.
    async fn may_change(&self, kind: &Kind, key: &ObjectKey, namespace: &str) -> Result<(), TargetError> {
        if self.cluster.lent.is_none() || !kind.namespaced {
            return Ok(());
        }
        let (mut kind, mut name) = (kind, key.name.clone());
        loop {
            let Some(there) = self.watches.get(kind, namespace, &name).await? else { return Ok(()) };
            if self.names.is_ours(&there) {
                return Ok(());
            }
            let maker = json::controller(&there).ok_or_else(|| not_ours(key))?;
            kind = self.cluster.kinds.of(maker).ok_or_else(|| not_ours(key))?;
            json::text(maker, "/name").clone_into(&mut name);
        }
    }

    /// Whether an object belongs to the whole cluster and not to this scenario.
    fn is_of_the_cluster(&self, kind: &Kind, key: &ObjectKey, name: &str) -> bool {
        !kind.namespaced && key.kind != "Namespace" && !self.held().objects.contains(&(key.kind.clone(), name.to_owned()))
    }
}

/// A namespace as it is found that was lent.
fn active(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name }, "status": { "phase": "Active" } })
}

pub(super) fn not_ours(key: &ObjectKey) -> TargetError {
    broken(format!("changing {key}"), anyhow::anyhow!("it belongs to others and not to this scenario"))
}
