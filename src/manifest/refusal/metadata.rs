//! Names and labels, and the keys of ConfigMaps and Secrets.

use super::words::{self, Report};
use crate::manifest::pointer;
use serde_json::Value;

pub(super) fn check(report: &mut Report<'_>) {
    let name = "/metadata/name";
    match report.object.kind() {
        // Their names are only parts of a path.
        "Role" | "ClusterRole" | "RoleBinding" | "ClusterRoleBinding" if report.text(name).is_some() => {}
        _ if report.text(name).unwrap_or_default().is_empty() => report.required(name, "name or generateName is required"),
        "Service" => report.name(name, words::is_old_label, words::OLD_LABEL),
        "Namespace" => report.name(name, words::is_label, words::LABEL),
        _ => report.name(name, words::is_subdomain, words::SUBDOMAIN),
    }
    labels(report, "/metadata/labels");
    if matches!(report.object.kind(), "ConfigMap" | "Secret") {
        data(report);
    }
}

/// Labels anywhere.
pub(super) fn labels(report: &mut Report<'_>, at: &str) {
    let Some(labels) = report.at(at).and_then(Value::as_object) else { return };
    for (key, value) in labels {
        let here = pointer::join(at, key);
        let (prefix, bare) = key.split_once('/').map_or((None, key.as_str()), |(prefix, bare)| (Some(prefix), bare));
        if bare.is_empty() || !words::is_label_value(bare) || prefix.is_some_and(|prefix| !words::is_subdomain(prefix)) {
            let field = pointer::dotted(&report.object.json, at);
            report.refuse_as(&here, &field, format!("Invalid value: \"{key}\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"));
        }
        if value.as_str().is_some_and(|value| !words::is_label_value(value)) {
            let field = pointer::dotted(&report.object.json, at);
            report.refuse_as(&here, &field, format!("Invalid value: {value}: a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"));
        }
    }
}

fn data(report: &mut Report<'_>) {
    for field in ["data", "binaryData", "stringData"] {
        let Some(entries) = report.at(&format!("/{field}")).and_then(Value::as_object) else { continue };
        for key in entries.keys().filter(|key| !words::is_data_key(key)) {
            let words = format!(
                "Invalid value: \"{key}\": a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
            );
            report.refuse_as(&pointer::join(&format!("/{field}"), key), &format!("{field}[{key}]"), words);
        }
    }
    if report.text("/type") == Some("kubernetes.io/tls") {
        for key in ["tls.crt", "tls.key"] {
            let there = |field: &str| report.at(&pointer::join(field, key)).is_some();
            if !there("/data") && !there("/stringData") {
                report.refuse_as("/data", &format!("data[{key}]"), "Required value");
            }
        }
    }
}
