//! Phrases about the manifests alone.

use super::{Failure, Step, World, workload::Redis};
use crate::manifest::{ImageRef, ManifestSet, Object, ObjectKey, Place, Quantity, Workload, pointer, roles::Volume};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use cucumber::{gherkin, then};
use serde_json::Value;

/// The workload that runs Redis, and Redis in it.
fn redis(world: &World) -> Step<(Object, Redis)> {
    Ok((world.redis_object()?, world.redis()?))
}

/// Compares a field of the Redis container with what the document says.
fn field_is(world: &World, pointer: &str, expected: &Value) -> Step {
    let (workload, redis) = redis(world)?;
    let pointer = format!("{}{pointer}", redis.container_pointer());
    let found = workload.json.pointer(&pointer);
    if found == Some(expected) {
        return Ok(());
    }
    let found = found.map_or_else(|| "missing".to_owned(), Value::to_string);
    Err(Failure::violated_at(workload.place_of(&pointer), format!("{pointer} is {found} and not {expected}")))
}

/// Compares a quantity of the Redis container: `0.1` is `100m`.
fn quantity_is(world: &World, pointer: &str, expected: &str) -> Step {
    let (workload, redis) = redis(world)?;
    let pointer = format!("{}{pointer}", redis.container_pointer());
    let found = workload.json.pointer(&pointer).map(|found| found.as_str().map_or_else(|| found.to_string(), ToOwned::to_owned));
    let parsed = found.as_deref().and_then(|found| found.parse::<Quantity>().ok());
    if parsed.is_some() && parsed == expected.parse::<Quantity>().ok() {
        return Ok(());
    }
    Err(Failure::violated_at(
        workload.place_of(&pointer),
        format!("{pointer} is {} and not {expected}", found.as_deref().unwrap_or("missing")),
    ))
}

#[then(expr = "Redis mounts the claim {string} at its data directory")]
async fn redis_mounts_the_claim(world: &mut World, claim: String) -> Step {
    let (workload, redis) = redis(world)?;
    let data = &redis.role.data;
    // A mount below takes its part of the data away from the claim: `appendonlydir` on an emptyDir is not kept.
    if let Some((path, volume)) = data.below.iter().find(|(_, volume)| !matches!(volume, Volume::Claim { name, .. } if *name == claim)) {
        let place = workload.place_of(&format!("{}/volumeMounts", redis.container_pointer()));
        return Err(Failure::violated_at(place, format!("{path}, below the data directory {}, is on {}", data.dir, describe(volume))));
    }
    let read_only = format!("{}/readOnly", data.mount);
    if workload.json.pointer(&read_only) == Some(&Value::Bool(true)) {
        return Err(Failure::violated(format!(
            "the data directory {} is mounted to be read only, at {}",
            data.dir,
            workload.place_of(&read_only)
        )));
    }
    match redis.claim() {
        Some(name) if name == claim => Ok(()),
        Some(name) => Err(Failure::violated_at(data.place.clone(), format!("the data directory {} is on the claim {name}", data.dir))),
        None => {
            let place = if data.mount.is_empty() { &data.place } else { &workload.place_of(&data.mount) };
            Err(Failure::violated_at(place.clone(), format!("the data directory {} is on {}", data.dir, describe(&data.volume))))
        }
    }
}

/// A volume in words.
fn describe(volume: &Volume) -> String {
    match volume {
        Volume::Claim { name, .. } => format!("the claim {name}"),
        Volume::Template { name } => format!("a claim of its own for each pod, from the template {name}"),
        Volume::EmptyDir { memory: false } => "an emptyDir".into(),
        Volume::EmptyDir { memory: true } => "an emptyDir in memory".into(),
        Volume::HostPath { path } => format!("the node's directory {path}"),
        Volume::Other { kind } => format!("a volume of kind {kind}"),
        Volume::Unknown { name } => format!("{name}, which is no volume of the pod"),
        Volume::Container => "no volume: it goes with the container".into(),
    }
}

