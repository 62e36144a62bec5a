use super::*;
use crate::manifest::{ManifestSet, renderer};
use rstest::rstest;
use std::path::Path;

const RUN: &str = "20261127-131214-121f";

/// Names that know what is declared in most tests.
fn names() -> Names {
    let names = Names::new(RUN, 7);
    names.declare(&[
        object("Namespace", "", "mcp"),
        object("Namespace", "", "mcp-dev"),
        object("ConfigMap", "svc", "lives-there"),
        object("ConfigMap", "default", "lives-there"),
        object("RoleBinding", "kube-system", "lives-there"),
        object("StorageClass", "", "fast-ssd"),
        object("StorageClass", "", "fast.ssd"),
        object("PersistentVolume", "", "disk.example.com"),
        object("ClusterRole", "", "system:reader"),
        object("PriorityClass", "", "high"),
        object("RuntimeClass", "", "gvisor"),
        object("IngressClass", "", "edge"),
        object("VolumeAttributesClass", "", "gold"),
        object("CustomResourceDefinition", "", "caches.example.com"),
        object("ValidatingAdmissionPolicy", "", "no-latest"),
    ]);
    names
}

fn object(kind: &str, namespace: &str, name: &str) -> Value {
    let mut object = json!({ "apiVersion": "v1", "kind": kind, "metadata": { "name": name } });
    if !namespace.is_empty() {
        object["metadata"]["namespace"] = namespace.into();
    }
    object
}

/// The object with one more field.
fn with(mut object: Value, pointer: &str, value: Value) -> Value {
    assert!(pointer::set(&mut object, pointer, value), "{pointer}");
    object
}

/// What becomes of an object on its way out, which must be undone on its way back.
fn sent(names: &Names, object: &Value) -> Outgoing {
    let outgoing = names.outgoing(object.clone());
    assert_eq!(&names.incoming(outgoing.object.clone()), object, "not as it was");
    outgoing
}

/// The manifests' name for a namespace on the cluster.
fn manifest_namespace(names: &Names, cluster_name: &str) -> Option<String> {
    names.known().name(Way::In, NAMESPACE, cluster_name)
}

#[test]
fn a_namespace_bears_the_run_and_the_scenario() {
    let names = Names::new(RUN, 7);
    assert_eq!(names.namespace("mcp"), "mcp-121f-7");
    assert_eq!(manifest_namespace(&names, "mcp-121f-7").as_deref(), Some("mcp"));
    for stranger in ["mcp", "mcp-121f-70", "mcp-121f-7-121f-7", "agentsmith-121f-7", "kube-system"] {
        assert_eq!(manifest_namespace(&names, stranger), None, "{stranger}");
    }
    names.declare(&[object("Pod", "agentsmith", "a")]);
    assert_eq!(manifest_namespace(&names, "agentsmith-121f-7").as_deref(), Some("agentsmith"));
    assert_ne!(Names::new(RUN, 70).namespace("mcp"), names.namespace("mcp"));
}

#[test]
fn in_a_namespace_that_was_lent_everything_bears_the_labels_and_words_are_left_alone() {
    let names = Names::new(RUN, 7).within(Some("redis".into()));
    names.declare(&[object("Namespace", "", "mcp"), object("StorageClass", "", "fast")]);
    assert_eq!((names.namespace("mcp"), names.host("redis.mcp")), ("redis".into(), "redis.redis".into()));
    let labels = json!({ "redis-conformance.io/run": RUN, "redis-conformance.io/scenario": "121f-7" });
    let set = with(object("StatefulSet", "mcp", "redis"), "/spec/volumeClaimTemplates", json!([{ "metadata": { "name": "data" } }]));
    let out = sent(&names, &set).object;
    assert_eq!((&out["metadata"]["namespace"], &out["metadata"]["labels"]), (&json!("redis"), &labels));
    assert_eq!(out["spec"]["volumeClaimTemplates"][0]["metadata"], json!({ "name": "data", "labels": labels }));
    assert_eq!(sent(&names, &object("StorageClass", "", "fast")).object["metadata"]["labels"], labels);
    for not_ours in [object("Namespace", "", "mcp"), object("Node", "", "worker")] {
        assert_eq!(sent(&names, &not_ours).object["metadata"].get("labels"), None, "{not_ours}");
    }
    assert_eq!(names.words("pod redis-0 of redis"), "pod redis-0 of redis");
}

