//! What happens to objects on their way in: refused by name, refused by the API server's rules, or merged with what is there.

use super::{
    addresses, admission,
    cluster::Cluster,
    controllers::admit_claim,
    defaults, fields,
    json::{self, key_of, list, text},
    kinds::{self, Handling},
    merge, pods,
    store::Refusal,
};
use crate::{
    manifest::{Object, json as manifest_json, selector},
    target::{Applied, Capability, Fixture, TargetError, Unsupported, WithoutProgram, image::Programs, local::runtime},
};
use serde_json::{Value, json};
use std::sync::{Arc, PoisonError};

/// Applies all objects or, where one of them cannot be carried out here, none.
pub(super) fn apply(cluster: &Cluster, objects: &[Object]) -> Result<Applied, TargetError> {
    let mut applied = Applied::default();
    let refused = |object: &Object, refusal: Refusal| TargetError::Refused {
        key: json::key(&object.json),
        place: fields::place(object, &unreadable_data(&object.json).unwrap_or_else(|| pointer_in(&refusal.to_string()))).clone(),
        reason: refusal.to_string(),
    };
    for object in objects {
        if let Some(kind) = kinds::find(text(&object.json, "/kind")) {
            kinds::check_schema(kind, &object.json).map_err(|refusal| refused(object, refusal))?;
        }
        judge(cluster, objects, object, &mut applied)?;
    }
    // Namespaces first: everything else may be in any order, as on a cluster.
    let (first, rest): (Vec<_>, Vec<_>) = objects.iter().partition(|object| object.json["kind"] == "Namespace");
    for object in first.into_iter().chain(rest) {
        put(cluster, &object.json).map_err(|refusal| refused(object, refusal))?;
    }
    applied.without_program.sort();
    applied.without_program.dedup();
    let mut seen = std::collections::BTreeSet::new();
    applied.remarks.retain(|remark| seen.insert(remark.clone()));
    Ok(applied)
}

/// Whether this target can carry the object out, and what it says to it.
fn judge(cluster: &Cluster, all: &[Object], object: &Object, applied: &mut Applied) -> Result<(), Unsupported> {
    let kind_name = text(&object.json, "/kind");
    let refuse = |reason: &str| Err(fields::unsupported(&json::key(&object.json).to_string(), reason, &object.place));
    let Some(kind) = kinds::find(kind_name) else {
        return refuse(&format!("objects of kind {kind_name} ({}) are not carried out here", text(&object.json, "/apiVersion")));
    };
    match kind.handling {
        Handling::Kept(why) => applied.remarks.push(format!("{} at {}: {why}", json::key(&object.json), object.place)),
        Handling::Served => workload(cluster, object, applied)?,
        Handling::Judged => {
            let runs = |template: &Value| {
                list(template, "/spec/containers").iter().any(|container| cluster.options.programs.image(text(container, "/image")).is_ok())
            };
            let namespace = text(&object.json, "/metadata/namespace");
            let live = cluster.store.all();
            let others = all.iter().map(|object| &object.json).chain(live.iter().map(|object| &**object));
            let mut workloads = others.filter(|other| text(other, "/metadata/namespace") == namespace).filter_map(|other| {
                let pointer = fields::pod_spec(text(other, "/kind"))?.strip_suffix("/spec")?;
                let template = other.pointer(pointer)?;
                runs(template).then_some((other, template))
            });
            let hit = match kind_name {
                "NetworkPolicy" => {
                    workloads.find(|(_, template)| selector::matches(&object.json["spec"]["podSelector"], json::labels(template)))
                }
                "HorizontalPodAutoscaler" => workloads.find(|(other, _)| {
                    let target = &object.json["spec"]["scaleTargetRef"];
                    target["kind"] == other["kind"] && target["name"] == other["metadata"]["name"]
                }),
                _ => workloads.next(),
            };
            let why = match kind_name {
                "NetworkPolicy" => "connections are not filtered here yet, and it selects the pods of",
                "HorizontalPodAutoscaler" => "nothing is scaled by load here, and it targets",
                _ => "limits are not filled in by ranges here, and it applies to",
            };
            match hit {
                Some((other, _)) => return refuse(&format!("{why} {}", json::key(other))),
                None => applied.remarks.push(format!(
                    "{} at {}: kept, but nothing that runs here is concerned",
                    json::key(&object.json),
                    object.place
                )),
            }
        }
    }
    Ok(())
}

