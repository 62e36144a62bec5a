//! Secrets' bytes as text and back.

use k8s_openapi::ByteString;
use serde::Deserialize;
use serde_json::Value;

/// Bytes as base64.
pub(super) fn encode(bytes: &[u8]) -> String {
    match serde_json::to_value(ByteString(bytes.to_vec())) {
        Ok(Value::String(text)) => text,
        _ => String::new(),
    }
}

/// The bytes of a text in base64; `None` where it is none.
pub(super) fn decode(text: &Value) -> Option<Vec<u8>> {
    ByteString::deserialize(text).ok().map(|bytes| bytes.0)
}
