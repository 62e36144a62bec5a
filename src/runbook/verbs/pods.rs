//! Which pod and container a command line means: `POD`, `pod/NAME`, `deploy/NAME`; and how a pod is doing, in a word.

use super::{
    Call, Halt,
    access::{list, name, number, text},
    kinds,
    select::live,
};
use crate::{
    manifest::{json::labels, selector},
    target::ContainerRef,
};
use serde_json::Value;

/// The pod that a word means; of a controller's pods a running and ready one first.
pub(super) async fn pod(call: &Call, namespace: &str, word: &str) -> Result<Value, Halt> {
    let (resource, object) = match word.split_once('/') {
        Some((kind, object)) => (kinds::one(kind)?, object),
        None => (kinds::one("pod")?, word),
    };
    let found = live(call, resource, namespace, object).await?;
    if resource.kind == "Pod" {
        return Ok(found.object);
    }
    let none = || Halt::error(format!("cannot attach to or find pods of {}", found.label()));
    let wanted = &found.object["spec"]["selector"];
    let mut pods = call.target.list("Pod", Some(namespace)).await?;
    pods.retain(|pod| match resource.kind {
        "Service" => selector::selects(wanted, labels(pod)),
        _ => selector::matches(wanted, labels(pod)),
    });
    pods.sort_by_key(|pod| (!is_ready(pod), text(pod, "/status/phase") != "Running", name(pod).to_owned()));
    pods.into_iter().next().ok_or_else(none)
}

/// The container that is meant: by name, by the pod's annotation, or its first, which is then said.
pub(super) async fn container(call: &Call, pod: &Value, wanted: Option<&str>, namespace: &str) -> Result<ContainerRef, Halt> {
    let names = |pointer: &str| list(pod, pointer).iter().map(|container| text(container, "/name").to_owned()).collect::<Vec<_>>();
    let (containers, init) = (names("/spec/containers"), names("/spec/initContainers"));
    let by_default = text(pod, "/metadata/annotations/kubectl.kubernetes.io~1default-container");
    let container = match wanted {
        Some(wanted) if containers.iter().chain(&init).any(|name| name == wanted) => wanted.to_owned(),
        Some(wanted) => {
            return Err(Halt::Says(format!("Error from server (BadRequest): container {wanted} is not valid for pod {}", name(pod))));
        }
        None if containers.iter().any(|name| name == by_default) => by_default.to_owned(),
        None => {
            let first = containers.first().ok_or_else(|| Halt::error(format!("pod {} has no container", name(pod))))?;
            if containers.len() + init.len() > 1 {
                let init = init.iter().map(|name| format!("{name} (init)"));
                let all = containers.iter().cloned().chain(init).collect::<Vec<_>>().join(", ");
                call.warn(format!("Defaulted container \"{first}\" out of: {all}")).await?;
            }
            first.clone()
        }
    };
    Ok(ContainerRef { namespace: namespace.to_owned(), pod: name(pod).to_owned(), container })
}

/// The status of a pod's condition: `True`, `False`, or empty where it has none.
pub(super) fn condition<'p>(object: &'p Value, kind: &str) -> &'p str {
    let conditions = list(object, "/status/conditions");
    conditions
        .iter()
        .find(|condition| text(condition, "/type").eq_ignore_ascii_case(kind))
        .map_or("", |condition| text(condition, "/status"))
}

fn is_ready(pod: &Value) -> bool {
    condition(pod, "Ready") == "True"
}

/// How a pod is doing: `Running`, `CrashLoopBackOff`, `Init:0/1`, `Terminating` …
pub(super) fn status_word(pod: &Value) -> String {
    let mut word =
        [text(pod, "/status/reason"), text(pod, "/status/phase")].into_iter().find(|word| !word.is_empty()).unwrap_or("Unknown").to_owned();
    let init = list(pod, "/status/initContainerStatuses");
    let waiting_init = init.iter().position(|status| {
        let done = status.pointer("/state/terminated").is_some() && number(status, "/state/terminated/exitCode") == 0;
        !done && !status["started"].as_bool().unwrap_or(false)
    });
    if let Some(at) = waiting_init {
        word = match (status_of_state(&init[at]), text(&init[at], "/state/waiting/reason")) {
            (Some(ended), _) => format!("Init:{ended}"),
            (None, reason) if !["", "PodInitializing"].contains(&reason) => format!("Init:{reason}"),
            _ => format!("Init:{at}/{}", list(pod, "/spec/initContainers").len()),
        };
    } else {
        let statuses = list(pod, "/status/containerStatuses");
        for status in statuses.iter().rev() {
            match (text(status, "/state/waiting/reason"), status_of_state(status)) {
                ("", Some(ended)) => word = ended,
                ("", None) => {}
                (reason, _) => reason.clone_into(&mut word),
            }
        }
        let runs = |status: &&Value| status.pointer("/state/running").is_some() && status["ready"] == true;
        if word == "Completed" && statuses.iter().any(|status| runs(&status)) {
            word = String::from(if is_ready(pod) { "Running" } else { "NotReady" });
        }
    }
    if !text(pod, "/metadata/deletionTimestamp").is_empty() {
        word = String::from(if text(pod, "/status/reason") == "NodeLost" { "Unknown" } else { "Terminating" });
    }
    word
}

/// How a terminated container ended; nothing where it is not terminated.
fn status_of_state(status: &Value) -> Option<String> {
    let ended = status.pointer("/state/terminated").filter(|ended| !ended.is_null())?;
    Some(match (text(ended, "/reason"), number(ended, "/signal"), number(ended, "/exitCode")) {
        ("", 0, code) => format!("ExitCode:{code}"),
        ("", signal, _) => format!("Signal:{signal}"),
        (reason, ..) => reason.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    #[rstest]
    #[case::running(json!({ "status": { "phase": "Running", "containerStatuses": [{ "state": { "running": {} }, "ready": true }] } }), "Running")]
    #[case::waiting(json!({ "status": { "phase": "Running", "containerStatuses": [{ "state": { "waiting": { "reason": "CrashLoopBackOff" } } }] } }), "CrashLoopBackOff")]
    #[case::ended(json!({ "status": { "phase": "Failed", "containerStatuses": [{ "state": { "terminated": { "exitCode": 3 } } }] } }), "ExitCode:3")]
    #[case::killed(json!({ "status": { "phase": "Failed", "containerStatuses": [{ "state": { "terminated": { "exitCode": 137, "reason": "OOMKilled" } } }] } }), "OOMKilled")]
    #[case::init(json!({ "spec": { "initContainers": [{}, {}] }, "status": { "phase": "Pending", "initContainerStatuses": [{ "state": { "terminated": { "exitCode": 0 } } }, { "state": { "running": {} } }] } }), "Init:1/2")]
    #[case::init_fails(json!({ "spec": { "initContainers": [{}] }, "status": { "phase": "Pending", "initContainerStatuses": [{ "state": { "terminated": { "exitCode": 1, "reason": "Error" } } }] } }), "Init:Error")]
    #[case::going(json!({ "metadata": { "deletionTimestamp": "2026-01-01T00:00:00Z" }, "status": { "phase": "Running" } }), "Terminating")]
    #[case::evicted(json!({ "status": { "phase": "Failed", "reason": "Evicted" } }), "Evicted")]
    fn a_pod_is_doing_what_its_status_says(#[case] pod: Value, #[case] word: &str) {
        assert_eq!(status_word(&pod), word);
    }
}
