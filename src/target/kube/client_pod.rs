//! The pod in which clients run: on the cluster like any application, so that they see its DNS, its Services and its policies.

use super::{cluster::OBSERVER, error::broken, scenario::Scenario, watches};
use crate::{
    manifest::{ObjectKey, json},
    target::{ContainerRef, Target as _, TargetError, image::PAUSE},
    wait::{Look, Until},
};
use kube::{api::PostParams, core::DynamicObject};
use serde_json::{Value, json};
use std::time::Duration;

/// A pod is scheduled and started, and perhaps its image pulled.
const LIMIT: Duration = Duration::from_secs(120);

impl Scenario {
    /// The client pod of a namespace, ready.
    pub(super) async fn client_pod(&self, namespace: &str) -> Result<ContainerRef, TargetError> {
        let container = ContainerRef::of_client(namespace);
        let key = ObjectKey { kind: "Pod".into(), namespace: namespace.into(), name: container.pod.clone() };
        let place = self.namespace(namespace).ok_or_else(|| TargetError::Missing(format!("namespace {namespace}")))?;
        if self.get(&key).await?.is_none() {
            self.cluster.account_is_there(&place).await?;
            let kind = self.cluster.kind("Pod")?;
            let pod: DynamicObject =
                serde_json::from_value(self.pod(&container)).map_err(|error| broken("making the client pod", error))?;
            match watches::api(&self.cluster.client, kind, &place).create(&PostParams::default(), &pod).await {
                Ok(made) => self.watches.seen(kind, &place, made.metadata.resource_version.as_deref()).await?,
                Err(kube::Error::Api(status)) if status.is_already_exists() => {}
                Err(error) => return Err(broken(format!("making the client pod in namespace {namespace}"), error)),
            }
        }
        Until::within(LIMIT)
            .on(self.changes())
            .met::<_, TargetError, _>("the client pod to be ready", || async {
                let Some(pod) = self.get(&key).await? else { return Ok(Look::NotYet("no pod".into())) };
                let waiting = &pod["status"]["containerStatuses"][0]["state"]["waiting"];
                if matches!(waiting["reason"].as_str(), Some("ErrImagePull" | "ImagePullBackOff" | "ErrImageNeverPull" | "InvalidImageName")) {
                    let image = &self.cluster.client_image;
                    let told = waiting["message"].as_str().unwrap_or_default();
                    return Err(broken(
                        "starting the client pod",
                        anyhow::anyhow!("the cluster cannot have image {image}: {told}; `redis-conformance image` makes it, --client-image names another"),
                    ));
                }
                Ok(if json::holds(&pod, "Ready") {
                    Look::Ready(())
                } else {
                    Look::NotYet(json::condition(&pod, "PodScheduled").filter(|it| it["status"] != "True").unwrap_or(waiting).to_string())
                })
            })
            .await?;
        Ok(container)
    }

    fn pod(&self, container: &ContainerRef) -> Value {
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": container.pod, "labels": { "app.kubernetes.io/managed-by": "redis-conformance" } },
            "spec": {
                "terminationGracePeriodSeconds": 0, "enableServiceLinks": false, "automountServiceAccountToken": false,
                "securityContext": { "runAsNonRoot": true, "runAsUser": 65534, "seccompProfile": { "type": "RuntimeDefault" } },
                "containers": [{
                    "name": container.container, "image": self.cluster.client_image, "imagePullPolicy": "IfNotPresent", "args": [PAUSE],
                    "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } },
                    "resources": { "requests": { "cpu": "10m", "memory": "32Mi" } },
                }],
                // A client outlives the loss of any node but its own.
                "tolerations": [{ "key": OBSERVER, "operator": "Exists" }],
            }
        });
        if self.cluster.has_observer {
            pod["spec"]["nodeSelector"] = json!({ OBSERVER: "true" });
        }
        pod
    }
}
