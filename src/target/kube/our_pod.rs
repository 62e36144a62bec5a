//! Pods of ours on the cluster: as restricted as any policy asks for, made where a service account is, watched, and gone when they have served.

use super::{
    cluster::Cluster,
    error::broken,
    kinds::Kind,
    names::RUN_LABEL,
    watches::{self, Watches},
};
use crate::{
    manifest::json,
    target::TargetError,
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

/// The user of pods that need none in particular.
pub(super) const NOBODY: i64 = 65534;
/// A namespace gets its service account within a second.
const ACCOUNT: Duration = Duration::from_secs(30);
/// What a kubelet says that cannot have an image.
const NO_IMAGE: &[&str] =
    &["ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "ImageInspectError", "RegistryUnavailable"];

/// A pod of ours.
pub(super) struct OurPod<'a> {
    cluster: &'a Cluster,
    kind: &'a Kind,
    namespace: String,
    name: String,
}

/// A pod that any policy lets in: `user` runs `container`, which gets what it needs to be restricted.
pub(super) fn restricted(name: &str, user: i64, mut container: Value) -> Value {
    container["securityContext"] = json!({ "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } });
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name },
        "spec": {
            "restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "enableServiceLinks": false, "automountServiceAccountToken": false,
            "securityContext": { "runAsNonRoot": true, "runAsUser": user, "seccompProfile": { "type": "RuntimeDefault" } },
            "containers": [container],
        }
    })
}

/// Why the kubelet cannot have the image of a pod's first container, if so.
pub(super) fn without_image(pod: &Value) -> Option<&str> {
    let waiting = &pod["status"]["containerStatuses"][0]["state"]["waiting"];
    let reason = waiting["reason"].as_str().filter(|reason| NO_IMAGE.contains(reason))?;
    Some(waiting["message"].as_str().unwrap_or(reason))
}

/// What a pod waits for that has not begun.
pub(super) fn unscheduled(pod: &Value) -> &str {
    json::condition(pod, "PodScheduled").filter(|it| it["status"] != "True").and_then(|it| it["message"].as_str()).unwrap_or_default()
}

impl<'a> OurPod<'a> {
    /// Makes the pod; one of its name that is there already is the same.
    pub(super) async fn make(cluster: &'a Cluster, namespace: &str, mut pod: Value) -> Result<Self, TargetError> {
        if cluster.lent.is_some() {
            pod["metadata"]["labels"][RUN_LABEL] = cluster.run.as_str().into();
        }
        let name = json::text(&pod, "/metadata/name").to_owned();
        let doing = || format!("making pod {name} in namespace {namespace}");
        account_is_there(cluster, namespace).await?;
        let kind = cluster.kind("Pod")?;
        let object: DynamicObject = serde_json::from_value(pod).map_err(|error| broken(doing(), error))?;
        match watches::api(&cluster.client, kind, namespace).create(&PostParams::default(), &object).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.is_already_exists() => {}
            Err(error) => return Err(broken(doing(), error)),
        }
        Ok(Self { cluster, kind, namespace: namespace.to_owned(), name })
    }

    /// Waits until the pod is as asked.
    pub(super) async fn met<T>(&self, limit: Duration, what: &str, look: impl Fn(&Value) -> Look<T>) -> Result<T, TargetError> {
        let watch = Watches::new(self.cluster.client.clone());
        Until::within(limit)
            .on(watch.changes())
            .met(what, || async {
                let pod = watch.get(self.kind, &self.namespace, &self.name).await?;
                Ok(pod.map_or_else(|| Look::NotYet("no pod yet".into()), |pod| look(&pod)))
            })
            .await
    }

    /// What it has written.
    pub(super) async fn log(&self) -> Result<String, TargetError> {
        let pods: Api<Pod> = Api::namespaced(self.cluster.client.clone(), &self.namespace);
        pods.logs(&self.name, &LogParams::default()).await.map_err(|error| broken(format!("reading what pod {} says", self.name), error))
    }

    /// It has served; what keeps it now ends when the run is cleared.
    pub(super) async fn end(self) {
        let pods = watches::api(&self.cluster.client, self.kind, &self.namespace);
        if let Err(error) = pods.delete(&self.name, &DeleteParams::default().grace_period(0)).await {
            tracing::debug!(%error, "a pod of ours ends when the run is cleared");
        }
    }
}

/// A pod is refused as long as its namespace has no service account.
async fn account_is_there(cluster: &Cluster, namespace: &str) -> Result<(), TargetError> {
    let (kind, watch) = (cluster.kind("ServiceAccount")?, Watches::new(cluster.client.clone()));
    Until::within(ACCOUNT)
        .on(watch.changes())
        .met(format!("namespace {namespace} to have its service account"), || async {
            let there = watch.get(kind, namespace, "default").await?.is_some();
            Ok(if there { Look::Ready(()) } else { Look::NotYet("none".into()) })
        })
        .await
}