fn workload(cluster: &Cluster, object: &Object, applied: &mut Applied) -> Result<(), Unsupported> {
    let Some(spec) = fields::pod_spec(text(&object.json, "/kind")).and_then(|pointer| object.json.pointer(pointer)) else { return Ok(()) };
    let programs = &cluster.options.programs;
    let runs = |container: &Value| programs.image(text(container, "/image")).is_ok();
    fields::refuse(object, &runs)?;
    for container in ["/containers", "/initContainers"].into_iter().flat_map(|field| list(spec, field)) {
        let image = text(container, "/image");
        let owner = || json::key(&object.json);
        let missing = match programs.image(image) {
            Ok(image) => {
                applied.fixtures.extend(image.fixture_name().map(|program| Fixture { owner: owner(), program: program.to_owned() }));
                continue;
            }
            Err(missing) => missing,
        };
        if Programs::is_redis(image) {
            // Without Redis there is nothing to prove.
            return Err(missing);
        }
        applied.without_program.push(WithoutProgram {
            owner: owner(),
            container: text(container, "/name").to_owned(),
            image: image.to_owned(),
        });
    }
    let asks = |container: &Value| json::has(container, "/resources/requests") || json::has(container, "/resources/limits");
    if list(spec, "/containers").iter().any(|container| asks(container) && runs(container)) {
        applied.remarks.push(
            "Requests of CPU and memory are not counted: each node here takes any number of pods, and CPU is not limited.".to_owned(),
        );
    }
    let facts = runtime::facts();
    if let Err(reason) = &facts.run_as_user
        && list(spec, "/containers").iter().any(runs)
    {
        applied.remarks.push(format!("All containers run as the one user that there is here, the official Redis image's too: {reason}"));
    }
    if let Err(reason) = &facts.run_as_user
        && let Some(field) = asks_for_user(spec, &runs)
    {
        return Err(Unsupported {
            capability: Capability::RunAsUser,
            reason: format!("{} asks for {field}; {reason}", json::key(&object.json)),
        });
    }
    if let Err(reason) = &facts.memory_limit {
        let limited = list(spec, "/containers").iter().any(|container| json::has(container, "/resources/limits/memory") && runs(container));
        if limited {
            applied.remarks.push(format!("{} at {}: its memory limits are not enforced: {reason}", json::key(&object.json), object.place));
        }
    }
    Ok(())
}

/// The field by which something that runs here asks for a user or group; a pod that is not started asks for nothing.
fn asks_for_user(spec: &Value, runs: &dyn Fn(&Value) -> bool) -> Option<&'static str> {
    let running: Vec<&Value> =
        list(spec, "/containers").iter().chain(list(spec, "/initContainers")).filter(|container| runs(container)).collect();
    let pod = (!running.is_empty()).then_some(spec);
    ["runAsUser", "runAsGroup", "fsGroup"]
        .into_iter()
        .find(|field| pod.iter().chain(&running).any(|context| context["securityContext"][*field].as_i64().is_some_and(|id| id != 0)))
}

/// The pointer of the first value of a Secret that is no base64: an API server does not say which one it is.
fn unreadable_data(object: &Value) -> Option<String> {
    let data = object["data"].as_object().filter(|_| object["kind"] == "Secret")?;
    let (name, _) = data.iter().find(|(_, value)| !value.is_null() && manifest_json::bytes(value).is_none())?;
    Some(format!("/data/{}", name.replace('~', "~0").replace('/', "~1")))
}

/// The JSON pointer of the field that a refusal names: `… is invalid: spec.a[0].b: …`, `.spec.a[0].b: field not declared in schema`.
fn pointer_in(refusal: &str) -> String {
    let told = refusal.split_once(" is invalid: ").map_or(refusal, |(_, told)| told);
    let path = told.split(": ").next().unwrap_or_default();
    if path.contains(' ') {
        return String::new();
    }
    let mut pointer = String::new();
    for part in path.split(['.', '[']).filter(|part| !part.is_empty()) {
        pointer.push('/');
        pointer.push_str(part.trim_end_matches(']'));
    }
    pointer
}

