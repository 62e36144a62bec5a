//! What stands in the way of any set's Redis, read from its manifests before anything is waited for; each with its place.

use super::{
    Failure, Step, World,
    workload::{Redis, undecided},
};
use crate::{
    manifest::{ManifestSet, Object, ObjectKey, Place, Roles, Workload},
    target::{Capability, WithoutProgram},
};
use serde_json::Value;
use std::{collections::BTreeSet, net::IpAddr};

/// Something that Redis asks for by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Asked {
    kind: &'static str,
    name: String,
    place: Place,
}

/// Why no single pod of this Redis can be held to what it acknowledged; `None` where each stands for itself.
pub(super) fn topology(set: &ManifestSet, redis: &Redis) -> Option<String> {
    let (role, config) = (&redis.role, &redis.role.config);
    let pods = role.replicas.map_or_else(|| "one pod a node".to_owned(), |count| format!("{count} pods"));
    if let Some(setting) = config.setting("cluster-enabled").filter(|_| config.is_on("cluster-enabled", false)) {
        return Some(format!(
            "{pods} in cluster mode ({}): which of them must keep a write is a matter of slots and replication, which this feature does not judge",
            setting.place
        ));
    }
    let place = config.setting("replicaof").or_else(|| config.setting("slaveof")).map_or(&role.id.place, |setting| &setting.place);
    if role.replicates {
        return Some(format!(
            "{pods} that follow a master or may come to ({place}): which of them must keep a write is a matter of replication, which this feature does not judge"
        ));
    }
    let roles = Roles::of(set);
    let namespace = &redis.workload.namespace;
    let follower = roles.redis.iter().find(|other| {
        let master =
            other.config.setting("replicaof").or_else(|| other.config.setting("slaveof")).and_then(|setting| setting.values.first());
        other.replicates && other.id.workload.namespace == *namespace && may_be(master.map(String::as_str), redis)
    });
    let sentinel = roles.sentinels.iter().find(|sentinel| {
        let watched = sentinel.monitors.is_empty() || sentinel.monitors.iter().any(|monitor| may_be(Some(&monitor.host), redis));
        sentinel.id.workload.namespace == *namespace && watched
    });
    if let (Some(follower), Some(sentinel)) = (follower, sentinel) {
        return Some(format!(
            "{} follows it ({}) and Sentinel may promote that one ({}): which of them must keep a write is a matter of failover, which this feature does not judge",
            follower.id.workload, follower.id.place, sentinel.id.place
        ));
    }
    if role.replicas == Some(0) {
        return Some(format!("no pod of it is asked for ({})", replicas_place(set, redis)));
    }
    if role.replicas != Some(1) && redis.workload.kind != "StatefulSet" {
        return Some(format!(
            "{pods} of one {} that do not know each other ({}): after a fault nobody can tell which new pod stands for the old one",
            redis.workload.kind,
            replicas_place(set, redis)
        ));
    }
    None
}

/// Whether the host that a follower or Sentinel is given may be this Redis: an address, or a name that only a script knows, may be any.
fn may_be(host: Option<&str>, redis: &Redis) -> bool {
    let Some(host) = host.filter(|host| !host.is_empty() && !host.contains('$') && host.parse::<IpAddr>().is_err()) else { return true };
    let first = host.split('.').next().unwrap_or_default();
    let ordinal = first.strip_prefix(redis.workload.name.as_str()).and_then(|rest| rest.strip_prefix('-'));
    ordinal.is_some_and(|ordinal| ordinal.parse::<u32>().is_ok()) || redis.services().any(|service| service.name == first)
}

/// Where the number of pods is written.
pub(super) fn replicas_place(set: &ManifestSet, redis: &Redis) -> Place {
    set.get(&redis.workload).map_or_else(|| redis.role.id.place.clone(), |object| object.place_of("/spec/replicas"))
}

