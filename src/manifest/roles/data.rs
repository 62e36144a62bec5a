//! Where Redis keeps its data: the effective directory, and the volume behind it.

use super::environment;
use crate::manifest::{Container, ManifestSet, ObjectKey, Place};
use serde_json::Value;

/// What a directory of a container is kept on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Volume {
    /// A claim of this name; the object where the set has it.
    Claim {
        /// `spec.volumes[].persistentVolumeClaim.claimName`.
        name: String,
        /// Its key; `None` where the set has no such claim.
        object: Option<ObjectKey>,
    },
    /// A claim template of a StatefulSet: a claim of its own for each pod.
    Template {
        /// `spec.volumeClaimTemplates[].metadata.name`.
        name: String,
    },
    /// Gone with the pod.
    EmptyDir {
        /// It lives in memory.
        memory: bool,
    },
    /// A directory of the node.
    HostPath {
        /// On the node.
        path: String,
    },
    /// A volume of another kind: `nfs`, `csi`, `configMap`.
    Other {
        /// The field's name.
        kind: String,
    },
    /// A mount that names no volume of the pod.
    Unknown {
        /// The name that is mounted.
        name: String,
    },
    /// Nothing is mounted there: the container's own layer, gone when the container is replaced.
    Container,
}

impl Volume {
    /// Whether what is written there outlives the pod.
    #[must_use]
    pub fn outlives_the_pod(&self) -> bool {
        match self {
            Self::Claim { .. } | Self::Template { .. } | Self::HostPath { .. } => true,
            // Every kind that is not made for the pod and from the cluster's own objects is kept somewhere else: nfs, csi, vsphereVolume …
            Self::Other { kind } => !self.is_read_only() && !matches!(kind.as_str(), "ephemeral" | "gitRepo"),
            Self::EmptyDir { .. } | Self::Unknown { .. } | Self::Container => false,
        }
    }

    /// Whether nothing can be written there: it shows files that others hold.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        matches!(self, Self::Other { kind } if matches!(kind.as_str(), "configMap" | "secret" | "projected" | "downwardAPI" | "image"))
    }
}

/// The directory that Redis writes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data {
    /// Absolute, within the container.
    pub dir: String,
    /// Where `dir` is set; where nothing sets it, the container.
    pub dir_place: Place,
    /// What it is kept on.
    pub volume: Volume,
    /// The mount's path; empty without a mount.
    pub mount_path: String,
    /// The pointer to the mount in the workload; empty without a mount.
    pub mount: String,
    /// Where the mount stands, else where the container does.
    pub place: Place,
    /// Mounts below the directory, each with what it is kept on: only what lies under them is kept there.
    pub below: Vec<(String, Volume)>,
}

/// Finds what is behind a directory of a container.
pub(super) fn behind(set: &ManifestSet, container: &Container<'_>, dir: String, dir_place: Place) -> Data {
    let owner = container.workload.object;
    let mut holder: Option<(String, String, &str)> = None;
    let mut below = Vec::new();
    for (at, mount) in container.items("volumeMounts") {
        let text = |key: &str| mount.get(key).and_then(Value::as_str).unwrap_or_default();
        let path = clean(text("mountPath"));
        if is_within(&dir, &path) {
            if holder.as_ref().is_none_or(|(_, deepest, _)| deepest.len() < path.len()) {
                holder = Some((at, path, text("name")));
            }
        } else if is_within(&path, &dir) {
            below.push((path, volume(set, container, text("name"))));
        }
    }
    match holder {
        Some((mount, mount_path, name)) => {
            let place = owner.place_of(&mount);
            Data { dir, dir_place, volume: volume(set, container, name), mount_path, mount, place, below }
        }
        None => {
            let place = owner.place_of(&container.pointer);
            Data { dir, dir_place, volume: Volume::Container, mount_path: String::new(), mount: String::new(), place, below }
        }
    }
}

fn volume(set: &ManifestSet, container: &Container<'_>, name: &str) -> Volume {
    if container.workload.claim_template(name).is_some() {
        return Volume::Template { name: name.to_owned() };
    }
    let Some((_, volume)) = container.workload.volume(name) else { return Volume::Unknown { name: name.to_owned() } };
    let text = |pointer: &str| volume.pointer(pointer).and_then(Value::as_str);
    if let Some(claim) = text("/persistentVolumeClaim/claimName") {
        let object =
            environment::neighbour(set, container.workload.object, "PersistentVolumeClaim", claim).map(crate::manifest::Object::key);
        return Volume::Claim { name: claim.to_owned(), object };
    }
    if let Some(path) = text("/hostPath/path") {
        return Volume::HostPath { path: path.to_owned() };
    }
    match volume.as_object().into_iter().flatten().find(|(key, value)| *key != "name" && !value.is_null()) {
        None => Volume::EmptyDir { memory: false },
        Some((key, value)) if key == "emptyDir" => {
            Volume::EmptyDir { memory: value.get("medium").and_then(Value::as_str) == Some("Memory") }
        }
        Some((key, _)) => Volume::Other { kind: key.clone() },
    }
}

/// Without a slash at the end, and without `.` and double slashes.
pub(super) fn clean(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    format!("/{}", parts.join("/"))
}

fn is_within(inner: &str, outer: &str) -> bool {
    outer == "/" || inner == outer || inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("/data", "/data", true)]
    #[case("/data/redis", "/data", true)]
    #[case("/database", "/data", false)]
    #[case("/data", "/", true)]
    #[case("/", "/data", false)]
    fn a_path_is_within_another_by_whole_parts(#[case] inner: &str, #[case] outer: &str, #[case] within: bool) {
        assert_eq!(is_within(inner, outer), within);
    }

    #[rstest]
    #[case("nfs", true)]
    #[case("vsphereVolume", true)]
    #[case("portworxVolume", true)]
    #[case("ephemeral", false)]
    #[case("configMap", false)]
    #[case("projected", false)]
    fn what_is_not_made_for_the_pod_outlives_it(#[case] kind: &str, #[case] outlives: bool) {
        assert_eq!(Volume::Other { kind: kind.to_owned() }.outlives_the_pod(), outlives);
    }

    #[test]
    fn a_path_is_made_clean() {
        assert_eq!(clean("/data//x/./"), "/data/x");
        assert_eq!(clean("./"), "/");
    }
}
