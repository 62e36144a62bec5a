//! A pod's volumes as directories of this machine: made, filled, owned as the pod's security context asks.

mod content;

use super::{
    super::{
        super::runtime::{Mount, storage},
        json::{has, key_of, list, text},
        options::DISK,
        store::Store,
    },
    expand::expand,
};
use content::Content;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs::{self, Permissions},
    io,
    os::unix::fs::{PermissionsExt, chown},
    path::{Component, Path, PathBuf},
};

/// A volume that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Volume {
    /// On this machine.
    pub(super) path: PathBuf,
    /// The whole volume may only be read.
    pub(super) read_only: bool,
}

/// What kind of directory a volume needs; made from the store alone, carried out by [`make`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Files from the API, read-only, replaced as a whole.
    Files { files: Vec<Content> },
    /// A directory of the pod's own.
    Empty { memory: bool },
    /// A directory of the node or of a disk, made with this mode where it is missing.
    Kept { name: String, mode: u32, group: bool, read_only: bool },
}

/// What the pod's volumes must be, by name; the error is the kubelet's reason to wait, with the volume's name.
pub(super) fn wanted(store: &Store, cluster: &str, pod: &Value) -> Result<BTreeMap<String, Wanted>, (String, String)> {
    let mut volumes = BTreeMap::new();
    for volume in list(pod, "/spec/volumes") {
        let name = text(volume, "/name").to_owned();
        let wanted = one(store, cluster, pod, volume).map_err(|why| (name.clone(), why))?;
        volumes.insert(name, wanted);
    }
    Ok(volumes)
}

fn one(store: &Store, cluster: &str, pod: &Value, volume: &Value) -> Result<Wanted, String> {
    if has(volume, "/configMap") || has(volume, "/secret") || has(volume, "/downwardAPI") || has(volume, "/projected") {
        return Ok(Wanted::Files { files: content::of(store, pod, volume)? });
    }
    let node = text(pod, "/spec/nodeName");
    if has(volume, "/hostPath") {
        let (kind, path) = (text(volume, "/hostPath/type"), text(volume, "/hostPath/path"));
        if !matches!(kind, "" | "Directory" | "DirectoryOrCreate") {
            return Err(format!("hostPath type check failed: {path} is not a {}", kind.trim_end_matches("OrCreate").to_lowercase()));
        }
        return Ok(Wanted::Kept { name: on_node(cluster, node, path), mode: 0o755, group: false, read_only: false });
    }
    let claim = if has(volume, "/ephemeral") {
        format!("{}-{}", text(pod, "/metadata/name"), text(volume, "/name"))
    } else if has(volume, "/persistentVolumeClaim") {
        text(volume, "/persistentVolumeClaim/claimName").to_owned()
    } else {
        return Ok(Wanted::Empty { memory: volume["emptyDir"]["medium"] == "Memory" });
    };
    let key = key_of("PersistentVolumeClaim", text(pod, "/metadata/namespace"), &claim);
    let claim = store.get(&key).ok_or_else(|| format!("persistentvolumeclaim {claim:?} not found"))?;
    if claim["status"]["phase"] != "Bound" {
        return Err(format!("PVC {}/{} is not bound", key.namespace, key.name));
    }
    let persistent = store
        .get(&key_of("PersistentVolume", "", text(&claim, "/spec/volumeName")))
        .ok_or_else(|| format!("persistentvolume {:?} not found", text(&claim, "/spec/volumeName")))?;
    let read_only = volume["persistentVolumeClaim"]["readOnly"] == true;
    source(cluster, node, &persistent, read_only)
}

fn source(cluster: &str, node: &str, volume: &Value, read_only: bool) -> Result<Wanted, String> {
    let spec = &volume["spec"];
    if text(spec, "/csi/driver") == DISK {
        let mode = u32::from_str_radix(text(spec, "/csi/volumeAttributes/mode"), 8).unwrap_or(0o755);
        return Ok(Wanted::Kept { name: format!("{cluster}/disks/{}", text(spec, "/csi/volumeHandle")), mode, group: true, read_only });
    }
    let (path, group) = match (spec.get("hostPath"), spec.get("local")) {
        (Some(host), _) if !host.is_null() => (text(host, "/path"), false),
        (_, Some(local)) if !local.is_null() => (text(local, "/path"), true),
        _ => return Err(format!("the source of the volume {:?} cannot be mounted here", text(volume, "/metadata/name"))),
    };
    // The provisioner made it when it made the volume, writable for everybody.
    let provisioned = has(volume, "/metadata/annotations/pv.kubernetes.io~1provisioned-by");
    Ok(Wanted::Kept { name: on_node(cluster, node, path), mode: if provisioned { 0o777 } else { 0o755 }, group, read_only })
}

/// A path of a node, which is a directory of its own here.
fn on_node(cluster: &str, node: &str, path: &str) -> String {
    let mut clean = PathBuf::from(format!("{cluster}/nodes/{node}"));
    clean.extend(Path::new(path).components().filter(|component| matches!(component, Component::Normal(_))));
    clean.to_string_lossy().into_owned()
}

