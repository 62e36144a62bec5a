//! Makes a variant that a document names out of a tree that has no such overlay: one typed change of the set.

use super::{Failure, Step, workload::Redis};
use crate::manifest::{ManifestSet, roles::Volume};
use serde_json::{Value, json};

/// What makes a variant out of a set.
type Change = fn(&mut ManifestSet) -> Step;

/// Names that can be derived, and how.
const DERIVED: &[(&str, Change)] = &[
    ("emptydir", data_on_an_empty_dir),
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

/// What holds the data becomes an emptyDir: a claim, a directory of the node. Where nothing holds it, one is mounted there, since the
/// document's *before* had one.
fn data_on_an_empty_dir(set: &mut ManifestSet) -> Step {
    let redis = Redis::in_set(set, None)?;
    let data = redis.role.data.clone();
    match &data.volume {
        Volume::EmptyDir { .. } => return Ok(()),
        Volume::Template { .. } => {
            templates_become_empty_dirs(set, &redis);
            return Ok(());
        }
        Volume::Container | Volume::Unknown { .. } => {
            return mount(set, &redis, "redis-data", &json!({ "name": "redis-data", "emptyDir": {} }));
        }
        Volume::Claim { .. } | Volume::HostPath { .. } | Volume::Other { .. } => {}
    }
    let name = set.get(&redis.workload).and_then(|object| object.str_at(&format!("{}/name", data.mount)).map(ToOwned::to_owned));
    let held =
        template(set)?["spec"]["volumes"].as_array_mut().into_iter().flatten().find(|volume| volume["name"].as_str() == name.as_deref());
    let volume = held.ok_or_else(|| Failure::broken(format!("the volume under {} is not in its pod", data.dir)))?;
    *volume = json!({ "name": name, "emptyDir": {} });
    Ok(())
}

fn templates_become_empty_dirs(set: &mut ManifestSet, redis: &Redis) {
    let Some(workload) = set.objects.iter_mut().find(|object| object.key() == redis.workload) else { return };
    let Some(templates) = workload.json["spec"].as_object_mut().and_then(|spec| spec.shift_remove("volumeClaimTemplates")) else { return };
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

/// Mounts a volume at the data directory of Redis, in the place of what is mounted there now.
fn mount(set: &mut ManifestSet, redis: &Redis, name: &str, volume: &Value) -> Step {
    let template = template(set)?;
    let volumes = &mut template["spec"]["volumes"];
    match volumes.as_array_mut() {
        Some(volumes) => {
            volumes.retain(|volume| volume["name"] != name);
            volumes.push(volume.clone());
        }
        None => *volumes = json!([volume]),
    }
    let directory = redis.role.data.dir.as_str();
    let container = container(template, redis)?;
    let mount = json!({ "name": name, "mountPath": directory });
    match container["volumeMounts"].as_array_mut() {
        Some(mounts) => {
            mounts.retain(|mount| {
                mount["name"] != name && mount["mountPath"].as_str().map(|path| path.trim_end_matches('/')) != Some(directory)
            });
            mounts.push(mount);
        }
        None => container["volumeMounts"] = json!([mount]),
    }
    Ok(())
}

/// The container of Redis in its template.
fn container<'set>(template: &'set mut Value, redis: &Redis) -> Step<&'set mut Value> {
    template["spec"]["containers"]
        .as_array_mut()
        .and_then(|containers| containers.iter_mut().find(|container| container["name"] == redis.container.as_str()))
        .ok_or_else(|| Failure::broken("the container of Redis is not in its template"))
}

/// Gives the server more options: to a script where it starts the server, else to the arguments.
fn more_options(container: &mut Value, options: &[&str]) {
    let length = |list: &Value| list.as_array().map_or(0, Vec::len);
    let (commands, arguments) = (length(&container["command"]), length(&container["args"]));
    let word = |index: usize| -> Option<&str> {
        if index < commands { container["command"][index].as_str() } else { container["args"][index - commands].as_str() }
    };
    let is_shell =
        commands > 0 && word(0).is_some_and(|program| matches!(program.rsplit('/').next(), Some("sh" | "bash" | "ash" | "dash")));
    if is_shell {
        let script = (1..commands + arguments).find(|&index| word(index).is_some_and(|word| !word.starts_with('-')));
        let is_text = (1..script.unwrap_or(1)).any(|index| word(index).is_some_and(|word| !word.starts_with("--") && word.contains('c')));
        if let (Some(index), true) = (script, is_text)
            && let Some(text) = word(index).and_then(|text| with_options(text, options))
        {
            let place = if index < commands { &mut container["command"][index] } else { &mut container["args"][index - commands] };
            *place = text.into();
            return;
        }
    }
    // Without arguments of its own a command takes the options itself.
    let list = if arguments == 0 && commands > 0 { "command" } else { "args" };
    match container[list].as_array_mut() {
        Some(words) => words.extend(options.iter().map(|option| json!(option))),
        None => container[list] = json!(options),
    }
}

