//! What can be asked of one object.

use super::{Object, ObjectKey, Place, pointer};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

impl Object {
    /// An object that no file holds; what is said of it points to `place`.
    #[must_use]
    pub fn made(json: Value, place: Place) -> Self {
        Self { json, places: BTreeMap::new(), place }
    }

    /// What names it in a cluster.
    #[must_use]
    pub fn key(&self) -> ObjectKey {
        ObjectKey { kind: self.kind().to_owned(), namespace: self.namespace().to_owned(), name: self.name().to_owned() }
    }

    /// `Deployment`; empty where it has none.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.str_at("/kind").unwrap_or_default()
    }

    /// `apps/v1`; empty where it has none.
    #[must_use]
    pub fn api_version(&self) -> &str {
        self.str_at("/apiVersion").unwrap_or_default()
    }

    /// `apps`; empty for the core group.
    #[must_use]
    pub fn group(&self) -> &str {
        self.api_version().split_once('/').map_or("", |(group, _)| group)
    }

    /// `metadata.name`; empty where it has none.
    #[must_use]
    pub fn name(&self) -> &str {
        self.str_at("/metadata/name").unwrap_or_default()
    }

    /// `metadata.namespace`; empty where it has none.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.str_at("/metadata/namespace").unwrap_or_default()
    }

    /// The value at a JSON pointer.
    #[must_use]
    pub fn at(&self, pointer: &str) -> Option<&Value> {
        self.json.pointer(pointer)
    }

    /// The string at a JSON pointer.
    #[must_use]
    pub fn str_at(&self, pointer: &str) -> Option<&str> {
        self.at(pointer).and_then(Value::as_str)
    }

    /// The items of the list at a JSON pointer, each with its own pointer; none where there is no list.
    pub fn items_at<'o>(&'o self, pointer: &str) -> impl Iterator<Item = (String, &'o Value)> + use<'o> {
        let above = pointer.to_owned();
        let items = self.at(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        items.iter().enumerate().map(move |(index, item)| (format!("{above}/{index}"), item))
    }

    /// Where a field stands; for a field that is not written, the nearest one above it that is.
    #[must_use]
    pub fn place_of(&self, pointer: &str) -> Place {
        let mut here = Some(pointer);
        while let Some(pointer) = here {
            if let Some(place) = self.places.get(pointer) {
                return place.clone();
            }
            here = pointer::parent(pointer);
        }
        self.place.clone()
    }

    /// SHA-256, in hexadecimal, of the object with its keys sorted: equal for equal objects however they were written.
    #[must_use]
    pub fn hash(&self) -> String {
        let mut canonical = self.json.clone();
        canonical.sort_all_objects();
        Sha256::digest(canonical.to_string()).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::manifest::ManifestSet;

    const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\nspec:\n  containers:\n  - name: first\n    image: redis\n  - name: second\n    image: busybox\n";

    #[test]
    fn a_field_that_is_not_written_is_placed_on_what_is_above_it() {
        let set = ManifestSet::parse(POD, "pod.yaml").unwrap();
        let pod = &set.objects[0];
        assert_eq!(pod.place_of("/spec/containers/1/resources/limits").to_string(), "pod.yaml:9:5");
        assert_eq!(pod.place_of("/status").to_string(), "pod.yaml:1:1");
    }

    #[test]
    fn equal_objects_have_equal_hashes_however_they_are_written() {
        let hash = |text: &str| ManifestSet::parse(text, "a.yaml").unwrap().objects[0].hash();
        assert_eq!(hash("{kind: A, apiVersion: b/v1, metadata: {name: x}}"), hash("apiVersion: b/v1\nmetadata: {name: x}\nkind: A\n"));
        assert_ne!(hash("{kind: A, apiVersion: b/v1, metadata: {name: x}}"), hash("{kind: A, apiVersion: b/v1, metadata: {name: y}}"));
    }
}
