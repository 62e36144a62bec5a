//! Which images the cluster can run. To a cluster of ours they are brought; elsewhere each is tried once a run, by a pod that needs
//! nothing of the image but its being there.

use super::{cluster::Cluster, error::broken, source::Source, watches};
use crate::{
    target::{
        TargetError,
        image::{Programs, archive},
    },
    wait::{Look, Until},
};
use kube::{
    api::{DeleteParams, PostParams},
    core::DynamicObject,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::OnceCell;

/// A registry may be far away.
const PULL: Duration = Duration::from_secs(180);

/// Whether one image is there, or why not; found out once.
type Found = Arc<OnceCell<Result<(), String>>>;

/// What was found out of images so far, by name and pull policy.
pub(super) struct Images {
    programs: Programs,
    source: Arc<dyn Source>,
    known: Mutex<BTreeMap<(String, String), Found>>,
    /// Fixtures of ours that were brought to the cluster, by image.
    pub(super) fixtures: Mutex<BTreeMap<String, String>>,
}

impl Images {
    pub(super) fn new(programs: Programs, source: Arc<dyn Source>) -> Self {
        Self { programs, source, known: Mutex::default(), fixtures: Mutex::default() }
    }

    /// The fixture of ours that stands for an image on this cluster.
    pub(super) fn fixture(&self, image: &str) -> Option<String> {
        self.fixtures.lock().unwrap_or_else(PoisonError::into_inner).get(image).cloned()
    }
}

impl Cluster {
    /// Whether the cluster can run the image, pulled as the container asks for it; the inner error is the reason.
    pub(super) async fn has_image(&self, image: &str, policy: &str) -> Result<Result<(), String>, TargetError> {
        // Who brings images himself does not leave it to the policy whether they are there.
        let policy = if self.images.source.takes_images() { "" } else { policy };
        let cell = {
            let mut known = self.images.known.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(known.entry((image.to_owned(), policy.to_owned())).or_default())
        };
        cell.get_or_try_init(|| self.find_image(image, policy)).await.cloned()
    }

    async fn find_image(&self, image: &str, policy: &str) -> Result<Result<(), String>, TargetError> {
        let Images { programs, source, .. } = &self.images;
        if !source.takes_images() {
            return self.try_image(image, policy).await;
        }
        let doing = || format!("bringing image {image} to the cluster");
        // Redis itself never has a stand-in on a cluster.
        let stand_in = programs.image(image).ok().filter(|_| !Programs::is_redis(image));
        let Some(stand_in) = stand_in else {
            return source.fetch(image).await.map_err(|error| broken(doing(), error));
        };
        let folder = tempfile::tempdir().map_err(|error| broken(doing(), error))?;
        let file = folder.path().join("image.tar");
        let (reference, to, fixture) = (image.to_owned(), file.clone(), stand_in.fixture);
        let written = tokio::task::spawn_blocking(move || archive::write(&stand_in, &reference, None, &to)).await;
        written.map_err(|error| broken(doing(), error))?.map_err(|error| broken(doing(), error))?;
        source.load(&file).await.map_err(|error| broken(doing(), error))?;
        if let Some(fixture) = fixture {
            let name = fixture.trim_start_matches("redis-conformance-").to_owned();
            self.images.fixtures.lock().unwrap_or_else(PoisonError::into_inner).insert(image.to_owned(), name);
        }
        Ok(Ok(()))
    }

    async fn try_image(&self, image: &str, policy: &str) -> Result<Result<(), String>, TargetError> {
        let namespace = self.own_namespace().await?;
        let kind = self.kind("Pod")?;
        let pods = watches::api(&self.client, kind, &namespace);
        let mut container = json!({
            // What no image holds: that it cannot be started is proof that the image is there.
            "name": "probe", "image": image, "command": ["/redis-conformance/no-such-program"],
            "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } },
            "resources": { "requests": { "cpu": "1m", "memory": "1Mi" }, "limits": { "cpu": "100m", "memory": "32Mi" } },
        });
        if !policy.is_empty() {
            container["imagePullPolicy"] = policy.into();
        }
        let pod: DynamicObject = serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": { "generateName": "image-" },
            "spec": {
                "restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "automountServiceAccountToken": false,
                "securityContext": { "runAsNonRoot": true, "runAsUser": 65534, "seccompProfile": { "type": "RuntimeDefault" } },
                "containers": [container],
            }
        }))
        .map_err(|error| broken("trying an image", error))?;
        self.account_is_there(&namespace).await?;
        let made = pods.create(&PostParams::default(), &pod).await.map_err(|error| broken(format!("trying image {image}"), error))?;
        let name = made.metadata.name.unwrap_or_default();
        let watch = watches::Watches::new(self.client.clone());
        let found = Until::within(PULL)
            .on(watch.changes())
            .met::<_, TargetError, _>(format!("image {image} to be there or not"), || async {
                let pod = watch.get(kind, &namespace, &name).await?;
                Ok(pod.map_or_else(|| Look::NotYet("no pod yet".into()), |pod| judge(&pod)))
            })
            .await;
        if let Err(error) = pods.delete(&name, &DeleteParams::default().grace_period(0)).await {
            tracing::debug!(%error, "the pod that tried an image ends with its namespace");
        }
        found
    }

    /// A pod is refused as long as its namespace has no service account.
    pub(super) async fn account_is_there(&self, namespace: &str) -> Result<(), TargetError> {
        let kind = self.kind("ServiceAccount")?;
        let watch = watches::Watches::new(self.client.clone());
        Until::within(Duration::from_secs(30))
            .on(watch.changes())
            .met(format!("namespace {namespace} to have its service account"), || async {
                let there = watch.get(kind, namespace, "default").await?.is_some();
                Ok(if there { Look::Ready(()) } else { Look::NotYet("none".into()) })
            })
            .await
    }
}

