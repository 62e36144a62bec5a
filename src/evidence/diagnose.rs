//! Gathers what a person would look at after a failure: pods, events, and logs of current and previous containers.

use super::Evidence;
use crate::target::{ContainerRef, Target, TargetError};
use serde_json::{Value, json};
use std::{future::Future, time::Duration};

/// The longest that one look may take: a sick target must not hold the report back.
const PATIENCE: Duration = Duration::from_secs(5);

/// Gathers into the evidence; what cannot be had is noted in the timeline and never hides the failure itself.
pub async fn diagnose(target: &dyn Target, evidence: &Evidence) {
    for kind in ["Event", "PersistentVolumeClaim", "Service", "EndpointSlice", "Node"] {
        if let Some(objects) = look(evidence, kind, target.list(kind, None)).await {
            keep(evidence, &format!("{}.json", kind.to_ascii_lowercase()), &objects.into());
        }
    }
    let Some(pods) = look(evidence, "Pod", target.list("Pod", None)).await else { return };
    for pod in &pods {
        for container in containers(pod) {
            let ContainerRef { namespace, pod: pod_name, container: name } = &container;
            let stem = format!("logs/{namespace}.{pod_name}.{name}");
            if let Some(log) = look(evidence, &stem, target.logs(&container, false)).await {
                evidence.file(&format!("{stem}.log"), log);
            }
            if restarts(pod, name) > 0
                && let Some(log) = look(evidence, &stem, target.logs(&container, true)).await
            {
                evidence.file(&format!("{stem}.previous.log"), log);
            }
        }
    }
    keep(evidence, "pod.json", &pods.into());
}

async fn look<T>(evidence: &Evidence, what: &str, looking: impl Future<Output = Result<T, TargetError>>) -> Option<T> {
    let problem = match tokio::time::timeout(PATIENCE, looking).await {
        Ok(Ok(seen)) => return Some(seen),
        Ok(Err(error)) => format!("{:#}", anyhow::Error::from(error)),
        Err(_) => format!("no answer within {PATIENCE:?}"),
    };
    evidence.timeline("diagnosis", json!({"of": what, "problem": problem}));
    None
}

fn keep(evidence: &Evidence, name: &str, objects: &Value) {
    evidence.file(name, format!("{objects:#}\n"));
}

/// Containers that have been started at least once.
fn containers(pod: &Value) -> Vec<ContainerRef> {
    let text = |field: &str| pod["metadata"][field].as_str().unwrap_or_default().to_owned();
    statuses(pod)
        .filter(|status| status["state"]["waiting"].is_null() || status["restartCount"].as_u64().unwrap_or(0) > 0)
        .filter_map(|status| {
            Some(ContainerRef { namespace: text("namespace"), pod: text("name"), container: status["name"].as_str()?.into() })
        })
        .collect()
}

fn restarts(pod: &Value, container: &str) -> u64 {
    statuses(pod).find(|status| status["name"] == container).and_then(|status| status["restartCount"].as_u64()).unwrap_or(0)
}

fn statuses(pod: &Value) -> impl Iterator<Item = &Value> {
    ["initContainerStatuses", "containerStatuses"].into_iter().flat_map(|field| pod["status"][field].as_array().into_iter().flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_containers_that_ran_have_logs() {
        let pod = json!({"metadata": {"namespace": "mcp", "name": "redis-0"}, "status": {
            "initContainerStatuses": [{"name": "init", "state": {"terminated": {}}, "restartCount": 0}],
            "containerStatuses": [
                {"name": "redis", "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "restartCount": 2},
                {"name": "exporter", "state": {"waiting": {"reason": "ErrImagePull"}}, "restartCount": 0},
            ],
        }});
        let names: Vec<String> = containers(&pod).into_iter().map(|container| container.container).collect();
        assert_eq!(names, ["init", "redis"]);
        assert_eq!((restarts(&pod, "redis"), restarts(&pod, "init")), (2, 0));
    }
}
