//! Which files of ConfigMaps and Secrets a container sees, and at which path.

use super::environment;
use crate::manifest::{Container, ManifestSet, Object, ObjectKey, Place};
use serde_json::Value;

/// A file that a volume brings into a container.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct File {
    pub(super) path: String,
    pub(super) content: String,
    /// Where its first line stands, less one line: line n of the content is this line plus n. The column is unknown.
    pub(super) place: Place,
    pub(super) from: Option<ObjectKey>,
}

/// Where a volume, or one source of a projected volume, names what it shows.
const NAMES: [(&str, &str); 3] = [("ConfigMap", "/configMap/name"), ("Secret", "/secret/secretName"), ("Secret", "/secret/name")];

/// All files of ConfigMaps and Secrets in a container, in the order of its mounts.
pub(super) fn files(set: &ManifestSet, container: &Container<'_>) -> Vec<File> {
    let owner = container.workload.object;
    let mut found = Vec::new();
    for (_, mount) in container.items("volumeMounts") {
        let text = |key: &str| mount.get(key).and_then(Value::as_str);
        let (Some(volume), Some(path)) = (text("name"), text("mountPath")) else { continue };
        let Some((_, volume)) = container.workload.volume(volume) else { continue };
        let projected = volume.pointer("/projected/sources").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        for source in std::iter::once(volume).chain(projected) {
            for object in environment::referred_to(set, owner, source, &NAMES) {
                let field = if object.kind() == "Secret" { "secret" } else { "configMap" };
                for (below, key) in entries(object, source.get(field).unwrap_or(&Value::Null)) {
                    let Some(path) = seen_at(path, text("subPath").unwrap_or_default(), &below) else { continue };
                    let Some((content, at)) = environment::data(object, &key) else { continue };
                    let place = Place { column: 0, ..object.place_of(&at) };
                    found.push(File { path, content, place, from: Some(object.key()) });
                }
            }
        }
    }
    found
}

/// Path in the volume → key.
fn entries(object: &Object, source: &Value) -> Vec<(String, String)> {
    match source.get("items").and_then(Value::as_array) {
        Some(items) => {
            let text = |item: &Value, key: &str| item.get(key).and_then(Value::as_str).map(ToOwned::to_owned);
            items.iter().filter_map(|item| Some((text(item, "path")?, text(item, "key")?))).collect()
        }
        None => environment::keys(object).into_iter().map(|key| (key.clone(), key)).collect(),
    }
}

/// Where a file of the volume is seen through a mount; `None` where the mount shows another part of the volume.
fn seen_at(mount: &str, sub_path: &str, below: &str) -> Option<String> {
    let sub_path = sub_path.trim_matches('/');
    if sub_path == below {
        return Some(mount.to_owned());
    }
    let below = if sub_path.is_empty() { below } else { below.strip_prefix(sub_path)?.strip_prefix('/')? };
    Some(format!("{}/{below}", mount.trim_end_matches('/')))
}

/// The volume behind a path of a container, by the longest mount above it: its name, the mount's pointer, and the path within the volume.
pub(super) fn volume_of<'s>(container: &Container<'s>, path: &str) -> Option<(&'s str, String, String)> {
    let mounts = container.items("volumeMounts").filter_map(|(at, mount)| {
        let text = |key: &str| mount.get(key).and_then(Value::as_str);
        let mounted = text("mountPath")?.trim_end_matches('/');
        let rest = path.strip_prefix(mounted).filter(|rest| rest.is_empty() || rest.starts_with('/'))?;
        let sub_path = text("subPath").unwrap_or_default().trim_matches('/');
        let within = format!("{sub_path}/{}", rest.trim_matches('/')).trim_matches('/').to_owned();
        Some((mounted.len(), (text("name")?, at, within)))
    });
    mounts.max_by_key(|(length, _)| *length).map(|(_, found)| found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Workload;

    const SET: &str = "apiVersion: v1
kind: ConfigMap
metadata: {name: c}
data:
  redis.conf: |
    port 6379
  other: x
---
apiVersion: v1
kind: Pod
metadata: {name: p}
spec:
  containers:
  - name: main
    volumeMounts:
    - {name: all, mountPath: /etc/redis/}
    - {name: all, mountPath: /one.conf, subPath: redis.conf}
    - {name: some, mountPath: /some}
    - {name: data, mountPath: /data}
    - {name: data, mountPath: /data/sub, subPath: x}
  volumes:
  - {name: all, configMap: {name: c}}
  - {name: some, projected: {sources: [{configMap: {name: c, items: [{key: other, path: a/b}]}}]}}
  - {name: data, emptyDir: {}}
";

    #[test]
    fn files_are_seen_where_they_are_mounted() {
        let set = ManifestSet::parse(SET, "a.yaml").unwrap();
        let container = Workload::of(&set.objects[1]).unwrap().containers().next().unwrap();
        let found: Vec<(String, u64)> = files(&set, &container).into_iter().map(|file| (file.path, file.place.line)).collect();
        let expected = [("/etc/redis/redis.conf", 5), ("/etc/redis/other", 7), ("/one.conf", 5), ("/some/a/b", 7)];
        assert_eq!(found, expected.map(|(path, line)| (path.to_owned(), line)));
    }

    #[test]
    fn the_deepest_mount_holds_a_path() {
        let set = ManifestSet::parse(SET, "a.yaml").unwrap();
        let container = Workload::of(&set.objects[1]).unwrap().containers().next().unwrap();
        let at = |path: &str| volume_of(&container, path).map(|(name, _, within)| format!("{name}:{within}"));
        assert_eq!(at("/data/dump.rdb").as_deref(), Some("data:dump.rdb"));
        assert_eq!(at("/data/sub/y").as_deref(), Some("data:x/y"));
        assert_eq!(at("/database"), None);
    }
}
