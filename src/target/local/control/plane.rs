//! What the network must know of the objects: rules for ClusterIPs, names for the resolver.

use super::{
    super::runtime::{Names, ServiceRule},
    json::{list, number, text},
    store::Store,
};
use serde_json::Value;
use std::{collections::BTreeMap, net::Ipv4Addr, sync::Arc};

const ZONE: &str = "svc.cluster.local";

/// An endpoint of a Service for one port.
struct Endpoint {
    address: Ipv4Addr,
    hostname: Option<String>,
    ready: bool,
    /// On its way out, but it still answers.
    lingering: bool,
    /// Port name → number.
    ports: BTreeMap<String, u16>,
}

/// Rules and names as they should be now.
pub(super) fn desired(store: &Store) -> (Vec<ServiceRule>, Names) {
    let mut rules = Vec::new();
    let mut names = Names::default();
    let slices = store.list("EndpointSlice", None);
    for service in store.list("Service", None) {
        let endpoints = endpoints(&service, &slices);
        let address: Option<Ipv4Addr> = text(&service, "/spec/clusterIP").parse().ok();
        if let Some(address) = address {
            rules.extend(list(&service, "/spec/ports").iter().filter_map(|port| rule(&service, address, port, &endpoints)));
        }
        name(&service, address, &endpoints, &mut names);
    }
    for pod in store.list("Pod", None) {
        if let Ok(address) = text(&pod, "/status/podIP").parse::<Ipv4Addr>() {
            names.addresses.insert(format!("{}.{}.pod.cluster.local", dashed(address), text(&pod, "/metadata/namespace")), vec![address]);
        }
    }
    (rules, names)
}

fn endpoints(service: &Value, slices: &[Arc<Value>]) -> Vec<Endpoint> {
    let mine = slices.iter().filter(|slice| {
        slice["metadata"]["namespace"] == service["metadata"]["namespace"]
            && slice["metadata"]["labels"]["kubernetes.io/service-name"] == service["metadata"]["name"]
    });
    let mut found = Vec::new();
    for slice in mine {
        let ports: BTreeMap<String, u16> = list(slice, "/ports")
            .iter()
            .filter_map(|port| Some((text(port, "/name").to_owned(), u16::try_from(number(port, "/port")?).ok()?)))
            .collect();
        for endpoint in list(slice, "/endpoints") {
            let conditions = &endpoint["conditions"];
            let hostname = Some(text(endpoint, "/hostname").to_owned()).filter(|name| !name.is_empty());
            for address in list(endpoint, "/addresses").iter().filter_map(|address| address.as_str()?.parse().ok()) {
                found.push(Endpoint {
                    address,
                    hostname: hostname.clone(),
                    ready: conditions["ready"] != false,
                    lingering: conditions["serving"] == true && conditions["terminating"] == true,
                    ports: ports.clone(),
                });
            }
        }
    }
    found.sort_by_key(|endpoint| endpoint.address);
    found
}

fn rule(service: &Value, address: Ipv4Addr, port: &Value, endpoints: &[Endpoint]) -> Option<ServiceRule> {
    let name = text(port, "/name");
    let target = |endpoint: &Endpoint| Some((endpoint.address, *endpoint.ports.get(name)?));
    let mut targets: Vec<_> = endpoints.iter().filter(|endpoint| endpoint.ready).filter_map(target).collect();
    if targets.is_empty() {
        // As kube-proxy: rather one that is on its way out than none.
        targets = endpoints.iter().filter(|endpoint| endpoint.lingering).filter_map(target).collect();
    }
    Some(ServiceRule {
        address: Some(address),
        port: u16::try_from(number(port, "/port")?).ok()?,
        udp: port["protocol"] == "UDP",
        endpoints: targets,
        client_affinity: service["spec"]["sessionAffinity"] == "ClientIP",
    })
}

