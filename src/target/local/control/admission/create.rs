//! What every object must have, new or changed.

use super::{
    super::{
        fields,
        json::{list, map, number, text, texts},
        store::Refusal,
    },
    invalid,
};
use crate::manifest::{Quantity, selector};
use serde_json::Value;
use std::collections::BTreeSet;

/// Refuses an object that lacks what it needs or contradicts itself.
pub(in super::super) fn check(object: &Value) -> Result<(), Refusal> {
    let fail = |what: String| Err(invalid(object, what));
    let kind = text(object, "/kind");
    let name = text(object, "/metadata/name");
    if let Some(what) = bad_name(kind, name) {
        return fail(format!("metadata.name: {what}"));
    }
    if let Some(pointer) = fields::pod_spec(kind) {
        let path = pointer.trim_start_matches('/').replace('/', ".");
        // A StatefulSet's claim templates are volumes too; they are added to its pods, and checked there.
        if let Some(what) = pod(object.pointer(pointer).unwrap_or(&Value::Null), &path, kind != "StatefulSet") {
            return fail(what);
        }
        if matches!(kind, "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet") {
            if let Some(what) = workload(object) {
                return fail(what);
            }
            let policy = text(object, "/spec/template/spec/restartPolicy");
            if !matches!(policy, "" | "Always") {
                return fail(format!("spec.template.spec.restartPolicy: Unsupported value: {policy:?}: supported values: \"Always\""));
            }
        }
        if kind == "Job" && matches!(text(object, "/spec/template/spec/restartPolicy"), "" | "Always") {
            return fail("spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\"".into());
        }
    }
    if let Some(replicas) = number(object, "/spec/replicas").filter(|replicas| *replicas < 0) {
        return fail(format!("spec.replicas: Invalid value: {replicas}: must be greater than or equal to 0"));
    }
    let strategy = text(object, "/spec/strategy/type");
    if strategy == "Recreate" && object.pointer("/spec/strategy/rollingUpdate").is_some_and(|rolling| !rolling.is_null()) {
        return fail("spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'".into());
    }
    match kind {
        "Service" => service(object).map_or(Ok(()), fail),
        "PersistentVolumeClaim" => claim(object, "spec").map_or(Ok(()), fail),
        "StatefulSet" => {
            let templates = list(object, "/spec/volumeClaimTemplates").iter().enumerate();
            let mut wrong = templates.filter_map(|(index, template)| claim(template, &format!("spec.volumeClaimTemplates[{index}].spec")));
            wrong.next().map_or(Ok(()), fail)
        }
        _ => Ok(()),
    }
}

fn bad_name(kind: &str, name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("Required value: name or generateName is required".into());
    }
    let label = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && !text.starts_with('-')
            && !text.ends_with('-')
    };
    let short = matches!(kind, "Service" | "Namespace");
    let fits = if short { label(name) && name.len() <= 63 } else { name.split('.').all(label) && name.len() <= 253 };
    if fits || matches!(kind, "Role" | "RoleBinding" | "ClusterRole" | "ClusterRoleBinding") {
        return None;
    }
    let rule = if short { "a DNS-1123 label" } else { "a lowercase RFC 1123 subdomain" };
    Some(format!(
        "Invalid value: {name:?}: {rule} must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character"
    ))
}

fn workload(object: &Value) -> Option<String> {
    let selector = texts(object, "/spec/selector/matchLabels");
    let labels = texts(object, "/spec/template/metadata/labels");
    if selector.is_empty() && list(object, "/spec/selector/matchExpressions").is_empty() {
        return Some("spec.selector: Required value".into());
    }
    if !selector::matches(&object["spec"]["selector"], map(object, "/spec/template/metadata/labels")) {
        let given = serde_json::to_string(&labels).unwrap_or_default();
        return Some(format!("spec.template.metadata.labels: Invalid value: {given}: `selector` does not match template `labels`"));
    }
    None
}

