//! Live pods and events as steps read them; it waits for nothing and judges nothing.

use crate::{fault::key_of, manifest::ObjectKey};
use serde_json::Value;

/// Whether the pod is about to be gone.
pub(super) fn is_ending(pod: &Value) -> bool {
    !pod["metadata"]["deletionTimestamp"].is_null()
}

/// Whether the live pod was made for the workload, by its owner: a neighbour may have the same labels, or a name that begins alike. A pod
/// that names no owner is known by its name.
pub(super) fn is_of(pod: &Value, workload: &ObjectKey) -> bool {
    let hashed = |name: &str| name.strip_prefix(&format!("{}-", workload.name)).is_some_and(|rest| !rest.is_empty() && !rest.contains('-'));
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    if pod["metadata"]["namespace"] != workload.namespace.as_str() {
        return false;
    }
    let Some(owner) = pod["metadata"]["ownerReferences"].as_array().and_then(|owners| owners.first()) else { return name == workload.name };
    let (kind, owner) = (owner["kind"].as_str().unwrap_or_default(), owner["name"].as_str().unwrap_or_default());
    match workload.kind.as_str() {
        "Deployment" => kind == "ReplicaSet" && hashed(owner),
        "CronJob" => kind == "Job" && hashed(owner),
        of => kind == of && owner == workload.name,
    }
}

/// What is seen of the pods, in one sentence each.
pub(super) fn describe(pods: &[Value], events: &[Value], workload: &ObjectKey) -> String {
    if pods.is_empty() {
        // Whoever could make no pod says so in a warning: the workload itself, or its replica set.
        let warning = events.iter().rfind(|event| event["type"] == "Warning" && makes(workload, &event["involvedObject"]));
        return format!("no pod of {workload}; {}", warning.map_or_else(|| last_event(events, workload), words));
    }
    pods.iter()
        .map(|pod| {
            let key = key_of(pod);
            let states: Vec<String> = pod["status"]["containerStatuses"].as_array().into_iter().flatten().map(state).collect();
            let ending = if is_ending(pod) { ", ending" } else { "" };
            format!(
                "{} is {}{ending} [{}]; {}",
                key.name,
                pod["status"]["phase"].as_str().unwrap_or("without a phase"),
                states.join(", "),
                last_event_of(events, pod)
            )
        })
        .collect::<Vec<_>>()
        .join(" | ")
}

fn state(status: &Value) -> String {
    let name = status["name"].as_str().unwrap_or_default();
    let ready = if status["ready"] == true { "ready" } else { "not ready" };
    let state = status["state"].as_object().and_then(|state| state.iter().next());
    let text = state.map_or_else(String::new, |(kind, detail)| {
        format!("{kind} {} {}", detail["reason"].as_str().unwrap_or_default(), detail["message"].as_str().unwrap_or_default())
    });
    format!("{name} {ready}, {}, restarts {}", text.trim(), status["restartCount"])
}

/// The last event about the object, with its reason.
pub(super) fn last_event(events: &[Value], key: &ObjectKey) -> String {
    last(events, key, |about| about["kind"] == key.kind.as_str() && about["name"] == key.name.as_str())
}

/// The last event about this pod, with its reason, and not about an earlier one of its name, as a StatefulSet makes them.
pub(super) fn last_event_of(events: &[Value], pod: &Value) -> String {
    last(events, &key_of(pod), |about| about["uid"] == pod["metadata"]["uid"])
}

fn last(events: &[Value], key: &ObjectKey, is_about: impl Fn(&Value) -> bool) -> String {
    events.iter().rfind(|event| is_about(&event["involvedObject"])).map_or_else(|| format!("no event about {key}"), words)
}

fn words(event: &Value) -> String {
    format!("{}: {}", event["reason"].as_str().unwrap_or_default(), event["message"].as_str().unwrap_or_default())
}

/// Whether an object makes the pods of the workload: it is the workload, or its replica set or job, `name-hash`.
pub(super) fn makes(workload: &ObjectKey, object: &Value) -> bool {
    let (kind, name) = (object["kind"].as_str().unwrap_or_default(), object["name"].as_str().unwrap_or_default());
    let of_a_set = || name.strip_prefix(&workload.name)?.strip_prefix('-').map(|rest| !rest.contains('-'));
    kind == workload.kind && name == workload.name || matches!(kind, "ReplicaSet" | "Job") && of_a_set().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[rstest::rstest]
    #[case::of_a_deployment("Deployment", "redis", "ReplicaSet", "redis-7c9f", true)]
    #[case::of_another_deployment("Deployment", "redis", "ReplicaSet", "redis-replica-7c9f", false)]
    #[case::of_a_stateful_set_with_the_same_labels("Deployment", "redis", "StatefulSet", "redis", false)]
    #[case::of_a_stateful_set("StatefulSet", "redis", "StatefulSet", "redis", true)]
    fn a_pod_belongs_to_the_workload_that_owns_it(
        #[case] kind: &str,
        #[case] name: &str,
        #[case] owner: &str,
        #[case] owner_name: &str,
        #[case] belongs: bool,
    ) {
        let pod = json!({ "metadata": { "namespace": "n", "ownerReferences": [{ "kind": owner, "name": owner_name }] } });
        assert_eq!(is_of(&pod, &ObjectKey { kind: kind.into(), namespace: "n".into(), name: name.into() }), belongs);
    }

    #[test]
    fn what_is_told_of_an_earlier_pod_of_the_name_is_not_told_of_this_one() {
        let event = |uid: &str, reason: &str| json!({ "involvedObject": { "kind": "Pod", "name": "redis-0", "uid": uid }, "reason": reason, "message": "" });
        let pod = json!({ "metadata": { "namespace": "n", "name": "redis-0", "uid": "new" } });
        let events = [event("old", "Scheduled"), event("new", "FailedScheduling"), event("old", "Killing")];
        assert_eq!(last_event_of(&events, &pod), "FailedScheduling: ");
        assert_eq!(last_event(&events, &key_of(&pod)), "Killing: ");
        assert!(last_event_of(&events[..1], &pod).starts_with("no event about"));
    }

    #[test]
    fn who_could_make_no_pod_is_told_before_who_asked_for_it() {
        let event = |kind: &str, name: &str, level: &str, reason: &str| json!({ "type": level, "involvedObject": { "kind": kind, "name": name }, "reason": reason, "message": "m" });
        let workload = ObjectKey { kind: "Deployment".into(), namespace: "n".into(), name: "redis".into() };
        let scaled = event("Deployment", "redis", "Normal", "ScalingReplicaSet");
        assert_eq!(describe(&[], std::slice::from_ref(&scaled), &workload), "no pod of Deployment n/redis; ScalingReplicaSet: m");
        let of_another = event("ReplicaSet", "redis-replica-7c9f", "Warning", "FailedMount");
        let refused = event("ReplicaSet", "redis-7c9f", "Warning", "FailedCreate");
        assert_eq!(describe(&[], &[refused, of_another, scaled], &workload), "no pod of Deployment n/redis; FailedCreate: m");
    }
}
