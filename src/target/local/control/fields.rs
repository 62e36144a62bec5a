//! The table of a pod's fields: which are carried out, which cannot matter here, and which are refused by name.
//!
//! A field that is not in the table is refused: nothing is ignored by accident.

use crate::{
    manifest::{Object, Place},
    target::{Capability, Unsupported},
};
use serde_json::Value;

/// What becomes of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    /// Carried out.
    Done,
    /// Cannot change what a Redis keeps or whom it answers on one machine.
    Harmless,
    /// Not carried out, unless it says what is so anyway (`false`, empty).
    Refused(&'static str),
}

use Field::{Done, Harmless, Refused};

const NO_TLS: &str = "probes over TLS are not made here";
const HOST: &str = "a pod here never shares the machine's own namespaces";

/// Fields of a pod's spec; a line holds for all beneath it unless a longer one says otherwise.
const POD: &[(&str, Field)] = &[
    ("containers", Done),
    ("initContainers", Done),
    ("ephemeralContainers", Refused("ephemeral containers are not started here")),
    ("volumes", Done),
    ("restartPolicy", Done),
    ("terminationGracePeriodSeconds", Done),
    ("nodeName", Done),
    ("nodeSelector", Done),
    ("affinity", Done),
    ("tolerations", Done),
    ("topologySpreadConstraints", Done),
    ("hostname", Done),
    ("subdomain", Done),
    ("setHostnameAsFQDN", Refused("the kernel's host name is the short one here")),
    ("hostAliases", Done),
    ("serviceAccountName", Done),
    ("serviceAccount", Done),
    ("automountServiceAccountToken", Harmless),
    ("enableServiceLinks", Done),
    ("imagePullSecrets", Harmless),
    ("priorityClassName", Harmless),
    ("priority", Harmless),
    ("preemptionPolicy", Harmless),
    ("dnsPolicy", Done),
    ("dnsConfig", Done),
    ("activeDeadlineSeconds", Done),
    ("schedulerName", Done),
    ("schedulingGates", Refused("scheduling gates are not waited for here")),
    ("readinessGates", Refused("nobody opens readiness gates here")),
    ("runtimeClassName", Refused("there is one runtime here")),
    ("overhead", Harmless),
    ("resources", Harmless),
    ("resourceClaims", Refused("devices are not allocated here")),
    ("os", Harmless),
    ("hostNetwork", Refused(HOST)),
    ("hostPID", Refused(HOST)),
    ("hostIPC", Refused(HOST)),
    ("hostUsers", Harmless),
    ("shareProcessNamespace", Refused("each container has its own process namespace here")),
    ("securityContext.runAsUser", Done),
    ("securityContext.runAsGroup", Done),
    ("securityContext.runAsNonRoot", Done),
    ("securityContext.fsGroup", Done),
    ("securityContext.fsGroupChangePolicy", Done),
    ("securityContext.supplementalGroups", Done),
    ("securityContext.supplementalGroupsPolicy", Harmless),
    ("securityContext.seccompProfile", Harmless),
    ("securityContext.appArmorProfile", Harmless),
    ("securityContext.seLinuxOptions", Harmless),
    ("securityContext.seLinuxChangePolicy", Harmless),
    ("securityContext.sysctls", Refused("kernel parameters of a pod are not set here")),
];