#[test]
fn a_long_name_is_cut_to_what_a_label_may_have_and_stays_distinct() {
    let names = Names::new(RUN, 7);
    let mut seen = BTreeMap::new();
    for length in 1..=63 {
        for name in ["a", "b-"].map(|piece| format!("{}x", &piece.repeat(63)[..length - 1])) {
            let cluster = names.namespace(&name);
            assert!(cluster.len() <= 63 && cluster.ends_with("-121f-7"), "{cluster}");
            assert!(cluster.chars().all(is_of_label) && !cluster.starts_with('-'), "{cluster}");
            assert_eq!(manifest_namespace(&names, &cluster).as_ref(), Some(&name));
            let before = seen.insert(cluster, name.clone());
            assert!(before.is_none_or(|before| before == name));
        }
    }
    // Not even a name that looks like what another was cut to meets it.
    let cut = names.namespace(&"a".repeat(63));
    let like = cut.strip_suffix("-121f-7").unwrap();
    assert_ne!(names.namespace(like), cut);
}

#[test]
fn a_long_name_without_a_namespace_has_more_room_and_no_dash_after_a_dot() {
    let names = Names::new(RUN, 7);
    let long = format!("{}.b", "a".repeat(230));
    let longest = format!("{}.{}", "a".repeat(236), "b".repeat(16));
    names.declare(&[object("StorageClass", "", &long), object("StorageClass", "", &longest)]);
    assert_eq!(names.cluster_scoped("StorageClass", &long), format!("{long}-121f-7"));
    let cut = names.cluster_scoped("StorageClass", &longest);
    assert!(cut.len() == 253 && !cut.contains(".-") && !cut.contains("-."), "{cut}");
}

#[rstest]
#[case("StorageClass", "fast-ssd", "fast-ssd-121f-7")]
#[case("StorageClass", "fast.ssd", "fast.ssd-121f-7")]
#[case("ClusterRole", "system:reader", "system:reader-121f-7")]
#[case("Namespace", "mcp", "mcp-121f-7")]
// Not in the set.
#[case("StorageClass", "standard", "standard")]
#[case("ClusterRole", "fast-ssd", "fast-ssd")]
// The name is a part of what it is.
#[case("CustomResourceDefinition", "caches.example.com", "caches.example.com")]
fn an_object_without_a_namespace_is_renamed_if_the_set_brings_it(#[case] kind: &str, #[case] name: &str, #[case] cluster: &str) {
    assert_eq!(names().cluster_scoped(kind, name), cluster);
}

#[test]
fn what_is_applied_later_is_renamed_from_then_on() {
    let names = names();
    let claim = with(object("PersistentVolumeClaim", "mcp", "data"), "/spec/storageClassName", json!("late"));
    assert_eq!(sent(&names, &claim).object["spec"]["storageClassName"], "late");
    names.declare(&[object("StorageClass", "", "late")]);
    assert_eq!(sent(&names, &claim).object["spec"]["storageClassName"], "late-121f-7");
}

#[rstest]
#[case("redis.mcp", "redis.mcp-121f-7")]
#[case("redis-0.redis.mcp", "redis-0.redis.mcp-121f-7")]
#[case("redis.mcp.svc", "redis.mcp-121f-7.svc")]
#[case("redis.mcp.svc.cluster.local", "redis.mcp-121f-7.svc.cluster.local")]
#[case("redis.mcp.svc.cluster.local.", "redis.mcp-121f-7.svc.cluster.local.")]
#[case("redis.mcp-dev.svc", "redis.mcp-dev-121f-7.svc")]
#[case("redis.default", "redis.default-121f-7")]
#[case("redis.svc", "redis.svc-121f-7")]
#[case("redis", "redis")]
#[case("mcp", "mcp")]
#[case(".mcp", ".mcp")]
#[case("redis.mcp-tools", "redis.mcp-tools")]
#[case("redis.mcp.com", "redis.mcp.com")]
#[case("redis.other.svc", "redis.other.svc")]
#[case("kube-dns.kube-system.svc", "kube-dns.kube-system.svc")]
#[case("10.96.0.10", "10.96.0.10")]
fn a_client_reaches_what_the_manifests_call_by_a_host(#[case] host: &str, #[case] cluster: &str) {
    assert_eq!(names().host(host), cluster);
}

