//! Where a pod goes, and why it goes nowhere.

use super::{super::super::options::LocalOptions, *};
use crate::target::{image::Programs, local::control::node::Nodes};
use rstest::rstest;

const HOSTNAME: &str = "kubernetes.io/hostname";

/// Three nodes, `c` in another zone; `red` is a pod that avoids its like, on `a`.
fn placed(pod: &Value) -> Result<String, String> {
    let store = super::super::super::store::Store::new();
    for (name, zone) in [("a", "one"), ("b", "one"), ("c", "two")] {
        store
            .create(json!({ "kind": "Node", "metadata": { "name": name, "labels": { HOSTNAME: name, "zone": zone } }, "spec": {} }))
            .expect("new");
    }
    let avoids = json!({ "podAntiAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [
        { "topologyKey": HOSTNAME, "labelSelector": { "matchLabels": { "colour": "blue" } } }] } });
    store
        .create(json!({ "kind": "Pod", "metadata": { "namespace": "n", "name": "red", "labels": { "colour": "red" } }, "spec": { "nodeName": "a", "affinity": avoids } }))
        .expect("new");
    let mut object = json!({ "kind": "Pod", "metadata": { "namespace": "n", "name": "pod", "uid": "1", "labels": { "colour": "blue" } } });
    object["spec"] = pod.clone();
    let (options, powers) = (LocalOptions::named("test", Programs::none()), Nodes::default());
    let context = Context::new(&store, &options, &powers);
    place(&context, &object, &store.list("Node", None))
}

fn term(key: &str, colour: &str) -> Value {
    json!({ "topologyKey": key, "labelSelector": { "matchLabels": { "colour": colour } } })
}

fn affinity(kind: &str, terms: &Value) -> Value {
    json!({ "affinity": { kind: { "requiredDuringSchedulingIgnoredDuringExecution": terms } } })
}

#[rstest]
#[case::the_emptiest_that_nobody_forbids(json!({}), "b")]
#[case::selected(json!({ "nodeSelector": { "zone": "two" } }), "c")]
#[case::by_node_affinity(affinity("nodeAffinity", &json!({ "nodeSelectorTerms": [{ "matchExpressions": [{ "key": HOSTNAME, "operator": "NotIn", "values": ["a", "b"] }] }] })), "c")]
#[case::away_from_a_zone(affinity("podAntiAffinity", &json!([term("zone", "red")])), "c")]
#[case::near_in_the_zone(affinity("podAffinity", &json!([term("zone", "red")])), "b")]
#[case::first_of_its_own(affinity("podAffinity", &json!([term("zone", "blue")])), "b")]
#[case::preferred(json!({ "affinity": { "nodeAffinity": { "preferredDuringSchedulingIgnoredDuringExecution": [
    { "weight": 1, "preference": { "matchExpressions": [{ "key": "zone", "operator": "In", "values": ["two"] }] } }] } } }), "c")]
#[case::spread(json!({ "topologySpreadConstraints": [{ "maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": { "matchLabels": { "colour": "red" } } }] }), "b")]
fn a_pod_goes_to_the_best_node_that_takes_it(#[case] pod: Value, #[case] node: &str) {
    assert_eq!(placed(&pod).as_deref(), Ok(node));
}

#[rstest]
#[case(json!({ "nodeSelector": { "zone": "three" } }), "3 node(s) didn't match Pod's node affinity/selector.")]
#[case(affinity("podAffinity", &json!([term(HOSTNAME, "red")])), "1 node(s) didn't satisfy existing pods anti-affinity rules, 2 node(s) didn't match pod affinity rules.")]
#[case(affinity("podAffinity", &json!([term("zone", "green")])), "2 node(s) didn't match pod affinity rules.")]
#[case(json!({ "volumes": [{ "name": "v", "persistentVolumeClaim": { "claimName": "none" } }] }), "persistentvolumeclaim \"none\" not found.")]
fn where_no_node_takes_it_each_reason_is_counted(#[case] pod: Value, #[case] words: &str) {
    let told = placed(&pod).expect_err("nowhere");
    let mut reasons: Vec<&str> = words.trim_end_matches('.').split(", ").collect();
    reasons.retain(|reason| !told.contains(reason));
    assert!(reasons.is_empty(), "{told}");
}
