//! Makes a variant that a document names out of a tree that has no such overlay: one typed change of the set.

use super::{Failure, Step, workload::Redis};
use crate::manifest::ManifestSet;
use serde_json::{Value, json};

/// What makes a variant out of a set.
type Change = fn(&mut ManifestSet) -> Step;

/// Names that can be derived, and how.
const DERIVED: &[(&str, Change)] = &[
    ("emptydir", claim_becomes_empty_dir),
    ("fast-ssd", |set| name_class(set, "fast-ssd")),
    ("local-path", |set| name_class(set, "local-path")),
    ("dev", |_| Ok(())),
    ("persistence", persist),
];

/// The variant of the set.
pub(super) fn derive(name: &str, set: &ManifestSet) -> Step<ManifestSet> {
    let Some((_, change)) = DERIVED.iter().find(|(known, _)| *known == name) else {
        return Err(Failure::violated(format!("the document speaks of {name}, and the tree has no overlay of that name")));
    };
    let mut derived = set.clone();
    change(&mut derived)?;
    Ok(derived)
}

/// The pod template of the only Redis.
fn template(set: &mut ManifestSet) -> Step<&mut Value> {
    let redis = Redis::in_set(set, None)?;
    let (key, pointer) = (redis.workload, redis.template);
    set.objects
        .iter_mut()
        .find(|object| object.key() == key)
        .and_then(|object| object.json.pointer_mut(&pointer))
        .ok_or_else(|| Failure::broken(format!("{key} has no pod template at {pointer}")))
}

/// What holds a claim holds an emptyDir; a set without a claim is already what it was before.
fn claim_becomes_empty_dir(set: &mut ManifestSet) -> Step {
    let redis = Redis::in_set(set, None)?;
    // Of several claims the one under the data, not the first.
    let claim = redis.claim().map(ToOwned::to_owned);
    let key = redis.workload;
    let template = template(set)?;
    if let Some(claimed) = template["spec"]["volumes"]
        .as_array_mut()
        .and_then(|volumes| {
            volumes.iter_mut().find(|volume| match &claim {
                Some(claim) => volume["persistentVolumeClaim"]["claimName"] == claim.as_str(),
                None => volume.get("persistentVolumeClaim").is_some(),
            })
        })
        .and_then(Value::as_object_mut)
    {
        claimed.shift_remove("persistentVolumeClaim");
        claimed.insert("emptyDir".into(), json!({}));
        return Ok(());
    }
    let Some(workload) = set.objects.iter_mut().find(|object| object.key() == key) else { return Ok(()) };
    let Some(templates) = workload.json["spec"].as_object_mut().and_then(|spec| spec.shift_remove("volumeClaimTemplates")) else {
        return Ok(());
    };
    let volumes: Vec<Value> = templates
        .as_array()
        .into_iter()
        .flatten()
        .map(|template| json!({ "name": template["metadata"]["name"], "emptyDir": {} }))
        .collect();
    match workload.json["spec"]["template"]["spec"]["volumes"].as_array_mut() {
        Some(all) => all.extend(volumes),
        None => workload.json["spec"]["template"]["spec"]["volumes"] = volumes.into(),
    }
    Ok(())
}

fn name_class(set: &mut ManifestSet, class: &str) -> Step {
    let redis = Redis::in_set(set, None)?;
    let claim = set
        .objects
        .iter_mut()
        .filter(|object| object.json["kind"] == "PersistentVolumeClaim" && object.namespace() == redis.workload.namespace)
        .find(|object| redis.claim().is_none_or(|name| object.name() == name))
        .ok_or_else(|| Failure::violated_at(redis.role.data.place.clone(), "the set has no claim whose class could be named"))?;
    claim.json["spec"]["storageClassName"] = json!(class);
    Ok(())
}

/// The document's one change, with what it needs to work: a group that may write, and never two Redis on one claim.
fn persist(set: &mut ManifestSet) -> Step {
    persist_literally(set)?;
    let key = Redis::in_set(set, None)?.workload;
    let template = template(set)?;
    template["spec"]["securityContext"]["fsGroup"] = json!(1000);
    if let Some(object) = set.objects.iter_mut().find(|object| object.key() == key)
        && object.json["kind"] == "Deployment"
    {
        object.json["spec"]["strategy"] = json!({ "type": "Recreate" });
    }
    Ok(())
}

