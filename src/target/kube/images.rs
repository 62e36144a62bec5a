//! Which images the cluster can run. To a cluster of ours they are brought; elsewhere each is tried once a run, by a pod that needs
//! nothing of the image but its being there.

use super::{
    cluster::Cluster,
    error::broken,
    our_pod::{NOBODY, OurPod, restricted, unscheduled, without_image},
    source::Source,
};
use crate::{
    manifest::{Object, Place},
    target::{
        TargetError,
        image::{Programs, archive},
    },
    wait::Look,
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
        let mut container = json!({
            // What no image holds: that it cannot be started is proof that the image is there.
            "name": "probe", "image": image, "command": ["/redis-conformance/no-such-program"],
            "resources": { "requests": { "cpu": "1m", "memory": "1Mi" }, "limits": { "cpu": "100m", "memory": "32Mi" } },
        });
        if !policy.is_empty() {
            container["imagePullPolicy"] = policy.into();
        }
        let name = format!("redis-conformance-image-{}", &Object::made(json!([image, policy]), Place::default()).hash()[..12]);
        let pod = OurPod::make(self, &self.own_namespace().await?, restricted(&name, NOBODY, container)).await?;
        let found = pod.met(PULL, &format!("image {image} to be there or not"), judge).await;
        pod.end().await;
        found
    }
}

/// What the kubelet says to a container whose program is in no image.
fn judge(pod: &Value) -> Look<Result<(), String>> {
    if let Some(reason) = without_image(pod) {
        return Look::Ready(Err(reason.to_owned()));
    }
    let state = &pod["status"]["containerStatuses"][0]["state"];
    match state["waiting"]["reason"].as_str().unwrap_or_default() {
        "RunContainerError" | "StartError" | "CreateContainerError" | "CrashLoopBackOff" => Look::Ready(Ok(())),
        _ if state["terminated"].is_object() || state["running"].is_object() => Look::Ready(Ok(())),
        reason => Look::NotYet(format!("{} {reason}: {}", pod["status"]["phase"], unscheduled(pod))),
    }
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
