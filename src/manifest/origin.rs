//! Finds where each field of a rendered object was written: in its source, in a patch, or in the kustomization.

use super::{
    ManifestError, Object, Place, files,
    kustomization::{Kustomization, Patch},
    pointer,
    yaml::{self, Document},
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
};

const ORIGIN: &str = "/metadata/annotations/config.kubernetes.io~1origin";

/// Names files as the user would: below the path that was given, else from the working directory.
#[derive(Debug)]
pub(super) struct Naming {
    given: PathBuf,
    resolved: PathBuf,
    here: PathBuf,
}

impl Naming {
    pub(super) fn new(given: &Path) -> Result<Self, ManifestError> {
        let unreadable = |cause| ManifestError::Unreadable { path: given.to_owned(), cause };
        let folder = if given.is_dir() { given.to_owned() } else { given.parent().map(Path::to_owned).unwrap_or_default() };
        let folder = if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder };
        let resolved = folder.canonicalize().map_err(unreadable)?;
        let here = std::env::current_dir().and_then(|here| here.canonicalize()).map_err(unreadable)?;
        Ok(Self { given: folder, resolved, here })
    }

    fn name(&self, path: &Path) -> PathBuf {
        match path.strip_prefix(&self.resolved) {
            Ok(below) => files::normal(&self.given.join(below)),
            Err(_) if self.given.is_absolute() => path.to_owned(),
            Err(_) => files::relative(&self.here, path),
        }
    }
}

/// A text with fields that a rendered object may have come from.
struct Layer<'s> {
    json: &'s Value,
    places: &'s BTreeMap<String, Place>,
}

/// Everything that a kustomization's objects can come from.
pub(super) struct Origins {
    naming: Naming,
    rendered_in: PathBuf,
    kustomizations: Vec<Kustomization>,
    patches: Vec<Patch>,
    sources: HashMap<PathBuf, Vec<Document>>,
}

impl Origins {
    pub(super) fn new(naming: Naming, folder: &Path, rendered_in: &Path) -> Result<Self, ManifestError> {
        let kustomizations = Kustomization::read_all(folder)?;
        let patches = kustomizations.iter().flat_map(Kustomization::patches).collect();
        Ok(Self { naming, rendered_in: rendered_in.to_owned(), kustomizations, patches, sources: HashMap::new() })
    }

    /// Replaces the object's places by those of its sources, and takes kustomize's annotation away.
    pub(super) fn place(&mut self, object: &mut Object) {
        let origin = object.str_at(ORIGIN).map(ToOwned::to_owned);
        pointer::remove(&mut object.json, ORIGIN);
        if object.at("/metadata/annotations").and_then(Value::as_object).is_some_and(serde_json::Map::is_empty) {
            pointer::remove(&mut object.json, "/metadata/annotations");
        }
        object.places.clear();
        object.place = Place::of_file(&*object.place.file);
        let Some(origin) = origin.and_then(|text| yaml::read(&text, &object.place.file).ok()?.0.into_iter().next()) else { return };
        if let Some(path) = origin.json.get("path").and_then(Value::as_str) {
            let remote = origin.json.get("repo").and_then(Value::as_str);
            if let Some(repo) = remote {
                object.place = Place::of_file(format!("{repo}/{path}"));
            } else {
                self.place_from_source(object, path);
            }
        } else if let Some(configured_in) = origin.json.get("configuredIn").and_then(Value::as_str) {
            let by = origin.json.pointer("/configuredBy/kind").and_then(Value::as_str).unwrap_or_default();
            self.place_from_generator(object, configured_in, by);
        }
    }

    fn place_from_source(&mut self, object: &mut Object, path: &str) {
        let path = files::normal(&self.rendered_in.join(path));
        let file = Arc::new(self.naming.name(&path));
        object.place = Place { file: file.clone(), line: 0, column: 0 };
        let documents = self.sources.entry(path.clone()).or_insert_with(|| {
            // What kustomize could read a moment ago and we cannot is placed on its file alone.
            let text = files::read_text(&path).unwrap_or_default();
            yaml::read(&text, &file).map(|(documents, _)| documents).unwrap_or_default()
        });
        let Some(source) = closest(documents, object) else { return };
        object.place = source.place.clone();
        let name = source.json.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        let patches: Vec<&Patch> = self.patches.iter().filter(|patch| patch.may_touch(object.kind(), name)).collect();
        let mut layers = vec![Layer { json: &source.json, places: &source.places }];
        layers
            .extend(patches.iter().filter(|patch| patch.json.is_object()).map(|patch| Layer { json: &patch.json, places: &patch.places }));
        let operations: Vec<&Patch> = patches.into_iter().filter(|patch| patch.json.is_array()).collect();
        let finder = Finder { layers: &layers, operations: &operations, kustomizations: &self.kustomizations };
        let mut places = BTreeMap::new();
        finder.descend(&object.json, "", &vec![Some(String::new()); layers.len()], &mut places);
        object.places = places;
    }