/// Fields of a container.
const CONTAINER: &[(&str, Field)] = &[
    ("name", Done),
    ("image", Done),
    ("imagePullPolicy", Harmless),
    ("command", Done),
    ("args", Done),
    ("env", Done),
    ("env[].valueFrom.fileKeyRef", Refused("environment files are not read here")),
    ("envFrom", Done),
    ("workingDir", Done),
    ("ports", Done),
    ("ports[].hostPort", Refused("no port is opened on a node here")),
    ("ports[].hostIP", Harmless),
    ("resources", Done),
    ("resources.claims", Refused("devices are not allocated here")),
    ("resizePolicy", Harmless),
    ("restartPolicy", Done),
    ("restartPolicyRules", Refused("rules for restarts by exit code are not followed here")),
    ("volumeMounts", Done),
    ("volumeMounts[].mountPropagation", Harmless),
    ("volumeMounts[].recursiveReadOnly", Harmless),
    ("volumeDevices", Refused("there are no block devices here")),
    ("lifecycle.postStart.exec", Done),
    ("lifecycle.preStop.exec", Done),
    ("lifecycle.preStop.sleep", Done),
    ("lifecycle.postStart.sleep", Done),
    ("lifecycle.postStart.httpGet", Refused("hooks over HTTP are not called here")),
    ("lifecycle.preStop.httpGet", Refused("hooks over HTTP are not called here")),
    ("lifecycle.stopSignal", Refused("containers are stopped by SIGTERM here")),
    ("livenessProbe", Done),
    ("livenessProbe.grpc", Refused("probes over gRPC are not made here")),
    ("livenessProbe.httpGet.scheme", Refused(NO_TLS)),
    ("readinessProbe", Done),
    ("readinessProbe.grpc", Refused("probes over gRPC are not made here")),
    ("readinessProbe.httpGet.scheme", Refused(NO_TLS)),
    ("startupProbe", Done),
    ("startupProbe.grpc", Refused("probes over gRPC are not made here")),
    ("startupProbe.httpGet.scheme", Refused(NO_TLS)),
    ("securityContext.runAsUser", Done),
    ("securityContext.runAsGroup", Done),
    ("securityContext.runAsNonRoot", Done),
    ("securityContext.readOnlyRootFilesystem", Done),
    ("securityContext.allowPrivilegeEscalation", Done),
    ("securityContext.capabilities", Done),
    ("securityContext.privileged", Refused("no container here has rights over the machine")),
    ("securityContext.procMount", Harmless),
    ("securityContext.seccompProfile", Harmless),
    ("securityContext.appArmorProfile", Harmless),
    ("securityContext.seLinuxOptions", Harmless),
    ("terminationMessagePath", Harmless),
    ("terminationMessagePolicy", Harmless),
    ("stdin", Harmless),
    ("stdinOnce", Harmless),
    ("tty", Harmless),
];

/// Fields of a volume.
const VOLUME: &[(&str, Field)] = &[
    ("name", Done),
    ("configMap", Done),
    ("secret", Done),
    ("emptyDir", Done),
    ("emptyDir.sizeLimit", Harmless),
    ("persistentVolumeClaim", Done),
    ("ephemeral", Done),
    ("hostPath", Done),
    ("downwardAPI", Done),
    ("projected.defaultMode", Done),
    ("projected.sources[].configMap", Done),
    ("projected.sources[].secret", Done),
    ("projected.sources[].downwardAPI", Done),
    ("projected.sources[].serviceAccountToken", Refused("there is no API server that would take a token here")),
    ("projected.sources[].clusterTrustBundle", Refused("there is no API server with bundles here")),
];

/// Where the pod's spec stands in an object of that kind.
pub(super) fn pod_spec(kind: &str) -> Option<&'static str> {
    match kind {
        "Pod" => Some("/spec"),
        "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" | "Job" => Some("/spec/template/spec"),
        _ => None,
    }
}

/// The first field of the object's pod that is not carried out here, with its place.
///
/// Containers for which `runs` says no are never started: their fields do not matter.
pub(super) fn refuse(object: &Object, runs: &dyn Fn(&Value) -> bool) -> Result<(), Unsupported> {
    let kind = object.json["kind"].as_str().unwrap_or_default();
    let Some((pointer, spec)) = pod_spec(kind).and_then(|pointer| Some((pointer, object.json.pointer(pointer)?))) else { return Ok(()) };
    let found = first(spec, POD, pointer).or_else(|| {
        ["initContainers", "containers", "volumes"].into_iter().find_map(|list| {
            let table = if list == "volumes" { VOLUME } else { CONTAINER };
            let entries = spec[list].as_array().into_iter().flatten().enumerate();
            let mut entries = entries.filter(|(_, entry)| list == "volumes" || runs(entry));
            entries.find_map(|(index, entry)| first(entry, table, &format!("{pointer}/{list}/{index}")))
        })
    });
    match found {
        Some((pointer, reason)) => Err(unsupported(&pointer, reason, place(object, &pointer))),
        None => Ok(()),
    }
}

/// The refusal of a field or kind at its place.
pub(super) fn unsupported(what: &str, reason: impl Into<String>, place: &Place) -> Unsupported {
    let what = what.trim_start_matches('/').replace('/', ".");
    Unsupported { capability: Capability::Field(format!("{what} at {place}")), reason: reason.into() }
}

