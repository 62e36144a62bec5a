//! Finds a node for each pod, or says why there is none.

mod affinity;
mod storage;

use super::{
    super::{
        events::{self, Level},
        json::{self, labels, list, map, set_condition, text},
        pods, taint,
    },
    Context,
};
use crate::manifest::selector;
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, sync::Arc};
pub(super) use storage::SELECTED as SELECTED_NODE;

const SOURCE: &str = "default-scheduler";

pub(super) fn look(context: &Context<'_>) {
    for pod in context.store.list("Pod", None) {
        if pods::is_active(&pod) && text(&pod, "/spec/nodeName").is_empty() && pod["spec"]["schedulerName"] == SOURCE {
            one(context, &pod);
        }
    }
}

fn one(context: &Context<'_>, pod: &Value) {
    let nodes = context.store.list("Node", None);
    match place(context, pod, &nodes) {
        Ok(node) => {
            if !storage::reserve(context, pod, &node) {
                // Its volumes are being made; the change wakes us.
                return;
            }
            context.update(pod, |pod| {
                pod["spec"]["nodeName"] = node.clone().into();
                set_condition(pod, "PodScheduled", "True", "", "");
            });
            let words = format!("Successfully assigned {}/{} to {node}", text(pod, "/metadata/namespace"), text(pod, "/metadata/name"));
            events::tell(context.store, pod, Level::Normal, "Scheduled", &words, SOURCE);
        }
        Err(why) => {
            let words = format!("0/{} nodes are available: {why}", nodes.len());
            context.update(pod, |pod| set_condition(pod, "PodScheduled", "False", "Unschedulable", &words));
            events::tell_once(context.store, pod, Level::Warning, "FailedScheduling", &words, SOURCE);
        }
    }
}

/// The best node, or the reasons that stand against each.
fn place(context: &Context<'_>, pod: &Value, nodes: &[Arc<Value>]) -> Result<String, String> {
    let claims = storage::claims(context, pod)?;
    let others: Vec<Arc<Value>> = context
        .store
        .list("Pod", None)
        .into_iter()
        .filter(|other| !pods::is_finished(other) && other["metadata"]["uid"] != pod["metadata"]["uid"])
        .collect();
    let world = affinity::World { nodes, pods: &others, namespaces: &context.store.list("Namespace", None) };
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    let mut fits = Vec::new();
    for node in nodes {
        match filter(pod, node).or_else(|| storage::filter(context, &claims, node)).or_else(|| affinity::filter(pod, node, &world)) {
            Some(reason) => *reasons.entry(reason).or_default() += 1,
            None => fits.push(node),
        }
    }
    let name = |node: &Value| text(node, "/metadata/name").to_owned();
    let here = |node: &Value| others.iter().filter(|other| text(other, "/spec/nodeName") == text(node, "/metadata/name")).count();
    let kin = |node: &Value| {
        let owner = json::controller(pod).map(|owner| owner["uid"].clone());
        let same = |other: &&Arc<Value>| owner.is_some() && json::controller(other).map(|owner| owner["uid"].clone()) == owner;
        others.iter().filter(same).filter(|other| text(other, "/spec/nodeName") == text(node, "/metadata/name")).count()
    };
    let best = fits.into_iter().max_by_key(|node| {
        let score = affinity::preference(pod, node, &world);
        (score, std::cmp::Reverse(kin(node)), std::cmp::Reverse(here(node)), std::cmp::Reverse(name(node)))
    });
    best.map(|node| name(node)).ok_or_else(|| {
        let told: Vec<String> = reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        let (all, told) = (nodes.len(), told.join(", "));
        format!("{told}. preemption: 0/{all} nodes are available: {all} Preemption is not helpful for scheduling.")
    })
}

/// Whether the node itself takes the pod: schedulable, selected, its taints borne.
pub(super) fn node_takes(pod: &Value, node: &Value) -> bool {
    filter(pod, node).is_none()
}

fn filter(pod: &Value, node: &Value) -> Option<String> {
    let unschedulable = json!({ "key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule" });
    if node["spec"]["unschedulable"] == true && taint::tolerates(pod, &unschedulable).is_none() {
        return Some("node(s) were unschedulable".into());
    }
    for taint in list(node, "/spec/taints").iter().filter(|taint| taint["effect"] != "PreferNoSchedule") {
        if taint::tolerates(pod, taint).is_none() {
            return Some(format!("node(s) had untolerated taint {{{}: {}}}", text(taint, "/key"), text(taint, "/value")));
        }
    }
    let selected = selector::holds(map(pod, "/spec/nodeSelector"), labels(node));
    let required = pod.pointer("/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution");
    if !selected || !required.is_none_or(|required| node_matches(required, node)) {
        return Some("node(s) didn't match Pod's node affinity/selector".into());
    }
    None
}

/// Whether the volume may be used on the node.
pub(super) fn volume_is_for(volume: &Value, node: &Value) -> bool {
    volume.pointer("/spec/nodeAffinity/required").is_none_or(|required| node_matches(required, node))
}

/// Whether a node selector (`nodeSelectorTerms`) chooses the node.
fn node_matches(selector: &Value, node: &Value) -> bool {
    let fields = Map::from_iter([("metadata.name".to_owned(), node["metadata"]["name"].clone())]);
    list(selector, "/nodeSelectorTerms").iter().any(|term| {
        let (expressions, by_field) = (list(term, "/matchExpressions"), list(term, "/matchFields"));
        (!expressions.is_empty() || !by_field.is_empty())
            && expressions.iter().all(|expression| selector::meets(expression, labels(node)))
            && by_field.iter().all(|expression| selector::meets(expression, &fields))
    })
}

#[cfg(test)]
mod tests;
