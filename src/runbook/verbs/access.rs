//! Fields of API objects as `kubectl` shows them, with its words for what is missing; reading is `manifest::json`.

use crate::manifest::json;
pub(super) use crate::manifest::json::{list, text, texts};
use serde_json::Value;
use std::collections::BTreeMap;

/// The number at a JSON pointer; 0 where there is none.
pub(super) fn number(object: &Value, pointer: &str) -> i64 {
    json::number(object, pointer).unwrap_or_default()
}

/// `metadata.name`.
pub(super) fn name(object: &Value) -> &str {
    text(object, "/metadata/name")
}

/// `metadata.namespace`.
pub(super) fn namespace(object: &Value) -> &str {
    text(object, "/metadata/namespace")
}

/// A text, or `<none>` where it is empty.
pub(super) fn or_none(text: &str) -> &str {
    if text.is_empty() { "<none>" } else { text }
}

/// `a=1,b=2`, or `<none>`.
pub(super) fn pairs(map: &BTreeMap<String, String>, separator: &str) -> String {
    match map.is_empty() {
        true => String::from("<none>"),
        false => map.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(separator),
    }
}
