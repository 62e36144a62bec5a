//! Evictions, as the API server decides them: a pod goes in order unless a budget keeps it.

use super::{
    controllers::disruption::{Standing, budgets_of},
    json::text,
    pods,
    store::Store,
};
use serde_json::Value;

/// Evicts a pod, or says in the API server's words what keeps it. <https://kubernetes.io/docs/concepts/scheduling-eviction/api-eviction/>
pub(super) fn evict(store: &Store, pod: &Value) -> Result<(), String> {
    // What does not run yet, or no more, is nobody's loss.
    let counts = pods::is_active(pod) && text(pod, "/status/phase") == "Running";
    let budgets = if counts { budgets_of(store, pod) } else { Vec::new() };
    match &budgets[..] {
        [] => {}
        [budget] => budget_lets_go(store, pod, budget)?,
        _ => {
            return Err("This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.".into());
        }
    }
    pods::delete(store, pod, None);
    Ok(())
}

fn budget_lets_go(store: &Store, pod: &Value, budget: &Value) -> Result<(), String> {
    let standing = Standing::of(store, budget);
    if !pods::is_ready(pod) {
        let always = text(budget, "/spec/unhealthyPodEvictionPolicy") == "AlwaysAllow";
        if always || (standing.desired > 0 && standing.healthy >= standing.desired) {
            return Ok(());
        }
    }
    if standing.allowed() > 0 {
        return Ok(());
    }
    let (name, Standing { desired, healthy, .. }) = (text(budget, "/metadata/name"), standing);
    Err(format!(
        "Cannot evict pod as it would violate the pod's disruption budget. The disruption budget {name} needs {desired} healthy pods and has {healthy} currently"
    ))
}
