//! What a manifest set itself promises of its data, read from the running pod: which end it must outlive, and why.

use super::{Failure, Step, World};
use serde_json::Value;
use std::path::Path;

/// How Redis ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    ContainerTerminated,
    ContainerKilled,
    PodDeleted,
    PodDeletedByForce,
    NodeLost,
}

impl End {
    /// Redis may save before it ends.
    fn is_orderly(self) -> bool {
        matches!(self, Self::ContainerTerminated | Self::PodDeleted)
    }

    fn is_of_the_container(self) -> bool {
        matches!(self, Self::ContainerTerminated | Self::ContainerKilled)
    }
}

/// Where the data directory lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Storage {
    /// On a claim; or on no volume at all while a claim is mounted elsewhere, which was meant to hold it.
    Claim,
    /// On an emptyDir or a directory of the node: it outlives the container.
    Node,
    /// In the container.
    Container,
}

/// What the running Redis says of itself before anything is broken.
#[derive(Clone, Debug)]
pub(super) struct Means {
    pub(super) storage: Storage,
    pub(super) append_only: bool,
    pub(super) snapshots: bool,
}

impl Means {
    /// What must outlive the end, in words; `None` where nothing is promised.
    pub(super) fn promise(&self, end: End) -> Option<String> {
        let storage = match self.storage {
            Storage::Claim => "a claim is mounted",
            Storage::Node if end.is_of_the_container() => "a volume of the pod holds the data",
            Storage::Node | Storage::Container => return None,
        };
        let file = match (self.append_only, self.snapshots) {
            (true, _) => "the append-only file is on",
            (false, true) if end.is_orderly() => "a snapshot is saved at an orderly end",
            (false, _) => return None,
        };
        Some(format!("{storage} and {file}"))
    }
}

impl World {
    /// Asks the running Redis and its pod by what means data is kept.
    pub(super) async fn learn_means(&mut self) -> Step {
        let (directory, append_only, snapshots) = match self.setting("dir").await {
            Ok(directory) => (directory, self.setting("appendonly").await? == "yes", !self.setting("save").await?.is_empty()),
            // CONFIG may be renamed or forbidden to clients: then the manifests are all that is known.
            Err(refused) => {
                let role = self.redis()?.role;
                self.note(format!("the running Redis does not tell its settings ({refused}): they are read from the manifests"));
                (role.data.dir, role.config.is_on("appendonly", false), !role.config.saves().is_empty())
            }
        };
        let storage = storage_of(&self.redis_pod().await?, &self.redis()?.container, &directory);
        let means = Means { storage, append_only, snapshots };
        self.note(format!(
            "data directory {directory} on {}, append-only file {}, snapshots {}",
            match storage {
                Storage::Claim => "a claim",
                Storage::Node => "a volume of the pod or node",
                Storage::Container => "the container alone",
            },
            if append_only { "on" } else { "off" },
            if snapshots { "on" } else { "off" },
        ));
        self.fault.means = Some(means);
        Ok(())
    }

    /// What the manifests promise for the end that was brought about.
    pub(super) fn promise(&self) -> Step<Option<String>> {
        let means = self.fault.means.as_ref().ok_or_else(|| Failure::broken("no earlier step asked by what means data is kept"))?;
        let end = self.fault.end.ok_or_else(|| Failure::broken("nothing was ended by an earlier step"))?;
        Ok(means.promise(end))
    }
}

fn storage_of(pod: &Value, container: &str, directory: &str) -> Storage {
    let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
    let mounts: Vec<&Value> = containers
        .filter(|candidate| candidate["name"] == container)
        .flat_map(|container| container["volumeMounts"].as_array().into_iter().flatten())
        .collect();
    let volume =
        |mount: &Value| pod["spec"]["volumes"].as_array().into_iter().flatten().find(|volume| volume["name"] == mount["name"]).cloned();
    let is_claim =
        |mount: &Value| volume(mount).is_some_and(|volume| volume.get("persistentVolumeClaim").is_some_and(|claim| !claim.is_null()));
    let path = |mount: &Value| mount["mountPath"].as_str().map(ToOwned::to_owned).unwrap_or_default();
    // The innermost mount holds the directory.
    let holds = mounts.iter().filter(|mount| Path::new(directory).starts_with(path(mount)));
    match holds.max_by_key(|mount| Path::new(&path(mount)).components().count()) {
        Some(mount) if is_claim(mount) => Storage::Claim,
        Some(_) => Storage::Node,
        None if mounts.iter().any(|mount| is_claim(mount)) => Storage::Claim,
        None => Storage::Container,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[rstest::rstest]
    #[case(Storage::Claim, true, true, End::NodeLost, true)]
    #[case(Storage::Claim, false, true, End::PodDeleted, true)]
    #[case(Storage::Claim, false, true, End::PodDeletedByForce, false)]
    #[case(Storage::Claim, false, true, End::ContainerKilled, false)]
    #[case(Storage::Claim, false, false, End::PodDeleted, false)]
    #[case(Storage::Node, true, true, End::ContainerKilled, true)]
    #[case(Storage::Node, true, true, End::PodDeleted, false)]
    #[case(Storage::Container, true, true, End::ContainerTerminated, false)]
    fn a_promise_needs_a_place_and_a_file(
        #[case] storage: Storage,
        #[case] append_only: bool,
        #[case] snapshots: bool,
        #[case] end: End,
        #[case] promised: bool,
    ) {
        assert_eq!(Means { storage, append_only, snapshots }.promise(end).is_some(), promised);
    }

    #[rstest::rstest]
    #[case::a_claim_that_was_meant_to_hold_it("/data", &[("/elsewhere", true)], Storage::Claim)]
    #[case::a_claim_for_something_else("/data", &[("/backup", true), ("/data", false)], Storage::Node)]
    #[case::the_innermost_mount("/data/redis", &[("/data", true), ("/data/redis", false)], Storage::Node)]
    #[case::the_claim_itself("/data/redis", &[("/data", true), ("/etc/redis", false)], Storage::Claim)]
    #[case::none("/data", &[("/etc/redis", false)], Storage::Container)]
    fn data_lies_where_the_innermost_mount_puts_it(#[case] directory: &str, #[case] mounts: &[(&str, bool)], #[case] expected: Storage) {
        let names = mounts.iter().map(|(path, is_claim)| {
            let volume =
                if *is_claim { json!({ "name": path, "persistentVolumeClaim": {} }) } else { json!({ "name": path, "emptyDir": {} }) };
            (json!({ "name": path, "mountPath": path }), volume)
        });
        let (mounts, volumes): (Vec<Value>, Vec<Value>) = names.unzip();
        let pod = json!({ "spec": { "containers": [{ "name": "redis", "volumeMounts": mounts }], "volumes": volumes } });
        assert_eq!(storage_of(&pod, "redis", directory), expected);
    }
}
