//! Volumes whose files come from the API: ConfigMap, Secret, downward API, and several of them projected into one.

use super::super::{
    super::{
        json::{has, key_of, list, number, text},
        store::Store,
    },
    fields,
};
use crate::manifest::json::bytes;
use serde_json::Value;
use std::{
    fs::{self, DirBuilder, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, PermissionsExt, chown, symlink},
    path::{Component, Path},
};

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Content {
    pub(super) path: String,
    pub(super) bytes: Vec<u8>,
    pub(super) mode: u32,
}

/// The files of a volume; the error is the kubelet's.
pub(super) fn of(store: &Store, pod: &Value, volume: &Value) -> Result<Vec<Content>, String> {
    for kind in ["configMap", "secret", "downwardAPI"] {
        if has(volume, &format!("/{kind}")) {
            return source(store, pod, kind, &volume[kind], mode(&volume[kind], 0o644));
        }
    }
    let default = mode(&volume["projected"], 0o644);
    let mut files: Vec<Content> = Vec::new();
    for projected in list(volume, "/projected/sources") {
        for kind in ["configMap", "secret", "downwardAPI"] {
            if has(projected, &format!("/{kind}")) {
                for file in source(store, pod, kind, &projected[kind], default)? {
                    files.retain(|other| other.path != file.path);
                    files.push(file);
                }
            }
        }
    }
    Ok(files)
}

fn mode(source: &Value, default: u32) -> u32 {
    number(source, "/defaultMode").and_then(|mode| u32::try_from(mode).ok()).unwrap_or(default)
}

fn source(store: &Store, pod: &Value, kind: &str, source: &Value, default: u32) -> Result<Vec<Content>, String> {
    let item_mode = |item: &Value| number(item, "/mode").and_then(|mode| u32::try_from(mode).ok()).unwrap_or(default);
    if kind == "downwardAPI" {
        return list(source, "/items")
            .iter()
            .map(|item| {
                let value = if has(item, "/fieldRef") {
                    fields::field(pod, text(item, "/fieldRef/fieldPath"))?
                } else {
                    fields::resource(pod, &Value::Null, &item["resourceFieldRef"])?
                };
                Ok(Content { path: text(item, "/path").to_owned(), bytes: value.into_bytes(), mode: item_mode(item) })
            })
            .collect();
    }
    let (object_kind, name) = match kind {
        "secret" => ("Secret", source.get("secretName").or(source.get("name")).and_then(Value::as_str).unwrap_or_default()),
        _ => ("ConfigMap", text(source, "/name")),
    };
    let optional = source["optional"] == true;
    let namespace = text(pod, "/metadata/namespace");
    let Some(object) = store.get(&key_of(object_kind, namespace, name)) else {
        return if optional { Ok(Vec::new()) } else { Err(format!("{} {name:?} not found", object_kind.to_lowercase())) };
    };
    // Admission takes nothing into a Secret that is no base64.
    let plain = |value: &Value| {
        if kind == "secret" { bytes(value).unwrap_or_default() } else { value.as_str().unwrap_or_default().as_bytes().to_vec() }
    };
    let find = |key: &str| {
        let data = object["data"].get(key).map(plain);
        data.or_else(|| object["binaryData"].get(key).and_then(bytes))
    };
    let items = list(source, "/items");
    if items.is_empty() {
        let keys = ["data", "binaryData"].into_iter().flat_map(|field| object[field].as_object().into_iter().flatten().map(|(key, _)| key));
        return Ok(keys.filter_map(|key| Some(Content { path: key.clone(), bytes: find(key)?, mode: default })).collect());
    }
    let mut files = Vec::new();
    for item in items {
        let key = text(item, "/key");
        match find(key) {
            Some(bytes) => files.push(Content { path: text(item, "/path").to_owned(), bytes, mode: item_mode(item) }),
            None if optional => {}
            None => return Err(format!("references non-existent {} key: {key}", if kind == "secret" { "secret" } else { "config" })),
        }
    }
    Ok(files)
}

