//! Where the time goes until a pod on a cluster is ready, as the API server tells it: to the second.

use crate::report::{Scenario, seconds};
use redis_conformance::{manifest::json, time};
use serde_json::Value;
use std::{
    fs,
    time::{Duration, SystemTime},
};

/// A pod on its way.
#[derive(Debug, PartialEq, Eq)]
struct Way {
    /// From its creation to a node, and for a claim until its volume is there.
    scheduled: Duration,
    /// Until its container is started: sandbox, network, volumes, image.
    started: Duration,
    /// Until it is ready: Redis itself, and the delay and period of its probe.
    ready: Duration,
}

/// The way of the last Redis pod that stood at a scenario's end; none where it was not ready, or its container not the first one.
fn of(scenario: &Scenario) -> Option<Way> {
    let text = fs::read(scenario.evidence.as_ref()?.join("pod.json")).ok()?;
    serde_json::from_slice::<Vec<Value>>(&text).ok()?.iter().filter_map(way).next_back()
}

fn way(pod: &Value) -> Option<Way> {
    let statuses = json::list(pod, "/status/containerStatuses");
    let container = statuses.iter().find(|status| json::text(status, "/image").contains("redis:"))?;
    if container["restartCount"] != 0 {
        return None;
    }
    let since = |kind: &str| {
        let condition = json::condition(pod, kind).filter(|condition| condition["status"] == "True")?;
        moment(&condition["lastTransitionTime"])
    };
    let (created, scheduled) = (moment(&pod["metadata"]["creationTimestamp"])?, since("PodScheduled")?);
    let (started, ready) = (moment(&container["state"]["running"]["startedAt"])?, since("Ready")?);
    let between = |from: SystemTime, to: SystemTime| to.duration_since(from).unwrap_or_default();
    Some(Way { scheduled: between(created, scheduled), started: between(scheduled, started), ready: between(started, ready) })
}

fn moment(value: &Value) -> Option<SystemTime> {
    time::read(value.as_str()?)
}

/// The table of all scenarios that ran a pod.
pub(crate) fn table(scenarios: &[Scenario]) -> String {
    let mut text =
        format!("every scenario, and the way of its last Redis pod: {:>9} {:>9} {:>9} {:>9}\n", "in all", "scheduled", "started", "ready");
    let mut rows: Vec<(&Scenario, Option<Way>)> = scenarios.iter().map(|scenario| (scenario, of(scenario))).collect();
    rows.sort_by_key(|(scenario, _)| std::cmp::Reverse(scenario.took));
    for (scenario, way) in rows {
        let name: String = format!("{} {}", scenario.guarantee, scenario.name).chars().take(48).collect();
        let took = seconds(scenario.took);
        let part = |part: fn(&Way) -> Duration| way.as_ref().map_or("-".to_owned(), |way| format!("{} s", part(way).as_secs()));
        text += &format!(
            "  {name:<50} {took:>9} {:>9} {:>9} {:>9}\n",
            part(|way| way.scheduled),
            part(|way| way.started),
            part(|way| way.ready)
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_way_of_a_pod_is_told_in_three_parts() {
        let pod = json!({
            "metadata": { "name": "redis-0", "creationTimestamp": "2026-01-01T00:00:00Z" },
            "status": {
                "conditions": [
                    { "type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-01-01T00:00:06Z" },
                    { "type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:19Z" },
                ],
                "containerStatuses": [{ "image": "docker.io/library/redis:7-alpine", "restartCount": 0, "state": { "running": { "startedAt": "2026-01-01T00:00:08Z" } } }],
            },
        });
        let seconds = Duration::from_secs;
        assert_eq!(way(&pod), Some(Way { scheduled: seconds(6), started: seconds(2), ready: seconds(11) }));
        let mut restarted = pod;
        restarted["status"]["containerStatuses"][0]["restartCount"] = 1.into();
        assert_eq!(way(&restarted), None);
    }
}
