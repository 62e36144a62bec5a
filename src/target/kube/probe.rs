//! What the cluster can do, found by trying it on a pod of ours.

use super::{
    cluster::Cluster,
    our_pod::{OurPod, restricted},
};
use crate::{
    manifest::json,
    target::{TargetError, image::GLUTTON},
    wait::Look,
};
use serde_json::{Value, json};
use std::time::Duration;

/// A user that no image of ours has.
const USER: i64 = 54321;
const LIMIT: Duration = Duration::from_secs(120);

/// What was found.
#[derive(Clone, Debug)]
pub(super) struct Probed {
    /// Memory limits kill, or why they are not believed to.
    pub(super) memory: Result<(), String>,
    /// Processes run under the user that they are given, or why not.
    pub(super) user: Result<(), String>,
}

impl Cluster {
    /// Tries it, at the first call that comes to an end.
    pub(super) async fn probed(&self) -> Result<Probed, TargetError> {
        self.probed.get_or_try_init(|| self.probe()).await.cloned()
    }

    /// A pod with a user and a limit of its own says who it is, and then takes memory until it is killed.
    async fn probe(&self) -> Result<Probed, TargetError> {
        let container = json!({
            "name": "probe", "image": self.client_image, "imagePullPolicy": "IfNotPresent", "args": [GLUTTON],
            "resources": { "limits": { "memory": "64Mi", "cpu": "500m" } },
        });
        let pod = OurPod::make(self, &self.own_namespace().await?, restricted("redis-conformance-probe", USER, container)).await?;
        let ended = pod.met(LIMIT, "the pod that probes the cluster to end", |pod| {
            let state = &pod["status"]["containerStatuses"][0]["state"];
            if state["terminated"].is_object() { Look::Ready(state["terminated"].clone()) } else { Look::NotYet(state.to_string()) }
        });
        let (ended, log) = (ended.await?, pod.log().await?);
        pod.end().await;
        Ok(judge(&ended, &log))
    }
}

fn judge(ended: &Value, log: &str) -> Probed {
    let user = if log.lines().any(|line| line == format!("uid {USER}")) {
        Ok(())
    } else {
        Err(format!("a pod with runAsUser {USER} says {:?}", log.lines().next().unwrap_or_default()))
    };
    let memory = match json::text(ended, "/reason") {
        "OOMKilled" => Ok(()),
        // Where the kernel kills and the kubelet does not see why.
        _ if ended["exitCode"] == 137 => Ok(()),
        reason => Err(format!("a pod that takes more than its limit of 64Mi ends with {reason:?}, exit code {}", ended["exitCode"])),
    };
    Probed { memory, user }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_that_is_not_killed_or_is_somebody_else_tells_what_is_lacking() {
        let probed = judge(&json!({ "reason": "OOMKilled", "exitCode": 137 }), "uid 54321\n");
        assert!(probed.memory.is_ok() && probed.user.is_ok());
        let probed = judge(&json!({ "reason": "Completed", "exitCode": 0 }), "uid 0\n");
        assert!(probed.memory.unwrap_err().contains("Completed"));
        assert!(probed.user.unwrap_err().contains("uid 0"));
    }
}
