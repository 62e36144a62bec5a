//! The pod in which clients run: on the cluster like any application, so that they see its DNS, its Services and its policies.

use super::{
    cluster::OBSERVER,
    error::broken,
    our_pod::{NOBODY, OurPod, restricted, unscheduled, without_image},
    scenario::Scenario,
};
use crate::{
    manifest::{ObjectKey, json},
    target::{ContainerRef, Target as _, TargetError, image::PAUSE},
    wait::{Look, Until},
};
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
            OurPod::make(&self.cluster, &place, self.names.outgoing(self.pod(&container)).object).await?;
        }
        Until::within(LIMIT)
            .on(self.changes())
            .met::<_, TargetError, _>("the client pod to be ready", || async {
                let Some(pod) = self.get(&key).await? else { return Ok(Look::NotYet("no pod".into())) };
                if let Some(told) = without_image(&pod) {
                    let image = &self.cluster.client_image;
                    return Err(broken(
                        "starting the client pod",
                        anyhow::anyhow!("the cluster cannot have image {image}: {told}; `redis-conformance image` makes it, --client-image names another"),
                    ));
                }
                let state = &pod["status"]["containerStatuses"][0]["state"];
                Ok(if json::holds(&pod, "Ready") { Look::Ready(()) } else { Look::NotYet(format!("{} {state}", unscheduled(&pod))) })
            })
            .await?;
        Ok(container)
    }

    fn pod(&self, container: &ContainerRef) -> Value {
        let program = json!({
            "name": container.container, "image": self.cluster.client_image, "imagePullPolicy": "IfNotPresent", "args": [PAUSE],
            "resources": { "requests": { "cpu": "10m", "memory": "32Mi" } },
        });
        let mut pod = restricted(&container.pod, NOBODY, program);
        pod["metadata"]["labels"] = json!({ "app.kubernetes.io/managed-by": "redis-conformance" });
        pod["spec"]["restartPolicy"] = "Always".into();
        // A client outlives the loss of any node but its own.
        pod["spec"]["tolerations"] = json!([{ "key": OBSERVER, "operator": "Exists" }]);
        if self.cluster.has_observer {
            pod["spec"]["nodeSelector"] = json!({ OBSERVER: "true" });
        }
        pod
    }
}