/// Why nothing can be tried where no container runs Redis: what the set holds instead.
pub(super) fn without_redis(set: &ManifestSet) -> String {
    let roles = Roles::of(set);
    if !roles.undecided.is_empty() {
        return undecided(&roles);
    }
    let some: Vec<String> = set.objects.iter().take(6).map(|object| format!("{} ({})", object.key(), object.place)).collect();
    let more = set.objects.len().saturating_sub(some.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("no container of these manifests runs Redis; they hold {}{more}", some.join(", "))
}

impl World {
    /// What Redis asks for by name and neither the set nor the cluster has.
    pub(super) async fn missing(&mut self, redis: &Redis) -> Step<Vec<String>> {
        let set = self.set()?;
        let object = set.get(&redis.workload).ok_or_else(|| Failure::broken(format!("{} is not in its set", redis.workload)))?;
        let mut missing = Vec::new();
        for Asked { kind, name, place } in asked(&set, object, redis) {
            let namespace = if kind == "StorageClass" { "" } else { redis.workload.namespace.as_str() };
            let key = ObjectKey { kind: kind.into(), namespace: namespace.into(), name };
            if set.get(&key).is_none() && self.live(kind, namespace, &key.name).await?.is_none() {
                let where_else = if kind == "StorageClass" { "this cluster has no such class" } else { "no file holds it" };
                missing.push(format!("it asks for {key} at {place}, and {where_else}"));
            }
        }
        Ok(missing)
    }

    /// The first container without which the pod cannot serve and for whose image there is no program, with the place of the image.
    pub(super) fn without_program(&self, redis: &Redis) -> Step<Option<(WithoutProgram, Place)>> {
        let set = self.set()?;
        let Some(workload) = set.get(&redis.workload).and_then(Workload::of) else { return Ok(None) };
        let applied = self.applied()?;
        let needed = workload.containers().filter(|container| container.init || container.pointer == redis.container_pointer());
        for container in needed {
            let found =
                applied.without_program.iter().find(|without| without.owner == redis.workload && without.container == container.name());
            if let Some(without) = found {
                return Ok(Some((without.clone(), workload.object.place_of(&format!("{}/image", container.pointer)))));
            }
        }
        Ok(None)
    }
}

/// The failure of a role for whose image there is no program here; `program` is what it would be called.
pub(super) fn nothing_stands_for(without: &WithoutProgram, program: &str) -> Failure {
    let image = &without.image;
    Failure::unsupported(
        Capability::Program(image.clone()),
        format!("no program here stands for it; name one in redis-conformance.yaml:  images: {{ \"{image}\": /path/to/{program} }}"),
    )
}

/// The failure of a pod one of whose containers has an image without a program, and of whatever `others` tell.
pub(super) fn no_program(without: &WithoutProgram, place: &Place, others: &[String]) -> Failure {
    let others = if others.is_empty() { String::new() } else { format!("; moreover {}", others.join("; ")) };
    Failure::unsupported(
        Capability::Program(without.image.clone()),
        format!(
            "container {} at {place} needs it; name one in redis-conformance.yaml:  images: {{ \"{}\": /path/to/program }}{others}",
            without.container, without.image
        ),
    )
}

/// Everything that Redis' own pod needs before it can start: what its volumes, its init containers and Redis itself refer to.
fn asked(set: &ManifestSet, object: &Object, redis: &Redis) -> BTreeSet<Asked> {
    let mut all = BTreeSet::new();
    let Some(workload) = Workload::of(object) else { return all };
    let mut ask = |kind: &'static str, pointer: &str, owner: &Object| {
        if let Some(name) = owner.str_at(pointer).filter(|name| !name.is_empty()) {
            all.insert(Asked { kind, name: name.to_owned(), place: owner.place_of(pointer) });
        }
    };
    let pod = workload.pod_spec();
    ask("ServiceAccount", &format!("{pod}/serviceAccountName"), object);
    let optional = |value: &Value| value.get("optional") == Some(&Value::Bool(true));
    for container in workload.containers().filter(|container| container.init || container.pointer == redis.container_pointer()) {
        for (pointer, variable) in container.items("env") {
            for (field, kind) in [("secretKeyRef", "Secret"), ("configMapKeyRef", "ConfigMap")] {
                if variable.pointer(&format!("/valueFrom/{field}")).is_some_and(|reference| !optional(reference)) {
                    ask(kind, &format!("{pointer}/valueFrom/{field}/name"), object);
                }
            }
        }
        for (pointer, source) in container.items("envFrom") {
            for (field, kind) in [("secretRef", "Secret"), ("configMapRef", "ConfigMap")] {
                if source.get(field).is_some_and(|reference| !optional(reference)) {
                    ask(kind, &format!("{pointer}/{field}/name"), object);
                }
            }
        }
    }
    for (pointer, volume) in object.items_at(&format!("{pod}/volumes")) {
        let plain = [("secret", "secretName", "Secret"), ("configMap", "name", "ConfigMap")];
        for (field, name, kind) in plain {
            if volume.get(field).is_some_and(|source| !optional(source)) {
                ask(kind, &format!("{pointer}/{field}/{name}"), object);
            }
        }
        for (at, source) in object.items_at(&format!("{pointer}/projected/sources")) {
            for (field, kind) in [("secret", "Secret"), ("configMap", "ConfigMap")] {
                if source.get(field).is_some_and(|source| !optional(source)) {
                    ask(kind, &format!("{at}/{field}/name"), object);
                }
            }
        }
        let claim = format!("{pointer}/persistentVolumeClaim/claimName");
        ask("PersistentVolumeClaim", &claim, object);
        let claim = object.str_at(&claim).map(|name| ObjectKey {
            kind: "PersistentVolumeClaim".into(),
            namespace: object.namespace().into(),
            name: name.into(),
        });
        if let Some(claim) = claim.and_then(|key| set.get(&key)).filter(|claim| !is_prepared(set, claim.at("/spec"))) {
            ask("StorageClass", "/spec/storageClassName", claim);
        }
    }
    for (pointer, template) in object.items_at("/spec/volumeClaimTemplates") {
        if !is_prepared(set, template.get("spec")) {
            ask("StorageClass", &format!("{pointer}/spec/storageClassName"), object);
        }
    }
    all
}