#[rstest]
#[case("redis.mcp.svc", "redis.mcp-121f-7.svc")]
#[case("redis://:pw@redis.mcp.svc:6379/0", "redis://:pw@redis.mcp-121f-7.svc:6379/0")]
#[case("a.mcp.svc,b.mcp-dev.svc.cluster.local", "a.mcp-121f-7.svc,b.mcp-dev-121f-7.svc.cluster.local")]
#[case("$(HOST).mcp.svc", "$(HOST).mcp-121f-7.svc")]
#[case("a.mcp.svc.svc", "a.mcp-121f-7.svc.svc")]
#[case("a.svc.svc.svc", "a.svc-121f-7.svc.svc")]
#[case("é.mcp.svcé", "é.mcp-121f-7.svcé")]
#[case("redis.mcp", "redis.mcp")]
#[case("redis.mcp:6379", "redis.mcp:6379")]
#[case("mcp.svc", "mcp.svc")]
#[case("redis.xmcp.svc", "redis.xmcp.svc")]
#[case("redis.mcp-tools.svc", "redis.mcp-tools.svc")]
#[case("redis.mcp.svc2", "redis.mcp.svc2")]
#[case("redis.mcp.svc-a", "redis.mcp.svc-a")]
#[case("redis.mcp.service", "redis.mcp.service")]
#[case("-n mcp ..svc .svc. mcp", "-n mcp ..svc .svc. mcp")]
#[case("kube-dns.kube-system.svc", "kube-dns.kube-system.svc")]
fn only_the_namespace_of_a_services_host_is_rewritten_in_a_text(#[case] text: &str, #[case] cluster: &str) {
    let map = with(object("ConfigMap", "mcp", "texts"), "/data", json!({ "a": text }));
    assert_eq!(sent(&names(), &map).object["data"]["a"], cluster);
}

#[test]
fn any_text_comes_back_as_it_was() {
    const PIECES: &[&str] =
        &["mcp", "mcp-dev", "svc", "default", "kube-system", "x", "-", ".", ".svc", ".mcp", ".mcp-dev.svc", ":", "é", "_"];
    let names = names();
    let (mut state, mut changed) = (7_u64, 0);
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap()
    };
    for _ in 0..5_000 {
        let text: String = (0..next() % 12).map(|_| PIECES[next() % PIECES.len()]).collect();
        let map = with(object("ConfigMap", "mcp", "texts"), "/data", json!({ "a": text }));
        let outgoing = sent(&names, &map);
        assert_eq!(outgoing.rewritten.is_empty(), outgoing.object["data"]["a"] == text.as_str(), "{text}");
        changed += usize::from(!outgoing.rewritten.is_empty());
        assert_eq!(names.words(&text), text);
    }
    assert!(changed > 500, "{changed}");
}

#[test]
fn each_rewritten_place_is_told_and_of_a_secret_only_the_place() {
    let names = names();
    let deployment = with(
        object("Deployment", "mcp", "server"),
        "/spec/template/spec/containers",
        json!([{ "env": [{ "name": "A", "value": "redis.mcp.svc" }, { "name": "B", "value": "redis" }] }]),
    );
    let place = "Deployment mcp/server, /spec/template/spec/containers/0/env/0/value: redis.mcp.svc → redis.mcp-121f-7.svc";
    assert_eq!(sent(&names, &deployment).rewritten, [place]);

    let text = "a redis.mcp.svc.cluster.local.\nb redis.mcp.svc.cluster.local c \"x.mcp-dev.svc\"";
    let map = with(object("ConfigMap", "mcp", "conf"), "/data", json!({ "a/b~c": text }));
    let told = "redis.mcp.svc.cluster.local → redis.mcp-121f-7.svc.cluster.local, x.mcp-dev.svc → x.mcp-dev-121f-7.svc";
    assert_eq!(sent(&names, &map).rewritten, [format!("ConfigMap mcp/conf, /data/a~1b~0c: {told}")]);

    let data = json!({ "url": STANDARD.encode("redis://:pw@redis.mcp.svc"), "key": STANDARD.encode([0xff, 0xfe]), "none": "no base64" });
    let secret = with(with(object("Secret", "mcp", "s"), "/data", data), "/stringData", json!({ "host": "redis.mcp.svc" }));
    let outgoing = sent(&names, &secret);
    assert_eq!(outgoing.rewritten, ["Secret mcp/s, /data/url", "Secret mcp/s, /stringData/host"]);
    assert_eq!(json::bytes(&outgoing.object["data"]["url"]).unwrap(), b"redis://:pw@redis.mcp-121f-7.svc");
}

