//! Phrases about who can reach Redis from outside the cluster, by the manifests.

use super::{
    Failure, Step, World,
    servers::{services, targets},
    workload::Redis,
};
use crate::manifest::{ManifestSet, Object, Roles, Workload};
use cucumber::then;
use serde_json::Value;

#[then("no object exposes Redis outside the cluster")]
async fn no_object_exposes_redis(world: &mut World) -> Step {
    let (workload, redis) = (world.redis_object()?, world.redis()?);
    let set = world.set()?;
    let services = openings(set.as_ref(), &redis);
    for service in &services {
        let key = service.key();
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

/// The Services that lead into the pod of Redis: to Redis or to something beside it, which may hand on to Redis whatever it is sent. One that
/// leads to nothing but an exporter shows figures alone.
fn openings<'set>(set: &'set ManifestSet, redis: &Redis) -> Vec<&'set Object> {
    let Some(workload) = set.get(&redis.workload).and_then(Workload::of) else { return Vec::new() };
    let roles = Roles::of(set);
    let figures: Vec<u64> =
        roles.exporters.iter().filter(|exporter| exporter.id.workload == redis.workload).map(|exporter| exporter.port.into()).collect();
    let shows_figures = |service: &&Object| {
        let ports: Vec<u64> = service.items_at("/spec/ports").filter_map(|(_, port)| port["port"].as_u64()).collect();
        let leads_to_figures = |port: &u64| {
            let targets = targets(std::slice::from_ref(service), &workload, *port);
            !targets.is_empty() && targets.iter().all(|target| figures.contains(target))
        };
        !ports.is_empty() && ports.iter().all(leads_to_figures)
    };
    services(set, &workload).filter(|service| !shows_figures(service)).collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_route_in_another_namespace_names_the_service_s_own() {
        let gateway = json!({ "spec": { "rules": [{ "backendRefs": [{ "name": "redis", "namespace": "a" }] }] } });
        let istio = json!({ "metadata": { "namespace": "a" }, "spec": { "tcp": [{ "destination": { "host": "redis.b.svc" } }] } });
        assert!(mentions_service(&gateway, "redis") && mentions_namespace(&gateway, "a") && !mentions_namespace(&gateway, "b"));
        assert!(mentions_service(&istio, "redis") && mentions_namespace(&istio, "b") && !mentions_namespace(&istio, "a"));
    }
}
