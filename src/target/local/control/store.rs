//! The objects of one cluster as an API server keeps them: versions, UIDs, generations and a counter that wakes whoever waits.

use super::{
    clock,
    json::{self, entry},
    random,
};
use crate::manifest::ObjectKey;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::watch;

/// Why the API server does not do it; `Display` is what it would answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// An object of that name is there.
    #[error("{} {:?} already exists", .0.kind.to_lowercase(), .0.name)]
    AlreadyExists(ObjectKey),
    /// There is none of that name.
    #[error("{} {:?} not found", .0.kind.to_lowercase(), .0.name)]
    NotFound(ObjectKey),
    /// A field's value cannot be.
    #[error("{0}")]
    Invalid(String),
    /// Admission does not let it in.
    #[error("{0}")]
    Forbidden(String),
}

/// One cluster's objects.
pub(super) struct Store {
    inner: Mutex<Inner>,
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct Inner {
    objects: BTreeMap<ObjectKey, Arc<Value>>,
    version: u64,
}

impl Store {
    /// An empty one.
    pub(super) fn new() -> Self {
        Self { inner: Mutex::default(), changes: watch::channel(0).0 }
    }

    /// Moves with every change.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Wakes whoever waits though no object changed: time came, or a node's state.
    pub(super) fn nudge(&self) {
        self.changes.send_modify(|_| {});
    }

    /// The object, if it is there.
    pub(super) fn get(&self, key: &ObjectKey) -> Option<Arc<Value>> {
        self.lock().objects.get(key).cloned()
    }

    /// All of a kind, in one namespace or in all, by name.
    pub(super) fn list(&self, kind: &str, namespace: Option<&str>) -> Vec<Arc<Value>> {
        let first = json::key_of(kind, namespace.unwrap_or_default(), "");
        let inner = self.lock();
        let objects = inner.objects.range(first..);
        let of_kind = objects.take_while(|(key, _)| key.kind == kind && namespace.is_none_or(|namespace| key.namespace == namespace));
        of_kind.map(|(_, object)| object.clone()).collect()
    }

    /// Every object.
    pub(super) fn all(&self) -> Vec<Arc<Value>> {
        self.lock().objects.values().cloned().collect()
    }

    /// Puts a new object in: it gets its UID, version and time.
    pub(super) fn create(&self, mut object: Value) -> Result<Arc<Value>, Refusal> {
        let key = json::key(&object);
        let mut inner = self.lock();
        if inner.objects.contains_key(&key) {
            return Err(Refusal::AlreadyExists(key));
        }
        let metadata = entry(&mut object, "metadata");
        metadata["uid"] = random::uid().into();
        metadata["creationTimestamp"] = clock::now();
        if object.get("spec").is_some() {
            object["metadata"]["generation"] = json!(1);
        }
        Ok(self.put(&mut inner, key, object))
    }

    /// Changes an object; without a difference nothing is written and nobody wakes. `None` where it is gone.
    pub(super) fn update(&self, key: &ObjectKey, change: impl FnOnce(&mut Value)) -> Option<Arc<Value>> {
        let mut inner = self.lock();
        let before = inner.objects.get(key)?.clone();
        let mut object = Value::clone(&before);
        change(&mut object);
        if object == *before {
            return Some(before);
        }
        if object["spec"] != before["spec"] && json::has(&before, "/metadata/generation") {
            object["metadata"]["generation"] = json!(json::number(&before, "/metadata/generation").unwrap_or(0) + 1);
        }
        Some(self.put(&mut inner, key.clone(), object))
    }

    /// As [`Store::update`], but only of the very object with that UID.
    pub(super) fn update_uid(&self, key: &ObjectKey, uid: &Value, change: impl FnOnce(&mut Value)) -> Option<Arc<Value>> {
        if self.get(key)?["metadata"]["uid"] != *uid {
            return None;
        }
        self.update(key, |object| {
            if object["metadata"]["uid"] == *uid {
                change(object);
            }
        })
    }

    /// Takes an object out.
    pub(super) fn remove(&self, key: &ObjectKey) -> Option<Arc<Value>> {
        let mut inner = self.lock();
        let removed = inner.objects.remove(key)?;
        inner.version += 1;
        let version = inner.version;
        self.changes.send_replace(version);
        Some(removed)
    }

    fn put(&self, inner: &mut Inner, key: ObjectKey, mut object: Value) -> Arc<Value> {
        inner.version += 1;
        object["metadata"]["resourceVersion"] = inner.version.to_string().into();
        let object = Arc::new(object);
        inner.objects.insert(key, object.clone());
        self.changes.send_replace(inner.version);
        object
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str) -> Value {
        json!({ "kind": "Pod", "metadata": { "namespace": "n", "name": name }, "spec": { "a": 1 } })
    }

    #[test]
    fn a_write_without_a_difference_wakes_nobody() {
        let store = Store::new();
        let created = store.create(pod("a")).expect("new");
        let mut changes = store.changes();
        store.update(&json::key(&created), |pod| pod["spec"]["a"] = json!(1));
        assert!(!changes.has_changed().expect("store lives"));
        store.update(&json::key(&created), |pod| pod["status"] = json!({}));
        assert!(changes.has_changed().expect("store lives"));
        changes.mark_unchanged();
    }

    #[test]
    fn the_generation_counts_changes_of_the_spec_alone() {
        let store = Store::new();
        let key = json::key(&store.create(pod("a")).expect("new"));
        store.update(&key, |pod| pod["status"] = json!({ "x": 1 }));
        let after = store.update(&key, |pod| pod["spec"]["a"] = json!(2)).expect("there");
        assert_eq!(after["metadata"]["generation"], 2);
    }

    #[test]
    fn a_second_object_of_the_same_name_is_refused() {
        let store = Store::new();
        store.create(pod("a")).expect("new");
        assert_eq!(store.create(pod("a")).expect_err("second").to_string(), "pod \"a\" already exists");
    }

    #[test]
    fn a_list_has_one_kind_and_one_namespace() {
        let store = Store::new();
        store.create(pod("b")).expect("new");
        store.create(pod("a")).expect("new");
        store.create(json!({ "kind": "Pod", "metadata": { "namespace": "m", "name": "c" } })).expect("new");
        store.create(json!({ "kind": "Podx", "metadata": { "namespace": "n", "name": "c" } })).expect("new");
        let names =
            |namespace| store.list("Pod", namespace).iter().map(|pod| json::text(pod, "/metadata/name").to_owned()).collect::<String>();
        assert_eq!((names(Some("n")), names(None)), ("ab".to_owned(), "cab".to_owned()));
    }
}