#[test]
fn texts_are_rewritten_wherever_a_container_has_them() {
    let exec = json!({ "exec": { "command": ["ping", "a.mcp.svc"] } });
    let container = json!({
        "command": ["a.mcp.svc"], "args": ["a.mcp.svc"], "env": [{ "name": "a.mcp.svc", "value": "a.mcp.svc" }],
        "livenessProbe": exec, "readinessProbe": exec, "startupProbe": exec, "lifecycle": { "preStop": exec, "postStart": exec },
        "workingDir": "/a.mcp.svc", "image": "a.mcp.svc/redis",
    });
    let spec = json!({ "containers": [container], "initContainers": [container] });
    for (kind, pointer) in [
        ("Pod", "/spec"),
        ("Deployment", "/spec/template/spec"),
        ("StatefulSet", "/spec/template/spec"),
        ("DaemonSet", "/spec/template/spec"),
        ("Job", "/spec/template/spec"),
        ("CronJob", "/spec/jobTemplate/spec/template/spec"),
    ] {
        let outgoing = sent(&names(), &with(object(kind, "mcp", "a"), pointer, spec.clone()));
        assert_eq!(outgoing.rewritten.len(), 16, "{:#?}", outgoing.rewritten);
        let text = outgoing.object.to_string();
        // The name of a variable, the directory and the image, in both containers.
        assert_eq!((text.matches("a.mcp.svc").count(), text.matches("a.mcp-121f-7.svc").count()), (6, 16), "{text}");
    }
    assert_eq!(sent(&names(), &with(object("Widget", "mcp", "a"), "/spec", spec)).rewritten, Vec::<String>::new());
}

#[rstest]
#[case("PersistentVolumeClaim", "/spec/storageClassName", "fast-ssd")]
#[case("PersistentVolumeClaim", "/spec/volumeName", "disk.example.com")]
#[case("PersistentVolumeClaim", "/spec/volumeAttributesClassName", "gold")]
#[case("PersistentVolumeClaim", "/metadata/annotations/volume.beta.kubernetes.io~1storage-class", "fast.ssd")]
#[case("PersistentVolume", "/spec/storageClassName", "fast.ssd")]
#[case("PersistentVolume", "/spec/claimRef/namespace", "mcp")]
#[case("RoleBinding", "/roleRef", "ClusterRole/system:reader")]
#[case("Ingress", "/spec/ingressClassName", "edge")]
#[case("Pod", "/spec/priorityClassName", "high")]
#[case("Deployment", "/spec/template/spec/runtimeClassName", "gvisor")]
#[case("ValidatingAdmissionPolicyBinding", "/spec/policyName", "no-latest")]
#[case("ConfigMap", "/metadata/ownerReferences", "[PersistentVolume/disk.example.com]")]
fn a_reference_follows_what_it_refers_to(#[case] kind: &str, #[case] pointer: &str, #[case] name: &str) {
    let refer = |name: &str| match name.trim_matches(['[', ']']).split_once('/') {
        Some((kind, referred)) if name.starts_with('[') => json!([{ "kind": kind, "name": referred }]),
        Some((kind, referred)) => json!({ "kind": kind, "name": referred }),
        None => json!(name),
    };
    let ending = |end: &str| match name.strip_suffix(']') {
        Some(name) => refer(&format!("{name}{end}]")),
        None => refer(&format!("{name}{end}")),
    };
    let outgoing = sent(&names(), &with(object(kind, "mcp", "a"), pointer, ending("")));
    assert_eq!(outgoing.object.pointer(pointer), Some(&ending("-121f-7")));
    assert_eq!(outgoing.rewritten, Vec::<String>::new());
    // What the set does not bring stays as it is.
    let stranger = with(object(kind, "mcp", "a"), pointer, ending("x"));
    assert_eq!(sent(&names(), &stranger).object.pointer(pointer), Some(&ending("x")));
}

