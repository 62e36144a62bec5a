//! What can be asked of one object, and how a mutant changes it.

use super::{Object, ObjectKey, Place, pointer, strict};
use k8s_openapi::{
    api::{
        apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet},
        batch::v1::{CronJob, Job},
        core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret, Service},
        networking::v1::NetworkPolicy,
        policy::v1::PodDisruptionBudget,
    },
    serde::de::DeserializeOwned,
};
use serde_json::Value;
use sha2::{Digest, Sha256};

macro_rules! typed {
    ($($method:ident $kind:ident,)*) => {$(
        #[doc = concat!("The object as a `", stringify!($kind), "`; `None` where it is of another kind, or has a field of the wrong type.")]
        #[must_use]
        pub fn $method(&self) -> Option<$kind> {
            self.typed(stringify!($kind))
        }
    )*};
}

impl Object {
    typed! {
        config_map ConfigMap,
        cron_job CronJob,
        daemon_set DaemonSet,
        deployment Deployment,
        job Job,
        network_policy NetworkPolicy,
        persistent_volume_claim PersistentVolumeClaim,
        pod Pod,
        pod_disruption_budget PodDisruptionBudget,
        replica_set ReplicaSet,
        secret Secret,
        service Service,
        stateful_set StatefulSet,
    }

    fn typed<T: DeserializeOwned>(&self, kind: &str) -> Option<T> {
        (self.kind() == kind).then(|| strict::decode(&self.json).0.ok()).flatten()
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

    /// Puts a value at a pointer, making what is missing above it; whether anything changed.
    pub fn set(&mut self, pointer: &str, value: Value) -> bool {
        pointer::set(&mut self.json, pointer, value)
    }

    /// Takes a field or a list's item away; whether it was there.
    pub fn remove(&mut self, pointer: &str) -> bool {
        let Some(_) = pointer::remove(&mut self.json, pointer) else { return false };
        self.forget_places(pointer);
        true
    }

    /// Gives a map's key another name, keeping its value; whether anything changed.
    pub fn rename(&mut self, pointer: &str, name: &str) -> bool {
        let Some(above) = pointer::parent(pointer) else { return false };
        let renamed = pointer::join(above, name);
        if renamed == pointer || !self.at(above).is_some_and(Value::is_object) || self.at(&renamed).is_some() {
            return false;
        }
        let Some(value) = pointer::remove(&mut self.json, pointer) else { return false };
        let place = self.place_of(pointer);
        let changed = pointer::set(&mut self.json, &renamed, value);
        self.places.insert(renamed, place);
        changed
    }

    /// After an item is gone those behind it move up, and so do their places.
    fn forget_places(&mut self, pointer: &str) {
        let (above, token) = pointer.rsplit_once('/').unwrap_or_default();
        let gone = token.parse::<usize>().ok().filter(|_| self.at(above).is_some_and(Value::is_array));
        let under = format!("{above}/");
        let below = format!("{pointer}/");
        let places = std::mem::take(&mut self.places).into_iter().filter(|(at, _)| at != pointer && !at.starts_with(&below));
        self.places = places.map(|(at, place)| (gone.and_then(|gone| moved_up(&at, &under, gone)).unwrap_or(at), place)).collect();
    }

    /// SHA-256, in hexadecimal, of the object with its keys sorted: equal for equal objects however they were written.
    #[must_use]
    pub fn hash(&self) -> String {
        let mut canonical = self.json.clone();
        canonical.sort_all_objects();
        Sha256::digest(canonical.to_string()).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The pointer after the item `gone` of the list `under` is away; `None` where it stays as it is.
fn moved_up(at: &str, under: &str, gone: usize) -> Option<String> {
    let (token, rest) = at.strip_prefix(under).map(|below| below.split_at(below.find('/').unwrap_or(below.len())))?;
    let index = token.parse::<usize>().ok().filter(|index| *index > gone)?;
    Some(format!("{under}{}{rest}", index - 1))
}

#[cfg(test)]
mod tests {
    use crate::manifest::ManifestSet;
    use serde_json::json;

    const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\nspec:\n  containers:\n  - name: first\n    image: redis\n  - name: second\n    image: busybox\n";

    #[test]
    fn a_field_that_is_not_written_is_placed_on_what_is_above_it() {
        let set = ManifestSet::parse(POD, "pod.yaml").unwrap();
        let pod = &set.objects[0];
        assert_eq!(pod.place_of("/spec/containers/1/resources/limits").to_string(), "pod.yaml:9:5");
        assert_eq!(pod.place_of("/status").to_string(), "pod.yaml:1:1");
    }

    #[test]
    fn places_move_up_with_the_items_behind_a_removed_one() {
        let mut pod = ManifestSet::parse(POD, "pod.yaml").unwrap().objects.remove(0);
        assert!(pod.remove("/spec/containers/0"));
        assert!(!pod.remove("/spec/containers/5"));
        assert_eq!(pod.str_at("/spec/containers/0/name"), Some("second"));
        assert_eq!(pod.place_of("/spec/containers/0/image").to_string(), "pod.yaml:10:5");
    }

    #[test]
    fn a_renamed_key_keeps_its_value_and_place() {
        let mut pod = ManifestSet::parse(POD, "pod.yaml").unwrap().objects.remove(0);
        assert!(pod.rename("/spec/containers/0/image", "imag"));
        assert_eq!(pod.at("/spec/containers/0/imag"), Some(&json!("redis")));
        assert_eq!(pod.place_of("/spec/containers/0/imag").to_string(), "pod.yaml:8:5");
        assert!(!pod.rename("/spec/containers/0/none", "x"));
    }

    #[test]
    fn equal_objects_have_equal_hashes_however_they_are_written() {
        let hash = |text: &str| ManifestSet::parse(text, "a.yaml").unwrap().objects[0].hash();
        assert_eq!(hash("{kind: A, apiVersion: b/v1, metadata: {name: x}}"), hash("apiVersion: b/v1\nmetadata: {name: x}\nkind: A\n"));
        assert_ne!(hash("{kind: A, apiVersion: b/v1, metadata: {name: x}}"), hash("{kind: A, apiVersion: b/v1, metadata: {name: y}}"));
    }

    #[test]
    fn an_object_is_typed_by_its_kind() {
        let set = ManifestSet::parse(POD, "pod.yaml").unwrap();
        assert_eq!(set.objects[0].pod().unwrap().spec.unwrap().containers[1].name, "second");
        assert!(set.objects[0].deployment().is_none());
    }
}
