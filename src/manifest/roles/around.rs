//! What belongs to a workload's pods by their labels: Services, budgets and policies.

use crate::manifest::{ManifestSet, Object, ObjectKey, Workload, selector};
use serde_json::{Map, Value};

/// A Service that leads to a container's port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// The Service.
    pub key: ObjectKey,
    /// The port that clients connect to; for a headless Service they reach the target port at once.
    pub port: u16,
    /// It has no address of its own: its name leads to the pods.
    pub headless: bool,
    /// `ClusterIP`, `NodePort`, `LoadBalancer`.
    pub kind: String,
    /// The pointer to the port's entry.
    pub pointer: String,
}

/// The ports of Services through which a pod port can be reached.
pub(super) fn services(set: &ManifestSet, workload: &Workload<'_>, port: u16) -> Vec<ServicePort> {
    let mut found = Vec::new();
    for service in set.of_kind("Service").filter(|service| service.namespace() == workload.object.namespace()) {
        if !service.at("/spec/selector").is_some_and(|wanted| selector::selects(wanted, workload.labels())) {
            continue;
        }
        let headless = service.str_at("/spec/clusterIP") == Some("None");
        let kind = service.str_at("/spec/type").unwrap_or("ClusterIP").to_owned();
        let entries: Vec<(String, &Value)> = service.items_at("/spec/ports").collect();
        if headless && entries.is_empty() {
            found.push(ServicePort { key: service.key(), port, headless, kind, pointer: "/spec".to_owned() });
            continue;
        }
        for (pointer, entry) in entries {
            let Some(own) = entry.get("port").and_then(number) else { continue };
            let target = match entry.get("targetPort") {
                None | Some(Value::Null) => Some(own),
                Some(Value::String(name)) => {
                    workload.containers().filter(|container| !container.init).find_map(|container| container.port_named(name))
                }
                Some(value) => number(value),
            };
            if target == Some(port) {
                found.push(ServicePort { key: service.key(), port: own, headless, kind: kind.clone(), pointer });
            }
        }
    }
    found
}

/// Objects of a kind whose label selector at `pointer` matches the pods.
pub(super) fn selecting(set: &ManifestSet, workload: &Workload<'_>, kind: &str, pointer: &str) -> Vec<ObjectKey> {
    let is_near = |object: &&Object| object.namespace() == workload.object.namespace();
    let empty = Value::Object(Map::new());
    set.of_kind(kind)
        .filter(is_near)
        .filter(|object| selector::matches(object.at(pointer).filter(|selector| !selector.is_null()).unwrap_or(&empty), workload.labels()))
        .map(Object::key)
        .collect()
}

fn number(value: &Value) -> Option<u16> {
    value.as_u64().and_then(|number| u16::try_from(number).ok())
}