/// Lets one object in.
pub(super) fn put(cluster: &Cluster, given: &Value) -> Result<Arc<Value>, Refusal> {
    let kind =
        kinds::find(text(given, "/kind")).ok_or_else(|| Refusal::Invalid(format!("no matches for kind {:?}", text(given, "/kind"))))?;
    kinds::check_schema(kind, given)?;
    let mut given = given.clone();
    drop_nulls(&mut given);
    if let Some(metadata) = given["metadata"].as_object_mut() {
        if !kind.is_namespaced() {
            metadata.shift_remove("namespace");
        } else if !metadata.contains_key("namespace") {
            metadata.insert("namespace".into(), "default".into());
        }
    }
    let key = json::key(&given);
    if kind.is_namespaced() {
        let Some(namespace) = cluster.store.get(&key_of("Namespace", "", &key.namespace)) else {
            return Err(Refusal::Forbidden(format!("namespaces {:?} not found", key.namespace)));
        };
        if json::has(&namespace, "/metadata/deletionTimestamp") && cluster.store.get(&key).is_none() {
            let words = format!("unable to create new content in namespace {} because it is being terminated", key.namespace);
            return Err(Refusal::Forbidden(format!("{} {:?} is forbidden: {words}", key.kind.to_lowercase(), key.name)));
        }
    }
    let before = cluster.applied.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
    let put = match cluster.store.get(&key) {
        Some(live) => {
            let merged = merge::apply(&live, before.as_ref().unwrap_or(&json!({})), &given);
            change(cluster, &live, merged)
        }
        None => create(cluster, given.clone()),
    }?;
    cluster.applied.lock().unwrap_or_else(PoisonError::into_inner).insert(key, given);
    Ok(put)
}

fn create(cluster: &Cluster, mut object: Value) -> Result<Arc<Value>, Refusal> {
    match text(&object, "/kind") {
        "Namespace" => return cluster.add_namespace(object),
        "Pod" => return pods::create(&cluster.store, object, cluster.options.toleration),
        "PersistentVolumeClaim" => return admit_claim(&cluster.store, object),
        _ => {}
    }
    defaults::fill(&mut object);
    admission::check_new(&object)?;
    if object["kind"] == "Service" {
        addresses::assign(&cluster.store, &mut object)?;
    }
    cluster.store.create(object)
}

/// Replaces a live object by its changed form, if that may be.
pub(super) fn change(cluster: &Cluster, live: &Value, mut changed: Value) -> Result<Arc<Value>, Refusal> {
    let key = json::key(live);
    for field in ["uid", "creationTimestamp", "resourceVersion", "generation", "deletionTimestamp", "name", "namespace"] {
        changed["metadata"][field] = live["metadata"][field].clone();
    }
    if let Some(metadata) = changed["metadata"].as_object_mut() {
        metadata.retain(|_, value| !value.is_null());
    }
    defaults::fill(&mut changed);
    admission::check_new(&changed)?;
    admission::check_change(live, &changed, &cluster.store)?;
    if changed["kind"] == "Service" {
        addresses::assign(&cluster.store, &mut changed)?;
    }
    cluster.store.update_uid(&key, &live["metadata"]["uid"], |object| *object = changed).ok_or(Refusal::NotFound(key))
}

/// A field without a value is a field that is not there; only what may be empty (`emptyDir:`) is filled in later.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(entries) => entries.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[test]
    fn the_value_of_a_secret_that_is_no_base64_is_pointed_at() {
        let secret = json!({ "kind": "Secret", "data": { "good": "Z29vZA==", "tls/key": "<paste here>" } });
        assert_eq!(unreadable_data(&secret).as_deref(), Some("/data/tls~1key"));
        assert_eq!(unreadable_data(&json!({ "kind": "ConfigMap", "data": { "a": "<" } })), None);
    }

    #[rstest]
    #[case(
        "Deployment.apps \"redis\" is invalid: spec.template.spec.containers[0].image: Required value",
        "/spec/template/spec/containers/0/image"
    )]
    #[case(".spec.ports[1].porrt: field not declared in schema", "/spec/ports/1/porrt")]
    #[case("namespaces \"shop\" not found", "")]
    fn a_refusal_points_at_its_field(#[case] refusal: &str, #[case] pointer: &str) {
        assert_eq!(pointer_in(refusal), pointer);
    }
}