fn name(service: &Value, address: Option<Ipv4Addr>, endpoints: &[Endpoint], names: &mut Names) {
    let base = format!("{}.{}.{ZONE}", text(service, "/metadata/name"), text(service, "/metadata/namespace")).to_lowercase();
    if service["spec"]["type"] == "ExternalName" {
        names.aliases.insert(base, text(service, "/spec/externalName").trim_end_matches('.').to_lowercase());
        return;
    }
    let srv = |port: &str, protocol: &str| format!("_{port}._{}.{base}", protocol.to_lowercase());
    if let Some(address) = address {
        names.addresses.insert(base.clone(), vec![address]);
        for port in list(service, "/spec/ports").iter().filter(|port| !text(port, "/name").is_empty()) {
            let number = number(port, "/port").and_then(|port| u16::try_from(port).ok()).unwrap_or(0);
            names.services.insert(srv(text(port, "/name"), text(port, "/protocol")), vec![(number, base.clone())]);
        }
    }
    let ready = endpoints.iter().filter(|endpoint| endpoint.ready);
    for endpoint in ready {
        let host = endpoint.hostname.clone().unwrap_or_else(|| dashed(endpoint.address));
        let own = format!("{host}.{base}").to_lowercase();
        names.addresses.entry(own.clone()).or_default().push(endpoint.address);
        if address.is_none() {
            names.addresses.entry(base.clone()).or_default().push(endpoint.address);
            for (port, number) in endpoint.ports.iter().filter(|(port, _)| !port.is_empty()) {
                let protocol = list(service, "/spec/ports")
                    .iter()
                    .find(|other| text(other, "/name") == port)
                    .map_or("TCP", |other| text(other, "/protocol"));
                names.services.entry(srv(port, protocol)).or_default().push((*number, own.clone()));
            }
        }
    }
}

fn dashed(address: Ipv4Addr) -> String {
    address.to_string().replace('.', "-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn store(service: &Value, endpoints: &Value) -> Store {
        let store = Store::new();
        let mut object = json!({ "kind": "Service", "metadata": { "namespace": "n", "name": "redis" }, "spec": { "ports": [{ "name": "tcp", "port": 6379, "protocol": "TCP" }] } });
        for (field, value) in service.as_object().expect("fields") {
            object["spec"][field] = value.clone();
        }
        store.create(object).expect("new");
        let slice = json!({ "kind": "EndpointSlice", "metadata": { "namespace": "n", "name": "s", "labels": { "kubernetes.io/service-name": "redis" } },
            "ports": [{ "name": "tcp", "port": 6380 }], "endpoints": endpoints });
        store.create(slice).expect("new");
        store
    }

    fn endpoint(address: &str, ready: bool, terminating: bool) -> Value {
        json!({ "addresses": [address], "hostname": "redis-0", "conditions": { "ready": ready && !terminating, "serving": ready, "terminating": terminating } })
    }

    #[test]
    fn a_cluster_ip_leads_to_ready_endpoints_only() {
        let (rules, names) = desired(&store(
            &json!({ "clusterIP": "10.97.0.1" }),
            &json!([endpoint("10.244.0.2", true, false), endpoint("10.244.0.3", false, false)]),
        ));
        assert_eq!(rules[0].endpoints, [(Ipv4Addr::new(10, 244, 0, 2), 6380)]);
        assert_eq!(names.addresses["redis.n.svc.cluster.local"], [Ipv4Addr::new(10, 97, 0, 1)]);
    }

    #[test]
    fn without_a_ready_endpoint_one_that_still_serves_is_taken() {
        let (rules, _) = desired(&store(&json!({ "clusterIP": "10.97.0.1" }), &json!([endpoint("10.244.0.2", true, true)])));
        assert_eq!(rules[0].endpoints.len(), 1);
    }

    #[test]
    fn a_headless_service_names_its_ready_pods() {
        let (rules, names) = desired(&store(&json!({ "clusterIP": "None" }), &json!([endpoint("10.244.0.2", true, false)])));
        assert!(rules.is_empty());
        assert_eq!(names.addresses["redis-0.redis.n.svc.cluster.local"], [Ipv4Addr::new(10, 244, 0, 2)]);
        assert_eq!(names.services["_tcp._tcp.redis.n.svc.cluster.local"], [(6380, "redis-0.redis.n.svc.cluster.local".to_owned())]);
    }

    #[test]
    fn an_external_name_is_an_alias() {
        let (_, names) = desired(&store(&json!({ "type": "ExternalName", "externalName": "redis.example.org" }), &json!([])));
        assert_eq!(names.aliases["redis.n.svc.cluster.local"], "redis.example.org");
    }
}
