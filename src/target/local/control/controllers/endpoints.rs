//! Endpoints and EndpointSlices of Services with a selector.

use super::{
    super::{
        json::{self, labels, list, map, text},
        pods, random,
    },
    Context,
};
use crate::manifest::selector;
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};

pub(super) fn look(context: &Context<'_>) {
    for service in context.store.list("Service", None) {
        let wanted = map(&service, "/spec/selector");
        if wanted.is_empty() || service["spec"]["type"] == "ExternalName" {
            mirror(context, &service);
            continue;
        }
        let pods = context.store.list("Pod", Some(text(&service, "/metadata/namespace")));
        let chosen: Vec<Arc<Value>> = pods
            .into_iter()
            .filter(|pod| selector::holds(wanted, labels(pod)) && !text(pod, "/status/podIP").is_empty() && !pods::is_finished(pod))
            .collect();
        slices(context, &service, &chosen);
        endpoints(context, &service, &chosen);
    }
}

/// The ports of the Service as this pod has them; named ones are looked up in its containers.
fn ports(service: &Value, pod: &Value) -> Vec<Value> {
    let resolve = |port: &Value| match &port["targetPort"] {
        Value::String(name) => {
            let containers = list(pod, "/spec/containers").iter().chain(list(pod, "/spec/initContainers"));
            let mut named = containers.flat_map(|container| list(container, "/ports"));
            let found = named.find(|candidate| candidate["name"] == **name && protocol(candidate) == protocol(port));
            found.map(|found| found["containerPort"].clone()).or_else(|| name.parse::<u16>().ok().map(Value::from))
        }
        Value::Number(number) if number.as_i64() == Some(0) => Some(port["port"].clone()),
        Value::Null => Some(port["port"].clone()),
        other => Some(other.clone()),
    };
    let headless_without = list(service, "/spec/ports").is_empty();
    if headless_without {
        return Vec::new();
    }
    let resolved = list(service, "/spec/ports").iter().filter_map(|port| {
        let mut entry = json!({ "name": text(port, "/name"), "port": resolve(port)?, "protocol": protocol(port) });
        if json::has(port, "/appProtocol") {
            entry["appProtocol"] = port["appProtocol"].clone();
        }
        Some(entry)
    });
    resolved.collect()
}

fn protocol(port: &Value) -> &str {
    port["protocol"].as_str().unwrap_or("TCP")
}

fn slices(context: &Context<'_>, service: &Value, pods: &[Arc<Value>]) {
    let mut groups: BTreeMap<String, (Vec<Value>, Vec<Value>)> = BTreeMap::new();
    let publish = service["spec"]["publishNotReadyAddresses"] == true;
    for pod in pods {
        let ports = ports(service, pod);
        if ports.is_empty() && !list(service, "/spec/ports").is_empty() {
            continue;
        }
        let (serving, terminating) = (pods::is_ready(pod) || publish, pods::is_terminating(pod));
        let mut endpoint = json!({
            "addresses": [pod["status"]["podIP"]],
            "conditions": { "ready": publish || (serving && !terminating), "serving": serving, "terminating": terminating },
            "nodeName": pod["spec"]["nodeName"],
            "targetRef": { "kind": "Pod", "namespace": pod["metadata"]["namespace"], "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"] }
        });
        if let Some(hostname) = hostname(service, pod) {
            endpoint["hostname"] = hostname.into();
        }
        let (_, endpoints) = groups.entry(Value::from(ports.clone()).to_string()).or_insert_with(|| (ports, Vec::new()));
        endpoints.push(endpoint);
    }
    if groups.is_empty() {
        groups.insert(String::new(), (Vec::new(), Vec::new()));
    }
    let namespace = text(service, "/metadata/namespace");
    let name = text(service, "/metadata/name");
    let mine = |slice: &Arc<Value>| json::is_controlled_by(slice, service);
    let mut left: Vec<Arc<Value>> = context.store.list("EndpointSlice", Some(namespace)).into_iter().filter(mine).collect();
    for (index, (ports, endpoints)) in groups.into_values().enumerate() {
        let slice_name = format!("{name}-{}", &random::hash(&format!("{}{index}", text(service, "/metadata/uid")))[..5]);
        left.retain(|slice| text(slice, "/metadata/name") != slice_name);
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": { "name": slice_name, "namespace": namespace, "ownerReferences": json::owner_reference(service),
                "labels": { "kubernetes.io/service-name": name, "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io" } },
            "endpoints": endpoints, "ports": ports
        });
        put(context, &slice, &["endpoints", "ports"]);
    }
    for slice in left {
        context.store.remove(&json::key(&slice));
    }
}