/// Writes the files as the kubelet does: a directory of their own behind `..data`, and a link to each.
pub(super) fn write(volume: &Path, files: &[Content], group: Option<u32>) -> io::Result<()> {
    let dated = "..2006_01_02_15_04_05.000000001";
    let place = volume.join(dated);
    if place.exists() {
        fs::remove_dir_all(&place)?;
    }
    make_directory(&place, group)?;
    own(volume, group, 0o755)?;
    for file in files {
        let relative = Path::new(&file.path);
        if !relative.components().all(|component| matches!(component, Component::Normal(_))) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{:?} is no path of a volume's file", file.path)));
        }
        let mut parent = place.clone();
        for component in relative.parent().into_iter().flat_map(Path::components) {
            parent.push(component);
            if !parent.exists() {
                make_directory(&parent, group)?;
            }
        }
        let path = place.join(relative);
        fs::write(&path, &file.bytes)?;
        // What belongs to a group is readable by it, whatever the mode says.
        let mode = if group.is_some() { file.mode | 0o440 } else { file.mode };
        chown(&path, None, group)?;
        fs::set_permissions(&path, Permissions::from_mode(mode & 0o7777))?;
        if let Some(Component::Normal(first)) = relative.components().next() {
            link(&Path::new("..data").join(first), &volume.join(first))?;
        }
    }
    link(Path::new(dated), &volume.join("..data"))
}

fn make_directory(path: &Path, group: Option<u32>) -> io::Result<()> {
    DirBuilder::new().mode(0o755).create(path)?;
    own(path, group, 0o755)
}

fn own(path: &Path, group: Option<u32>, mode: u32) -> io::Result<()> {
    chown(path, None, group)?;
    let mode = if group.is_some() { mode | 0o2550 } else { mode };
    fs::set_permissions(path, Permissions::from_mode(mode))
}

fn link(to: &Path, at: &Path) -> io::Result<()> {
    match symlink(to, at) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    fn store() -> Store {
        let store = Store::new();
        store.create(json!({ "kind": "ConfigMap", "metadata": { "namespace": "n", "name": "config" }, "data": { "redis.conf": "port 1", "b": "2" } })).expect("new");
        store
            .create(json!({ "kind": "Secret", "metadata": { "namespace": "n", "name": "secret" }, "data": { "password": "cHc=" } }))
            .expect("new");
        store
    }

    #[rstest]
    #[case(json!({ "configMap": { "name": "config" } }), &[("redis.conf", "port 1", 0o644), ("b", "2", 0o644)])]
    #[case(json!({ "configMap": { "name": "config", "items": [{ "key": "b", "path": "x/y", "mode": 256 }] } }), &[("x/y", "2", 0o400)])]
    #[case(json!({ "secret": { "secretName": "secret", "defaultMode": 256 } }), &[("password", "pw", 0o400)])]
    #[case(json!({ "secret": { "secretName": "none", "optional": true } }), &[])]
    #[case(json!({ "projected": { "sources": [{ "secret": { "name": "secret" } }, { "downwardAPI": { "items": [{ "path": "name", "fieldRef": { "fieldPath": "metadata.name" } }] } }] } }), &[("password", "pw", 0o644), ("name", "p", 0o644)])]
    fn files_come_from_the_api(#[case] volume: Value, #[case] expected: &[(&str, &str, u32)]) {
        let pod = json!({ "metadata": { "namespace": "n", "name": "p" } });
        let files = of(&store(), &pod, &volume).expect("complete");
        let files: Vec<_> =
            files.iter().map(|file| (file.path.as_str(), std::str::from_utf8(&file.bytes).expect("text"), file.mode)).collect();
        assert_eq!(files, expected);
    }

    #[rstest]
    #[case(json!({ "configMap": { "name": "none" } }), "configmap \"none\" not found")]
    #[case(json!({ "secret": { "secretName": "secret", "items": [{ "key": "k", "path": "p" }] } }), "references non-existent secret key: k")]
    fn what_is_missing_is_told(#[case] volume: Value, #[case] words: &str) {
        let pod = json!({ "metadata": { "namespace": "n", "name": "p" } });
        assert_eq!(of(&store(), &pod, &volume), Err(words.to_owned()));
    }

    #[test]
    fn files_are_reached_through_the_data_link_with_their_modes() -> io::Result<()> {
        let directory = tempfile::tempdir()?;
        let files = [Content { path: "a/b".into(), bytes: b"x".to_vec(), mode: 0o400 }];
        write(directory.path(), &files, None)?;
        write(directory.path(), &files, None)?;
        assert_eq!(fs::read(directory.path().join("a/b"))?, b"x");
        assert_eq!(fs::metadata(directory.path().join("a/b"))?.permissions().mode() & 0o7777, 0o400);
        assert!(fs::symlink_metadata(directory.path().join("a"))?.is_symlink());
        Ok(())
    }
}
