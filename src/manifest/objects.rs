//! Turns documents into objects as the API server would see them: lists opened, namespaces filled in, the last of two equals kept.

use super::{ManifestError, ManifestSet, Object, Place, kinds, pointer, yaml::Document};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// An API server reads over line breaks in a Secret's base64, which a block scalar brings along, and keeps none of them. Done here, so that
/// whoever decodes a Secret, or has to know its text again, meets only the one form.
fn as_stored(mut json: Value) -> Value {
    if json["kind"] == "Secret"
        && let Some(Value::Object(data)) = json.get_mut("data")
    {
        for value in data.values_mut() {
            if let Value::String(text) = value {
                text.retain(|letter| !matches!(letter, '\r' | '\n'));
            }
        }
    }
    json
}

impl ManifestSet {
    /// Takes in what one file holds. What is no object of Kubernetes is remarked upon and left out.
    pub(super) fn take_in(&mut self, documents: Vec<Document>) -> Result<(), ManifestError> {
        for document in documents {
            self.take_document(document)?;
        }
        Ok(())
    }

    fn take_document(&mut self, document: Document) -> Result<(), ManifestError> {
        let Document { json, places, place } = document;
        let text = |key: &str| json.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (version, kind) = (text("apiVersion"), text("kind"));
        let items = json.get("items").and_then(Value::as_array).filter(|_| kind.ends_with("List"));
        if let Some(items) = items {
            let of = kind.trim_end_matches("List");
            for (index, item) in items.iter().enumerate() {
                let above = format!("/items/{index}");
                let mut item = item.clone();
                if let (Value::Object(map), false) = (&mut item, of.is_empty()) {
                    map.entry("apiVersion").or_insert_with(|| json!(version));
                    map.entry("kind").or_insert_with(|| json!(of));
                }
                let place = places.get(&above).unwrap_or(&place).clone();
                let below = format!("{above}/");
                let inner = places
                    .range(below.clone()..)
                    .take_while(|(pointer, _)| pointer.starts_with(&below))
                    .map(|(pointer, place)| (pointer[above.len()..].to_owned(), place.clone()))
                    .collect();
                self.take_document(Document { json: item, places: inner, place })?;
            }
            return Ok(());
        }
        let is_chart = place.file.file_name().is_some_and(|name| name == "Chart.yaml");
        let words = match (json.is_object(), version.is_empty(), kind.is_empty()) {
            (false, ..) | (_, true, true) => "no object of Kubernetes (it has neither apiVersion nor kind): left out",
            (_, false, true) if is_chart => "a Helm chart's description: left out",
            (_, true, false) => return Err(ManifestError::NotAnObject { place, words: format!("{kind}: apiVersion not set") }),
            (_, false, true) => return Err(ManifestError::NotAnObject { place, words: "kind not set".to_owned() }),
            _ if json.get("metadata").is_none() && !is_built_in(&version) => "a tool's configuration (it has no metadata): left out",
            _ => {
                self.objects.push(Object { json: as_stored(json), places, place });
                return Ok(());
            }
        };
        self.remarks.push((place, words.to_owned()));
        Ok(())
    }

    /// Gives each object the namespace that apply would give it, and keeps the last of two with the same key.
    pub(super) fn settle(&mut self) {
        let defined: BTreeSet<String> = self
            .objects
            .iter()
            .filter(|object| object.kind() == "CustomResourceDefinition" && object.str_at("/spec/scope") == Some("Cluster"))
            .filter_map(|object| object.str_at("/spec/names/kind").map(ToOwned::to_owned))
            .collect();
        for object in &mut self.objects {
            let cluster_scoped = kinds::is_cluster_scoped(object.kind()) || defined.contains(object.kind());
            let given = object.str_at("/metadata/namespace").is_some_and(|namespace| !namespace.is_empty());
            if cluster_scoped && object.at("/metadata/namespace").is_some() {
                let place = object.place_of("/metadata/namespace");
                self.remarks.push((place, format!("a {} has no namespace: the field is ignored", object.kind())));
                pointer::remove(&mut object.json, "/metadata/namespace");
            } else if !cluster_scoped && !given {
                pointer::set(&mut object.json, "/metadata/namespace", json!("default"));
            }
        }
        self.keep_the_last();
    }

    fn keep_the_last(&mut self) {
        let mut last = BTreeMap::new();
        for (index, object) in self.objects.iter().enumerate() {
            last.insert((object.group().to_owned(), object.key()), index);
        }
        let mut lost: Vec<(Place, String)> = Vec::new();
        let objects = std::mem::take(&mut self.objects);
        let places: Vec<Place> = objects.iter().map(|object| object.place.clone()).collect();
        for (index, object) in objects.into_iter().enumerate() {
            let key = object.key();
            match last.get(&(object.group().to_owned(), key.clone())) {
                Some(&kept) if kept != index && !key.name.is_empty() => {
                    lost.push((object.place, format!("{key} stands again at {}: the last one wins, as with kubectl apply", places[kept])));
                }
                _ => self.objects.push(object),
            }
        }
        self.remarks.append(&mut lost);
    }
}

/// Groups of the API server itself: an object of theirs without metadata is a mistake and not another tool's file.
fn is_built_in(api_version: &str) -> bool {
    match api_version.split_once('/') {
        None => true,
        Some((group, _)) => ["apps", "batch", "policy", "autoscaling"].contains(&group) || group.ends_with(".k8s.io"),
    }
}
