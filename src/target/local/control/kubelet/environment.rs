//! A container's environment: Services that are there, ConfigMaps, Secrets, fields and plain values.

use super::{
    super::{
        json::{key_of, list, number, text},
        store::Store,
    },
    expand::expand,
    fields,
};
use crate::manifest::json::bytes;
use serde_json::Value;

/// Variables in order, later ones replacing earlier.
#[derive(Debug, Default)]
pub(super) struct Environment(Vec<(String, String)>);

impl Environment {
    /// Sets a variable.
    pub(super) fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        let (name, value) = (name.into(), value.into());
        match self.0.iter_mut().find(|(other, _)| *other == name) {
            Some((_, place)) => *place = value,
            None => self.0.push((name, value)),
        }
    }

    /// The value of a variable.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone())
    }

    /// All of them.
    pub(super) fn into_pairs(self) -> Vec<(String, String)> {
        self.0
    }
}

/// The environment of a container, on top of its image's; the error is the kubelet's reason not to start it.
pub(super) fn of(store: &Store, pod: &Value, container: &Value, image: &[(String, String)]) -> Result<Environment, String> {
    let namespace = text(pod, "/metadata/namespace");
    let services = services(store, namespace, pod["spec"]["enableServiceLinks"] != false);
    let mut own = Environment::default();
    for source in list(container, "/envFrom") {
        let prefix = text(source, "/prefix");
        for (kind, field) in [("ConfigMap", "configMapRef"), ("Secret", "secretRef")] {
            let reference = &source[field];
            if reference.is_null() {
                continue;
            }
            let name = text(reference, "/name");
            match store.get(&key_of(kind, namespace, name)) {
                None if reference["optional"] == true => {}
                None => return Err(format!("{} {name:?} not found", kind.to_lowercase())),
                Some(object) => {
                    for (key, value) in object["data"].as_object().into_iter().flatten() {
                        own.set(format!("{prefix}{key}"), data(kind, value));
                    }
                }
            }
        }
    }
    for variable in list(container, "/env") {
        let name = text(variable, "/name");
        let value = if variable["valueFrom"].is_null() {
            let known = |name: &str| own.get(name).or_else(|| services.get(name));
            Some(expand(text(variable, "/value"), &known))
        } else {
            referenced(store, pod, container, &variable["valueFrom"])?
        };
        if let Some(value) = value {
            own.set(name, value);
        }
    }
    let mut all = Environment::default();
    for (name, value) in image.iter().cloned().chain(services.into_pairs()).chain(own.into_pairs()) {
        all.set(name, value);
    }
    Ok(all)
}

fn data(kind: &str, value: &Value) -> String {
    if kind == "Secret" {
        // Admission takes nothing into a Secret that is no base64.
        String::from_utf8_lossy(&bytes(value).unwrap_or_default()).into_owned()
    } else {
        value.as_str().unwrap_or_default().to_owned()
    }
}

fn referenced(store: &Store, pod: &Value, container: &Value, from: &Value) -> Result<Option<String>, String> {
    let namespace = text(pod, "/metadata/namespace");
    if !from["fieldRef"].is_null() {
        return fields::field(pod, text(from, "/fieldRef/fieldPath")).map(Some);
    }
    if !from["resourceFieldRef"].is_null() {
        return fields::resource(pod, container, &from["resourceFieldRef"]).map(Some);
    }
    for (kind, field) in [("ConfigMap", "configMapKeyRef"), ("Secret", "secretKeyRef")] {
        let reference = &from[field];
        if reference.is_null() {
            continue;
        }
        let (name, key, optional) = (text(reference, "/name"), text(reference, "/key"), reference["optional"] == true);
        let Some(object) = store.get(&key_of(kind, namespace, name)) else {
            return if optional { Ok(None) } else { Err(format!("{} {name:?} not found", kind.to_lowercase())) };
        };
        return match object["data"].get(key) {
            Some(value) => Ok(Some(data(kind, value))),
            None if optional => Ok(None),
            None => Err(format!("couldn't find key {key} in {kind} {namespace}/{name}")),
        };
    }
    Ok(None)
}