#[test]
fn claim_templates_follow_their_class() {
    let claim = json!({ "metadata": { "name": "data" }, "spec": { "storageClassName": "fast-ssd", "volumeName": "disk.example.com" } });
    let set = with(object("StatefulSet", "mcp", "redis"), "/spec/volumeClaimTemplates", json!([claim]));
    let set = with(set, "/spec/template/spec/volumes", json!([{ "ephemeral": { "volumeClaimTemplate": claim } }, { "emptyDir": {} }]));
    let object = sent(&names(), &set).object;
    for at in ["/spec/volumeClaimTemplates/0", "/spec/template/spec/volumes/0/ephemeral/volumeClaimTemplate"] {
        let spec = json!({ "storageClassName": "fast-ssd-121f-7", "volumeName": "disk.example.com-121f-7" });
        assert_eq!(object.pointer(at).unwrap(), &json!({ "metadata": { "name": "data" }, "spec": spec }));
    }
}

#[test]
fn a_binding_gives_rights_to_whom_it_gave_them() {
    let subjects = json!([
        { "kind": "ServiceAccount", "name": "mcp", "namespace": "mcp" },
        { "kind": "ServiceAccount", "name": "dns", "namespace": "kube-system" },
        { "kind": "Group", "name": "system:serviceaccounts:mcp-dev" },
        { "kind": "User", "name": "system:serviceaccount:mcp:default" },
        { "kind": "Group", "name": "system:serviceaccounts" },
        { "kind": "Group", "name": "mcp" },
    ]);
    for (kind, namespace) in [("RoleBinding", "mcp"), ("ClusterRoleBinding", "")] {
        let binding = with(object(kind, namespace, "a"), "/subjects", subjects.clone());
        let binding = with(binding, "/roleRef", json!({ "kind": "ClusterRole", "name": "view" }));
        let object = sent(&names(), &binding).object;
        let expected = json!([
            { "kind": "ServiceAccount", "name": "mcp", "namespace": "mcp-121f-7" },
            { "kind": "ServiceAccount", "name": "dns", "namespace": "kube-system" },
            { "kind": "Group", "name": "system:serviceaccounts:mcp-dev-121f-7" },
            { "kind": "User", "name": "system:serviceaccount:mcp-121f-7:default" },
            { "kind": "Group", "name": "system:serviceaccounts" },
            { "kind": "Group", "name": "mcp" },
        ]);
        assert_eq!(object["subjects"], expected);
        assert_eq!(object["roleRef"]["name"], "view");
    }
}

/// A selector of namespaces that has each of these wherever a namespace can be named, and where it only seems to be.
fn selector(mcp: &str, dev: &str) -> Value {
    json!({
        "matchLabels": { METADATA_NAME: mcp, "name": "mcp" },
        "matchExpressions": [
            { "key": METADATA_NAME, "operator": "In", "values": [mcp, "kube-system", dev] },
            { "key": "name", "operator": "In", "values": ["mcp"] },
            { "key": METADATA_NAME, "operator": "Exists" },
        ],
    })
}

