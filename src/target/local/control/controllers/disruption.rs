//! Budgets: how many of the pods that they select are healthy, and how many may be taken away on purpose.

use super::{
    super::{
        json::{self, labels, number, text},
        pods,
        store::Store,
    },
    Context,
};
use crate::manifest::selector;
use serde_json::Value;
use std::{collections::BTreeMap, sync::Arc};

pub(super) fn look(context: &Context<'_>) {
    for budget in context.store.list("PodDisruptionBudget", None) {
        let standing = Standing::of(context.store, &budget);
        let Standing { expected, healthy, desired } = standing;
        context.update(&budget, |budget| {
            let generation = budget["metadata"]["generation"].clone();
            let status = [
                ("expectedPods", expected),
                ("currentHealthy", healthy),
                ("desiredHealthy", desired),
                ("disruptionsAllowed", standing.allowed()),
            ];
            for (field, pods) in status {
                json::set(budget, &format!("/status/{field}"), pods.into());
            }
            json::set(budget, "/status/observedGeneration", generation);
            let (allowed, reason) = if standing.allowed() > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
            json::set_condition(budget, "DisruptionAllowed", allowed, reason, "");
        });
    }
}

/// How a budget stands, in pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Standing {
    /// As many as there should be.
    pub(in super::super) expected: i64,
    /// Ready, and not being deleted.
    pub(in super::super) healthy: i64,
    /// As many must stay.
    pub(in super::super) desired: i64,
}

impl Standing {
    /// As the disruption controller reckons: <https://kubernetes.io/docs/tasks/run-application/configure-pdb/>. A share is rounded up.
    pub(in super::super) fn of(store: &Store, budget: &Value) -> Self {
        let selected = selected(store, budget);
        let healthy = count(selected.iter().filter(|pod| pods::is_ready(pod) && !pods::is_terminating(pod)).count());
        let asked = |field: &str| budget["spec"].get(field).filter(|value| !value.is_null());
        // What has no scale cannot be reckoned, and neither can a budget that asks for nothing: then no pod may go.
        let scale = scale(store, &selected).unwrap_or(0);
        let (expected, desired) = match (asked("maxUnavailable"), asked("minAvailable")) {
            (Some(most), _) => (scale, (scale - share(most, scale)).max(0)),
            (None, Some(least)) if least.is_number() => (count(selected.len()), share(least, 0)),
            (None, Some(least)) => (scale, share(least, scale)),
            (None, None) => (0, 0),
        };
        Self { expected, healthy, desired }
    }

    /// How many more may be taken away now.
    pub(in super::super) fn allowed(self) -> i64 {
        if self.expected > 0 { (self.healthy - self.desired).max(0) } else { 0 }
    }
}

/// The budgets that select a pod.
pub(in super::super) fn budgets_of(store: &Store, pod: &Value) -> Vec<Arc<Value>> {
    let budgets = store.list("PodDisruptionBudget", Some(text(pod, "/metadata/namespace")));
    budgets.into_iter().filter(|budget| selector::matches(&budget["spec"]["selector"], labels(pod))).collect()
}

fn selected(store: &Store, budget: &Value) -> Vec<Arc<Value>> {
    let all = store.list("Pod", Some(text(budget, "/metadata/namespace")));
    all.into_iter().filter(|pod| selector::matches(&budget["spec"]["selector"], labels(pod))).collect()
}

/// As many pods as their controllers are to have: a ReplicaSet's own, or those of the Deployment above it. `None` where a pod has no
/// controller, or one without a number of replicas, as a DaemonSet.
fn scale(store: &Store, selected: &[Arc<Value>]) -> Option<i64> {
    let mut scales = BTreeMap::new();
    for pod in selected {
        let namespace = text(pod, "/metadata/namespace");
        let above = |object: &Value| {
            let owner = json::controller(object)?;
            store.get(&json::key_of(text(owner, "/kind"), namespace, text(owner, "/name")))
        };
        let owner = above(pod)?;
        let top = above(&owner).unwrap_or(owner);
        if !matches!(text(&top, "/kind"), "Deployment" | "ReplicaSet" | "StatefulSet") {
            return None;
        }
        scales.insert(text(&top, "/metadata/uid").to_owned(), number(&top, "/spec/replicas").unwrap_or(1));
    }
    Some(scales.values().sum())
}

/// A number of pods, or a share of `all` of them.
fn share(asked: &Value, all: i64) -> i64 {
    let percent = asked.as_str().and_then(|text| text.strip_suffix('%')?.parse::<i64>().ok());
    match percent {
        Some(percent) => (all * percent + 99) / 100,
        None => asked.as_i64().unwrap_or(0),
    }
}

fn count(pods: usize) -> i64 {
    i64::try_from(pods).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    #[rstest]
    #[case(json!(2), 5, 2)]
    #[case(json!("50%"), 3, 2)]
    #[case(json!("100%"), 3, 3)]
    #[case(json!("0%"), 3, 0)]
    fn a_share_is_rounded_up(#[case] asked: Value, #[case] all: i64, #[case] pods: i64) {
        assert_eq!(share(&asked, all), pods);
    }

    #[test]
    fn nothing_is_allowed_of_what_should_not_be_there() {
        assert_eq!(Standing { expected: 3, healthy: 3, desired: 2 }.allowed(), 1);
        assert_eq!(Standing { expected: 3, healthy: 1, desired: 2 }.allowed(), 0);
        assert_eq!(Standing { expected: 0, healthy: 1, desired: 0 }.allowed(), 0);
    }
}
