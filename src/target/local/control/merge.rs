//! How a new manifest, or a patch, changes what is there.

use serde_json::{Map, Value};

/// By which fields the entries of a list are told apart; other lists are replaced as a whole.
const KEYS: &[(&str, &[&str])] = &[
    ("containers", &["name"]),
    ("initContainers", &["name"]),
    ("ephemeralContainers", &["name"]),
    ("env", &["name"]),
    ("volumes", &["name"]),
    ("volumeMounts", &["mountPath"]),
    ("volumeDevices", &["devicePath"]),
    ("imagePullSecrets", &["name"]),
    ("ports", &["port", "protocol"]),
    ("ports", &["containerPort", "protocol"]),
    ("topologySpreadConstraints", &["topologyKey", "whenUnsatisfiable"]),
    ("hostAliases", &["ip"]),
    ("taints", &["key", "effect"]),
    ("secrets", &["name"]),
    ("ownerReferences", &["uid"]),
    ("conditions", &["type"]),
];

/// Server-side apply by one manager: what it no longer says goes, what it says comes, what others added stays.
pub(super) fn apply(live: &Value, before: &Value, now: &Value) -> Value {
    node("", Some(live), Some(before), now)
}

fn node(name: &str, live: Option<&Value>, before: Option<&Value>, now: &Value) -> Value {
    match now {
        Value::Object(now) => {
            let empty = Map::new();
            let live = live.and_then(Value::as_object).unwrap_or(&empty);
            let before = before.and_then(Value::as_object);
            let mut merged = live.clone();
            merged.retain(|field, _| now.contains_key(field) || before.is_none_or(|before| !before.contains_key(field)));
            for (field, value) in now {
                merged.insert(field.clone(), node(field, live.get(field), before.and_then(|before| before.get(field)), value));
            }
            Value::Object(merged)
        }
        Value::Array(now) => entries(name, live.and_then(Value::as_array), before.and_then(Value::as_array), now),
        other => other.clone(),
    }
}

fn entries(name: &str, live: Option<&Vec<Value>>, before: Option<&Vec<Value>>, now: &[Value]) -> Value {
    let Some(keys) =
        KEYS.iter().find(|(list, keys)| *list == name && now.iter().all(|entry| entry.get(keys[0]).is_some())).map(|(_, keys)| *keys)
    else {
        return Value::Array(now.to_vec());
    };
    let same = |one: &Value, other: &Value| keys.iter().all(|key| field(one, key) == field(other, key));
    let find = |list: Option<&Vec<Value>>, entry: &Value| list.and_then(|list| list.iter().find(|other| same(other, entry)).cloned());
    let mut merged: Vec<Value> =
        now.iter().map(|entry| node("", find(live, entry).as_ref(), find(before, entry).as_ref(), entry)).collect();
    for entry in live.into_iter().flatten() {
        // What somebody else put there stays.
        if !now.iter().any(|other| same(other, entry)) && find(before, entry).is_none() {
            merged.push(entry.clone());
        }
    }
    Value::Array(merged)
}

fn field(entry: &Value, key: &str) -> Option<String> {
    match entry.get(key) {
        Some(value) => Some(value.to_string()),
        None if key == "protocol" => Some("\"TCP\"".to_owned()),
        None => None,
    }
}

/// A JSON merge patch (RFC 7396).
pub(super) fn patch(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    for (field, value) in patch {
        let map = super::json::map_mut(target);
        if value.is_null() {
            map.shift_remove(field);
        } else {
            self::patch(map.entry(field.clone()).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    #[rstest]
    #[case::dropped_field_goes(json!({ "a": 1, "b": 2 }), json!({ "a": 1, "b": 2 }), json!({ "a": 1 }), json!({ "a": 1 }))]
    #[case::default_stays(json!({ "a": 1, "filled": 2 }), json!({ "a": 1 }), json!({ "a": 3 }), json!({ "a": 3, "filled": 2 }))]
    #[case::keyed_list(
        json!({ "containers": [{ "name": "a", "image": "x", "filled": 1 }, { "name": "b" }] }),
        json!({ "containers": [{ "name": "a", "image": "x" }, { "name": "b" }] }),
        json!({ "containers": [{ "name": "a", "image": "y" }] }),
        json!({ "containers": [{ "name": "a", "image": "y", "filled": 1 }] }))]
    #[case::ports(
        json!({ "ports": [{ "port": 1, "protocol": "TCP", "nodePort": 3 }, { "port": 2, "protocol": "TCP" }] }),
        json!({ "ports": [{ "port": 1 }, { "port": 2 }] }),
        json!({ "ports": [{ "port": 1 }] }),
        json!({ "ports": [{ "port": 1, "protocol": "TCP", "nodePort": 3 }] }))]
    #[case::plain_list(json!({ "args": ["a", "b"] }), json!({ "args": ["a", "b"] }), json!({ "args": ["c"] }), json!({ "args": ["c"] }))]
    fn an_apply_changes_what_its_manager_said(#[case] live: Value, #[case] before: Value, #[case] now: Value, #[case] expected: Value) {
        assert_eq!(apply(&live, &before, &now), expected);
    }

    #[test]
    fn a_patch_with_null_takes_away() {
        let mut target = json!({ "a": { "b": 1, "c": 2 } });
        patch(&mut target, &json!({ "a": { "b": null, "d": [1] } }));
        assert_eq!(target, json!({ "a": { "c": 2, "d": [1] } }));
    }
}