/// The document's one change and nothing else: `--appendonly yes` and a claim.
pub(super) fn persist_literally(set: &mut ManifestSet) -> Step {
    let redis = Redis::in_set(set, None)?;
    let template = template(set)?;
    let volumes = &mut template["spec"]["volumes"];
    let claim = json!({ "name": "redis-data", "persistentVolumeClaim": { "claimName": "redis-data" } });
    match volumes.as_array_mut() {
        Some(volumes) => {
            volumes.retain(|volume| volume["name"] != "redis-data");
            volumes.push(claim);
        }
        None => *volumes = json!([claim]),
    }
    let container = template["spec"]["containers"]
        .as_array_mut()
        .and_then(|containers| containers.iter_mut().find(|container| container["name"] == redis.container.as_str()))
        .ok_or_else(|| Failure::broken("the container of Redis is not in its template"))?;
    // Without arguments of its own a command takes the options itself.
    let list = if container.get("args").is_none() && container.get("command").is_some() { "command" } else { "args" };
    match container[list].as_array_mut() {
        Some(words) => words.extend([json!("--appendonly"), json!("yes")]),
        None => container[list] = json!(["--appendonly", "yes"]),
    }
    let directory = redis.role.data.dir.as_str();
    let mount = json!({ "name": "redis-data", "mountPath": directory });
    match container["volumeMounts"].as_array_mut() {
        Some(mounts) => {
            // The claim takes the place of what is mounted there now.
            mounts.retain(|mount| {
                mount["name"] != "redis-data" && mount["mountPath"].as_str().map(|path| path.trim_end_matches('/')) != Some(directory)
            });
            mounts.push(mount);
        }
        None => container["volumeMounts"] = json!([mount]),
    }
    set.add(json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": { "name": "redis-data", "namespace": redis.workload.namespace },
        "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } },
    }));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Redis with a claim for backups before the one for its data.
    const TWO_CLAIMS: &str = "apiVersion: v1
kind: PersistentVolumeClaim
metadata: { name: backup, namespace: a }
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: { name: data, namespace: a }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: redis, namespace: a }
spec:
  selector: { matchLabels: { app: redis } }
  template:
    metadata: { labels: { app: redis } }
    spec:
      containers:
        - { name: redis, image: 'redis:7', volumeMounts: [{ name: b, mountPath: /backup }, { name: d, mountPath: /data }] }
      volumes:
        - { name: b, persistentVolumeClaim: { claimName: backup } }
        - { name: d, persistentVolumeClaim: { claimName: data } }
";

    fn derived(name: &str) -> ManifestSet {
        let set = ManifestSet::parse(TWO_CLAIMS, std::path::Path::new("a.yaml")).expect("manifests");
        derive(name, &set).unwrap_or_else(|failure| panic!("{failure}"))
    }

    #[test]
    fn a_class_is_named_for_the_claim_under_the_data() {
        let set = derived("fast-ssd");
        let class = |at: usize| set.objects[at].json["spec"]["storageClassName"].clone();
        assert_eq!((class(0), class(1)), (Value::Null, json!("fast-ssd")));
    }

    #[test]
    fn the_claim_under_the_data_becomes_an_empty_dir_and_no_other() {
        let volumes = derived("emptydir").objects[2].json["spec"]["template"]["spec"]["volumes"].clone();
        assert_eq!(volumes[1], json!({ "name": "d", "emptyDir": {} }));
        assert_eq!(volumes[0]["persistentVolumeClaim"]["claimName"], "backup");
    }

    #[test]
    fn persistence_takes_the_place_of_what_held_the_data() {
        let set = derived("persistence");
        let container = &set.objects[2].json["spec"]["template"]["spec"]["containers"][0];
        let mounts: Vec<&str> =
            container["volumeMounts"].as_array().into_iter().flatten().filter_map(|mount| mount["name"].as_str()).collect();
        assert_eq!(mounts, ["b", "redis-data"]);
        assert_eq!(container["args"], json!(["--appendonly", "yes"]));
    }
}
