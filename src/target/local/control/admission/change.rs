//! Which fields may not change once they are there.

use super::{
    super::{
        json::{has, text},
        store::{Refusal, Store},
    },
    invalid,
};
use crate::manifest::{ObjectKey, Quantity};
use serde_json::Value;

/// Fields of a StatefulSet's spec that may change.
const STATEFUL_SET: &[&str] = &[
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
];

/// Refuses a change that the API server would refuse.
pub(in super::super) fn check(before: &Value, after: &Value, store: &Store) -> Result<(), Refusal> {
    let immutable = |path: &str| {
        let pointer = format!("/{}", path.replace('.', "/"));
        let (old, new) = (before.pointer(&pointer), after.pointer(&pointer));
        if old.filter(|old| !old.is_null()) == new.filter(|new| !new.is_null()) {
            return Ok(());
        }
        let given = new.unwrap_or(&Value::Null);
        Err(invalid(after, format!("{path}: Invalid value: {given}: field is immutable")))
    };
    match text(after, "/kind") {
        "Deployment" | "ReplicaSet" | "DaemonSet" => immutable("spec.selector"),
        "Job" => immutable("spec.selector").and_then(|()| immutable("spec.template")),
        "StatefulSet" => stateful_set(before, after),
        "Service" => {
            let headless = text(before, "/spec/clusterIP");
            if headless.is_empty() || text(after, "/spec/type") == "ExternalName" { Ok(()) } else { immutable("spec.clusterIP") }
        }
        "Pod" => pod(before, after),
        "PersistentVolumeClaim" => claim(before, after, store),
        "PersistentVolume" => immutable("spec.hostPath"),
        "StorageClass" => ["provisioner", "parameters", "reclaimPolicy", "volumeBindingMode"].into_iter().try_for_each(|field| {
            if before.get(field) == after.get(field) {
                return Ok(());
            }
            Err(invalid(after, format!("{field}: Forbidden: updates to {field} are forbidden.")))
        }),
        "ConfigMap" | "Secret" if before["immutable"] == true => immutable("data"),
        "Secret" => {
            if before["type"] == after["type"] {
                return Ok(());
            }
            Err(invalid(after, format!("type: Invalid value: {}: field is immutable", after["type"])))
        }
        _ => Ok(()),
    }
}

fn stateful_set(before: &Value, after: &Value) -> Result<(), Refusal> {
    let kept = |object: &Value| {
        let spec = object["spec"].as_object().cloned().unwrap_or_default();
        let mut spec: std::collections::BTreeMap<_, _> =
            spec.into_iter().filter(|(name, value)| !STATEFUL_SET.contains(&name.as_str()) && !value.is_null()).collect();
        for template in spec.get_mut("volumeClaimTemplates").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(template) = template.as_object_mut() {
                template.retain(|name, _| matches!(name.as_str(), "metadata" | "spec"));
            }
        }
        spec
    };
    if kept(before) == kept(after) {
        return Ok(());
    }
    let fields = "'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds'";
    Err(invalid(after, format!("spec: Forbidden: updates to statefulset spec for fields other than {fields} are forbidden")))
}

fn pod(before: &Value, after: &Value) -> Result<(), Refusal> {
    let kept = |object: &Value| {
        let mut spec = object["spec"].clone();
        for list in ["containers", "initContainers"] {
            for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
                container["image"] = Value::Null;
            }
        }
        for field in ["activeDeadlineSeconds", "tolerations", "nodeName"] {
            spec[field] = Value::Null;
        }
        spec
    };
    if kept(before) == kept(after) {
        return Ok(());
    }
    let fields = "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
    Err(invalid(after, format!("spec: Forbidden: pod updates may not change fields other than {fields}")))
}

fn claim(before: &Value, after: &Value, store: &Store) -> Result<(), Refusal> {
    let size =
        |object: &Value| object.pointer("/spec/resources/requests/storage").and_then(|size| Quantity::of(size).ok()).unwrap_or_default();
    let others = |object: &Value| {
        let mut spec = object["spec"].clone();
        spec["resources"] = Value::Null;
        // The binder and the default class fill these in, once.
        for field in ["volumeName", "storageClassName"] {
            if !has(before, &format!("/spec/{field}")) {
                spec[field] = Value::Null;
            }
        }
        spec
    };
    if others(before) != others(after) || (size(before) != size(after) && text(before, "/status/phase") != "Bound") {
        let words = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
        return Err(invalid(after, format!("spec: Forbidden: {words}")));
    }
    if size(after) == size(before) {
        return Ok(());
    }
    if size(after) < size(before) {
        return Err(invalid(after, "spec.resources.requests.storage: Forbidden: field can not be less than previous value"));
    }
    let class =
        ObjectKey { kind: "StorageClass".into(), namespace: String::new(), name: text(before, "/spec/storageClassName").to_owned() };
    if store.get(&class).is_some_and(|class| class["allowVolumeExpansion"] == true) {
        return Ok(());
    }
    Err(Refusal::Forbidden(format!(
        "persistentvolumeclaims {:?} is forbidden: only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize",
        text(after, "/metadata/name")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    fn claim_of(size: &str, class: &str, phase: &str) -> Value {
        json!({ "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": { "name": "data", "namespace": "n" }, "status": { "phase": phase },
            "spec": { "accessModes": ["ReadWriteOnce"], "storageClassName": class, "resources": { "requests": { "storage": size } } } })
    }

    #[rstest]
    #[case::same("10Gi", "fixed", "Bound", None)]
    #[case::larger_without_expansion("20Gi", "fixed", "Bound", Some("must support resize"))]
    #[case::larger_with_expansion("20Gi", "growing", "Bound", None)]
    #[case::smaller("5Gi", "growing", "Bound", Some("less than previous value"))]
    #[case::not_yet_bound("20Gi", "growing", "Pending", Some("spec is immutable after creation"))]
    fn a_claim_grows_only_where_its_class_lets_it(
        #[case] size: &str,
        #[case] class: &str,
        #[case] phase: &str,
        #[case] words: Option<&str>,
    ) {
        let store = Store::new();
        store.create(json!({ "kind": "StorageClass", "metadata": { "name": "growing" }, "allowVolumeExpansion": true })).expect("new");
        let result = check(&claim_of("10Gi", class, phase), &claim_of(size, class, phase), &store);
        match words {
            None => assert_eq!(result, Ok(())),
            Some(words) => assert!(result.expect_err("refused").to_string().contains(words)),
        }
    }

    #[test]
    fn a_stateful_sets_claim_templates_stay() {
        let before = json!({ "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": { "name": "redis" }, "spec": { "replicas": 1, "serviceName": "redis" } });
        let mut after = before.clone();
        after["spec"]["replicas"] = json!(3);
        assert_eq!(check(&before, &after, &Store::new()), Ok(()));
        after["spec"]["serviceName"] = json!("other");
        assert!(check(&before, &after, &Store::new()).expect_err("refused").to_string().contains("updates to statefulset spec"));
    }
}