/// Where the field stands, or the nearest one around it.
pub(super) fn place<'a>(object: &'a Object, pointer: &str) -> &'a Place {
    let mut pointer = pointer;
    loop {
        if let Some(place) = object.places.get(pointer) {
            return place;
        }
        match pointer.rfind('/') {
            Some(end) => pointer = &pointer[..end],
            None => return &object.place,
        }
    }
}

fn first(value: &Value, table: &[(&str, Field)], pointer: &str) -> Option<(String, &'static str)> {
    fn walk(value: &Value, path: &str, pointer: &str, table: &[(&str, Field)]) -> Option<(String, &'static str)> {
        if says_nothing(value) {
            return None;
        }
        let deeper = table
            .iter()
            .any(|(name, _)| name.len() > path.len() && name.starts_with(path) && matches!(name.as_bytes()[path.len()], b'.' | b'['));
        match value {
            Value::Object(fields) if deeper || path.is_empty() => fields.iter().find_map(|(name, value)| {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                walk(value, &path, &format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1")), table)
            }),
            Value::Array(entries) if deeper => entries
                .iter()
                .enumerate()
                .find_map(|(index, value)| walk(value, &format!("{path}[]"), &format!("{pointer}/{index}"), table)),
            _ => match lookup(path, table) {
                Some(Done | Harmless) => None,
                Some(Refused(_)) if path.ends_with(".scheme") && value == "HTTP" => None,
                Some(Refused(reason)) => Some((pointer.to_owned(), reason)),
                None => Some((pointer.to_owned(), "this field is not known to be carried out here")),
            },
        }
    }
    walk(value, "", pointer, table)
}

/// The longest line that the path is at or beneath.
fn lookup(path: &str, table: &[(&str, Field)]) -> Option<Field> {
    let beneath = |name: &str| path.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
    table.iter().filter(|(name, _)| beneath(name)).max_by_key(|(name, _)| name.len()).map(|(_, field)| *field)
}

fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(entries) => entries.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    fn pod(spec: &Value) -> Object {
        Object::made(json!({ "kind": "Pod", "spec": spec }), Place::default())
    }

    #[rstest]
    #[case(json!({ "hostNetwork": true }), Some("spec.hostNetwork"))]
    #[case(json!({ "hostNetwork": false }), None)]
    #[case(json!({ "securityContext": { "fsGroup": 999, "sysctls": [] } }), None)]
    #[case(json!({ "securityContext": { "sysctls": [{ "name": "net.core.somaxconn", "value": "1024" }] } }), Some("spec.securityContext.sysctls"))]
    #[case(json!({ "containers": [{ "name": "a", "readinessProbe": { "grpc": { "port": 1 } } }] }), Some("spec.containers.0.readinessProbe.grpc"))]
    #[case(json!({ "containers": [{ "name": "without", "readinessProbe": { "grpc": { "port": 1 } } }] }), None)]
    #[case(json!({ "containers": [{ "name": "a", "livenessProbe": { "httpGet": { "port": 1, "scheme": "HTTP" } } }] }), None)]
    #[case(json!({ "containers": [{ "name": "a", "livenessProbe": { "httpGet": { "port": 1, "scheme": "HTTPS" } } }] }), Some("livenessProbe.httpGet.scheme"))]
    #[case(json!({ "containers": [{ "name": "a", "ports": [{ "containerPort": 1, "hostPort": 1 }] }] }), Some("ports.0.hostPort"))]
    #[case(json!({ "volumes": [{ "name": "a", "nfs": { "server": "x", "path": "/" } }] }), Some("spec.volumes.0.nfs"))]
    #[case(json!({ "volumes": [{ "name": "a", "secret": { "secretName": "x", "items": [{ "key": "k", "path": "p" }] } }] }), None)]
    fn a_field_that_is_not_carried_out_is_named(#[case] spec: Value, #[case] named: Option<&str>) {
        let refused = refuse(&pod(&spec), &|container| container["name"] != "without");
        match named {
            None => refused.expect("carried out"),
            Some(field) => assert!(refused.expect_err("refused").to_string().contains(field)),
        }
    }

    #[test]
    fn a_field_is_told_with_its_line() {
        let mut object = pod(&json!({ "containers": [{ "name": "a", "securityContext": { "privileged": true } }] }));
        let line = Place { line: 7, ..Place::default() };
        object.places.insert("/spec/containers/0/securityContext".to_owned(), line);
        assert!(refuse(&object, &|_| true).expect_err("refused").to_string().contains("privileged at :7"));
    }
}
