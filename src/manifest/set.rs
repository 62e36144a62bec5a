//! What can be asked of a whole set, and how a mutant changes it.

use super::{ManifestError, ManifestSet, Object, ObjectKey, Place, yaml};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

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

    /// The object of a kind with a name, in whatever namespace; the first of several.
    #[must_use]
    pub fn find(&self, kind: &str, name: &str) -> Option<&Object> {
        self.of_kind(kind).find(|object| object.name() == name)
    }

    /// The object with this key.
    #[must_use]
    pub fn get(&self, key: &ObjectKey) -> Option<&Object> {
        self.objects.iter().find(|object| object.key() == *key)
    }

    /// The same, to change it.
    #[must_use]
    pub fn get_mut(&mut self, key: &ObjectKey) -> Option<&mut Object> {
        self.objects.iter_mut().find(|object| object.key() == *key)
    }

    /// All objects of a kind.
    pub fn of_kind<'s>(&'s self, kind: &str) -> impl Iterator<Item = &'s Object> + use<'s> {
        let kind = kind.to_owned();
        self.objects.iter().filter(move |object| object.kind() == kind)
    }

    /// Every namespace that an object lives in, or that the set makes.
    #[must_use]
    pub fn namespaces(&self) -> BTreeSet<String> {
        let made = self.of_kind("Namespace").map(Object::name);
        self.objects.iter().map(Object::namespace).chain(made).filter(|name| !name.is_empty()).map(ToOwned::to_owned).collect()
    }

    /// Takes an object away; whether it was there.
    pub fn remove(&mut self, key: &ObjectKey) -> bool {
        let before = self.objects.len();
        self.objects.retain(|object| object.key() != *key);
        self.objects.len() < before
    }

    /// Adds the objects of a YAML text, replacing those with the same key.
    ///
    /// # Errors
    /// As [`ManifestSet::parse`]; the set is then as before.
    pub fn add(&mut self, text: &str) -> Result<(), ManifestError> {
        let added = Self::parse(text, "(added)")?;
        for object in added.objects {
            let key = object.key();
            match self.get_mut(&key) {
                Some(old) => *old = object,
                None => self.objects.push(object),
            }
        }
        Ok(())
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