fn endpoints(context: &Context<'_>, service: &Value, pods: &[Arc<Value>]) {
    let publish = service["spec"]["publishNotReadyAddresses"] == true;
    let mut subsets: BTreeMap<String, Value> = BTreeMap::new();
    for pod in pods.iter().filter(|pod| publish || !pods::is_terminating(pod)) {
        let ports = ports(service, pod);
        let subset = subsets.entry(Value::from(ports.clone()).to_string()).or_insert_with(|| json!({ "ports": ports }));
        let list = if publish || pods::is_ready(pod) { "addresses" } else { "notReadyAddresses" };
        let mut address = json!({ "ip": pod["status"]["podIP"], "nodeName": pod["spec"]["nodeName"],
            "targetRef": { "kind": "Pod", "namespace": pod["metadata"]["namespace"], "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"] } });
        if let Some(hostname) = hostname(service, pod) {
            address["hostname"] = hostname.into();
        }
        match subset[list].as_array_mut() {
            Some(addresses) => addresses.push(address),
            None => subset[list] = json!([address]),
        }
    }
    let object = json!({
        "apiVersion": "v1", "kind": "Endpoints",
        "metadata": { "name": service["metadata"]["name"], "namespace": service["metadata"]["namespace"], "ownerReferences": json::owner_reference(service) },
        "subsets": subsets.into_values().collect::<Vec<_>>()
    });
    put(context, &object, &["subsets"]);
}

/// Endpoints written by hand for a Service without a selector become slices.
fn mirror(context: &Context<'_>, service: &Value) {
    let key = json::key_of("Endpoints", text(service, "/metadata/namespace"), text(service, "/metadata/name"));
    let Some(endpoints) = context.store.get(&key) else { return };
    for (index, subset) in list(&endpoints, "/subsets").iter().enumerate() {
        let addresses = list(subset, "/addresses")
            .iter()
            .map(|address| json!({ "addresses": [address["ip"]], "conditions": { "ready": true, "serving": true, "terminating": false } }));
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": { "name": format!("{}-mirror-{index}", key.name), "namespace": key.namespace, "ownerReferences": json::owner_reference(&endpoints),
                "labels": { "kubernetes.io/service-name": key.name, "endpointslice.kubernetes.io/managed-by": "endpointslicemirroring-controller.k8s.io" } },
            "endpoints": addresses.collect::<Vec<_>>(), "ports": subset["ports"]
        });
        put(context, &slice, &["endpoints", "ports"]);
    }
}

/// Creates the object or brings these fields of it up to date.
fn put(context: &Context<'_>, object: &Value, fields: &[&str]) {
    let there = context.store.update(&json::key(object), |live| {
        for field in fields {
            live[*field] = object[*field].clone();
        }
    });
    if there.is_none() {
        // Nobody else makes objects between the two.
        drop(context.store.create(object.clone()));
    }
}

/// The pod's own name under a headless Service.
fn hostname(service: &Value, pod: &Value) -> Option<String> {
    let hostname = text(pod, "/spec/hostname");
    (!hostname.is_empty() && text(pod, "/spec/subdomain") == text(service, "/metadata/name")).then(|| hostname.to_owned())
}
