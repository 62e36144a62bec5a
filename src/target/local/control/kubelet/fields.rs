//! The downward API: fields of the pod and resources of its containers as text.

use super::super::{
    json::{list, text},
    machine,
};
use crate::manifest::Quantity;
use serde_json::Value;

/// The value of a `fieldRef`; the error is the kubelet's.
pub(super) fn field(pod: &Value, path: &str) -> Result<String, String> {
    let lines = |field: &str| {
        let map = pod["metadata"][field].as_object().into_iter().flatten();
        map.map(|(name, value)| format!("{name}={:?}", value.as_str().unwrap_or_default())).collect::<Vec<_>>().join("\n")
    };
    if let Some((field, key)) = path.strip_suffix("']").and_then(|path| path.split_once("['")) {
        let map = match field {
            "metadata.labels" => "labels",
            "metadata.annotations" => "annotations",
            _ => return Err(format!("unsupported fieldPath: {path}")),
        };
        return Ok(pod["metadata"][map].get(key).and_then(Value::as_str).unwrap_or_default().to_owned());
    }
    let node = || super::NODE_ADDRESS.to_string();
    Ok(match path {
        "metadata.name" => text(pod, "/metadata/name").to_owned(),
        "metadata.namespace" => text(pod, "/metadata/namespace").to_owned(),
        "metadata.uid" => text(pod, "/metadata/uid").to_owned(),
        "metadata.labels" => lines("labels"),
        "metadata.annotations" => lines("annotations"),
        "spec.nodeName" => text(pod, "/spec/nodeName").to_owned(),
        "spec.serviceAccountName" => text(pod, "/spec/serviceAccountName").to_owned(),
        "status.podIP" | "status.podIPs" => text(pod, "/status/podIP").to_owned(),
        "status.hostIP" | "status.hostIPs" => node(),
        _ => return Err(format!("unsupported fieldPath: {path}")),
    })
}

/// The value of a `resourceFieldRef` for a container, which it may name itself; a missing limit is what the node has.
pub(super) fn resource(pod: &Value, container: &Value, reference: &Value) -> Result<String, String> {
    let named = text(reference, "/containerName");
    let containers = || list(pod, "/spec/containers").iter().chain(list(pod, "/spec/initContainers"));
    let container =
        if named.is_empty() { container } else { containers().find(|other| text(other, "/name") == named).unwrap_or(container) };
    let resource = text(reference, "/resource");
    let (kind, name) = resource.split_once('.').ok_or_else(|| format!("unsupported container resource : {resource}"))?;
    let amount = |value: &Value| Quantity::of(value).ok();
    let amount_here = match container["resources"][kind].get(name).and_then(amount) {
        Some(value) => value,
        None if kind == "limits" => machine::allocatable(name).map(Quantity::from).unwrap_or_default(),
        None => Quantity::default(),
    };
    let divisor = reference.get("divisor").and_then(amount).filter(|divisor| *divisor > Quantity::default());
    Ok(amount_here.in_units_of(divisor.unwrap_or(Quantity::from(1))).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    #[rstest]
    #[case("metadata.name", "redis-0")]
    #[case("metadata.labels['app']", "redis")]
    #[case("metadata.annotations['none']", "")]
    #[case("metadata.labels", "app=\"redis\"")]
    #[case("status.podIP", "10.244.0.7")]
    fn a_field_is_read_from_the_pod(#[case] path: &str, #[case] value: &str) {
        let pod = json!({ "metadata": { "name": "redis-0", "labels": { "app": "redis" } }, "status": { "podIP": "10.244.0.7" } });
        assert_eq!(field(&pod, path), Ok(value.to_owned()));
        assert!(field(&pod, "spec.other").is_err());
    }

    #[rstest]
    #[case("limits.memory", json!(null), "402653184")]
    #[case("limits.memory", json!("1Mi"), "384")]
    #[case("requests.cpu", json!(null), "1")]
    #[case("requests.cpu", json!("1m"), "100")]
    fn a_resource_is_divided_and_rounded_up(#[case] resource_name: &str, #[case] divisor: Value, #[case] value: &str) {
        let container = json!({ "name": "redis", "resources": { "limits": { "memory": "384Mi" }, "requests": { "cpu": "100m" } } });
        let reference = json!({ "resource": resource_name, "divisor": divisor });
        assert_eq!(resource(&json!({}), &container, &reference), Ok(value.to_owned()));
    }
}
