//! Phrases about the pods that the set asks for.

use super::{
    Failure, Step, World,
    live::{is_of, makes},
};
use crate::{
    manifest::{Object, Workload},
    wait::{Look, Until},
};
use cucumber::then;
use serde_json::Value;
use std::time::Duration;

#[then("every pod has the account and the configuration that it asks for")]
async fn every_pod_has_what_it_asks_for(world: &mut World) -> Step {
    let set = world.set()?;
    let target = world.target().await?;
    // What asks for no pod now has none: scaled to zero, or due at another time.
    let asks = |object: &&Object| object.kind() != "CronJob" && Workload::of(object).is_some_and(|workload| workload.replicas() != Some(0));
    let workloads: Vec<_> = set.objects.iter().filter(asks).map(Object::key).collect();
    if workloads.is_empty() {
        return Err(Failure::violated("the set has no pod at all"));
    }
    Until::within(Duration::from_secs(60))
        .on(target.changes())
        .met::<_, Failure, _>("every workload to have its pods", || async {
            for key in &workloads {
                let events = target.list("Event", Some(&key.namespace)).await?;
                let pods = target.list("Pod", Some(&key.namespace)).await?;
                let own: Vec<&Value> = pods.iter().filter(|pod| is_of(pod, key)).collect();
                let about = |event: &&Value| {
                    let involved = &event["involvedObject"];
                    match involved["kind"].as_str() {
                        Some("Pod") => own.iter().any(|pod| involved["name"] == pod["metadata"]["name"]),
                        _ => makes(key, involved),
                    }
                };
                let refused = events.iter().filter(about).find(|event| {
                    matches!(event["reason"].as_str(), Some("FailedCreate" | "FailedMount"))
                        || event["message"].as_str().is_some_and(|text| text.contains("not found") && event["reason"] == "Failed")
                });
                if let Some(event) = refused {
                    return Err(Failure::violated(format!("{key}: {}", event["message"].as_str().unwrap_or_default())));
                }
                if own.is_empty() {
                    return Ok(Look::NotYet(format!("{key} has no pod")));
                }
                // A pod that its kubelet has not tried to start yet has not shown what it lacks.
                if let Some(untried) = own.iter().find(|pod| !was_tried(pod)) {
                    return Ok(Look::NotYet(format!("{} has not been started", untried["metadata"]["name"])));
                }
            }
            Ok(Look::Ready(()))
        })
        .await
}

/// Whether the kubelet has taken up every container of the pod: it runs, has ended, or waits for its image or after an end.
fn was_tried(pod: &Value) -> bool {
    let wanted = pod["spec"]["containers"].as_array().map_or(0, Vec::len);
    let statuses: Vec<&Value> = pod["status"]["containerStatuses"].as_array().into_iter().flatten().collect();
    let tried = |status: &&&Value| match status["state"]["waiting"]["reason"].as_str() {
        None => !status["state"]["running"].is_null() || !status["state"]["terminated"].is_null(),
        Some(reason) => matches!(reason, "ErrImagePull" | "ImagePullBackOff" | "CrashLoopBackOff"),
    };
    wanted > 0 && statuses.iter().filter(tried).count() >= wanted
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[rstest::rstest]
    #[case(json!({ "running": { "startedAt": "now" } }), true)]
    #[case(json!({ "waiting": { "reason": "ImagePullBackOff" } }), true)]
    #[case(json!({ "waiting": { "reason": "ContainerCreating" } }), false)]
    #[case(json!({ "waiting": { "reason": "CreateContainerConfigError" } }), false)]
    fn a_pod_shows_what_it_lacks_when_its_containers_are_taken_up(#[case] state: Value, #[case] tried: bool) {
        let pod = json!({ "spec": { "containers": [{}] }, "status": { "containerStatuses": [{ "state": state }] } });
        assert_eq!(was_tried(&pod), tried);
        assert!(!was_tried(&json!({ "spec": { "containers": [{}] } })), "no status yet");
    }
}
