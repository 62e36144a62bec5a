//! The environment of a container as Kubernetes would make it, and where each value is written.

use super::shell;
use crate::manifest::{Container, ManifestSet, Object, ObjectKey, Place, json::bytes, pointer};
use serde_json::Value;
use std::collections::BTreeMap;

/// One variable of a container.
#[derive(Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value, `$(OTHER)` filled in; `None` where only the cluster knows it, or where what it refers to is not in the set.
    pub value: Option<String>,
    /// The ConfigMap or Secret that holds it, with the key.
    pub source: Option<(ObjectKey, String)>,
    /// Where the value is written: in the template, or in its ConfigMap or Secret.
    pub place: Place,
}

/// Values out of Secrets are not shown.
impl std::fmt::Debug for Variable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let secret = self.source.as_ref().is_some_and(|(key, _)| key.kind == "Secret");
        let value = self.value.as_deref().map(|value| if secret { "(secret)" } else { value });
        f.debug_struct("Variable")
            .field("name", &self.name)
            .field("value", &value)
            .field("source", &self.source)
            .field("place", &self.place)
            .finish()
    }
}

/// All variables that a template gives a container, in the order in which they come to be; a later one replaces an earlier one.
pub(super) fn variables(set: &ManifestSet, container: &Container<'_>) -> Vec<Variable> {
    let owner = container.workload.object;
    let mut found: Vec<Variable> = Vec::new();
    let mut put = |variable: Variable| {
        found.retain(|other| other.name != variable.name);
        found.push(variable);
    };
    for (_, from) in container.items("envFrom") {
        let prefix = from.get("prefix").and_then(Value::as_str).unwrap_or_default();
        for source in referred_to(set, owner, from, &[("ConfigMap", "/configMapRef/name"), ("Secret", "/secretRef/name")]) {
            for key in keys(source) {
                let Some((value, at)) = data(source, &key) else { continue };
                put(Variable {
                    name: format!("{prefix}{key}"),
                    value: Some(value),
                    source: Some((source.key(), key)),
                    place: source.place_of(&at),
                });
            }
        }
    }
    for (at, entry) in container.items("env") {
        let Some(name) = entry.get("name").and_then(Value::as_str) else { continue };
        let mut variable = Variable { name: name.to_owned(), value: None, source: None, place: owner.place_of(&format!("{at}/value")) };
        if let Some(from) = entry.get("valueFrom") {
            variable.place = owner.place_of(&format!("{at}/valueFrom"));
            for (kind, field) in [("ConfigMap", "configMapKeyRef"), ("Secret", "secretKeyRef")] {
                let text = |key: &str| from.pointer(&format!("/{field}/{key}")).and_then(Value::as_str);
                let (Some(of), Some(key)) = (text("name"), text("key")) else { continue };
                variable.source = Some((
                    ObjectKey { kind: kind.to_owned(), namespace: owner.namespace().to_owned(), name: of.to_owned() },
                    key.to_owned(),
                ));
                if let Some(source) = neighbour(set, owner, kind, of)
                    && let Some((value, at)) = data(source, key)
                {
                    variable.value = Some(value);
                    variable.place = source.place_of(&at);
                }
            }
            if from.pointer("/fieldRef/fieldPath").and_then(Value::as_str) == Some("metadata.namespace") {
                variable.value = Some(owner.namespace().to_owned());
            }
        } else {
            variable.value = Some(entry.get("value").and_then(Value::as_str).unwrap_or_default().to_owned());
        }
        put(variable);
    }
    let mut known = BTreeMap::new();
    for variable in &mut found {
        if let (Some(value), None) = (&variable.value, &variable.source) {
            variable.value = Some(refer(value, &known));
        }
        if let Some(value) = &variable.value {
            known.insert(variable.name.clone(), value.clone());
        }
    }
    found
}

/// Name → value; what only the cluster knows is unknown by its name.
pub(super) fn known(variables: &[Variable]) -> BTreeMap<String, String> {
    let value = |variable: &Variable| variable.value.clone().unwrap_or_else(|| shell::unknown(&variable.name));
    variables.iter().map(|variable| (variable.name.clone(), value(variable))).collect()
}

/// Adds what Kubernetes sets for each Service of the namespace (`REDIS_PORT=tcp://10.0.0.1:6379`), as unknown.
pub(super) fn add_services(set: &ManifestSet, container: &Container<'_>, known: &mut BTreeMap<String, String>) {
    let workload = &container.workload;
    let links = workload.object.at(&format!("{}/enableServiceLinks", workload.pod_spec()));
    if links == Some(&Value::Bool(false)) {
        return;
    }
    for service in set.of_kind("Service").filter(|service| service.namespace() == workload.object.namespace()) {
        if service.str_at("/spec/clusterIP") == Some("None") || service.str_at("/spec/type") == Some("ExternalName") {
            continue;
        }
        let prefix = service.name().to_uppercase().replace('-', "_");
        let mut names = vec![format!("{prefix}_SERVICE_HOST"), format!("{prefix}_SERVICE_PORT"), format!("{prefix}_PORT")];
        for (_, port) in service.items_at("/spec/ports") {
            if let Some(name) = port.get("name").and_then(Value::as_str) {
                names.push(format!("{prefix}_SERVICE_PORT_{}", name.to_uppercase().replace('-', "_")));
            }
            let number = port.get("port").and_then(Value::as_u64).unwrap_or_default();
            let protocol = port.get("protocol").and_then(Value::as_str).unwrap_or("TCP");
            let of_port = format!("{prefix}_PORT_{number}_{protocol}");
            names.extend(["_PROTO", "_PORT", "_ADDR"].map(|end| format!("{of_port}{end}")));
            names.push(of_port);
        }
        for name in names {
            let value = shell::unknown(&name);
            known.entry(name).or_insert(value);
        }
    }
}