/// What Kubernetes tells each container of the Services that are there: `REDIS_SERVICE_HOST`, `REDIS_PORT=tcp://…`.
fn services(store: &Store, namespace: &str, links: bool) -> Environment {
    let mut environment = Environment::default();
    for service in store.list("Service", None) {
        let (name, of) = (text(&service, "/metadata/name"), text(&service, "/metadata/namespace"));
        let address = text(&service, "/spec/clusterIP");
        let api = of == "default" && name == "kubernetes";
        if matches!(address, "" | "None") || !(api || (links && of == namespace)) {
            continue;
        }
        let prefix = name.to_uppercase().replace('-', "_");
        environment.set(format!("{prefix}_SERVICE_HOST"), address);
        for (index, port) in list(&service, "/spec/ports").iter().enumerate() {
            let number = number(port, "/port").unwrap_or(0).to_string();
            let protocol = port["protocol"].as_str().unwrap_or("TCP");
            let url = format!("{}://{address}:{number}", protocol.to_lowercase());
            if index == 0 {
                environment.set(format!("{prefix}_SERVICE_PORT"), &number);
                environment.set(format!("{prefix}_PORT"), &url);
            }
            let port_name = text(port, "/name");
            if !port_name.is_empty() {
                environment.set(format!("{prefix}_SERVICE_PORT_{}", port_name.to_uppercase().replace('-', "_")), &number);
            }
            let one = format!("{prefix}_PORT_{number}_{protocol}");
            environment.set(&one, &url);
            environment.set(format!("{one}_PROTO"), protocol.to_lowercase());
            environment.set(format!("{one}_PORT"), &number);
            environment.set(format!("{one}_ADDR"), address);
        }
    }
    environment
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    fn store() -> Store {
        let store = Store::new();
        for object in [
            json!({ "kind": "Service", "metadata": { "namespace": "n", "name": "my-redis" }, "spec": { "clusterIP": "10.97.0.1", "ports": [{ "name": "tcp-redis", "port": 6379 }] } }),
            json!({ "kind": "Service", "metadata": { "namespace": "n", "name": "headless" }, "spec": { "clusterIP": "None", "ports": [{ "port": 1 }] } }),
            json!({ "kind": "Service", "metadata": { "namespace": "other", "name": "far" }, "spec": { "clusterIP": "10.97.0.2", "ports": [{ "port": 1 }] } }),
            json!({ "kind": "ConfigMap", "metadata": { "namespace": "n", "name": "config" }, "data": { "HOST": "redis", "DB": "2" } }),
            json!({ "kind": "Secret", "metadata": { "namespace": "n", "name": "secret" }, "data": { "password": "cy8rPQ==" } }),
        ] {
            store.create(object).expect("new");
        }
        store
    }

    fn environment(container: &Value, links: bool) -> Result<Environment, String> {
        let pod = json!({ "metadata": { "namespace": "n", "name": "redis-0" }, "spec": { "enableServiceLinks": links } });
        of(&store(), &pod, container, &[("PATH".to_owned(), "/bin".to_owned())])
    }

    #[rstest]
    #[case("MY_REDIS_SERVICE_HOST", Some("10.97.0.1"))]
    #[case("MY_REDIS_SERVICE_PORT_TCP_REDIS", Some("6379"))]
    #[case("MY_REDIS_PORT", Some("tcp://10.97.0.1:6379"))]
    #[case("MY_REDIS_PORT_6379_TCP_ADDR", Some("10.97.0.1"))]
    #[case("HEADLESS_SERVICE_HOST", None)]
    #[case("FAR_SERVICE_HOST", None)]
    #[case("PATH", Some("/bin"))]
    fn services_of_the_namespace_are_told(#[case] name: &str, #[case] value: Option<&str>) {
        assert_eq!(environment(&json!({}), true).expect("complete").get(name).as_deref(), value);
    }

    #[test]
    fn links_can_be_turned_off() {
        assert_eq!(environment(&json!({}), false).expect("complete").get("MY_REDIS_PORT"), None);
    }

    #[test]
    fn values_come_from_maps_secrets_fields_and_one_another() {
        let container = json!({ "envFrom": [{ "prefix": "CACHE_", "configMapRef": { "name": "config" } }], "env": [
            { "name": "PASSWORD", "valueFrom": { "secretKeyRef": { "name": "secret", "key": "password" } } },
            { "name": "POD", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } },
            { "name": "URL", "value": "redis://:$(PASSWORD)@$(CACHE_HOST):$(MY_REDIS_SERVICE_PORT)/$(NONE)" },
            { "name": "MAYBE", "valueFrom": { "secretKeyRef": { "name": "none", "key": "k", "optional": true } } },
            { "name": "MY_REDIS_PORT", "value": "6379" }
        ] });
        let environment = environment(&container, true).expect("complete");
        assert_eq!(environment.get("URL").as_deref(), Some("redis://:s/+=@redis:6379/$(NONE)"));
        assert_eq!((environment.get("POD").as_deref(), environment.get("MAYBE")), (Some("redis-0"), None));
        assert_eq!(environment.get("MY_REDIS_PORT").as_deref(), Some("6379"));
    }

    #[rstest]
    #[case(json!({ "env": [{ "name": "A", "valueFrom": { "secretKeyRef": { "name": "none", "key": "k" } } }] }), "secret \"none\" not found")]
    #[case(json!({ "env": [{ "name": "A", "valueFrom": { "configMapKeyRef": { "name": "config", "key": "k" } } }] }), "couldn't find key k in ConfigMap n/config")]
    #[case(json!({ "envFrom": [{ "configMapRef": { "name": "none" } }] }), "configmap \"none\" not found")]
    fn what_is_missing_is_told(#[case] container: Value, #[case] words: &str) {
        assert_eq!(environment(&container, true).expect_err("missing"), words);
    }
}
