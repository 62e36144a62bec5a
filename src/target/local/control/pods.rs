//! Makes, judges and deletes pods: what several controllers need of them.

use super::{
    clock,
    json::{self, default, entry, holds, key_of, list, number, text},
    random,
    store::{Refusal, Store},
};
use crate::manifest::Quantity;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

/// Whether the pod neither ended nor is being deleted.
pub(super) fn is_active(pod: &Value) -> bool {
    !is_finished(pod) && !is_terminating(pod)
}

/// Whether the pod ended for good.
pub(super) fn is_finished(pod: &Value) -> bool {
    matches!(text(pod, "/status/phase"), "Succeeded" | "Failed")
}

/// Whether the pod is being deleted.
pub(super) fn is_terminating(pod: &Value) -> bool {
    json::has(pod, "/metadata/deletionTimestamp")
}

/// Whether the pod's Ready condition holds.
pub(super) fn is_ready(pod: &Value) -> bool {
    holds(pod, "Ready")
}

/// Whether the pod has been ready for `seconds`; else, if it is ready, how long is missing.
pub(super) fn is_available(pod: &Value, seconds: i64) -> Result<bool, Duration> {
    if !is_ready(pod) {
        return Ok(false);
    }
    let needed = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    let so_far = json::condition(pod, "Ready").map(|ready| clock::since(&ready["lastTransitionTime"])).unwrap_or_default();
    if so_far >= needed { Ok(true) } else { Err(needed.saturating_sub(so_far)) }
}

/// The pods that `owner` controls.
pub(super) fn of(store: &Store, owner: &Value) -> Vec<Arc<Value>> {
    let pods = store.list("Pod", Some(text(owner, "/metadata/namespace")));
    pods.into_iter().filter(|pod| json::is_controlled_by(pod, owner)).collect()
}

/// A pod from the template of its owner.
pub(super) fn from_template(owner: &Value, template: &Value, name: &str) -> Value {
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "namespace": owner["metadata"]["namespace"], "ownerReferences": json::owner_reference(owner) },
        "spec": template["spec"]
    });
    for field in ["labels", "annotations"] {
        if json::has(template, &format!("/metadata/{field}")) {
            pod["metadata"][field] = template["metadata"][field].clone();
        }
    }
    pod
}

/// A name for one of several pods of an owner.
pub(super) fn generated_name(owner: &Value) -> String {
    let base: String = text(owner, "/metadata/name").chars().take(58).collect();
    format!("{base}-{}", random::suffix())
}

/// Lets the pod in as the API server does: with its service account and default tolerations.
pub(super) fn create(store: &Store, mut pod: Value, toleration: Duration) -> Result<Arc<Value>, Refusal> {
    let (namespace, name) = (text(&pod, "/metadata/namespace").to_owned(), text(&pod, "/metadata/name").to_owned());
    super::defaults::fill(&mut pod);
    default(&mut pod, "/spec/serviceAccountName", json!("default"));
    let account = text(&pod, "/spec/serviceAccountName").to_owned();
    pod["spec"]["serviceAccount"] = account.clone().into();
    if store.get(&key_of("ServiceAccount", &namespace, &account)).is_none() {
        return Err(Refusal::Forbidden(format!(
            "pods {name:?} is forbidden: error looking up service account {namespace}/{account}: serviceaccount {account:?} not found"
        )));
    }
    super::admission::check_new(&pod)?;
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let taint = json!({ "key": key, "effect": "NoExecute" });
        if super::taint::tolerates(&pod, &taint).is_none() {
            let tolerations = entry(&mut pod["spec"], "tolerations");
            if !tolerations.is_array() {
                *tolerations = json!([]);
            }
            if let Some(tolerations) = tolerations.as_array_mut() {
                tolerations
                    .push(json!({ "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": toleration.as_secs() }));
            }
        }
    }
    pod["status"] = json!({ "phase": "Pending", "qosClass": quality(&pod) });
    store.create(pod)
}

/// Deletes a pod as the API server does: with grace while a kubelet has it, at once otherwise.
pub(super) fn delete(store: &Store, pod: &Value, grace: Option<u64>) {
    let key = json::key(pod);
    let own = number(pod, "/spec/terminationGracePeriodSeconds").and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(30);
    let scheduled = !text(pod, "/spec/nodeName").is_empty();
    let grace = if scheduled && !is_finished(pod) { grace.unwrap_or(own) } else { 0 };
    if grace == 0 {
        store.remove(&key);
        return;
    }
    store.update_uid(&key, &pod["metadata"]["uid"], |pod| {
        let before = number(pod, "/metadata/deletionGracePeriodSeconds").and_then(|seconds| u64::try_from(seconds).ok());
        if before.is_none_or(|before| grace < before) {
            pod["metadata"]["deletionTimestamp"] = clock::later(Duration::from_secs(grace));
            pod["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
        }
    });
}

/// `qosClass`.
fn quality(pod: &Value) -> &'static str {
    let containers = ["/spec/containers", "/spec/initContainers"].into_iter().flat_map(|field| list(pod, field));
    let amount = |value: &Value| Quantity::of(value).ok();
    let mut any = false;
    let mut guaranteed = true;
    for container in containers {
        let resources = &container["resources"];
        for name in ["cpu", "memory"] {
            let (request, limit) = (resources["requests"].get(name), resources["limits"].get(name));
            any |= request.is_some() || limit.is_some();
            guaranteed &= limit.is_some() && request.and_then(amount) == limit.and_then(amount);
        }
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn store_with_account() -> Store {
        let store = Store::new();
        store.create(json!({ "kind": "ServiceAccount", "metadata": { "namespace": "n", "name": "default" } })).expect("new");
        store
    }

    fn pod(account: &str) -> Value {
        json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "namespace": "n", "name": "a" },
            "spec": { "serviceAccountName": account, "containers": [{ "name": "c", "image": "redis" }] } })
    }

    #[test]
    fn a_pod_of_an_unknown_service_account_is_forbidden() {
        let refusal = create(&store_with_account(), pod("worker"), Duration::ZERO).expect_err("forbidden");
        assert_eq!(
            refusal.to_string(),
            "pods \"a\" is forbidden: error looking up service account n/worker: serviceaccount \"worker\" not found"
        );
    }

    #[rstest]
    #[case::unscheduled("", None, false)]
    #[case::scheduled("node-1", None, true)]
    #[case::forced("node-1", Some(0), false)]
    fn a_deleted_pod_stays_while_a_kubelet_has_it(#[case] node: &str, #[case] grace: Option<u64>, #[case] stays: bool) {
        let store = store_with_account();
        let created = create(&store, pod("default"), Duration::from_secs(300)).expect("new");
        let bound = store.update(&json::key(&created), |pod| pod["spec"]["nodeName"] = node.into()).expect("there");
        delete(&store, &bound, grace);
        let left = store.get(&json::key(&created));
        assert_eq!(left.is_some_and(|pod| pod["metadata"]["deletionGracePeriodSeconds"] == 30), stays);
    }
}
