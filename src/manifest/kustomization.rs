//! Reads a user's kustomization file to find sources in it; kustomize alone decides what it means.

use super::{
    ManifestError, Place, files, pointer,
    yaml::{self, Document},
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

/// A kustomization file with its places.
#[derive(Debug)]
pub(super) struct Kustomization {
    pub(super) folder: PathBuf,
    pub(super) file: PathBuf,
    pub(super) json: Value,
    pub(super) places: BTreeMap<String, Place>,
}

/// A document that changes objects: a partial object, or a list of JSON 6902 operations.
#[derive(Debug)]
pub(super) struct Patch {
    /// Empty where any kind is meant.
    pub(super) kind: String,
    /// Empty where any name is meant.
    pub(super) name: String,
    pub(super) json: Value,
    pub(super) places: BTreeMap<String, Place>,
}

impl Kustomization {
    /// The kustomization of a folder; `None` where there is none, or where it is no YAML, which kustomize then says.
    pub(super) fn read(folder: &Path) -> Result<Option<Self>, ManifestError> {
        let Some(file) = files::kustomization_in(folder) else { return Ok(None) };
        let Ok((documents, _)) = yaml::read(&files::read_text(&file)?, &Arc::new(files::normal(&file))) else { return Ok(None) };
        let Some(Document { json, places, .. }) = documents.into_iter().next() else { return Ok(None) };
        Ok(Some(Self { folder: folder.to_owned(), file, json, places }))
    }

    /// All kustomizations that one refers to, itself first, then depth first in the order of the text.
    pub(super) fn read_all(folder: &Path) -> Result<Vec<Self>, ManifestError> {
        let mut found: Vec<Self> = Vec::new();
        let mut folders = vec![folder.to_owned()];
        let mut seen = BTreeSet::new();
        while let Some(folder) = folders.pop() {
            if !seen.insert(files::normal(&folder)) {
                continue;
            }
            let Some(kustomization) = Self::read(&folder)? else { continue };
            let below: Vec<PathBuf> = ["resources", "bases", "components"]
                .iter()
                .flat_map(|field| kustomization.strings(field))
                .map(|way| files::normal(&folder.join(way)))
                .filter(|path| path.is_dir())
                .collect();
            folders.extend(below.into_iter().rev());
            found.push(kustomization);
        }
        Ok(found)
    }

    pub(super) fn is_component(&self) -> bool {
        self.json.get("kind").and_then(Value::as_str) == Some("Component")
    }

    pub(super) fn build_metadata(&self) -> impl Iterator<Item = String> + use<> {
        self.strings("buildMetadata").into_iter()
    }

    fn strings(&self, field: &str) -> Vec<String> {
        let list = self.json.get(field).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        list.iter().filter_map(Value::as_str).map(ToOwned::to_owned).collect()
    }

    /// Every file and folder that any word in it leads to.
    pub(super) fn references(&self) -> BTreeSet<PathBuf> {
        let mut words = Vec::new();
        collect(&self.json, &mut words);
        let both = words.iter().flat_map(|word| [Some(*word), word.split_once('=').map(|(_, path)| path)]).flatten();
        both.filter(|word| !word.is_empty() && word.len() < 1024 && !word.contains('\n'))
            .map(|word| files::normal(&self.folder.join(word)))
            .filter(|path| *path != files::normal(&self.folder) && path.exists())
            .collect()
    }

    pub(super) fn place(&self, pointer: &str) -> Place {
        let mut here = Some(pointer);
        while let Some(pointer) = here {
            if let Some(place) = self.places.get(pointer) {
                return place.clone();
            }
            here = pointer::parent(pointer);
        }
        Place::of_file(files::normal(&self.file))
    }

    /// The entries of a list field, each with its pointer.
    pub(super) fn entries(&self, field: &str) -> impl Iterator<Item = (String, &Value)> {
        let list = self.json.get(field).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        list.iter().enumerate().map(move |(index, entry)| (format!("/{field}/{index}"), entry))
    }

    /// Its patches, outer and inner, with places in the files that hold them. A patch that cannot be read is left out: kustomize has accepted it.
    pub(super) fn patches(&self) -> Vec<Patch> {
        let mut patches = Vec::new();
        for field in ["patches", "patchesStrategicMerge", "patchesJson6902"] {
            for (at, entry) in self.entries(field) {
                let text = |key: &str| entry.get(key).and_then(Value::as_str);
                let bare = entry.as_str();
                let inline = text("patch").or_else(|| bare.filter(|text| text.contains('\n')));
                let (content, file, above) = if let Some(inline) = inline {
                    let key = if bare.is_some() { at.clone() } else { format!("{at}/patch") };
                    (inline.to_owned(), files::normal(&self.file), self.place(&key).line)
                } else {
                    let Some(way) = text("path").or(bare) else { continue };
                    let file = files::normal(&self.folder.join(way));
                    let Ok(content) = files::read_text(&file) else { continue };
                    (content, file, 0)
                };
                let Ok((documents, _)) = yaml::read(&content, &Arc::new(file)) else { continue };
                let target = |key: &str| entry.pointer(&format!("/target/{key}")).and_then(Value::as_str).map(ToOwned::to_owned);
                for Document { json, mut places, .. } in documents {
                    if above > 0 {
                        // Inside a block scalar only the line is known: the text begins below its key, with an indent that is gone.
                        places.values_mut().for_each(|place| (place.line, place.column) = (place.line + above, 0));
                    }
                    let own = |pointer: &str| json.pointer(pointer).and_then(Value::as_str).map(ToOwned::to_owned);
                    let has_target = entry.get("target").is_some();
                    let kind = if has_target { target("kind") } else { own("/kind") }.unwrap_or_default();
                    let name = if has_target { target("name") } else { own("/metadata/name") }.unwrap_or_default();
                    patches.push(Patch { kind, name, json, places });
                }
            }
        }
        patches
    }
}

impl Patch {
    /// Whether the patch may be meant for an object; a target's name is a regular expression, which is taken to match.
    pub(super) fn may_touch(&self, kind: &str, name: &str) -> bool {
        let is_pattern = self.name.contains(|c: char| !(c.is_alphanumeric() || matches!(c, '-' | '.')));
        (self.kind.is_empty() || self.kind == kind)
            && (self.name.is_empty() || is_pattern || self.name == name || name.contains(&self.name))
    }
}

/// The folder that holds a kustomization and all that it refers to: for `k8s/overlays/prod`, which builds on `../../base`, it is `k8s`.
#[must_use]
pub fn home(folder: &Path) -> PathBuf {
    let whole = |path: &Path| path.canonicalize().unwrap_or_else(|_| files::normal(path));
    let Ok(all) = Kustomization::read_all(folder) else { return folder.to_owned() };
    let all: Vec<PathBuf> = all.iter().map(|kustomization| whole(&kustomization.folder)).collect();
    let own = whole(folder);
    let levels = own.ancestors().take_while(|home| !all.iter().all(|folder| folder.starts_with(home))).count();
    // As the user named it, where that says as much.
    let named = files::normal(folder);
    match named.ancestors().nth(levels).filter(|home| !home.as_os_str().is_empty() && !home.ends_with("..")) {
        Some(home) => home.to_owned(),
        None => own.ancestors().nth(levels).unwrap_or(&own).to_owned(),
    }
}

fn collect<'v>(value: &'v Value, words: &mut Vec<&'v str>) {
    match value {
        Value::String(text) => words.push(text),
        Value::Array(items) => items.iter().for_each(|item| collect(item, words)),
        Value::Object(map) => map.values().for_each(|item| collect(item, words)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_home_of_an_overlay_holds_what_it_builds_on() {
        let k8s = Path::new(env!("CARGO_MANIFEST_DIR")).join("k8s/mcp");
        assert_eq!(home(&k8s.join("overlays/password")), k8s);
        assert_eq!(home(&k8s), k8s);
        assert_eq!(home(&k8s.join("base")), k8s.join("base"));
        assert_eq!(home(Path::new("k8s/mcp/overlays/emptydir")), Path::new("k8s/mcp"));
    }
}