#[then(expr = "Redis has {int} replica in namespace {string}")]
async fn redis_has_replicas(world: &mut World, replicas: i64, namespace: String) -> Step {
    let (workload, redis) = redis(world)?;
    if redis.workload.namespace != namespace {
        return Err(Failure::violated_at(
            workload.place_of("/metadata/namespace"),
            format!("Redis is in namespace {}", redis.workload.namespace),
        ));
    }
    let kind = redis.workload.kind.as_str();
    if kind == "DaemonSet" {
        return Err(Failure::violated_at(workload.place.clone(), "a DaemonSet runs one Redis on each node"));
    }
    if let Some(scaler) = scaler_of(world.set()?.as_ref(), &redis.workload) {
        return Err(Failure::violated_at(scaler.place.clone(), format!("{} changes the number of its replicas", scaler.key())));
    }
    // An absent field is one replica, as the API server's default has it.
    let found = workload.json.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1);
    if found == replicas {
        return Ok(());
    }
    Err(Failure::violated_at(workload.place_of("/spec/replicas"), format!("it has {found} replicas")))
}

/// What scales the workload by itself.
fn scaler_of<'set>(set: &'set ManifestSet, workload: &ObjectKey) -> Option<&'set Object> {
    set.objects.iter().find(|object| {
        let target = &object.json["spec"]["scaleTargetRef"];
        // KEDA's kind may be left out: a Deployment.
        matches!(object.key().kind.as_str(), "HorizontalPodAutoscaler" | "ScaledObject")
            && object.namespace() == workload.namespace
            && target["name"] == workload.name.as_str()
            && target["kind"].as_str().unwrap_or("Deployment") == workload.kind
    })
}

#[then(expr = "its image is {string}")]
async fn its_image_is(world: &mut World, image: String) -> Step {
    let (workload, redis) = redis(world)?;
    // `docker.io/library/redis` is what `redis` stands for.
    if redis.role.id.image == ImageRef::parse(&image) {
        return Ok(());
    }
    let pointer = format!("{}/image", redis.container_pointer());
    let found = workload.str_at(&pointer).unwrap_or("missing");
    Err(Failure::violated_at(workload.place_of(&pointer), format!("its image is {found}")))
}

#[then(expr = "Redis requests {string} of cpu and {string} of memory")]
async fn redis_requests(world: &mut World, cpu: String, memory: String) -> Step {
    quantity_is(world, "/resources/requests/cpu", &cpu)?;
    quantity_is(world, "/resources/requests/memory", &memory)
}

#[then(expr = "Redis is limited to {string} of cpu and {string} of memory")]
async fn redis_is_limited_to(world: &mut World, cpu: String, memory: String) -> Step {
    quantity_is(world, "/resources/limits/cpu", &cpu)?;
    quantity_is(world, "/resources/limits/memory", &memory)
}

#[then(expr = "the {word} probe runs {string} after {int}, each {int} and for at most {int} seconds")]
async fn the_probe_runs(world: &mut World, probe: String, command: String, delay: i64, period: i64, timeout: i64) -> Step {
    let (workload, redis) = redis(world)?;
    let pointer = format!("{}/{probe}Probe", redis.container_pointer());
    let Some(found) = workload.json.pointer(&pointer) else {
        return Err(Failure::violated_at(workload.place_of(&pointer), format!("there is no {probe} probe")));
    };
    let words: Vec<&str> =
        found.pointer("/exec/command").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    if !decides(&words, &command) {
        return Err(Failure::violated_at(workload.place_of(&pointer), format!("the {probe} probe does not run {command:?} but {found}")));
    }
    for (field, expected, default) in [("initialDelaySeconds", delay, 0), ("periodSeconds", period, 10), ("timeoutSeconds", timeout, 1)] {
        let seconds = found.get(field).and_then(Value::as_i64).unwrap_or(default);
        if seconds != expected {
            let place = workload.place_of(&format!("{pointer}/{field}"));
            return Err(Failure::violated_at(place.clone(), format!("{field} of the {probe} probe is {seconds} and not {expected}")));
        }
    }
    Ok(())
}

/// Whether it is the command's own end that a probe ends with. A shell around it and a pipe to a stricter judge change nothing of what is
/// asked; `|| true` and whatever comes after a `;` decide in its place.
fn decides(words: &[&str], command: &str) -> bool {
    let script = match words {
        [shell, options, script] if shell.ends_with("sh") && options.starts_with('-') && options.ends_with('c') => (*script).to_owned(),
        plain => plain.join(" "),
    };
    let script = script.trim();
    let script = script.strip_prefix("exec ").unwrap_or(script);
    let Some(rest) = script.strip_prefix(command).map(str::trim) else { return false };
    let is_alone = !rest.contains("||") && !rest.contains(';') && !rest.contains('&') && !rest.contains('\n');
    rest.is_empty() || (is_alone && (rest.starts_with('|') || rest.starts_with('>') || rest.starts_with("2>")))
}

