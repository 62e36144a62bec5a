//! ClusterIPs and node ports: given out once each.

use super::{
    json::{list, number, text},
    store::{Refusal, Store},
};
use serde_json::{Value, json};
use std::{collections::BTreeSet, net::Ipv4Addr};

/// The API server's own.
pub(super) const KUBERNETES: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);
/// The resolver's.
pub(super) const DNS: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 10);

const PORTS: std::ops::RangeInclusive<i64> = 30_000..=32_767;

/// Gives the Service what it lacks: a ClusterIP, node ports.
pub(super) fn assign(store: &Store, service: &mut Value) -> Result<(), Refusal> {
    let name = text(service, "/metadata/name").to_owned();
    if service["spec"]["type"] == "ExternalName" {
        return Ok(());
    }
    let mut addresses = BTreeSet::from([KUBERNETES.to_string(), DNS.to_string()]);
    let mut ports = BTreeSet::new();
    for other in store.list("Service", None) {
        if other["metadata"]["name"] == service["metadata"]["name"] && other["metadata"]["namespace"] == service["metadata"]["namespace"] {
            continue;
        }
        addresses.insert(text(&other, "/spec/clusterIP").to_owned());
        ports.extend(list(&other, "/spec/ports").iter().filter_map(|port| number(port, "/nodePort")));
    }
    let given = text(service, "/spec/clusterIP").to_owned();
    if given.is_empty() {
        // In the upper band, as the API server does, so that addresses asked for by hand stay free.
        let free = (0..=u16::MAX)
            .map(|low| Ipv4Addr::new(10, 97, low.to_be_bytes()[0], low.to_be_bytes()[1]))
            .skip(1)
            .find(|ip| !addresses.contains(&ip.to_string()));
        service["spec"]["clusterIP"] = free.map(|ip| ip.to_string()).unwrap_or_default().into();
    } else if given != "None" {
        let within = given.parse::<Ipv4Addr>().is_ok_and(|ip| ip.octets()[0] == 10 && (96..112).contains(&ip.octets()[1]));
        let why = if !within {
            "failed to allocate IP: the provided IP is not in the valid range. The range of valid IPs is 10.96.0.0/12"
        } else if addresses.contains(&given) && service["metadata"]["uid"].is_null() {
            "failed to allocate IP: provided IP is already allocated"
        } else {
            ""
        };
        if !why.is_empty() {
            return Err(Refusal::Invalid(format!("Service {name:?} is invalid: spec.clusterIPs: Invalid value: [{given:?}]: {why}")));
        }
    }
    service["spec"]["clusterIPs"] = json!([service["spec"]["clusterIP"]]);
    if matches!(text(service, "/spec/type"), "NodePort" | "LoadBalancer") {
        for port in service["spec"]["ports"].as_array_mut().into_iter().flatten() {
            let wanted = number(port, "/nodePort").filter(|port| *port != 0);
            if let Some(wanted) = wanted {
                if !ports.insert(wanted) {
                    return Err(Refusal::Invalid(format!(
                        "Service {name:?} is invalid: spec.ports[0].nodePort: Invalid value: {wanted}: provided port is already allocated"
                    )));
                }
            } else if let Some(free) = PORTS.into_iter().find(|port| !ports.contains(port)) {
                ports.insert(free);
                port["nodePort"] = free.into();
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_services_have_two_addresses_and_two_node_ports() {
        let store = Store::new();
        let make = |name: &str| {
            let mut service = json!({ "kind": "Service", "metadata": { "namespace": "n", "name": name }, "spec": { "type": "NodePort", "ports": [{ "port": 6379 }] } });
            assign(&store, &mut service).expect("assigned");
            store.create(service).expect("new")
        };
        let (one, other) = (make("a"), make("b"));
        assert_ne!(one["spec"]["clusterIP"], other["spec"]["clusterIP"]);
        assert_ne!(one["spec"]["ports"][0]["nodePort"], other["spec"]["ports"][0]["nodePort"]);
    }

    #[test]
    fn an_address_outside_the_range_is_refused() {
        let mut service = json!({ "kind": "Service", "metadata": { "name": "a" }, "spec": { "clusterIP": "192.168.0.1" } });
        assert!(assign(&Store::new(), &mut service).expect_err("refused").to_string().contains("not in the valid range"));
    }
}