/// Makes the pod's volumes; blocks on the disk.
pub(super) fn make(wanted: &BTreeMap<String, Wanted>, of_pod: &str, group: Option<u32>) -> io::Result<BTreeMap<String, Volume>> {
    let mut made = BTreeMap::new();
    for (name, wanted) in wanted {
        let volume = match wanted {
            Wanted::Files { files } => {
                let path = storage::directory(&format!("{of_pod}/{name}"), 0o755)?;
                content::write(&path, files, group)?;
                Volume { path, read_only: true }
            }
            Wanted::Empty { memory } => {
                let kind = if *memory { "memory" } else { "disk" };
                let path = storage::directory(&format!("{of_pod}/{kind}/{name}"), 0o777)?;
                give(&path, group)?;
                Volume { path, read_only: false }
            }
            Wanted::Kept { name: directory, mode, group: takes_group, read_only } => {
                let path = storage::directory(directory, *mode)?;
                if *takes_group {
                    give(&path, group)?;
                }
                Volume { path, read_only: *read_only }
            }
        };
        made.insert(name.clone(), volume);
    }
    Ok(made)
}

fn give(path: &Path, group: Option<u32>) -> io::Result<()> {
    match group {
        Some(group) => storage::give_to_group(path, group),
        None => Ok(()),
    }
}

/// The container's mounts, in the order of their depth; blocks on the disk where a `subPath` is to be made.
pub(super) fn mounts(
    container: &Value,
    volumes: &BTreeMap<String, Volume>,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<Mount>, String> {
    let mut mounts = Vec::new();
    for mount in list(container, "/volumeMounts") {
        let name = text(mount, "/name");
        let volume = volumes.get(name).ok_or_else(|| format!("volume {name:?} is not mounted"))?;
        let below = match text(mount, "/subPathExpr") {
            "" => text(mount, "/subPath").to_owned(),
            expression => expand(expression, variable),
        };
        let source = if below.is_empty() { volume.path.clone() } else { beneath(volume, &below)? };
        mounts.push(Mount {
            source,
            target: PathBuf::from(text(mount, "/mountPath")),
            read_only: volume.read_only || mount["readOnly"] == true,
        });
    }
    mounts.sort_by_key(|mount| mount.target.components().count());
    Ok(mounts)
}

/// A `subPath`: it stays in the volume, and is made a directory where it is missing.
fn beneath(volume: &Volume, below: &str) -> Result<PathBuf, String> {
    let relative = Path::new(below);
    if !relative.components().all(|component| matches!(component, Component::Normal(_) | Component::CurDir)) {
        return Err(format!("failed to prepare subPath for volumeMount: {below:?} must not contain '..'"));
    }
    let failed = |error: io::Error| format!("failed to prepare subPath for volumeMount {below:?}: {error}");
    let path = volume.path.join(relative);
    match fs::canonicalize(&path) {
        // A link in the volume may lead anywhere; what is mounted must be of the volume.
        Ok(real) if real.starts_with(fs::canonicalize(&volume.path).map_err(failed)?) => Ok(real),
        Ok(_) => Err(format!("failed to prepare subPath for volumeMount: {below:?} leads out of the volume")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let parent = fs::metadata(&volume.path).map_err(failed)?;
            fs::create_dir_all(&path).map_err(failed)?;
            fs::set_permissions(&path, Permissions::from_mode(parent.permissions().mode() & 0o7777)).map_err(failed)?;
            chown(&path, None, Some(std::os::unix::fs::MetadataExt::gid(&parent))).map_err(failed)?;
            Ok(path)
        }
        Err(error) => Err(failed(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_path_of_a_node_stays_on_that_node() {
        assert_eq!(on_node("c", "node-1", "/mnt/../../data"), "c/nodes/node-1/mnt/data");
    }

    #[test]
    fn a_claim_that_is_not_bound_holds_the_pod_up() {
        let store = Store::new();
        store
            .create(json!({ "kind": "PersistentVolumeClaim", "metadata": { "namespace": "n", "name": "data" }, "status": { "phase": "Pending" } }))
            .expect("new");
        let pod = json!({ "metadata": { "namespace": "n", "name": "p" }, "spec": { "volumes": [{ "name": "v", "persistentVolumeClaim": { "claimName": "data" } }] } });
        assert_eq!(wanted(&store, "c", &pod), Err(("v".into(), "PVC n/data is not bound".into())));
    }

    #[test]
    fn a_sub_path_is_made_and_stays_in_its_volume() -> io::Result<()> {
        let directory = tempfile::tempdir()?;
        let volume = Volume { path: directory.path().to_owned(), read_only: false };
        let made = beneath(&volume, "a/b").expect("made");
        assert!(made.is_dir());
        assert!(beneath(&volume, "../x").is_err());
        std::os::unix::fs::symlink("/etc", directory.path().join("link"))?;
        assert!(beneath(&volume, "link").is_err());
        Ok(())
    }
}