/// What the kubelet says to a container whose program is in no image.
fn judge(pod: &Value) -> Look<Result<(), String>> {
    let state = &pod["status"]["containerStatuses"][0]["state"];
    let reason = state["waiting"]["reason"].as_str().unwrap_or_default();
    let message = || state["waiting"]["message"].as_str().unwrap_or(reason).to_owned();
    match reason {
        "ErrImagePull" | "ImagePullBackOff" | "ErrImageNeverPull" | "InvalidImageName" | "ImageInspectError" | "RegistryUnavailable" => {
            Look::Ready(Err(message()))
        }
        "RunContainerError" | "StartError" | "CreateContainerError" | "CrashLoopBackOff" => Look::Ready(Ok(())),
        _ if state["terminated"].is_object() || state["running"].is_object() => Look::Ready(Ok(())),
        _ => Look::NotYet(format!("{} {reason}: {}", pod["status"]["phase"], unscheduled(pod))),
    }
}

fn unscheduled(pod: &Value) -> &str {
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    conditions.filter(|condition| condition["status"] == "False").find_map(|condition| condition["message"].as_str()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::pulled_and_without_that_program("waiting", "RunContainerError", Some(true))]
    #[case::refused_by_the_registry("waiting", "ErrImagePull", Some(false))]
    #[case::refused_again("waiting", "ImagePullBackOff", Some(false))]
    #[case::no_name_of_an_image("waiting", "InvalidImageName", Some(false))]
    #[case::being_pulled("waiting", "ContainerCreating", None)]
    #[case::it_has_even_run("terminated", "StartError", Some(true))]
    fn the_kubelet_says_whether_an_image_is_there(#[case] state: &str, #[case] reason: &str, #[case] there: Option<bool>) {
        let pod = json!({ "status": { "phase": "Pending", "containerStatuses": [{ "state": { state: { "reason": reason, "message": "m" } } }] } });
        let found = match judge(&pod) {
            Look::Ready(found) => Some(found.is_ok()),
            Look::NotYet(_) => None,
        };
        assert_eq!(found, there);
    }
}
