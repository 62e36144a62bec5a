//! Fills in what the API server fills in, as far as controllers, `kubectl get` or a step would look at it.

use super::json::{default, entry, has, list, map_mut, set, text};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

/// Fills in the defaults of an object of any served kind.
pub(super) fn fill(object: &mut Value) {
    match text(object, "/kind") {
        "Pod" => pod(object, "/spec"),
        "Deployment" => deployment(object),
        "ReplicaSet" => {
            default(object, "/spec/replicas", json!(1));
            pod(object, "/spec/template/spec");
        }
        "StatefulSet" => stateful_set(object),
        "DaemonSet" => {
            default(object, "/spec/updateStrategy/type", json!("RollingUpdate"));
            pod(object, "/spec/template/spec");
        }
        "Job" => {
            default(object, "/spec/completions", json!(1));
            default(object, "/spec/parallelism", json!(1));
            default(object, "/spec/backoffLimit", json!(6));
            pod(object, "/spec/template/spec");
        }
        "Service" => service(object),
        "PersistentVolumeClaim" => claim(object),
        "PersistentVolume" => {
            default(object, "/spec/persistentVolumeReclaimPolicy", json!("Retain"));
            default(object, "/spec/volumeMode", json!("Filesystem"));
            default(object, "/status/phase", json!("Pending"));
        }
        "StorageClass" => {
            default(object, "/reclaimPolicy", json!("Delete"));
            default(object, "/volumeBindingMode", json!("Immediate"));
        }
        "Secret" => secret(object),
        "Namespace" => {
            default(object, "/status/phase", json!("Active"));
            let name = object["metadata"]["name"].clone();
            set(object, "/metadata/labels/kubernetes.io~1metadata.name", name);
        }
        _ => {}
    }
}

fn deployment(object: &mut Value) {
    default(object, "/spec/replicas", json!(1));
    default(object, "/spec/strategy/type", json!("RollingUpdate"));
    if object["spec"]["strategy"]["type"] == "RollingUpdate" {
        default(object, "/spec/strategy/rollingUpdate/maxSurge", json!("25%"));
        default(object, "/spec/strategy/rollingUpdate/maxUnavailable", json!("25%"));
    }
    default(object, "/spec/revisionHistoryLimit", json!(10));
    default(object, "/spec/progressDeadlineSeconds", json!(600));
    pod(object, "/spec/template/spec");
}

fn stateful_set(object: &mut Value) {
    default(object, "/spec/replicas", json!(1));
    default(object, "/spec/podManagementPolicy", json!("OrderedReady"));
    default(object, "/spec/updateStrategy/type", json!("RollingUpdate"));
    if object["spec"]["updateStrategy"]["type"] == "RollingUpdate" {
        default(object, "/spec/updateStrategy/rollingUpdate/partition", json!(0));
    }
    default(object, "/spec/revisionHistoryLimit", json!(10));
    default(object, "/spec/persistentVolumeClaimRetentionPolicy", json!({ "whenDeleted": "Retain", "whenScaled": "Retain" }));
    pod(object, "/spec/template/spec");
    for index in 0..list(object, "/spec/volumeClaimTemplates").len() {
        let template = &mut object["spec"]["volumeClaimTemplates"][index];
        default(template, "/spec/volumeMode", json!("Filesystem"));
        default(template, "/status/phase", json!("Pending"));
    }
}

fn claim(object: &mut Value) {
    default(object, "/spec/volumeMode", json!("Filesystem"));
    default(object, "/status/phase", json!("Pending"));
    default(object, "/metadata/finalizers", json!(["kubernetes.io/pvc-protection"]));
}

fn secret(object: &mut Value) {
    default(object, "/type", json!("Opaque"));
    let plain = map_mut(object).remove("stringData");
    for (name, value) in plain.as_ref().and_then(Value::as_object).into_iter().flatten() {
        let encoded = STANDARD.encode(value.as_str().unwrap_or_default());
        map_mut(entry(object, "data")).insert(name.clone(), encoded.into());
    }
}

fn service(object: &mut Value) {
    default(object, "/spec/type", json!("ClusterIP"));
    default(object, "/spec/sessionAffinity", json!("None"));
    if object["spec"]["sessionAffinity"] == "ClientIP" {
        default(object, "/spec/sessionAffinityConfig/clientIP/timeoutSeconds", json!(10_800));
    }
    if object["spec"]["type"] != "ExternalName" {
        default(object, "/spec/internalTrafficPolicy", json!("Cluster"));
        default(object, "/spec/ipFamilies", json!(["IPv4"]));
        default(object, "/spec/ipFamilyPolicy", json!("SingleStack"));
    }
    if has(object, "/spec/ports") {
        for port in object["spec"]["ports"].as_array_mut().into_iter().flatten() {
            default(port, "/protocol", json!("TCP"));
            let number = port["port"].clone();
            default(port, "/targetPort", number);
        }
    }
    default(object, "/status/loadBalancer", json!({}));
}

