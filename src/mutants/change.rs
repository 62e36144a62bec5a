//! Small typed changes to rendered objects, found by role; each says whether it found something to change.

use crate::manifest::ManifestSet;
use serde_json::{Value, json};

/// The first object of the kind and name.
pub(super) fn object<'set>(set: &'set mut ManifestSet, kind: &str, name: &str) -> Option<&'set mut Value> {
    set.objects.iter_mut().map(|object| &mut object.json).find(|json| json["kind"] == kind && json["metadata"]["name"] == name)
}

/// Takes an object out.
pub(super) fn without(set: &mut ManifestSet, kind: &str, name: &str) -> bool {
    let before = set.objects.len();
    set.objects.retain(|object| object.json["kind"] != kind || object.json["metadata"]["name"] != name);
    set.objects.len() < before
}

/// Adds an object where no file has one.
pub(super) fn with(set: &mut ManifestSet, json: Value) -> bool {
    set.add(json);
    true
}

/// Sets a field, which may be new; `false` where its parent is missing or nothing would change.
pub(super) fn set(value: Option<&mut Value>, pointer: &str, to: Value) -> bool {
    let Some((parent, key)) = pointer.rsplit_once('/') else { return false };
    let Some(Value::Object(fields)) = value.and_then(|value| value.pointer_mut(parent)) else { return false };
    fields.insert(key.to_owned(), to.clone()) != Some(to)
}

/// Removes a field.
pub(super) fn remove(value: Option<&mut Value>, pointer: &str) -> bool {
    let Some((parent, key)) = pointer.rsplit_once('/') else { return false };
    let Some(Value::Object(fields)) = value.and_then(|value| value.pointer_mut(parent)) else { return false };
    fields.shift_remove(key).is_some()
}

/// The workload whose first container is Redis.
pub(super) fn redis_workload(set: &mut ManifestSet) -> Option<&mut Value> {
    set.objects.iter_mut().map(|object| &mut object.json).find(|json| {
        json.pointer("/spec/template/spec/containers/0/image").and_then(Value::as_str).is_some_and(|image| {
            let name = image.rsplit('/').next().unwrap_or(image);
            name.split([':', '@']).next() == Some("redis")
        })
    })
}

/// Where the Redis container stands in its workload.
pub(super) const CONTAINER: &str = "/spec/template/spec/containers/0";

/// Sets a field of the Redis container.
pub(super) fn set_in_redis(set_: &mut ManifestSet, pointer: &str, to: Value) -> bool {
    set(redis_workload(set_), &format!("{CONTAINER}{pointer}"), to)
}

/// Removes a field of the Redis container.
pub(super) fn remove_in_redis(set: &mut ManifestSet, pointer: &str) -> bool {
    remove(redis_workload(set), &format!("{CONTAINER}{pointer}"))
}

/// Redis' arguments.
fn arguments(set: &mut ManifestSet) -> Option<&mut Vec<Value>> {
    redis_workload(set)?.pointer_mut(&format!("{CONTAINER}/args"))?.as_array_mut()
}

/// Replaces an option and its value by others; none is taken out.
pub(super) fn option(set: &mut ManifestSet, name: &str, by: &[&str]) -> bool {
    let Some(arguments) = arguments(set) else { return false };
    let Some(at) = arguments.iter().position(|argument| argument == name) else { return false };
    arguments.splice(at..=at + 1, by.iter().map(|word| json!(word)));
    true
}

/// Adds an option with its value.
pub(super) fn more_options(set: &mut ManifestSet, words: &[&str]) -> bool {
    let Some(arguments) = arguments(set) else { return false };
    arguments.extend(words.iter().map(|word| json!(word)));
    true
}

/// Redis keeps its data in an emptyDir instead of a claim.
pub(super) fn claim_becomes_empty_dir(set: &mut ManifestSet) -> bool {
    let Some(Value::Array(volumes)) = redis_workload(set).and_then(|workload| workload.pointer_mut("/spec/template/spec/volumes")) else {
        return false;
    };
    let Some(Value::Object(volume)) = volumes.iter_mut().find(|volume| volume.get("persistentVolumeClaim").is_some()) else { return false };
    volume.shift_remove("persistentVolumeClaim");
    volume.insert("emptyDir".into(), json!({}));
    true
}
