//! Deletes objects as the API server does: pods with grace, claims when no pod uses them, the rest at once.

use super::{
    clock,
    json::{self, list},
    pods,
    store::Store,
};
use serde_json::{Value, json};

/// Takes the object out, or marks it where something must happen first.
pub(super) fn delete(store: &Store, object: &Value, grace: Option<u64>) {
    let kind = object["kind"].as_str().unwrap_or_default();
    if kind == "Pod" {
        return pods::delete(store, object, grace);
    }
    if kind == "Namespace" || !list(object, "/metadata/finalizers").is_empty() {
        store.update_uid(&json::key(object), &object["metadata"]["uid"], |object| {
            if !json::has(object, "/metadata/deletionTimestamp") {
                object["metadata"]["deletionTimestamp"] = clock::now();
                if kind == "Namespace" {
                    object["status"] = json!({ "phase": "Terminating" });
                }
            }
        });
        return;
    }
    store.remove(&json::key(object));
}