/// Fills in `$(NAME)` as the kubelet does; `$$` is one dollar, what is unknown stays.
pub(super) fn refer(text: &str, known: &BTreeMap<String, String>) -> String {
    let mut filled = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        filled.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(after) = after.strip_prefix('$') {
            filled.push('$');
            rest = after;
        } else if let Some((value, after)) =
            after.strip_prefix('(').and_then(|after| after.split_once(')')).and_then(|(name, after)| Some((known.get(name)?, after)))
        {
            filled.push_str(value);
            rest = after;
        } else {
            filled.push('$');
            rest = after;
        }
    }
    filled.push_str(rest);
    filled
}

/// An object of the same namespace.
pub(super) fn neighbour<'s>(set: &'s ManifestSet, of: &Object, kind: &str, name: &str) -> Option<&'s Object> {
    set.of_kind(kind).find(|object| object.name() == name && object.namespace() == of.namespace())
}

/// The objects of the same namespace that a value names, by their kinds and the pointers to their names; those that are not in the set are
/// left out.
pub(super) fn referred_to<'s>(
    set: &'s ManifestSet,
    of: &Object,
    value: &Value,
    names: &[(&str, &str)],
) -> impl Iterator<Item = &'s Object> {
    names.iter().filter_map(move |(kind, name)| neighbour(set, of, kind, value.pointer(name)?.as_str()?))
}

/// The keys of a ConfigMap or Secret.
pub(super) fn keys(object: &Object) -> Vec<String> {
    let fields = ["/data", "/binaryData", "/stringData"].into_iter().filter_map(|field| object.at(field).and_then(Value::as_object));
    fields.flat_map(|entries| entries.keys().cloned()).collect()
}

/// The text behind a key of a ConfigMap or Secret, decoded, with the pointer to it; `None` where there is none or it is no text.
pub(super) fn data(object: &Object, key: &str) -> Option<(String, String)> {
    let is_secret = object.kind() == "Secret";
    for (field, encoded) in [("/stringData", false), ("/data", is_secret), ("/binaryData", true)] {
        let at = pointer::join(field, key);
        let Some(text) = object.str_at(&at) else { continue };
        if !encoded {
            return Some((text.to_owned(), at));
        }
        let bare: String = text.split_whitespace().collect();
        return String::from_utf8(bytes(&Value::String(bare))?).ok().map(|text| (text, at));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Workload;

    const SET: &str = "apiVersion: v1
kind: Secret
metadata: {name: s}
data: {password: c2VjcmV0}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: c}
data:
  REDIS_HOST: redis
  OTHER: x
---
apiVersion: v1
kind: Pod
metadata: {name: p}
spec:
  containers:
  - name: main
    envFrom:
    - {prefix: A_, configMapRef: {name: c}}
    - {secretRef: {name: missing, optional: true}}
    env:
    - {name: PASSWORD, valueFrom: {secretKeyRef: {name: s, key: password}}}
    - {name: URL, value: 'redis://:$(PASSWORD)@$(A_REDIS_HOST)/$$(X)/$(X)'}
    - {name: A_OTHER, value: replaced}
    - {name: NS, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
    - {name: LOST, valueFrom: {configMapKeyRef: {name: none, key: k}}}
";

    #[test]
    fn variables_come_from_everywhere_and_know_their_place() {
        let set = ManifestSet::parse(SET, "a.yaml").unwrap();
        let workload = Workload::of(&set.objects[2]).unwrap();
        let found = variables(&set, &workload.containers().next().unwrap());
        let seen: Vec<(&str, Option<&str>, u64)> =
            found.iter().map(|one| (one.name.as_str(), one.value.as_deref(), one.place.line)).collect();
        assert_eq!(
            seen,
            [
                ("A_REDIS_HOST", Some("redis"), 10),
                ("PASSWORD", Some("secret"), 4),
                ("URL", Some("redis://:secret@redis/$(X)/$(X)"), 24),
                ("A_OTHER", Some("replaced"), 25),
                ("NS", Some("default"), 26),
                ("LOST", None, 27),
            ]
        );
        assert!(!format!("{:?}", found[1]).contains("secret\""), "{:?}", found[1]);
    }
}