    fn place_from_generator(&self, object: &mut Object, configured_in: &str, by: &str) {
        let file = files::normal(&self.rendered_in.join(configured_in));
        object.place = Place::of_file(self.naming.name(&file));
        let folder = file.parent().unwrap_or(Path::new("/"));
        let is_it = |kustomization: &&Kustomization| kustomization.folder.canonicalize().is_ok_and(|resolved| resolved == folder);
        let Some(kustomization) = self.kustomizations.iter().find(is_it) else { return };
        let field = if by.starts_with("Secret") { "secretGenerator" } else { "configMapGenerator" };
        let named = |entry: &Value| entry.get("name").and_then(Value::as_str).filter(|name| object.name().contains(name)).map(str::len);
        let Some((at, entry)) =
            kustomization.entries(field).filter(|(_, entry)| named(entry).is_some()).max_by_key(|(_, entry)| named(entry))
        else {
            return;
        };
        object.place = kustomization.place(&at);
        object.places.insert("/metadata/name".to_owned(), kustomization.place(&format!("{at}/name")));
        let strings = |key: &str| -> Vec<(usize, String)> {
            let list = entry.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            list.iter().enumerate().filter_map(|(index, word)| Some((index, word.as_str()?.to_owned()))).collect()
        };
        for (index, word) in strings("literals") {
            let key = word.split_once('=').map_or(word.as_str(), |(key, _)| key);
            object.places.insert(pointer::join("/data", key), kustomization.place(&format!("{at}/literals/{index}")));
        }
        for (_, word) in strings("files") {
            let (key, way) = word.split_once('=').unwrap_or((word.rsplit('/').next().unwrap_or(&word), &word));
            let path = files::normal(&folder.join(way));
            object.places.insert(pointer::join("/data", key), Place::of_file(self.naming.name(&path)));
        }
        let single = entry.get("env").and_then(Value::as_str).map(ToOwned::to_owned);
        for way in strings("envs").into_iter().map(|(_, word)| word).chain(single) {
            let path = files::normal(&folder.join(way));
            let text = files::read_text(&path).unwrap_or_default();
            for (line, number) in text.lines().zip(1..) {
                if let Some((key, _)) = line.split_once('=') {
                    let place = Place { line: number, column: 1, ..Place::of_file(self.naming.name(&path)) };
                    object.places.insert(pointer::join("/data", key.trim()), place);
                }
            }
        }
    }
}

/// The document that the object was made from: of the same kind and name, else of the most similar name.
fn closest<'d>(documents: &'d [Document], object: &Object) -> Option<&'d Document> {
    let name_of = |document: &Document| document.json.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let same_kind = || documents.iter().filter(|document| document.json.get("kind").and_then(Value::as_str) == Some(object.kind()));
    same_kind()
        .find(|document| name_of(document) == object.name())
        .or_else(|| {
            same_kind().filter(|document| object.name().contains(&name_of(document))).max_by_key(|document| name_of(document).len())
        })
        .or_else(|| same_kind().next())
}

struct Finder<'f> {
    layers: &'f [Layer<'f>],
    operations: &'f [&'f Patch],
    kustomizations: &'f [Kustomization],
}

