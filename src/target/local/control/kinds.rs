//! Which kinds of objects this cluster serves, which it takes without carrying them out, and which it does not know.

use super::store::Refusal;
use crate::manifest::kinds::is_cluster_scoped;
use k8s_openapi::api::{
    apps::v1::{ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet},
    batch::v1::{CronJob, Job},
    core::v1::{
        ConfigMap, Endpoints, Event, LimitRange, Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod, ResourceQuota, Secret,
        Service, ServiceAccount,
    },
    discovery::v1::EndpointSlice,
    networking::v1::{Ingress, NetworkPolicy},
    policy::v1::PodDisruptionBudget,
    storage::v1::StorageClass,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// What becomes of an object of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Handling {
    /// Controllers carry it out.
    Served,
    /// Kept as it is; it cannot touch a Redis' data or connections. The text says what is not done.
    Kept(&'static str),
    /// Whether it matters depends on what else there is.
    Judged,
}

/// Reads an object as its type and writes it back.
type Schema = fn(&Value) -> Result<Value, String>;

/// One kind.
pub(super) struct Kind {
    /// `Deployment`.
    pub(super) name: &'static str,
    /// `apps/v1`; empty where any version will do.
    pub(super) version: &'static str,
    /// What becomes of it.
    pub(super) handling: Handling,
    /// Reads it as its type and writes it back: what is missing afterwards is no field of the API.
    pub(super) schema: Option<Schema>,
}

const fn kind(name: &'static str, version: &'static str, handling: Handling) -> Kind {
    Kind { name, version, handling, schema: None }
}

const fn typed<T: Serialize + DeserializeOwned>(name: &'static str, version: &'static str, handling: Handling) -> Kind {
    Kind { name, version, handling, schema: Some(round_trip::<T>) }
}

fn round_trip<T: Serialize + DeserializeOwned>(object: &Value) -> Result<Value, String> {
    let typed = T::deserialize(object).map_err(|error| error.to_string())?;
    serde_json::to_value(typed).map_err(|error| error.to_string())
}

use Handling::{Judged, Kept, Served};

const RIGHTS: Handling = Kept("no API server can be reached from pods here, so rights are not enforced");
const MONITORING: Handling = Kept("nothing scrapes or alerts here");
const OUTSIDE: Handling = Kept("nothing comes in from outside the cluster here");

/// The register.
pub(super) const KINDS: &[Kind] = &[
    typed::<Namespace>("Namespace", "v1", Served),
    typed::<Node>("Node", "v1", Served),
    typed::<Pod>("Pod", "v1", Served),
    typed::<Service>("Service", "v1", Served),
    typed::<Endpoints>("Endpoints", "v1", Served),
    typed::<EndpointSlice>("EndpointSlice", "discovery.k8s.io/v1", Served),
    typed::<ConfigMap>("ConfigMap", "v1", Served),
    typed::<Secret>("Secret", "v1", Served),
    typed::<ServiceAccount>("ServiceAccount", "v1", Served),
    typed::<PersistentVolumeClaim>("PersistentVolumeClaim", "v1", Served),
    typed::<PersistentVolume>("PersistentVolume", "v1", Served),
    typed::<StorageClass>("StorageClass", "storage.k8s.io/v1", Served),
    typed::<Deployment>("Deployment", "apps/v1", Served),
    typed::<ReplicaSet>("ReplicaSet", "apps/v1", Served),
    typed::<StatefulSet>("StatefulSet", "apps/v1", Served),
    typed::<DaemonSet>("DaemonSet", "apps/v1", Served),
    typed::<ControllerRevision>("ControllerRevision", "apps/v1", Served),
    typed::<Job>("Job", "batch/v1", Served),
    typed::<Event>("Event", "v1", Served),
    typed::<CronJob>("CronJob", "batch/v1", Kept("its jobs are not started")),
    typed::<PodDisruptionBudget>("PodDisruptionBudget", "policy/v1", Served),
    typed::<ResourceQuota>("ResourceQuota", "v1", Kept("quotas are not counted")),
    typed::<Ingress>("Ingress", "networking.k8s.io/v1", OUTSIDE),
    kind("IngressClass", "networking.k8s.io/v1", OUTSIDE),
    kind("Gateway", "", OUTSIDE),
    kind("HTTPRoute", "", OUTSIDE),
    kind("IngressRoute", "", OUTSIDE),
    kind("Certificate", "", Kept("no certificate is issued here; a Secret it should make is missing")),
    kind("Role", "rbac.authorization.k8s.io/v1", RIGHTS),
    kind("RoleBinding", "rbac.authorization.k8s.io/v1", RIGHTS),
    kind("ClusterRole", "rbac.authorization.k8s.io/v1", RIGHTS),
    kind("ClusterRoleBinding", "rbac.authorization.k8s.io/v1", RIGHTS),
    kind("PriorityClass", "scheduling.k8s.io/v1", Kept("nothing is preempted here")),
    kind("ServiceMonitor", "", MONITORING),
    kind("PodMonitor", "", MONITORING),
    kind("PrometheusRule", "", MONITORING),
    kind("GrafanaDashboard", "", MONITORING),
    kind("Application", "", Kept("nobody here delivers what it points to")),
    kind("AppProject", "", Kept("nobody here delivers what it points to")),
    kind("CustomResourceDefinition", "apiextensions.k8s.io/v1", Kept("its objects are not known here")),
    kind("HorizontalPodAutoscaler", "", Judged),
    typed::<NetworkPolicy>("NetworkPolicy", "networking.k8s.io/v1", Judged),
    typed::<LimitRange>("LimitRange", "v1", Judged),
];

impl Kind {
    /// Whether its objects live in namespaces.
    pub(super) fn is_namespaced(&self) -> bool {
        !is_cluster_scoped(self.name)
    }
}

/// The kind of that name.
pub(super) fn find(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.name == name)
}

