//! What the cluster can do, found by trying it on a pod of ours.

use super::{cluster::Cluster, error::broken, watches};
use crate::{
    manifest::json,
    target::{TargetError, image::GLUTTON},
    wait::{Look, Until},
};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{DeleteParams, LogParams, PostParams},
    core::DynamicObject,
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
    /// Tries it, at the first call.
    pub(super) async fn probed(&self) -> Result<Probed, String> {
        self.probed.get_or_init(|| async { self.probe().await.map_err(|error| format!("{:#}", anyhow::Error::from(error))) }).await.clone()
    }

    /// A pod with a user and a limit of its own says who it is, and then takes memory until it is killed.
    async fn probe(&self) -> Result<Probed, TargetError> {
        let namespace = self.own_namespace().await?;
        self.account_is_there(&namespace).await?;
        let kind = self.kind("Pod")?;
        let pods = watches::api(&self.client, kind, &namespace);
        let pod: DynamicObject = serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": { "generateName": "probe-" },
            "spec": {
                "restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "automountServiceAccountToken": false,
                "securityContext": { "runAsNonRoot": true, "runAsUser": USER, "seccompProfile": { "type": "RuntimeDefault" } },
                "containers": [{
                    "name": "probe", "image": self.client_image, "imagePullPolicy": "IfNotPresent", "args": [GLUTTON],
                    "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } },
                    "resources": { "limits": { "memory": "64Mi", "cpu": "500m" } },
                }],
            }
        }))
        .map_err(|error| broken("probing the cluster", error))?;
        let made = pods.create(&PostParams::default(), &pod).await.map_err(|error| broken("probing the cluster", error))?;
        let name = made.metadata.name.unwrap_or_default();
        let watch = watches::Watches::new(self.client.clone());
        let ended = Until::within(LIMIT)
            .on(watch.changes())
            .met::<_, TargetError, _>("the pod that probes the cluster to end", || async {
                let pod = watch.get(kind, &namespace, &name).await?;
                let state = pod.map(|pod| pod["status"]["containerStatuses"][0]["state"].clone()).unwrap_or_default();
                Ok(if state["terminated"].is_object() { Look::Ready(state["terminated"].clone()) } else { Look::NotYet(state.to_string()) })
            })
            .await?;
        let logs: Api<Pod> = Api::namespaced(self.client.clone(), &namespace);
        let log = logs.logs(&name, &LogParams::default()).await.map_err(|error| broken("reading what the probe says", error))?;
        gone_is_fine(pods.delete(&name, &DeleteParams::default().grace_period(0)).await);
        Ok(judge(&ended, &log))
    }
}

fn gone_is_fine<T>(deleted: kube::Result<T>) {
    if let Err(error) = deleted {
        tracing::debug!(%error, "the probe ends with its namespace");
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
