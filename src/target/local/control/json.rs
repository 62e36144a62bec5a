//! What the control plane does to objects as JSON: fields set, owners named, conditions kept; reading is `manifest::json`.

pub(super) use crate::manifest::json::{condition, controller, has, holds, labels, list, map, number, text, texts};
use crate::manifest::{ObjectKey, pointer::unescape};
use serde_json::{Map, Value, json};

/// The field `name` of an object, made an object where it is none.
pub(super) fn entry<'a>(object: &'a mut Value, name: &str) -> &'a mut Value {
    if !object.is_object() {
        *object = json!({});
    }
    &mut object[name]
}

/// The map inside `value`, made one where it is none.
pub(super) fn map_mut(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("made an object above"),
    }
}

/// Puts `value` at `pointer` where nothing stands there yet; parents are made.
pub(super) fn default(object: &mut Value, pointer: &str, value: Value) {
    if !has(object, pointer) {
        set(object, pointer, value);
    }
}

/// Puts `value` at `pointer`; parents are made.
pub(super) fn set(object: &mut Value, pointer: &str, value: Value) {
    let mut place = object;
    for name in pointer.split('/').skip(1) {
        let name = unescape(name);
        let index = place.as_array().and_then(|list| name.parse::<usize>().ok().filter(|index| *index < list.len()));
        place = match index {
            Some(index) => &mut place[index],
            None => entry(place, &name),
        };
    }
    *place = value;
}

/// What names the object.
pub(super) fn key(object: &Value) -> ObjectKey {
    ObjectKey {
        kind: text(object, "/kind").to_owned(),
        namespace: text(object, "/metadata/namespace").to_owned(),
        name: text(object, "/metadata/name").to_owned(),
    }
}

/// A key from its parts.
pub(super) fn key_of(kind: &str, namespace: &str, name: &str) -> ObjectKey {
    ObjectKey { kind: kind.to_owned(), namespace: namespace.to_owned(), name: name.to_owned() }
}

/// Whether `owner` controls `object`.
pub(super) fn is_controlled_by(object: &Value, owner: &Value) -> bool {
    controller(object).is_some_and(|reference| reference["uid"] == owner["metadata"]["uid"])
}

/// The reference by which `owner` controls what it makes.
pub(super) fn owner_reference(owner: &Value) -> Value {
    json!([{
        "apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true
    }])
}

/// Sets a condition; the transition time moves only with the status.
pub(super) fn set_condition(object: &mut Value, kind: &str, status: &str, reason: &str, message: &str) {
    let before = condition(object, kind).cloned();
    let since = match &before {
        Some(before) if before["status"] == status => before["lastTransitionTime"].clone(),
        _ => super::clock::now(),
    };
    let mut condition = json!({ "type": kind, "status": status, "lastTransitionTime": since });
    if !reason.is_empty() {
        condition["reason"] = reason.into();
    }
    if !message.is_empty() {
        condition["message"] = message.into();
    }
    let status = entry(object, "status");
    let conditions = entry(status, "conditions");
    if !conditions.is_array() {
        *conditions = json!([]);
    }
    if let Some(conditions) = conditions.as_array_mut() {
        match conditions.iter_mut().find(|condition| condition["type"] == kind) {
            Some(place) => *place = condition,
            None => conditions.push(condition),
        }
    }
}

/// Takes a condition away.
pub(super) fn clear_condition(object: &mut Value, kind: &str) {
    if let Some(conditions) = object.pointer_mut("/status/conditions").and_then(Value::as_array_mut) {
        conditions.retain(|condition| condition["type"] != kind);
    }
}
