//! The waits that a scenario's steps cannot have shorter, because fields of its manifests impose them one after the other.

use crate::report::Scenario;
use redis_conformance::manifest::{ManifestSet, Roles};
use serde_json::Value;
use std::{fs, time::Duration};

/// One wait, and why it is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wait {
    pub(crate) least: Duration,
    pub(crate) most: Duration,
    pub(crate) why: String,
}

/// Waits that follow one another.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Chain {
    pub(crate) waits: Vec<Wait>,
}

impl Chain {
    pub(crate) fn least(&self) -> Duration {
        self.waits.iter().map(|wait| wait.least).sum()
    }

    pub(crate) fn most(&self) -> Duration {
        self.waits.iter().map(|wait| wait.most).sum()
    }
}

/// The chain of a scenario, from the manifests that its evidence holds; none where nothing was applied.
pub(crate) fn of(scenario: &Scenario) -> Chain {
    let Some(folder) = &scenario.evidence else { return Chain::default() };
    let file = folder.join("manifests.yaml");
    let set = fs::read_to_string(&file).ok().and_then(|text| ManifestSet::parse(&text, &file).ok());
    let Some(set) = set else { return Chain::default() };
    let roles = Roles::of(&set);
    let Some(id) = roles.redis.first().map(|redis| &redis.id) else { return Chain::default() };
    let Some(object) = set.get(&id.workload) else { return Chain::default() };
    let container = object.json.pointer(&id.pointer).cloned().unwrap_or_default();
    let pod = id.pointer.rsplit_once("/containers/").and_then(|(pod, _)| object.json.pointer(pod)).cloned().unwrap_or_default();
    let steps: Vec<&str> = scenario.steps.iter().map(|(step, _)| step.as_str()).collect();
    chain(&steps, &container, &pod)
}

fn chain(steps: &[&str], container: &Value, pod: &Value) -> Chain {
    let mut waits = Vec::new();
    // The probes of a frozen container run side by side: the later of both counts.
    let mut leaves = None;
    for step in steps {
        if ["Redis runs from", "Redis is ready again", "Redis serves again", "Redis is rolled out anew"]
            .iter()
            .any(|words| step.contains(words))
        {
            waits.extend(leaves.take());
            waits.push(ready(container));
        } else if step.contains("it leaves the Service within") {
            leaves = seen(container, "readinessProbe");
        } else if step.contains("it is restarted within") {
            let liveness = seen(container, "livenessProbe");
            let earlier = leaves.take();
            waits.extend([earlier, liveness].into_iter().flatten().max_by_key(|wait| wait.least));
            let grace = Duration::from_secs(pod["terminationGracePeriodSeconds"].as_u64().unwrap_or(30));
            waits.push(Wait {
                least: grace,
                most: grace,
                why: "terminationGracePeriodSeconds: a frozen process does not follow SIGTERM".into(),
            });
        }
    }
    waits.extend(leaves);
    waits.retain(|wait| !wait.most.is_zero());
    Chain { waits }
}

fn field(probe: &Value, name: &str, default: u64) -> Duration {
    Duration::from_secs(probe[name].as_u64().unwrap_or(default))
}

fn count(probe: &Value, name: &str, default: u32) -> u32 {
    probe[name].as_u64().and_then(|count| u32::try_from(count).ok()).unwrap_or(default)
}

/// From the start of the container until it is ready.
fn ready(container: &Value) -> Wait {
    let (mut least, mut parts) = (Duration::ZERO, Vec::new());
    for name in ["startupProbe", "readinessProbe"] {
        let Some(probe) = container.get(name).filter(|probe| probe.is_object()) else { continue };
        let delay = field(probe, "initialDelaySeconds", 0);
        let more = field(probe, "periodSeconds", 10) * count(probe, "successThreshold", 1).saturating_sub(1);
        least += delay + more;
        parts.push(format!("{name}.initialDelaySeconds {}", delay.as_secs()));
        if !more.is_zero() {
            parts.push(format!("{name}.periodSeconds × (successThreshold − 1) {}", more.as_secs()));
        }
    }
    Wait { least, most: least, why: format!("until ready: {}", parts.join(" + ")) }
}

/// From the freeze until a probe gives the container up: the first look comes at once at best, after a whole period at worst.
fn seen(container: &Value, name: &str) -> Option<Wait> {
    let probe = container.get(name).filter(|probe| probe.is_object())?;
    let (period, timeout, failures) =
        (field(probe, "periodSeconds", 10), field(probe, "timeoutSeconds", 1), count(probe, "failureThreshold", 3));
    let least = period * failures.saturating_sub(1) + timeout;
    let why = format!(
        "{name}: periodSeconds {} × (failureThreshold {failures} − 1) + timeoutSeconds {}, and up to one period before",
        period.as_secs(),
        timeout.as_secs()
    );
    Some(Wait { least, most: least + period, why })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_later_probe_counts_and_then_the_grace_and_the_start() {
        let container = json!({
            "livenessProbe": { "initialDelaySeconds": 10, "periodSeconds": 15, "timeoutSeconds": 3 },
            "readinessProbe": { "initialDelaySeconds": 5, "periodSeconds": 10, "timeoutSeconds": 3 },
        });
        let steps = [
            "Given Redis runs from the manifests",
            "When Redis is frozen",
            "Then it leaves the Service within the time that its readiness probe gives",
            "And it is restarted within the time that its liveness probe and grace period give",
            "And Redis is ready again within 60 seconds",
        ];
        let chain = chain(&steps, &container, &json!({}));
        assert_eq!((chain.least().as_secs(), chain.most().as_secs()), (5 + 33 + 30 + 5, 5 + 48 + 30 + 5));
    }

    #[test]
    fn without_fields_nothing_is_imposed() {
        assert_eq!(chain(&["Given Redis runs from the manifests"], &json!({}), &json!({})), Chain::default());
    }
}
