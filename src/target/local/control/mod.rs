//! The control plane of the local target: API server, controllers and kubelets of one cluster, behind `trait Target`.

mod addresses;
mod admission;
mod apply;
mod clock;
mod cluster;
mod controllers;
mod defaults;
mod deletion;
mod events;
mod eviction;
mod faults;
mod fields;
mod json;
mod kinds;
mod kubelet;
mod machine;
mod merge;
mod node;
mod options;
mod plane;
mod pods;
mod random;
mod store;
mod taint;
mod verbs;

use super::runtime::{facts, storage};
use crate::{
    manifest::{Object, ObjectKey},
    target::{Applied, Attached, Capability, ContainerRef, ExecOutput, Kill, Process, Target, TargetError, Unsupported},
};
use async_trait::async_trait;
use cluster::Cluster;
pub use options::{DISK, LOCAL_PATH, LocalOptions};
use serde_json::Value;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{Mutex, watch},
    task::JoinSet,
};

/// A cluster of its own on this machine; only within the node that `local::node` enters.
pub struct LocalTarget {
    cluster: Arc<Cluster>,
    tasks: Mutex<JoinSet<()>>,
}

impl LocalTarget {
    /// Starts an empty cluster.
    ///
    /// # Errors
    /// [`TargetError::Broken`] when its network cannot be made.
    pub async fn start(options: LocalOptions) -> Result<Arc<dyn Target>, TargetError> {
        let cluster = Cluster::new(options).await?;
        let mut tasks = JoinSet::new();
        cluster.run(&mut tasks);
        Ok(Arc::new(Self { cluster, tasks: Mutex::new(tasks) }))
    }
}

impl Drop for LocalTarget {
    /// A net under `down`: what it leaves goes with the node.
    fn drop(&mut self) {
        self.cluster.kubelets.kill();
    }
}

#[async_trait]
impl Target for LocalTarget {
    fn name(&self) -> &'static str {
        "local"
    }

    async fn capability(&self, capability: Capability) -> Result<(), TargetError> {
        let classes = || self.cluster.store.list("StorageClass", None);
        let reason = match &capability {
            Capability::MemoryLimit => facts().memory_limit.clone().err(),
            Capability::RunAsUser => facts().run_as_user.clone().err(),
            Capability::PowerLoss => {
                Some("a killed process keeps the page cache; the target docker or a virtual machine can drop it".into())
            }
            Capability::NodeFaults | Capability::StorageClasses | Capability::RootOwnedVolumes => None,
            Capability::VolumeExpansion => {
                let grows = |class: &Arc<Value>| {
                    class["allowVolumeExpansion"] == true && class["provisioner"] == DISK && class["parameters"]["resizer"] == "true"
                };
                (!classes().iter().any(grows)).then(|| "none of its classes has a resizer, as kind's `standard` has none".into())
            }
            Capability::SharedStorage => {
                let shared = |class: &Arc<Value>| class["provisioner"] == DISK && class["parameters"]["shared"] == "true";
                (!classes().iter().any(shared)).then(|| "volumes stay on the node of their first pod, as with kind's `standard`".into())
            }
            Capability::Shell => verbs::nsenter().err(),
            Capability::Program(image) => return Ok(self.cluster.options.programs.image(image).map(|_| ())?),
            Capability::Field(field) => Some(format!("{field} is not carried out here")),
        };
        reason.map_or(Ok(()), |reason| Err(Unsupported { capability, reason }.into()))
    }

    async fn apply(&self, objects: &[Object]) -> Result<Applied, TargetError> {
        let _all_or_nothing = self.cluster.gate.write().await;
        apply::apply(&self.cluster, objects)
    }

    async fn get(&self, key: &ObjectKey) -> Result<Option<Value>, TargetError> {
        Ok(self.cluster.store.get(key).map(|object| Value::clone(&object)))
    }

    async fn list(&self, kind: &str, namespace: Option<&str>) -> Result<Vec<Value>, TargetError> {
        Ok(self.cluster.store.list(kind, namespace).iter().map(|object| Value::clone(object)).collect())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.cluster.store.changes()
    }

    async fn delete(&self, key: &ObjectKey, grace: Option<Duration>) -> Result<(), TargetError> {
        verbs::delete(&self.cluster, key, grace)
    }

    async fn evict(&self, pod: &ObjectKey) -> Result<(), TargetError> {
        verbs::evict(&self.cluster, pod)
    }

    async fn patch(&self, key: &ObjectKey, patch: &Value) -> Result<Value, TargetError> {
        verbs::patch(&self.cluster, key, patch)
    }

    async fn exec(&self, container: &ContainerRef, command: &[&str], stdin: &[u8]) -> Result<ExecOutput, TargetError> {
        verbs::exec(&self.cluster, container, command, stdin).await
    }

    async fn attach(&self, container: &ContainerRef, command: &[&str]) -> Result<Attached, TargetError> {
        verbs::attach(&self.cluster, container, command).await
    }

    async fn logs(&self, container: &ContainerRef, previous: bool) -> Result<Vec<u8>, TargetError> {
        verbs::logs(&self.cluster, container, previous).await
    }

    async fn process(&self, container: &ContainerRef) -> Result<Process, TargetError> {
        verbs::process(&self.cluster, container)
    }

    async fn kill(&self, container: &ContainerRef, how: Kill) -> Result<(), TargetError> {
        verbs::kill(&self.cluster, container, how)
    }

    async fn freeze(&self, container: &ContainerRef) -> Result<(), TargetError> {
        verbs::freeze(&self.cluster, container).await
    }

    async fn thaw(&self, container: &ContainerRef) -> Result<(), TargetError> {
        verbs::thaw(&self.cluster, container).await
    }

    async fn stop_node(&self, node: &str) -> Result<(), TargetError> {
        faults::stop_node(&self.cluster, node).await
    }

    async fn start_node(&self, node: &str) -> Result<(), TargetError> {
        faults::start_node(&self.cluster, node)
    }

    /// Stops everything at once, keeps only volumes, and starts again: pods are made anew by their controllers (with new UIDs and
    /// addresses, as when a cluster is shut down and set up again on its disks), pods without a controller are applied again. What
    /// claims hold stays, `emptyDir` does not. Client pods are not touched.
    async fn restart_everything(&self) -> Result<(), TargetError> {
        faults::restart_everything(&self.cluster).await
    }

    async fn client(&self, namespace: &str) -> Result<ContainerRef, TargetError> {
        verbs::client(&self.cluster, namespace).await
    }

    async fn new_volumes_belong_to_root(&self) -> Result<(), TargetError> {
        // As if the cluster had been set up with disks in the place of directories; what is provisioned already stays as it is.
        for class in self.cluster.store.list("StorageClass", None).iter().filter(|class| class["provisioner"] == LOCAL_PATH) {
            self.cluster.store.update(&json::key(class), |class| class["provisioner"] = DISK.into());
        }
        Ok(())
    }

    async fn shell(&self, container: &ContainerRef) -> Result<String, TargetError> {
        verbs::shell(&self.cluster, container)
    }

    async fn down(&self) -> Result<(), TargetError> {
        self.tasks.lock().await.shutdown().await;
        self.cluster.kubelets.end().await;
        self.cluster.kubelets.finished().await;
        let name = self.cluster.options.name.clone();
        let removed = tokio::task::spawn_blocking(move || {
            storage::remove(&name)?;
            match std::fs::remove_dir_all(kubelet::logs(&name)) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
                other => other,
            }
        });
        let removed = removed.await.map_err(std::io::Error::other).flatten();
        removed.map_err(|error| TargetError::broken("removing the cluster's volumes and logs", error))
    }
}
