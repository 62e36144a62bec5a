//! How a local cluster is made.

use crate::target::{DEFAULT_CLASS, image::Programs};
use serde_json::{Value, json};
use std::time::Duration;

/// Directories of the node, mode 0777, no `fsGroup`: what kind and k3s have by default.
pub const LOCAL_PATH: &str = "rancher.io/local-path";
/// File systems of their own, owned by root with mode 0755, `fsGroup` applied: what clouds' disks are. Parameters: `mode` (octal),
/// `shared: "true"` (follows the pod to any node), `resizer: "true"` (expands).
pub const DISK: &str = "redis-conformance.local/disk";

/// How the cluster is made; the default is two nodes with Kubernetes' own times and kind's storage.
#[derive(Clone, Debug)]
pub struct LocalOptions {
    /// A name for directories, namespaces and logs; unique among the clusters of a process.
    pub name: String,
    /// How many nodes, `node-1` and so on.
    pub nodes: usize,
    /// StorageClass objects that are there from the beginning.
    pub classes: Vec<Value>,
    /// How long a node may be silent before it is NotReady (`node-monitor-grace-period`).
    pub monitor_grace: Duration,
    /// How long pods bear an unreachable node (`default-unreachable-toleration-seconds`).
    pub toleration: Duration,
    /// What stands for images.
    pub programs: Programs,
}

impl LocalOptions {
    /// The default cluster under this name.
    #[must_use]
    pub fn named(name: impl Into<String>, programs: Programs) -> Self {
        Self {
            name: name.into(),
            nodes: 2,
            classes: vec![Self::standard()],
            monitor_grace: Duration::from_secs(40),
            toleration: Duration::from_secs(300),
            programs,
        }
    }

    /// The class `standard` as kind has it: the default, bound to the node of the first consumer, not expandable.
    #[must_use]
    pub fn standard() -> Value {
        let mut class = Self::class("standard", LOCAL_PATH, &json!({}));
        class["metadata"]["annotations"] = json!({ DEFAULT_CLASS: "true" });
        class
    }

    /// A further class: its volumes are made when the first pod needs them, and go with their claim.
    #[must_use]
    pub fn class(name: &str, provisioner: &str, parameters: &Value) -> Value {
        let mut class = json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": { "name": name }, "provisioner": provisioner,
            "reclaimPolicy": "Delete", "volumeBindingMode": "WaitForFirstConsumer"
        });
        if parameters.as_object().is_some_and(|parameters| !parameters.is_empty()) {
            class["parameters"] = parameters.clone();
        }
        class
    }
}