/// Refuses what the API's schema does not have: wrong types and unknown fields.
pub(super) fn check_schema(kind: &Kind, object: &Value) -> Result<(), Refusal> {
    let version = object["apiVersion"].as_str().unwrap_or_default();
    if !kind.version.is_empty() && version != kind.version {
        return Err(Refusal::Invalid(format!("no matches for kind {:?} in version {version:?}", kind.name)));
    }
    let Some(schema) = kind.schema else { return Ok(()) };
    let read = schema(object).map_err(|error| {
        Refusal::Invalid(format!("{} in version {version:?} cannot be handled as a {}: json: {error}", kind.name, kind.name))
    })?;
    match unknown(object, &read, "") {
        Some(path) => Err(Refusal::Invalid(format!("{path}: field not declared in schema"))),
        None => Ok(()),
    }
}

fn unknown(given: &Value, read: &Value, path: &str) -> Option<String> {
    match (given, read) {
        (Value::Object(given), Value::Object(read)) => given.iter().filter(|(_, value)| !value.is_null()).find_map(|(name, value)| {
            let path = format!("{path}.{name}");
            match read.get(name) {
                Some(read) => unknown(value, read, &path),
                None => Some(path),
            }
        }),
        (Value::Array(given), Value::Array(read)) => {
            given.iter().zip(read).enumerate().find_map(|(index, (given, read))| unknown(given, read, &format!("{path}[{index}]")))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    #[rstest]
    #[case::right(json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "a", "creationTimestamp": null }, "data": { "k": "v" } }), None)]
    #[case::unknown_field(json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "a" }, "dat": {} }), Some(".dat: field not declared in schema"))]
    #[case::wrong_type(json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "a" }, "data": { "k": 1 } }), Some("cannot be handled as a ConfigMap: json: invalid type: integer `1`, expected a string"))]
    #[case::old_version(json!({ "apiVersion": "v1beta1", "kind": "ConfigMap", "metadata": { "name": "a" } }), Some("no matches for kind \"ConfigMap\" in version \"v1beta1\""))]
    fn a_schema_takes_its_own_fields_only(#[case] object: Value, #[case] refusal: Option<&str>) {
        let result = check_schema(find("ConfigMap").expect("served"), &object);
        match refusal {
            None => assert_eq!(result, Ok(())),
            Some(words) => assert!(result.expect_err("refused").to_string().contains(words)),
        }
    }
}
