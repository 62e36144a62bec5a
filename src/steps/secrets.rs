//! Phrases about Secrets in the manifests.

use super::{Failure, Step, World};
use crate::manifest::{Object, Place, json::bytes, pointer};
use cucumber::then;
use serde_json::Value;

#[then(expr = "the key {string} of the secret {string} is {string}")]
async fn the_secret_s_key_is(world: &mut World, key: String, secret: String, expected: String) -> Step {
    // No pod can take a Secret of another namespace.
    let (set, namespace) = (world.set()?, world.redis()?.workload.namespace);
    let object = set
        .objects
        .iter()
        .find(|object| {
            object.json["kind"] == "Secret" && object.json["metadata"]["name"] == secret.as_str() && object.namespace() == namespace
        })
        .ok_or_else(|| {
            let place = Place::of_file(&world.case.subject.system.manifests);
            Failure::violated_at(place, format!("there is no secret {secret} in namespace {namespace} of the manifests"))
        })?;
    let value = secret_value(object, &key)?;
    if value != expected {
        // Not the value: the address of a Redis may hold its password.
        return Err(Failure::violated_at(key_place(object, &key), format!("{key} is not {expected:?}")));
    }
    world.data.address = Some(value);
    Ok(())
}

/// Where the key of a Secret stands.
fn key_place(secret: &Object, key: &str) -> Place {
    let list = if secret.json["stringData"].get(key).is_some() { "stringData" } else { "data" };
    secret.place_of(&pointer::join(&format!("/{list}"), key))
}

/// What the key of a Secret holds, decoded.
fn secret_value(secret: &Object, key: &str) -> Step<String> {
    if let Some(text) = secret.json.pointer("/stringData").and_then(|data| data.get(key)).and_then(Value::as_str) {
        return Ok(text.to_owned());
    }
    let encoded = secret
        .json
        .pointer("/data")
        .and_then(|data| data.get(key))
        .filter(|value| value.is_string())
        .ok_or_else(|| Failure::violated_at(secret.place.clone(), format!("{} has no key {key}", secret.key())))?;
    let bytes = bytes(encoded).ok_or_else(|| Failure::violated_at(key_place(secret, key), format!("{key} is no base64")))?;
    String::from_utf8(bytes).map_err(|_| Failure::violated_at(key_place(secret, key), format!("{key} is no text")))
}
