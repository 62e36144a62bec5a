//! Short ways to fields of API objects, for whoever holds one as JSON; it changes nothing.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};
use std::{collections::BTreeMap, sync::LazyLock};

static NOTHING: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);

/// The text at a JSON pointer; empty where there is none.
#[must_use]
pub fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The whole number at a JSON pointer.
#[must_use]
pub fn number(object: &Value, pointer: &str) -> Option<i64> {
    object.pointer(pointer).and_then(Value::as_i64)
}

/// The list at a JSON pointer; empty where there is none.
#[must_use]
pub fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The map at a JSON pointer; empty where there is none.
#[must_use]
pub fn map<'a>(object: &'a Value, pointer: &str) -> &'a Map<String, Value> {
    object.pointer(pointer).and_then(Value::as_object).unwrap_or(&NOTHING)
}

/// The map of texts at a JSON pointer, sorted: labels, selectors.
#[must_use]
pub fn texts(object: &Value, pointer: &str) -> BTreeMap<String, String> {
    map(object, pointer).iter().filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

/// The labels of an object.
#[must_use]
pub fn labels(object: &Value) -> &Map<String, Value> {
    map(object, "/metadata/labels")
}

/// The owner that controls the object.
#[must_use]
pub fn controller(object: &Value) -> Option<&Value> {
    list(object, "/metadata/ownerReferences").iter().find(|owner| owner["controller"] == true)
}

/// The condition of that type.
#[must_use]
pub fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    list(object, "/status/conditions").iter().find(|condition| condition["type"] == kind)
}

/// Whether a condition is `True`.
#[must_use]
pub fn holds(object: &Value, kind: &str) -> bool {
    condition(object, kind).is_some_and(|condition| condition["status"] == "True")
}

/// The bytes that a field has as base64, as a Secret's `data` does; `None` where it is no base64.
#[must_use]
pub fn bytes(field: &Value) -> Option<Vec<u8>> {
    STANDARD.decode(field.as_str()?).ok()
}

/// Whether a field is there and not null.
#[must_use]
pub fn has(object: &Value, pointer: &str) -> bool {
    object.pointer(pointer).is_some_and(|value| !value.is_null())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_not_there_is_empty() {
        let object = json!({ "metadata": { "name": "a", "labels": null } });
        assert_eq!((text(&object, "/metadata/name"), text(&object, "/metadata")), ("a", ""));
        assert!(list(&object, "/spec/containers").is_empty() && labels(&object).is_empty());
        assert!(!has(&object, "/metadata/labels") && has(&object, "/metadata/name"));
        assert_eq!(number(&object, "/metadata/name"), None);
    }

    #[test]
    fn what_is_no_base64_has_no_bytes() {
        assert_eq!(bytes(&json!("c2VjcmV0")).as_deref(), Some(b"secret".as_slice()));
        assert_eq!(bytes(&json!("c2Vj cmV0")), None);
    }
}
