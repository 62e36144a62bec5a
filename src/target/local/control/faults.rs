//! Nodes without power, and everything without power.

use super::{
    cluster::{Cluster, OBSERVER},
    json::{self, text},
    pods,
};
use crate::target::TargetError;
use serde_json::Value;
use std::sync::Arc;

/// Takes a node's power. The control plane notices by its silence.
pub(super) async fn stop_node(cluster: &Arc<Cluster>, node: &str) -> Result<(), TargetError> {
    known(cluster, node)?;
    if cluster.nodes.set_power(node, false) {
        cluster.kubelets.cut_power(|pod| pod.node() == node).await;
        cluster.store.nudge();
    }
    Ok(())
}

/// Gives power back: kubelets start what is bound to the node from what its disks kept.
pub(super) fn start_node(cluster: &Cluster, node: &str) -> Result<(), TargetError> {
    known(cluster, node)?;
    if cluster.nodes.set_power(node, true) {
        cluster.store.nudge();
    }
    Ok(())
}

fn known(cluster: &Cluster, node: &str) -> Result<(), TargetError> {
    if cluster.nodes.has(node) && node != OBSERVER { Ok(()) } else { Err(TargetError::Missing(format!("node {node}"))) }
}

/// All nodes at once; pods are made anew afterwards.
pub(super) async fn restart_everything(cluster: &Arc<Cluster>) -> Result<(), TargetError> {
    let stopped_time = cluster.gate.write().await;
    let nodes: Vec<String> = cluster.store.list("Node", None).iter().map(|node| text(node, "/metadata/name").to_owned()).collect();
    for node in &nodes {
        cluster.nodes.set_power(node, false);
    }
    cluster.kubelets.cut_power(|pod| pod.node() != OBSERVER).await;
    let mut bare = Vec::new();
    for pod in cluster.store.list("Pod", None) {
        if text(&pod, "/spec/nodeName") == OBSERVER {
            continue;
        }
        if json::controller(&pod).is_none() && pods::is_active(&pod) {
            bare.push(again(&pod));
        }
        cluster.store.remove(&json::key(&pod));
    }
    for pod in bare {
        pods::create(&cluster.store, pod, cluster.options.toleration)
            .map_err(|refusal| TargetError::broken("making a pod anew", refusal))?;
    }
    for node in &nodes {
        cluster.nodes.set_power(node, true);
    }
    drop(stopped_time);
    cluster.store.nudge();
    Ok(())
}

/// The pod as it was applied, without what the cluster added.
fn again(pod: &Value) -> Value {
    let mut again = pod.clone();
    if let Some(fields) = again.as_object_mut() {
        fields.retain(|name, _| matches!(name.as_str(), "apiVersion" | "kind" | "metadata" | "spec"));
    }
    if let Some(metadata) = again["metadata"].as_object_mut() {
        metadata.retain(|name, _| matches!(name.as_str(), "name" | "namespace" | "labels" | "annotations"));
    }
    if let Some(spec) = again["spec"].as_object_mut() {
        spec.shift_remove("nodeName");
    }
    again
}