#[test]
fn selectors_of_namespaces_follow_their_names() {
    let policy = |selector: Value| {
        let peers =
            json!([{ "namespaceSelector": selector, "podSelector": { "matchLabels": { METADATA_NAME: "mcp" } } }, { "ipBlock": {} }]);
        let spec = json!({ "ingress": [{ "from": peers }, {}], "egress": [{ "to": peers, "ports": [] }] });
        with(object("NetworkPolicy", "mcp", "a"), "/spec", spec)
    };
    let pod = |selector: Value, namespace: &str| {
        let term = json!({ "namespaceSelector": selector, "namespaces": [namespace, "kube-system"], "topologyKey": "a" });
        let terms = json!({
            "requiredDuringSchedulingIgnoredDuringExecution": [term],
            "preferredDuringSchedulingIgnoredDuringExecution": [{ "weight": 1, "podAffinityTerm": term }],
        });
        let node = json!({ "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": [] } });
        let affinity = json!({ "podAffinity": terms, "podAntiAffinity": terms, "nodeAffinity": node });
        with(object("Pod", "mcp", "a"), "/spec/affinity", affinity)
    };
    let there = selector("mcp-121f-7", "mcp-dev-121f-7");
    assert_eq!(sent(&names(), &policy(selector("mcp", "mcp-dev"))).object["spec"], policy(there.clone())["spec"]);
    assert_eq!(sent(&names(), &pod(selector("mcp", "mcp-dev"), "mcp")).object["spec"], pod(there, "mcp-121f-7")["spec"]);
}

#[test]
fn namespaces_and_what_lives_in_none_bear_the_run_and_nothing_else_does() {
    let names = names();
    let labels = json!({ "app": "redis", RUN_LABEL: RUN, SCENARIO_LABEL: "121f-7" });
    assert_eq!(names.labels(), [(RUN_LABEL, RUN), (SCENARIO_LABEL, "121f-7")]);
    for (kind, name) in [("Namespace", "mcp"), ("StorageClass", "fast-ssd"), ("CustomResourceDefinition", "caches.example.com")] {
        let object = with(object(kind, "", name), "/metadata/labels", json!({ "app": "redis" }));
        assert_eq!(sent(&names, &object).object["metadata"]["labels"], labels);
    }
    for stranger in [object("StorageClass", "", "standard"), object("ClusterRole", "", "view"), object("Widget", "", "a")] {
        assert_eq!(sent(&names, &stranger).object, stranger);
    }
    let pod = with(object("Pod", "mcp", "a"), "/metadata/labels", json!({ RUN_LABEL: "the user's", METADATA_NAME: "mcp" }));
    assert_eq!(sent(&names, &pod).object, with(pod, "/metadata/namespace", json!("mcp-121f-7")));

    let namespace = with(object("Namespace", "", "mcp"), "/metadata/labels", json!({ METADATA_NAME: "mcp" }));
    assert_eq!(sent(&names, &namespace).object["metadata"]["labels"][METADATA_NAME], "mcp-121f-7");
    // As an API server gives back what was sent without labels, and what was sent with none.
    let none = with(object("Namespace", "", "mcp"), "/metadata/labels", json!({}));
    assert_eq!(names.incoming(names.outgoing(none).object), object("Namespace", "", "mcp"));
}

#[test]
fn what_lives_in_a_namespace_of_the_cluster_lands_elsewhere_and_references_to_it_stay() {
    let names = names();
    let binding = with(object("RoleBinding", "kube-system", "a"), "/subjects", json!([{ "namespace": "kube-system" }]));
    let object = sent(&names, &binding).object;
    assert_eq!(object["metadata"]["namespace"], "kube-system-121f-7");
    assert_eq!(object["subjects"][0]["namespace"], "kube-system");
    // A namespace that was asked for but not declared is nobody's reference, though it is known on the way back.
    names.namespace("asked");
    assert_eq!(names.host("redis.asked"), "redis.asked");
    assert_eq!(manifest_namespace(&names, "asked-121f-7").as_deref(), Some("asked"));
}

#[test]
fn events_speak_the_manifests_names() {
    let said = "storageclass.storage.k8s.io \"fast-ssd-121f-7\" not found; fast.ssd-121f-7, mcp-121f-7/redis, mcp-dev-121f-7. \
                pod=redis-0_mcp-121f-7(uid) a.mcp-121f-7.svc:1 system:serviceaccount:mcp-121f-7:default \
                xmcp-121f-7 mcp-121f-70 mcp-121f-7-a é-mcp-121f-7";
    let meant = "storageclass.storage.k8s.io \"fast-ssd\" not found; fast.ssd, mcp/redis, mcp-dev. \
                 pod=redis-0_mcp(uid) a.mcp.svc:1 system:serviceaccount:mcp:default \
                 xmcp-121f-7 mcp-121f-70 mcp-121f-7-a é-mcp-121f-7";
    let event = |namespace: &str, class: &str, message: &str| {
        let about = json!({ "kind": "Pod", "namespace": namespace, "name": "redis" });
        json!({
            "kind": "Event", "metadata": { "namespace": namespace, "name": "redis.1" }, "message": message, "note": message,
            "involvedObject": about, "regarding": { "kind": "StorageClass", "name": class }, "related": { "kind": "Namespace", "name": namespace },
        })
    };
    let names = names();
    assert_eq!(names.incoming(event("mcp-121f-7", "fast.ssd-121f-7", said)), event("mcp", "fast.ssd", meant));
    sent(&names, &event("mcp", "fast.ssd", meant));
    assert_eq!(names.words(said), meant);
}