fn pod(spec: &Value, path: &str, all_volumes: bool) -> Option<String> {
    let containers = list(spec, "/containers");
    if containers.is_empty() {
        return Some(format!("{path}.containers: Required value"));
    }
    let mut volumes = BTreeSet::new();
    for (index, volume) in list(spec, "/volumes").iter().enumerate() {
        if !volumes.insert(text(volume, "/name")) {
            return Some(format!("{path}.volumes[{index}].name: Duplicate value: {:?}", text(volume, "/name")));
        }
    }
    let mut names = BTreeSet::new();
    let all = ["initContainers", "containers"]
        .into_iter()
        .flat_map(|field| list(spec, &format!("/{field}")).iter().enumerate().map(move |entry| (field, entry)));
    for (field, (index, container)) in all {
        let path = format!("{path}.{field}[{index}]");
        let name = text(container, "/name");
        if name.is_empty() {
            return Some(format!("{path}.name: Required value"));
        }
        if !names.insert(name) {
            return Some(format!("{path}.name: Duplicate value: {name:?}"));
        }
        if text(container, "/image").trim().is_empty() {
            return Some(format!("{path}.image: Required value"));
        }
        if let Some(what) =
            mounts(container, &volumes, &path, all_volumes).or_else(|| probes(container, &path)).or_else(|| resources(container, &path))
        {
            return Some(what);
        }
    }
    None
}

fn mounts(container: &Value, volumes: &BTreeSet<&str>, path: &str, all_volumes: bool) -> Option<String> {
    let mut paths = BTreeSet::new();
    for (index, mount) in list(container, "/volumeMounts").iter().enumerate() {
        let name = text(mount, "/name");
        if all_volumes && !volumes.contains(name) {
            return Some(format!("{path}.volumeMounts[{index}].name: Not found: {name:?}"));
        }
        let mount_path = text(mount, "/mountPath");
        if mount_path.is_empty() {
            return Some(format!("{path}.volumeMounts[{index}].mountPath: Required value"));
        }
        if !paths.insert(mount_path) {
            return Some(format!("{path}.volumeMounts[{index}].mountPath: Invalid value: {mount_path:?}: must be unique"));
        }
    }
    None
}

fn probes(container: &Value, path: &str) -> Option<String> {
    ["livenessProbe", "readinessProbe", "startupProbe"].into_iter().find_map(|name| {
        let probe = container.get(name).filter(|probe| !probe.is_null())?;
        let handlers = ["exec", "httpGet", "tcpSocket", "grpc"]
            .into_iter()
            .filter(|handler| probe.get(*handler).is_some_and(|value| !value.is_null()))
            .count();
        match handlers {
            0 => return Some(format!("{path}.{name}: Required value: must specify a handler type")),
            1 => {}
            _ => return Some(format!("{path}.{name}: Forbidden: may not specify more than 1 handler type")),
        }
        let successes = probe["successThreshold"].as_i64().unwrap_or(1);
        (name != "readinessProbe" && successes != 1)
            .then(|| format!("{path}.{name}.successThreshold: Invalid value: {successes}: must be 1"))
    })
}

fn resources(container: &Value, path: &str) -> Option<String> {
    let requests = container.pointer("/resources/requests").and_then(Value::as_object)?;
    requests.iter().find_map(|(name, request)| {
        let limit = container.pointer("/resources/limits")?.get(name)?;
        let (asked, most) = (Quantity::of(request).ok()?, Quantity::of(limit).ok()?);
        let given = request.as_str().map_or_else(|| request.to_string(), str::to_owned);
        (asked > most).then(|| {
            format!(
                "{path}.resources.requests: Invalid value: {given:?}: must be less than or equal to {name} limit of {}",
                limit.as_str().unwrap_or_default()
            )
        })
    })
}