/// The script with options at the end of the command that starts the server; `None` where none of its words does.
fn with_options(script: &str, options: &[&str]) -> Option<String> {
    let start = script.find("redis-server")?;
    let mut quote = None;
    let mut end = script.len();
    let mut letters = script[start..].char_indices();
    while let Some((at, letter)) = letters.next() {
        match (quote, letter) {
            // What follows is no end: a continued line, a quoted sign.
            (_, '\\') => drop(letters.next()),
            (Some(open), close) if open == close => quote = None,
            (None, '"' | '\'') => quote = Some(letter),
            (None, '\n' | ';' | '&' | '|' | '>') => {
                end = start + at;
                break;
            }
            _ => {}
        }
    }
    let (server, rest) = script.split_at(end);
    Some(format!("{} {} {rest}", server.trim_end(), options.join(" ")).trim_end().to_owned())
}

/// The document's one change and nothing else: `--appendonly yes` and a claim.
pub(super) fn persist_literally(set: &mut ManifestSet) -> Step {
    let redis = Redis::in_set(set, None)?;
    let claim = json!({ "name": "redis-data", "persistentVolumeClaim": { "claimName": "redis-data" } });
    mount(set, &redis, "redis-data", &claim)?;
    more_options(container(template(set)?, &redis)?, &["--appendonly", "yes"]);
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

    #[rstest::rstest]
    #[case::of_the_node("{ name: d, hostPath: { path: /var/lib/redis } }")]
    #[case::of_a_server("{ name: d, nfs: { server: a, path: /b } }")]
    fn whatever_holds_the_data_becomes_an_empty_dir(#[case] volume: &str) {
        let text = TWO_CLAIMS.replace("{ name: d, persistentVolumeClaim: { claimName: data } }", volume);
        let set = ManifestSet::parse(&text, std::path::Path::new("a.yaml")).expect("manifests");
        let derived = derive("emptydir", &set).unwrap_or_else(|failure| panic!("{failure}"));
        assert_eq!(derived.objects[2].json["spec"]["template"]["spec"]["volumes"][1], json!({ "name": "d", "emptyDir": {} }));
    }

    #[test]
    fn where_nothing_holds_the_data_an_empty_dir_does() {
        let text = TWO_CLAIMS.replace("mountPath: /data", "mountPath: /elsewhere");
        let set = ManifestSet::parse(&text, std::path::Path::new("a.yaml")).expect("manifests");
        let derived = derive("emptydir", &set).unwrap_or_else(|failure| panic!("{failure}"));
        let data = crate::manifest::Roles::of(&derived).redis.remove(0).data;
        assert_eq!((data.dir.as_str(), data.volume), ("/data", Volume::EmptyDir { memory: false }));
    }

    #[rstest::rstest]
    #[case::a_command(json!({ "command": ["redis-server"] }), json!({ "command": ["redis-server", "--appendonly", "yes"] }))]
    #[case::arguments(json!({ "args": ["--save", ""] }), json!({ "args": ["--save", "", "--appendonly", "yes"] }))]
    #[case::a_script(json!({ "command": ["sh", "-c", "exec redis-server /a.conf"] }), json!({ "command": ["sh", "-c", "exec redis-server /a.conf --appendonly yes"] }))]
    #[case::a_script_that_goes_on(
        json!({ "command": ["/bin/sh", "-ec"], "args": ["redis-server --x 'a;b' \\\n  --y & wait"] }),
        json!({ "command": ["/bin/sh", "-ec"], "args": ["redis-server --x 'a;b' \\\n  --y --appendonly yes & wait"] })
    )]
    #[case::a_script_elsewhere(json!({ "command": ["sh", "/run.sh"] }), json!({ "command": ["sh", "/run.sh", "--appendonly", "yes"] }))]
    fn options_reach_the_server(#[case] mut container: Value, #[case] expected: Value) {
        more_options(&mut container, &["--appendonly", "yes"]);
        container.as_object_mut().expect("a container").retain(|_, value| !value.is_null());
        assert_eq!(container, expected);
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
