//! Phrases that break something, each with proof that it broke; a file a kind of fault.

mod ending;
mod freezing;
mod node;
mod rollout;

use self::{freezing::Frozen, rollout::Rollout};
use super::{
    Failure, Step, World,
    claims::Growth,
    promise::{End, Means},
};
use crate::fault::FaultError;
use serde_json::{Value, json};
use std::time::Instant;

/// What was broken in this scenario.
#[derive(Debug, Default)]
pub(super) struct FaultLog {
    /// When the last fault began.
    pub(super) began: Option<Instant>,
    /// How Redis was ended.
    pub(super) end: Option<End>,
    /// SIGTERM did not end it in its grace period, so that it was killed.
    pub(super) outlived_its_grace: bool,
    /// Which instance was ended: it counts as ready no more, whatever its status still says.
    ended: Option<Instance>,
    /// By what means data is kept, as Redis said before anything was broken.
    pub(super) means: Option<Means>,
    /// The node that is gone, or takes no pods.
    node: Option<String>,
    /// The frozen container and its pod.
    frozen: Option<Frozen>,
    /// A rollout that was watched from its beginning to its end.
    rollout: Option<Rollout>,
    /// An attempt to make a claim larger.
    pub(super) growth: Option<Growth>,
}

impl FaultLog {
    /// The instance that a fault has ended.
    pub(super) fn ended(&self) -> Option<Instance> {
        self.ended.clone()
    }
}

/// One run of a container: a pod, and how often its container had been restarted.
#[derive(Clone, Debug)]
pub(super) struct Instance {
    uid: String,
    restarts: u64,
}

impl Instance {
    /// The run that the pod's status shows now.
    fn of(pod: &Value, container: &str) -> Self {
        Self { uid: pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned(), restarts: restarts(pod, container) }
    }

    /// Whether the status still shows this run, or an earlier one.
    pub(super) fn is_shown_by(&self, pod: &Value, container: &str) -> bool {
        pod["metadata"]["uid"] == self.uid.as_str() && restarts(pod, container) <= self.restarts
    }
}

fn restarts(pod: &Value, container: &str) -> u64 {
    let statuses = pod["status"]["containerStatuses"].as_array().into_iter().flatten();
    statuses.filter(|status| status["name"] == container).find_map(|status| status["restartCount"].as_u64()).unwrap_or(0)
}

impl From<FaultError> for Failure {
    fn from(error: FaultError) -> Self {
        match error {
            FaultError::Target(error) => error.into(),
            // Whoever keeps a pod from being evicted has promised nothing of what becomes of it then.
            FaultError::Kept(reason) => Self::skipped(format!("the manifests keep the pod where it is: {reason}")),
            // Not proved is not done: nothing that follows would mean anything.
            unproved @ FaultError::Unproved(_) => Self::broken(unproved.to_string()),
        }
    }
}

impl World {
    /// Remembers which run of Redis is about to end.
    async fn redis_is_about_to_end(&mut self) -> Step {
        let (pod, redis) = (self.redis_pod().await?, self.redis()?);
        self.fault.ended = Some(Instance::of(&pod, &redis.container));
        Ok(())
    }

    fn a_fault_begins(&mut self, what: &str) {
        self.fault.began = Some(Instant::now());
        self.evidence().timeline("fault", json!({ "fault": what }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_pod_shows_of_the_time_before_the_fault_is_known_by_uid_and_restarts() {
        let pod = |uid: &str, restarts: u64| json!({ "metadata": { "uid": uid }, "status": { "containerStatuses": [{ "name": "redis", "restartCount": restarts }] } });
        let ended = Instance::of(&pod("a", 1), "redis");
        assert!(ended.is_shown_by(&pod("a", 1), "redis"));
        assert!(!ended.is_shown_by(&pod("a", 2), "redis"), "restarted in place");
        assert!(!ended.is_shown_by(&pod("b", 0), "redis"), "another pod");
    }
}