impl Finder<'_> {
    fn descend(&self, value: &Value, at: &str, counterparts: &[Option<String>], places: &mut BTreeMap<String, Place>) {
        if !at.is_empty()
            && let Some(place) = self.find(value, at, counterparts)
        {
            places.insert(at.to_owned(), place);
        }
        match value {
            Value::Object(map) => {
                for (key, below) in map {
                    let next = self.each(counterparts, |_, pointer| Some(pointer::join(pointer, key)));
                    self.descend(below, &pointer::join(at, key), &next, places);
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    let next = self.each(counterparts, |layer, pointer| {
                        let others = layer.json.pointer(pointer)?.as_array()?;
                        same_item(item, index, others).map(|other| format!("{pointer}/{other}"))
                    });
                    self.descend(item, &format!("{at}/{index}"), &next, places);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn each(&self, counterparts: &[Option<String>], next: impl Fn(&Layer<'_>, &str) -> Option<String>) -> Vec<Option<String>> {
        let pairs = self.layers.iter().zip(counterparts);
        pairs.map(|(layer, pointer)| next(layer, pointer.as_ref()?).filter(|pointer| layer.json.pointer(pointer).is_some())).collect()
    }

    fn find(&self, value: &Value, at: &str, counterparts: &[Option<String>]) -> Option<Place> {
        let inner = value.is_object() || value.is_array();
        let mut written = self.layers.iter().zip(counterparts).filter_map(|(layer, pointer)| {
            let pointer = pointer.as_ref()?;
            let other = layer.json.pointer(pointer)?;
            let same = if inner { other.is_object() == value.is_object() } else { other == value };
            same.then(|| layer.places.get(pointer).cloned()).flatten()
        });
        written.next().or_else(|| self.by_operation(value, at)).or_else(|| self.by_transformer(value, at)).or_else(|| {
            let (source, pointer) = (self.layers.first()?, counterparts.first()?.as_ref()?);
            source.places.get(pointer).cloned()
        })
    }

    fn by_operation(&self, value: &Value, at: &str) -> Option<Place> {
        for patch in self.operations {
            for (index, operation) in patch.json.as_array()?.iter().enumerate() {
                let Some(path) = operation.get("path").and_then(Value::as_str) else { continue };
                let under = path.strip_suffix("/-").unwrap_or(path);
                let Some(rest) = at.strip_prefix(under).filter(|rest| rest.is_empty() || rest.starts_with('/')) else { continue };
                // An appended item has an index that the operation does not know.
                let rest = if under.len() < path.len() {
                    rest.get(1..).and_then(|rest| rest.find('/').map(|slash| &rest[slash..])).unwrap_or_default()
                } else {
                    rest
                };
                let pointer = format!("/value{rest}");
                if operation.pointer(&pointer) == Some(value) {
                    return patch.places.get(&format!("/{index}{pointer}")).cloned();
                }
            }
        }
        None
    }

    /// The field of a kustomization, outermost first, that could have written the value.
    fn by_transformer(&self, value: &Value, at: &str) -> Option<Place> {
        let (above, key) = at.rsplit_once('/')?;
        let text = value.as_str().unwrap_or_default();
        self.kustomizations.iter().find_map(|kustomization| {
            let has = |pointer: &str| kustomization.json.pointer(pointer).is_some().then(|| pointer.to_owned());
            let pointer = match key {
                "namespace" => has("/namespace"),
                "image" => kustomization.entries("images").find_map(|(at, entry)| {
                    let word = |key: &str| entry.get(key).and_then(Value::as_str);
                    let name = word("newName").or_else(|| word("name"))?;
                    let changed =
                        ["newTag", "digest", "newName"].into_iter().find(|key| word(key).is_some_and(|word| text.ends_with(word)))?;
                    text.starts_with(name).then(|| format!("{at}/{changed}"))
                }),
                "replicas" => kustomization.entries("replicas").find(|(_, entry)| entry.get("count") == Some(value)).map(|(at, _)| at),
                "name" if at == "/metadata/name" => has("/namePrefix").or_else(|| has("/nameSuffix")),
                key if above.ends_with("/annotations") => has(&format!("/commonAnnotations/{key}")),
                key if ["/labels", "/matchLabels", "/selector"].iter().any(|end| above.ends_with(end)) => {
                    has(&format!("/commonLabels/{key}"))
                        .or_else(|| kustomization.entries("labels").find_map(|(at, _)| has(&format!("{at}/pairs/{key}"))))
                }
                _ => None,
            }?;
            Some(kustomization.place(&pointer))
        })
    }
}

/// Which item of another list is the same one: by what identifies it in Kubernetes, else by its value, else by where it stands.
fn same_item(item: &Value, index: usize, others: &[Value]) -> Option<usize> {
    let identity = ["mountPath", "containerPort", "port", "name", "key", "topologyKey"].iter().find(|key| item.get(key).is_some());
    if let Some(key) = identity {
        return others.iter().position(|other| other.get(key) == item.get(key));
    }
    others
        .iter()
        .position(|other| other == item)
        .or_else(|| (index < others.len() && (item.is_object() || item.is_array())).then_some(index))
}
