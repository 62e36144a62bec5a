//! What differs between two sets, field by field.

use super::{ManifestSet, ObjectKey, pointer};
use serde_json::Value;
use std::{collections::BTreeSet, fmt};

/// A field that one set has otherwise than the other.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The object.
    pub key: ObjectKey,
    /// The field; empty for a whole object.
    pub pointer: String,
    /// In the first set.
    pub before: Option<Value>,
    /// In the second.
    pub after: Option<Value>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |value: &Option<Value>| value.as_ref().map_or_else(|| "nothing".to_owned(), Value::to_string);
        match self.pointer.as_str() {
            "" if self.before.is_none() => write!(f, "{} is added", self.key),
            "" => write!(f, "{} is left out", self.key),
            field => write!(f, "{field} of {} from {} to {}", self.key, show(&self.before), show(&self.after)),
        }
    }
}

impl ManifestSet {
    /// Every field in which `other` differs.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<Difference> {
        let keys: BTreeSet<ObjectKey> = self.objects.iter().chain(&other.objects).map(super::Object::key).collect();
        let mut found = Vec::new();
        for key in keys {
            match (self.get(&key), other.get(&key)) {
                (Some(before), Some(after)) => compare(&key, "", Some(&before.json), Some(&after.json), &mut found),
                (before, after) => found.push(Difference {
                    pointer: String::new(),
                    before: before.map(|object| object.json.clone()),
                    after: after.map(|object| object.json.clone()),
                    key,
                }),
            }
        }
        found
    }
}

fn compare(key: &ObjectKey, at: &str, before: Option<&Value>, after: Option<&Value>, found: &mut Vec<Difference>) {
    match (before, after) {
        (Some(before), Some(after)) if before == after => {}
        (Some(Value::Object(before)), Some(Value::Object(after))) => {
            let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
            for name in names {
                compare(key, &pointer::join(at, name), before.get(name), after.get(name), found);
            }
        }
        (Some(Value::Array(before)), Some(Value::Array(after))) if before.len() == after.len() => {
            for (index, (before, after)) in before.iter().zip(after).enumerate() {
                compare(key, &format!("{at}/{index}"), Some(before), Some(after), found);
            }
        }
        (before, after) => {
            found.push(Difference { key: key.clone(), pointer: at.to_owned(), before: before.cloned(), after: after.cloned() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> ManifestSet {
        ManifestSet::parse(text, "set.yaml").expect("a set")
    }

    #[test]
    fn a_new_field_and_a_missing_object_are_named() {
        let before = set(
            "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: c, namespace: ns}\nspec: {accessModes: [ReadWriteOnce]}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: m, namespace: ns}\n",
        );
        let after = set(
            "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: c, namespace: ns}\nspec: {accessModes: [ReadWriteOnce], storageClassName: fast}\n",
        );
        let told: Vec<String> = before.differences(&after).iter().map(ToString::to_string).collect();
        assert_eq!(told, ["ConfigMap ns/m is left out", "/spec/storageClassName of PersistentVolumeClaim ns/c from nothing to \"fast\""]);
        assert!(before.differences(&before).is_empty());
    }
}