#[then("Redis must not run as root and must not escalate its privileges")]
async fn redis_must_not_run_as_root(world: &mut World) -> Step {
    let (workload, redis) = redis(world)?;
    let pod = format!("{}/spec/securityContext/runAsNonRoot", redis.template);
    let own = format!("{}/securityContext/runAsNonRoot", redis.container_pointer());
    let non_root = workload.json.pointer(&own).or_else(|| workload.json.pointer(&pod));
    if non_root != Some(&Value::Bool(true)) {
        return Err(Failure::violated_at(workload.place_of(&own), "runAsNonRoot is not true"));
    }
    field_is(world, "/securityContext/allowPrivilegeEscalation", &Value::Bool(false))
}

#[then("no object is a PersistentVolume or a claim, or asks for one")]
async fn no_object_persists(world: &mut World) -> Step {
    let set = world.set()?;
    for object in &set.objects {
        let key = object.key();
        if matches!(key.kind.as_str(), "PersistentVolume" | "PersistentVolumeClaim") {
            return Err(Failure::violated_at(object.place.clone(), format!("{key} is there")));
        }
        if let Some(templates) =
            object.json.pointer("/spec/volumeClaimTemplates").filter(|templates| templates.as_array().is_some_and(|all| !all.is_empty()))
        {
            let names =
                templates.as_array().into_iter().flatten().filter_map(|template| template["metadata"]["name"].as_str()).collect::<Vec<_>>();
            return Err(Failure::violated_at(
                object.place_of("/spec/volumeClaimTemplates"),
                format!("{key} makes claims {}", names.join(", ")),
            ));
        }
        let volumes = Workload::of(object).map(|workload| object.items_at(&format!("{}/volumes", workload.pod_spec())));
        for (pointer, volume) in volumes.into_iter().flatten() {
            if volume.get("persistentVolumeClaim").is_some() || volume.pointer("/ephemeral/volumeClaimTemplate").is_some() {
                return Err(Failure::violated_at(object.place_of(&pointer), format!("{key} mounts a claim")));
            }
        }
    }
    // A directory of the node and a share outlive the pod without any claim.
    let (workload, redis) = redis(world)?;
    let data = &redis.role.data;
    let below = data.below.iter().map(|(_, volume)| volume);
    if let Some(volume) = std::iter::once(&data.volume).chain(below).find(|volume| volume.outlives_the_pod()) {
        let place = workload.place_of(&data.mount);
        return Err(Failure::violated_at(place, format!("the data directory {} is on {}", data.dir, describe(volume))));
    }
    Ok(())
}

#[then("no object exposes Redis outside the cluster")]
async fn no_object_exposes_redis(world: &mut World) -> Step {
    let (workload, redis) = redis(world)?;
    let set = world.set()?;
    for key in redis.services() {
        let Some(service) = set.objects.iter().find(|object| object.key() == *key) else { continue };
        let kind = service.json.pointer("/spec/type").and_then(Value::as_str).unwrap_or("ClusterIP");
        if kind != "ClusterIP" {
            return Err(Failure::violated_at(service.place_of("/spec/type"), format!("{key} is of type {kind}")));
        }
        if service.json.pointer("/spec/externalIPs").and_then(Value::as_array).is_some_and(|all| !all.is_empty()) {
            return Err(Failure::violated_at(service.place_of("/spec/externalIPs"), format!("{key} has external addresses")));
        }
        for object in set.objects.iter().filter(|object| routes(object)) {
            let named = mentions_service(&object.json, &key.name);
            // From elsewhere a route names the namespace too, beside the name or in it.
            if named && (object.key().namespace == key.namespace || mentions_namespace(&object.json, &key.namespace)) {
                return Err(Failure::violated_at(object.place.clone(), format!("{} leads to {key}", object.key())));
            }
        }
    }
    for key in redis.services() {
        // ingress-nginx publishes whole ports by a ConfigMap: `"6379": namespace/service:port`.
        let target = format!("{}/{}:", key.namespace, key.name);
        let publishes = |object: &&Object| {
            let data = object.json["data"].as_object();
            object.json["kind"] == "ConfigMap"
                && data.is_some_and(|data| {
                    data.iter().any(|(port, to)| port.parse::<u16>().is_ok() && to.as_str().is_some_and(|to| to.starts_with(&target)))
                })
        };
        if let Some(map) = set.objects.iter().find(publishes) {
            return Err(Failure::violated_at(map.place.clone(), format!("{} publishes a port that leads to {key}", map.key())));
        }
    }
    let pod = format!("{}/spec/hostNetwork", redis.template);
    if workload.json.pointer(&pod) == Some(&Value::Bool(true)) {
        return Err(Failure::violated_at(workload.place_of(&pod), "Redis uses the host's network"));
    }
    // Every container of the pod: a proxy beside Redis opens it as well.
    let containers = format!("{}/spec/containers", redis.template);
    for (container, _) in workload.items_at(&containers) {
        let of_the_host = |(_, port): &(String, &Value)| port.get("hostPort").is_some_and(|port| port.as_i64() != Some(0));
        if let Some((port, _)) = workload.items_at(&format!("{container}/ports")).find(of_the_host) {
            return Err(Failure::violated_at(workload.place_of(&format!("{port}/hostPort")), "the pod of Redis has a port of the host"));
        }
    }
    Ok(())
}

