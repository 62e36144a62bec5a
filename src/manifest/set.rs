//! What can be asked of a whole set.

use super::{ManifestError, ManifestSet, Object, ObjectKey, Place, yaml};
use serde_json::Value;
use std::{collections::BTreeMap, path::Path, sync::Arc};

impl ManifestSet {
    /// Reads a text as if it stood in a file of that name.
    ///
    /// # Errors
    /// [`ManifestError::NotYaml`] and [`ManifestError::NotAnObject`], with the place.
    pub fn parse(text: &str, file: impl AsRef<Path>) -> Result<Self, ManifestError> {
        let mut set = Self::default();
        set.read_in(text, file.as_ref())?;
        set.settle();
        Ok(set)
    }

    pub(super) fn read_in(&mut self, text: &str, file: &Path) -> Result<(), ManifestError> {
        let (documents, mut remarks) = yaml::read(text, &Arc::new(file.to_owned()))
            .map_err(|error| ManifestError::NotYaml { place: error.place, words: error.words })?;
        self.remarks.append(&mut remarks);
        self.take_in(documents)
    }

    /// The object with this key.
    #[must_use]
    pub fn get(&self, key: &ObjectKey) -> Option<&Object> {
        self.objects.iter().find(|object| object.key() == *key)
    }

    /// All objects of a kind.
    pub fn of_kind<'s>(&'s self, kind: &str) -> impl Iterator<Item = &'s Object> + use<'s> {
        let kind = kind.to_owned();
        self.objects.iter().filter(move |object| object.kind() == kind)
    }

    /// Adds an object that no file holds; what is said of it points to where the set begins.
    pub fn add(&mut self, json: Value) {
        let place = self.objects.first().map(|object| object.place.clone()).unwrap_or_default();
        self.objects.push(Object::made(json, place));
    }

    /// Each object's key with its hash (see [`Object::hash`]), for evidence.
    #[must_use]
    pub fn hashes(&self) -> BTreeMap<String, String> {
        self.objects.iter().map(|object| (object.key().to_string(), object.hash())).collect()
    }

    /// All objects as one YAML stream, for evidence; each is headed by the place that it came from.
    ///
    /// # Errors
    /// Where an object cannot be written as YAML, which no object that was read can bring about.
    pub fn to_yaml(&self) -> anyhow::Result<String> {
        let mut text = String::new();
        for object in &self.objects {
            let place = object.place.to_string().replace(['\n', '\r'], " ");
            text.push_str(&format!("---\n# {place}\n"));
            text.push_str(&serde_saphyr::to_string(&object.json)?);
            if !text.ends_with('\n') {
                text.push('\n');
            }
        }
        Ok(text)
    }

    /// Something odd but not fatal.
    pub(super) fn remark(&mut self, place: Place, words: impl Into<String>) {
        self.remarks.push((place, words.into()));
    }
}