fn service(object: &Value) -> Option<String> {
    let kind = text(object, "/spec/type");
    let ports = list(object, "/spec/ports");
    if ports.is_empty() && kind != "ExternalName" && text(object, "/spec/clusterIP") != "None" {
        return Some("spec.ports: Required value".into());
    }
    if kind == "ExternalName" && text(object, "/spec/externalName").is_empty() {
        return Some("spec.externalName: Required value".into());
    }
    let mut names = BTreeSet::new();
    for (index, port) in ports.iter().enumerate() {
        let name = text(port, "/name");
        if ports.len() > 1 && name.is_empty() {
            return Some(format!("spec.ports[{index}].name: Required value"));
        }
        if !names.insert(name) {
            return Some(format!("spec.ports[{index}].name: Duplicate value: {name:?}"));
        }
        let number = port["port"].as_i64().unwrap_or(0);
        if !(1..=65_535).contains(&number) {
            return Some(format!("spec.ports[{index}].port: Invalid value: {number}: must be between 1 and 65535, inclusive"));
        }
        let node_port = port["nodePort"].as_i64();
        if let Some(node_port) = node_port.filter(|port| *port != 0) {
            if kind == "ClusterIP" {
                return Some(format!("spec.ports[{index}].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"));
            }
            if !(30_000..=32_767).contains(&node_port) {
                return Some(format!(
                    "spec.ports[{index}].nodePort: Invalid value: {node_port}: provided port is not in the valid range. The range of valid ports is 30000-32767"
                ));
            }
        }
    }
    None
}

fn claim(object: &Value, path: &str) -> Option<String> {
    if list(object, "/spec/accessModes").is_empty() {
        return Some(format!("{path}.accessModes: Required value: at least 1 access mode is required"));
    }
    match object.pointer("/spec/resources/requests/storage") {
        None => Some(format!("{path}.resources[storage]: Required value")),
        Some(storage) if Quantity::of(storage).is_ok_and(|size| size <= Quantity::default()) || Quantity::of(storage).is_err() => {
            Some(format!("{path}.resources[storage]: Invalid value: {storage}: must be greater than zero"))
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    fn deployment(template: &Value) -> Value {
        json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "redis" },
            "spec": { "selector": { "matchLabels": { "app": "redis" } }, "template": { "metadata": { "labels": { "app": "redis" } }, "spec": template } } })
    }

    #[rstest]
    #[case(json!({ "containers": [] }), "Deployment.apps \"redis\" is invalid: spec.template.spec.containers: Required value")]
    #[case(json!({ "containers": [{ "name": "a" }] }), "spec.template.spec.containers[0].image: Required value")]
    #[case(json!({ "containers": [{ "name": "a", "image": "redis", "livenessProbe": {} }] }), "must specify a handler type")]
    #[case(json!({ "containers": [{ "name": "a", "image": "redis", "resources": { "requests": { "memory": "2Gi" }, "limits": { "memory": "1Gi" } } }] }), "must be less than or equal to memory limit of 1Gi")]
    #[case(json!({ "restartPolicy": "Never", "containers": [{ "name": "a", "image": "redis" }] }), "Unsupported value: \"Never\"")]
    fn a_wrong_pod_is_refused_with_its_path(#[case] template: Value, #[case] words: &str) {
        let refusal = check(&deployment(&template)).expect_err("refused").to_string();
        assert!(refusal.contains(words), "{refusal}");
    }

    #[test]
    fn a_selector_that_misses_its_own_template_is_refused() {
        let mut object = deployment(&json!({ "containers": [{ "name": "a", "image": "redis" }] }));
        object["spec"]["selector"]["matchLabels"]["app"] = json!("other");
        assert!(check(&object).expect_err("refused").to_string().contains("`selector` does not match template `labels`"));
    }

    #[test]
    fn a_claim_needs_a_size_and_a_mode() {
        let claim = json!({ "kind": "PersistentVolumeClaim", "apiVersion": "v1", "metadata": { "name": "data" }, "spec": { "accessModes": ["ReadWriteOnce"] } });
        assert_eq!(
            check(&claim).expect_err("refused").to_string(),
            "PersistentVolumeClaim \"data\" is invalid: spec.resources[storage]: Required value"
        );
    }
}