/// Kinds that lead traffic from outside to a Service.
fn routes(object: &Object) -> bool {
    matches!(
        object.key().kind.as_str(),
        "Ingress"
            | "IngressRoute"
            | "IngressRouteTCP"
            | "IngressRouteUDP"
            | "TCPIngress"
            | "HTTPRoute"
            | "TCPRoute"
            | "TLSRoute"
            | "GRPCRoute"
            | "VirtualService"
            | "VirtualServer"
            | "TransportServer"
            | "TCPMapping"
            | "ApisixRoute"
            | "ServiceExport"
            | "Route"
            | "HTTPProxy"
    )
}

/// Whether a route's text names the namespace: as a field of its own, or in a host such as `redis.agentsmith.svc`.
fn mentions_namespace(value: &Value, namespace: &str) -> bool {
    match value {
        Value::Object(fields) => fields.iter().any(|(key, value)| {
            let names = value.as_str().is_some_and(|text| {
                (key == "namespace" && text == namespace)
                    || text.split('.').nth(1).is_some_and(|second| second.split(':').next() == Some(namespace))
            });
            key != "metadata" && (names || mentions_namespace(value, namespace))
        }),
        Value::Array(items) => items.iter().any(|item| mentions_namespace(item, namespace)),
        _ => false,
    }
}

/// Whether a route's text names the Service as its back end.
fn mentions_service(value: &Value, name: &str) -> bool {
    match value {
        Value::Object(fields) => fields.iter().any(|(key, value)| {
            let names = matches!(key.as_str(), "name" | "serviceName" | "host" | "service")
                && value.as_str().is_some_and(|text| text.split('.').next() == Some(name));
            // The route's own name says nothing about where it leads.
            (key != "metadata") && (names || mentions_service(value, name))
        }),
        Value::Array(items) => items.iter().any(|item| mentions_service(item, name)),
        _ => false,
    }
}

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
        .and_then(Value::as_str)
        .ok_or_else(|| Failure::violated_at(secret.place.clone(), format!("{} has no key {key}", secret.key())))?;
    let bytes = STANDARD
        .decode(encoded.trim())
        .map_err(|error| Failure::violated_at(key_place(secret, key), format!("{key} is no base64: {error}")))?;
    String::from_utf8(bytes).map_err(|_| Failure::violated_at(key_place(secret, key), format!("{key} is no text")))
}

#[then(expr = "the kustomization {string} lists")]
async fn the_kustomization_lists(world: &mut World, step: &gherkin::Step, folder: String) -> Step {
    let expected: Vec<&str> =
        step.table.iter().flat_map(|table| table.rows.iter().skip(1)).filter_map(|row| row.first()).map(String::as_str).collect();
    let file = format!("{folder}/kustomization.yaml");
    if !world.case.subject.system.tree.join(&file).is_file() {
        return nine_by_role(world, expected.len());
    }
    let (path, text) = world.tree_file(&file).await?;
    let set = ManifestSet::parse(&text, &path).map_err(|error| Failure::from(&error))?;
    let listed: Vec<String> = set
        .objects
        .iter()
        .flat_map(|object| object.items_at("/resources").filter_map(|(_, name)| name.as_str().map(ToOwned::to_owned)).collect::<Vec<_>>())
        .collect();
    let missing: Vec<&str> = expected.iter().copied().filter(|name| !listed.iter().any(|listed| listed == name)).collect();
    if !missing.is_empty() {
        let resources = set.objects.first().map_or_else(|| Place::of_file(&path), |file| file.place_of("/resources"));
        return Err(Failure::violated_at(resources, format!("the kustomization does not list {}", missing.join(", "))));
    }
    let more: Vec<&str> = listed.iter().map(String::as_str).filter(|name| !expected.contains(name)).collect();
    if !more.is_empty() {
        let resources = set.objects.first().map_or_else(|| Place::of_file(&path), |file| file.place_of("/resources"));
        return Err(Failure::violated_at(resources, format!("the kustomization lists {} as well", more.join(", "))));
    }
    Ok(())
}