fn pod(object: &mut Value, spec: &str) {
    let Some(spec) = object.pointer_mut(spec).filter(|spec| spec.is_object()) else { return };
    default(spec, "/restartPolicy", json!("Always"));
    default(spec, "/dnsPolicy", json!("ClusterFirst"));
    default(spec, "/terminationGracePeriodSeconds", json!(30));
    default(spec, "/securityContext", json!({}));
    default(spec, "/enableServiceLinks", json!(true));
    default(spec, "/schedulerName", json!("default-scheduler"));
    if has(spec, "/serviceAccountName") {
        spec["serviceAccount"] = spec["serviceAccountName"].clone();
    } else if has(spec, "/serviceAccount") {
        spec["serviceAccountName"] = spec["serviceAccount"].clone();
    }
    for name in ["containers", "initContainers"] {
        for value in spec.get_mut(name).and_then(Value::as_array_mut).into_iter().flatten() {
            container(value);
        }
    }
    for value in spec.get_mut("volumes").and_then(Value::as_array_mut).into_iter().flatten() {
        volume(value);
    }
}

fn container(object: &mut Value) {
    let image = text(object, "/image");
    let latest = image.ends_with(":latest") || !image.rsplit('/').next().unwrap_or_default().contains([':', '@']);
    default(object, "/imagePullPolicy", json!(if latest { "Always" } else { "IfNotPresent" }));
    default(object, "/terminationMessagePath", json!("/dev/termination-log"));
    default(object, "/terminationMessagePolicy", json!("File"));
    default(object, "/resources", json!({}));
    for (name, value) in object.pointer("/resources/limits").and_then(Value::as_object).cloned().into_iter().flatten() {
        default(object, &format!("/resources/requests/{}", name.replace('/', "~1")), value);
    }
    for port in object.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        default(port, "/protocol", json!("TCP"));
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let Some(probe) = object.get_mut(name).filter(|probe| probe.is_object()) else { continue };
        default(probe, "/timeoutSeconds", json!(1));
        default(probe, "/periodSeconds", json!(10));
        default(probe, "/successThreshold", json!(1));
        default(probe, "/failureThreshold", json!(3));
        if has(probe, "/httpGet") {
            default(probe, "/httpGet/scheme", json!("HTTP"));
            default(probe, "/httpGet/path", json!("/"));
        }
    }
    for variable in object.get_mut("env").and_then(Value::as_array_mut).into_iter().flatten() {
        if has(variable, "/valueFrom/fieldRef") {
            default(variable, "/valueFrom/fieldRef/apiVersion", json!("v1"));
        }
    }
}

fn volume(object: &mut Value) {
    for source in ["configMap", "secret", "downwardAPI", "projected"] {
        if has(object, &format!("/{source}")) {
            default(object, &format!("/{source}/defaultMode"), json!(0o644));
        }
    }
    if has(object, "/hostPath") {
        default(object, "/hostPath/type", json!(""));
    }
    let sources = object.as_object().map_or(0, serde_json::Map::len);
    if sources <= 1 || object.get("emptyDir").is_some_and(Value::is_null) {
        set(object, "/emptyDir", json!({}));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deployment_rolls_by_a_quarter_and_its_probes_have_periods() {
        let mut object = json!({ "kind": "Deployment", "spec": { "template": { "spec": {
            "containers": [{ "name": "redis", "image": "redis:7", "livenessProbe": { "tcpSocket": { "port": 6379 } },
                "resources": { "limits": { "memory": "1Gi" } } }],
            "volumes": [{ "name": "data" }, { "name": "more", "emptyDir": null }] } } } });
        fill(&mut object);
        assert_eq!(object["spec"]["strategy"]["rollingUpdate"]["maxSurge"], "25%");
        let spec = &object["spec"]["template"]["spec"];
        assert_eq!(spec["containers"][0]["livenessProbe"]["failureThreshold"], 3);
        assert_eq!(spec["containers"][0]["imagePullPolicy"], "IfNotPresent");
        assert_eq!(spec["containers"][0]["resources"]["requests"]["memory"], "1Gi");
        assert_eq!((&spec["volumes"][0]["emptyDir"], &spec["volumes"][1]["emptyDir"]), (&json!({}), &json!({})));
    }

    #[test]
    fn a_secrets_plain_text_is_kept_encoded() {
        let mut object = json!({ "kind": "Secret", "stringData": { "url": "redis://redis:6379" } });
        fill(&mut object);
        assert_eq!(object["data"]["url"], "cmVkaXM6Ly9yZWRpczo2Mzc5");
        assert!(object.get("stringData").is_none());
    }
}
