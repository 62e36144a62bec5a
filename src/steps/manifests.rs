//! Phrases about what the manifests say of Redis: its fields, and what its data lies on.

use super::{Failure, Step, World, workload::Redis};
use crate::manifest::{ImageRef, ManifestSet, Object, ObjectKey, Quantity, Workload, roles::Volume};
use cucumber::then;
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
    if let Some(unknown) = &redis.role.unknown_dir {
        return Err(Failure::skipped(format!("the manifests do not tell the data directory: {} ({})", unknown.why, unknown.place)));
    }
    let data = &redis.role.data;
    // A mount below takes its part of the data away from the claim: `appendonlydir` on an emptyDir is not kept.
    // What only shows files of a ConfigMap or Secret takes nothing: Redis cannot write there.
    let takes = |volume: &Volume| !volume.is_read_only() && !matches!(volume, Volume::Claim { name, .. } if *name == claim);
    if let Some((path, volume)) = data.below.iter().find(|(_, volume)| takes(volume)) {
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
    // `docker.io/library/redis` is what `redis` stands for, and a digest only pins what the tag names.
    let named = ImageRef { digest: None, ..redis.role.id.image.clone() };
    if named == ImageRef::parse(&image) {
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
/// asked; `|| true`, whatever comes after a `;` and a pipe to what never fails (`| cat`) decide in its place.
fn decides(words: &[&str], command: &str) -> bool {
    let script = match words {
        [shell, options, script] if shell.ends_with("sh") && options.starts_with('-') && options.ends_with('c') => (*script).to_owned(),
        plain => plain.join(" "),
    };
    let script = script.trim();
    let script = script.strip_prefix("exec ").unwrap_or(script).trim_start();
    // Wherever the program lies, it is the same one.
    let program = script.split_whitespace().next().unwrap_or_default();
    let folder = program.rfind('/').map_or(0, |slash| slash + 1);
    let Some(rest) = script[folder..].strip_prefix(command) else { return false };
    if !rest.is_empty() && !rest.starts_with([' ', '|', '>']) {
        return false;
    }
    let is_alone = !rest.contains("||") && !rest.contains(';') && !rest.contains('\n') && !rest.replace(">&", "").contains('&');
    let mut stages = rest.split('|').map(str::trim);
    // What stands beside the command itself sends its output elsewhere, or asks something else.
    let first = stages.next().unwrap_or_default();
    let mut is_file = false;
    let is_sent_away = first.split_whitespace().all(|word| std::mem::replace(&mut is_file, word.ends_with('>')) || word.contains('>'));
    // grep fails where what it looks for is not said.
    let judges = stages.all(|stage| {
        let mut words = stage.split_whitespace();
        words.next().is_some_and(|program| matches!(program, "grep" | "egrep" | "fgrep"))
            && words.all(|word| !(word.starts_with('-') && !word.starts_with("--") && word.contains('v')) && word != "--invert-match")
    });
    is_alone && is_sent_away && judges
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

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case(&["redis-cli", "ping"], true)]
    #[case(&["sh", "-c", "redis-cli ping"], true)]
    #[case(&["/bin/sh", "-ec", "exec redis-cli ping | grep -qx PONG"], true)]
    #[case(&["sh", "-c", "redis-cli ping || true"], false)]
    #[case(&["sh", "-c", "redis-cli ping; exit 0"], false)]
    #[case(&["sh", "-c", "redis-cli ping | cat || true"], false)]
    #[case(&["sh", "-c", "redis-cli ping > /dev/null 2>&1"], true)]
    #[case(&["/usr/local/bin/redis-cli", "ping"], true)]
    #[case(&["sh", "-c", "redis-cli ping | cat"], false)]
    #[case(&["sh", "-c", "redis-cli ping | tee /tmp/x"], false)]
    #[case(&["sh", "-c", "redis-cli ping | grep -v ERR"], false)]
    #[case(&["sh", "-c", "redis-cli ping &"], false)]
    #[case(&["redis-cli", "ping", "-h", "elsewhere"], false)]
    #[case(&["redis-cli", "pingpong"], false)]
    #[case(&["echo", "redis-cli ping"], false)]
    #[case(&["sh", "-c", "true # redis-cli ping"], false)]
    #[case(&[], false)]
    fn a_probe_ends_as_its_command_does(#[case] words: &[&str], #[case] decided: bool) {
        assert_eq!(decides(words, "redis-cli ping"), decided);
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