/// In a tree without the document's layout its nine resources are found by what they are.
fn nine_by_role(world: &mut World, expected: usize) -> Step {
    let (set, redis) = (world.set()?, world.redis()?);
    let namespace = redis.workload.namespace.clone();
    let of_kind = |kind: &str| set.of_kind(kind).filter(|object| object.namespace() == namespace || object.name() == namespace).count();
    // One that is led astray by its address is a workload still: what it connects to is another promise.
    let beside = set.workloads().filter(|workload| workload.lasts() && workload.object.namespace() == namespace);
    let others = beside.filter(|workload| workload.object.key() != redis.workload).count();
    let found = [
        ("the namespace", of_kind("Namespace") > 0),
        ("Redis", true),
        ("a Service of Redis", redis.services().next().is_some()),
        ("a workload beside Redis", others > 0),
        ("a second Service", of_kind("Service") > 1),
        ("a ServiceAccount", of_kind("ServiceAccount") > 0),
        ("a Role", of_kind("Role") > 0),
        ("a RoleBinding", of_kind("RoleBinding") > 0),
        ("a ConfigMap", of_kind("ConfigMap") > 0),
    ];
    if found.len() != expected {
        return Err(Failure::broken(format!("the document lists {expected} resources, and {} are known by what they are", found.len())));
    }
    let missing: Vec<&str> = found.iter().filter(|(_, there)| !there).map(|(name, _)| *name).collect();
    if !missing.is_empty() {
        let place = Place::of_file(&world.case.subject.system.manifests);
        return Err(Failure::violated_at(place, format!("the manifests lack {}", missing.join(", "))));
    }
    world.note("the tree has another layout: the document's nine resources were found by what they are");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[rstest::rstest]
    #[case(&["redis-cli", "ping"], true)]
    #[case(&["sh", "-c", "redis-cli ping"], true)]
    #[case(&["/bin/sh", "-ec", "exec redis-cli ping | grep -qx PONG"], true)]
    #[case(&["sh", "-c", "redis-cli ping || true"], false)]
    #[case(&["sh", "-c", "redis-cli ping; exit 0"], false)]
    #[case(&["sh", "-c", "redis-cli ping | cat || true"], false)]
    #[case(&["echo", "redis-cli ping"], false)]
    #[case(&["sh", "-c", "true # redis-cli ping"], false)]
    #[case(&[], false)]
    fn a_probe_ends_as_its_command_does(#[case] words: &[&str], #[case] decided: bool) {
        assert_eq!(decides(words, "redis-cli ping"), decided);
    }

    #[test]
    fn a_route_in_another_namespace_names_the_service_s_own() {
        let gateway = json!({ "spec": { "rules": [{ "backendRefs": [{ "name": "redis", "namespace": "a" }] }] } });
        let istio = json!({ "metadata": { "namespace": "a" }, "spec": { "tcp": [{ "destination": { "host": "redis.b.svc" } }] } });
        assert!(mentions_service(&gateway, "redis") && mentions_namespace(&gateway, "a") && !mentions_namespace(&gateway, "b"));
        assert!(mentions_service(&istio, "redis") && mentions_namespace(&istio, "b") && !mentions_namespace(&istio, "a"));
    }

    #[test]
    fn what_scales_redis_is_found_and_what_scales_another_is_not() {
        let text = |name: &str| {
            format!(
                "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {{ name: h, namespace: a }}\nspec: {{ scaleTargetRef: {{ kind: Deployment, name: {name} }} }}\n"
            )
        };
        let workload = ObjectKey { kind: "Deployment".into(), namespace: "a".into(), name: "redis".into() };
        let scales = |name: &str| {
            let set = ManifestSet::parse(&text(name), std::path::Path::new("a.yaml")).expect("manifests");
            scaler_of(&set, &workload).is_some()
        };
        assert!(scales("redis") && !scales("dispatcher"));
    }
}