#[test]
fn conditions_and_states_speak_the_manifests_names() {
    let pod = |namespace: &str| {
        let message = format!("back-off restarting pod=redis_{namespace}(uid)");
        let state = json!({ "waiting": { "message": message, "reason": "CrashLoopBackOff" } });
        let statuses = json!([{ "state": state, "lastState": { "terminated": { "message": message } } }]);
        let status = json!({
            "message": message, "conditions": [{ "type": "Ready", "message": message }],
            "containerStatuses": statuses, "initContainerStatuses": statuses, "podIP": "10.0.0.1",
        });
        with(object("Pod", namespace, "redis"), "/status", status)
    };
    let names = names();
    assert_eq!(names.incoming(pod("mcp-121f-7")), pod("mcp"));
    let others = object("Pod", "kube-system", "dns");
    assert_eq!(names.incoming(others.clone()), others);
}

#[test]
fn an_odd_object_does_no_harm() {
    let names = names();
    let selector = json!({ "matchExpressions": [1, { "key": METADATA_NAME, "values": "mcp" }], "matchLabels": null });
    for odd in [
        json!(null),
        json!("mcp"),
        json!([]),
        json!({}),
        json!({ "kind": "Namespace" }),
        json!({ "kind": "Pod", "metadata": null, "spec": { "containers": { "a": 1 }, "volumes": "mcp" } }),
        json!({ "kind": 1, "metadata": { "name": 2, "namespace": ["mcp"], "labels": "mcp", "ownerReferences": [null, 1] } }),
        json!({ "kind": "ConfigMap", "metadata": { "name": "a", "namespace": "" }, "data": null }),
        json!({ "kind": "NetworkPolicy", "spec": { "ingress": [{ "from": [{ "namespaceSelector": selector }, 1] }, null], "egress": {} } }),
    ] {
        names.incoming(names.outgoing(odd.clone()).object);
        if odd["kind"] != "Namespace" {
            sent(&names, &odd);
        }
    }
}

#[test]
fn names_are_asked_for_from_many_threads() {
    let names = names();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let names = &names;
            scope.spawn(move || {
                for number in 0..200 {
                    let name = format!("n{thread}-{number}");
                    names.declare(&[object("Pod", &name, "a")]);
                    sent(names, &with(object("StorageClass", "", "fast-ssd"), "/provisioner", json!("a")));
                    assert_eq!(manifest_namespace(names, &names.namespace(&name)), Some(name));
                }
            });
        }
    });
}

#[tokio::test]
async fn our_own_manifests_come_back_as_they_were() {
    if renderer().is_none() {
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("k8s");
    for folder in ["mcp", "mcp/overlays/fast-ssd", "mcp/overlays/local-path", "mcp/overlays/password", "agentsmith/overlays/persistence"] {
        let set = ManifestSet::load(&root.join(folder)).await.unwrap();
        let objects: Vec<Value> = set.objects.into_iter().map(|object| object.json).collect();
        let names = Names::new(RUN, 7);
        names.declare(&objects);
        for object in &objects {
            let outgoing = sent(&names, object);
            let cluster = key(&outgoing.object);
            let renamed = if cluster.namespace.is_empty() { &cluster.name } else { &cluster.namespace };
            assert!(renamed.ends_with("-121f-7"), "{cluster}");
            assert_eq!(outgoing.rewritten, Vec::<String>::new(), "{cluster}");
        }
    }
}