/// Whether a volume of the set waits for the claim, so that its class need not exist.
fn is_prepared(set: &ManifestSet, claim: Option<&Value>) -> bool {
    let field = |name: &str| claim.and_then(|claim| claim.get(name)).and_then(Value::as_str);
    set.of_kind("PersistentVolume").any(|volume| {
        field("volumeName") == Some(volume.name())
            || volume.str_at("/spec/storageClassName").is_some_and(|class| field("storageClassName") == Some(class))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> ManifestSet {
        ManifestSet::parse(text, "redis.yaml").expect("is read")
    }

    fn stateful_set(extra: &str, command: &str, replicas: usize) -> String {
        format!(
            "apiVersion: apps/v1\nkind: StatefulSet\nmetadata:\n  name: redis\nspec:\n  replicas: {replicas}\n  selector:\n    matchLabels: {{ app: redis }}\n  template:\n    metadata:\n      labels: {{ app: redis }}\n    spec:\n      containers:\n      - name: redis\n        image: redis:7\n        command: {command}\n{extra}"
        )
    }

    fn why(text: &str) -> Option<String> {
        let set = set(text);
        let redis = Redis::in_set(&set, Some(0)).expect("there is one");
        topology(&set, &redis)
    }

    #[test]
    fn masters_that_do_not_know_each_other_stand_for_themselves() {
        assert_eq!(why(&stateful_set("", "[redis-server]", 3)), None);
        assert_eq!(why(&stateful_set("", "[redis-server]", 1)), None);
    }

    #[test]
    fn a_cluster_and_a_follower_are_left_to_other_documents_with_the_place_that_makes_them_so() {
        let cluster = why(&stateful_set("", "[redis-server, --cluster-enabled, \"yes\"]", 6)).expect("is a cluster");
        assert!(cluster.contains("6 pods in cluster mode (redis.yaml:16:"), "{cluster}");
        let follower = why(&stateful_set("", "[redis-server, --replicaof, redis-0, \"6379\"]", 3)).expect("follows");
        assert!(follower.contains("follow a master or may come to (redis.yaml:16:"), "{follower}");
    }

    #[rstest::rstest]
    #[case::its_first_pod("redis-0.redis.shop.svc", true)]
    #[case::another_pod("redis-primary-0.redis", false)]
    #[case::known_to_a_script("$MASTER", true)]
    #[case::an_address("10.0.0.7", true)]
    fn a_master_is_who_its_followers_name(#[case] host: &str, #[case] may: bool) {
        let set = set(&stateful_set("", "[redis-server]", 1));
        let redis = Redis::in_set(&set, None).expect("there is one");
        assert_eq!(may_be(Some(host), &redis), may);
    }

    #[test]
    fn what_is_asked_for_has_its_place() {
        let text = stateful_set(
            "        env:\n        - name: A\n          valueFrom: { secretKeyRef: { name: auth, key: password } }\n        - name: B\n          valueFrom: { secretKeyRef: { name: may-be, key: b, optional: true } }\n  volumeClaimTemplates:\n  - metadata: { name: data }\n    spec:\n      storageClassName: fast\n",
            "[redis-server]",
            1,
        );
        let set = set(&text);
        let redis = Redis::in_set(&set, None).expect("there is one");
        let object = set.get(&redis.workload).expect("is there");
        let found: Vec<String> =
            asked(&set, object, &redis).into_iter().map(|asked| format!("{} {} {}", asked.kind, asked.name, asked.place.line)).collect();
        assert_eq!(found, ["Secret auth 19", "StorageClass fast 25"]);
    }

    #[test]
    fn a_set_without_redis_says_what_it_holds() {
        let text = without_redis(&set("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: c\n"));
        assert!(text.contains("ConfigMap default/c (redis.yaml:1:1)"), "{text}");
    }
}
