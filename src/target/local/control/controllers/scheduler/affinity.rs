//! Pods that seek or avoid one another, and their spread over nodes.

use super::super::super::{
    json::{labels, list, number, text},
    taint,
};
use crate::manifest::selector;
use serde_json::Value;
use std::{collections::BTreeMap, sync::Arc};

/// What else there is.
pub(super) struct World<'a> {
    pub(super) nodes: &'a [Arc<Value>],
    pub(super) pods: &'a [Arc<Value>],
    pub(super) namespaces: &'a [Arc<Value>],
}

impl World<'_> {
    fn node_of(&self, pod: &Value) -> Option<&Value> {
        let name = text(pod, "/spec/nodeName");
        self.nodes.iter().find(|node| !name.is_empty() && text(node, "/metadata/name") == name).map(|node| &**node)
    }

    /// Pods on nodes of the same domain that the term chooses; `None` where the node is in no such domain.
    fn in_domain(&self, owner: &Value, term: &Value, node: &Value) -> Option<usize> {
        let key = text(term, "/topologyKey");
        let domain = label(node, key)?;
        let chosen = self.pods.iter().filter(|pod| self.chooses(owner, term, pod));
        Some(chosen.filter(|pod| self.node_of(pod).and_then(|node| label(node, key)).is_some_and(|other| other == domain)).count())
    }

    fn chooses(&self, owner: &Value, term: &Value, pod: &Value) -> bool {
        let namespace = text(pod, "/metadata/namespace");
        let named = list(term, "/namespaces");
        let selector = &term["namespaceSelector"];
        let right_namespace = if named.is_empty() && selector.is_null() {
            namespace == text(owner, "/metadata/namespace")
        } else {
            named.iter().any(|name| name == namespace)
                || self
                    .namespaces
                    .iter()
                    .any(|other| text(other, "/metadata/name") == namespace && selector::matches(selector, labels(other)))
        };
        right_namespace && selector::matches(&term["labelSelector"], labels(pod))
    }
}

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

/// Why the node is not for the pod, as far as other pods are concerned.
pub(super) fn filter(pod: &Value, node: &Value, world: &World<'_>) -> Option<String> {
    for term in list(pod, &format!("/spec/affinity/podAntiAffinity/{REQUIRED}")) {
        if world.in_domain(pod, term, node).is_some_and(|count| count > 0) {
            return Some("node(s) didn't match pod anti-affinity rules".into());
        }
    }
    for other in world.pods {
        let Some(other_node) = world.node_of(other) else { continue };
        for term in list(other, &format!("/spec/affinity/podAntiAffinity/{REQUIRED}")) {
            let key = text(term, "/topologyKey");
            let same = label(node, key).is_some() && label(node, key) == label(other_node, key);
            if same && world.chooses(other, term, pod) {
                return Some("node(s) didn't satisfy existing pods anti-affinity rules".into());
            }
        }
    }
    for term in list(pod, &format!("/spec/affinity/podAffinity/{REQUIRED}")) {
        let nobody_anywhere = !world.pods.iter().any(|other| world.chooses(pod, term, other) && world.node_of(other).is_some());
        // The first of a group that seeks itself may go anywhere.
        let first = nobody_anywhere && world.chooses(pod, term, pod) && label(node, text(term, "/topologyKey")).is_some();
        if !first && world.in_domain(pod, term, node).is_none_or(|count| count == 0) {
            return Some("node(s) didn't match pod affinity rules".into());
        }
    }
    for constraint in
        list(pod, "/spec/topologySpreadConstraints").iter().filter(|constraint| constraint["whenUnsatisfiable"] != "ScheduleAnyway")
    {
        if let Some(reason) = skewed(pod, node, world, constraint) {
            return Some(reason);
        }
    }
    None
}

fn skewed(pod: &Value, node: &Value, world: &World<'_>, constraint: &Value) -> Option<String> {
    let key = text(constraint, "/topologyKey");
    let Some(domain) = label(node, key) else {
        return Some("node(s) didn't match pod topology spread constraints (missing required label)".into());
    };
    let mut counts: BTreeMap<&str, i64> =
        world.nodes.iter().filter(|node| super::filter(pod, node).is_none()).filter_map(|node| Some((label(node, key)?, 0))).collect();
    for other in world.pods.iter().filter(|other| world.chooses(pod, constraint, other)) {
        if let Some(count) = world.node_of(other).and_then(|node| label(node, key)).and_then(|domain| counts.get_mut(domain)) {
            *count += 1;
        }
    }
    let own = i64::from(selector::matches(&constraint["labelSelector"], labels(pod)));
    let least = counts.values().copied().min().unwrap_or(0);
    let here = counts.get(domain).copied().unwrap_or(0);
    let most = number(constraint, "/maxSkew").unwrap_or(1);
    (here + own - least > most).then(|| "node(s) didn't match pod topology spread constraints".into())
}

/// How much the pod would like the node.
pub(super) fn preference(pod: &Value, node: &Value, world: &World<'_>) -> i64 {
    let weight = |entry: &Value| number(entry, "/weight").unwrap_or(1);
    let mut score = 0;
    for entry in list(pod, &format!("/spec/affinity/nodeAffinity/{PREFERRED}")) {
        let selector = serde_json::json!({ "nodeSelectorTerms": [entry["preference"]] });
        if super::node_matches(&selector, node) {
            score += weight(entry);
        }
    }
    for (kind, sign) in [("podAffinity", 1), ("podAntiAffinity", -1)] {
        for entry in list(pod, &format!("/spec/affinity/{kind}/{PREFERRED}")) {
            let count = world.in_domain(pod, &entry["podAffinityTerm"], node).unwrap_or(0);
            score += sign * weight(entry) * i64::try_from(count).unwrap_or(i64::MAX);
        }
    }
    for constraint in
        list(pod, "/spec/topologySpreadConstraints").iter().filter(|constraint| constraint["whenUnsatisfiable"] == "ScheduleAnyway")
    {
        score -= i64::try_from(world.in_domain(pod, constraint, node).unwrap_or(0)).unwrap_or(i64::MAX);
    }
    for taint in list(node, "/spec/taints").iter().filter(|taint| taint["effect"] == "PreferNoSchedule") {
        score -= i64::from(taint::tolerates(pod, taint).is_none());
    }
    score
}

fn label<'a>(node: &'a Value, key: &str) -> Option<&'a str> {
    node["metadata"]["labels"].get(key).and_then(Value::as_str)
}
