//! One container: name, image, ports, environment, resources, probes and mounts.

use super::words::{self, Report};
use crate::manifest::{Container, Quantity};
use serde_json::Value;
use std::collections::BTreeSet;

pub(super) fn check(report: &mut Report<'_>, container: &Container<'_>, volumes: &BTreeSet<&str>) {
    let at = container.pointer.as_str();
    report.name(&format!("{at}/name"), words::is_label, words::LABEL);
    let image = format!("{at}/image");
    match report.text(&image) {
        None | Some("") => report.required(&image, ""),
        Some(text) if text.trim() != text => report.invalid(&image, "must not have leading or trailing whitespace"),
        Some(_) => {}
    }
    report.one_of(&format!("{at}/imagePullPolicy"), &["Always", "IfNotPresent", "Never"]);
    for id in ["runAsUser", "runAsGroup"] {
        user_id(report, &format!("{at}/securityContext/{id}"));
    }
    ports(report, container);
    environment(report, container);
    resources(report, at);
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let here = format!("{at}/{probe}");
        if report.at(&here).is_some_and(Value::is_object) {
            if container.init {
                report.forbidden(&here, "may not be set for init containers without restartPolicy=Always");
            } else {
                self::probe(report, &here, probe != "readinessProbe");
            }
        }
    }
    mounts(report, container, volumes);
}

pub(super) fn user_id(report: &mut Report<'_>, at: &str) {
    if report.at(at).and_then(Value::as_i64).is_some_and(|id| !(0..=i64::from(i32::MAX)).contains(&id)) {
        report.invalid(at, "must be between 0 and 2147483647, inclusive");
    }
}

fn ports(report: &mut Report<'_>, container: &Container<'_>) {
    let mut names = BTreeSet::new();
    for (here, port) in container.items("ports") {
        if port.get("containerPort").and_then(Value::as_i64).unwrap_or(0) == 0 {
            report.required(&format!("{here}/containerPort"), "");
        }
        report.port(&format!("{here}/containerPort"));
        report.port(&format!("{here}/hostPort"));
        report.one_of(&format!("{here}/protocol"), &["SCTP", "TCP", "UDP"]);
        let name = format!("{here}/name");
        let Some(text) = report.text(&name).filter(|text| !text.is_empty()) else { continue };
        if text.len() > 15 {
            report.invalid(&name, "must be no more than 15 characters");
        } else if !words::is_label(text) || text.contains("--") || !text.contains(|c: char| c.is_ascii_lowercase()) {
            report.invalid(&name, "must contain only alphanumeric characters (a-z, 0-9), and hyphens, with at least one letter");
        }
        if !names.insert(text) {
            report.duplicate(&name);
        }
    }
}

fn environment(report: &mut Report<'_>, container: &Container<'_>) {
    for (here, variable) in container.items("env") {
        let name = format!("{here}/name");
        match report.text(&name) {
            None | Some("") => report.required(&name, ""),
            Some(text) if text.contains('=') || text.chars().any(char::is_control) => {
                report.invalid(&name, "a valid environment variable name must consist only of printable ASCII characters other than '='");
            }
            Some(_) => {}
        }
        let Some(from) = variable.get("valueFrom").and_then(Value::as_object) else { continue };
        let at = format!("{here}/valueFrom");
        if variable.get("value").and_then(Value::as_str).is_some_and(|value| !value.is_empty()) {
            report.invalid(&at, "may not be specified when `value` is not empty");
        }
        match from.values().filter(|source| !source.is_null()).count() {
            0 => report.invalid(&at, "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"),
            1 => {}
            _ => report.invalid(&at, "may not have more than one field specified at a time"),
        }
        for source in ["configMapKeyRef", "secretKeyRef"] {
            let key = format!("{at}/{source}/key");
            if from.get(source).is_some_and(Value::is_object) && report.text(&key).unwrap_or_default().is_empty() {
                report.required(&key, "");
            }
        }
    }
}

fn resources(report: &mut Report<'_>, at: &str) {
    let amount = |report: &Report<'_>, field: &str, name: &str| {
        report.at(&format!("{at}/resources/{field}/{name}")).and_then(|value| Quantity::of(value).ok())
    };
    for name in ["cpu", "memory", "ephemeral-storage"] {
        let (request, limit) = (amount(report, "requests", name), amount(report, "limits", name));
        for (field, value) in [("requests", request), ("limits", limit)] {
            if value.is_some_and(Quantity::is_negative) {
                report.invalid(&format!("{at}/resources/{field}/{name}"), "must be greater than or equal to 0");
            }
        }
        if let (Some(request), Some(limit)) = (request, limit)
            && request > limit
        {
            let here = format!("{at}/resources/requests/{name}");
            let field = crate::manifest::pointer::dotted(&report.object.json, &format!("{at}/resources/requests"));
            report.refuse_as(&here, &field, format!("Invalid value: \"{request}\": must be less than or equal to {name} limit of {limit}"));
        }
    }
}

fn probe(report: &mut Report<'_>, at: &str, restarts: bool) {
    let handlers = ["exec", "httpGet", "tcpSocket", "grpc"];
    let written: Vec<&str> =
        handlers.into_iter().filter(|handler| report.at(&format!("{at}/{handler}")).is_some_and(|value| !value.is_null())).collect();
    match written.as_slice() {
        [] => report.required(at, "must specify a handler type"),
        [_] => {}
        [_, second, ..] => report.forbidden(&format!("{at}/{second}"), "may not specify more than 1 handler type"),
    }
    let command = format!("{at}/exec/command");
    if written.contains(&"exec") && report.at(&command).and_then(Value::as_array).is_none_or(Vec::is_empty) {
        report.required(&command, "");
    }
    for handler in ["httpGet", "tcpSocket", "grpc"].into_iter().filter(|handler| written.contains(handler)) {
        let port = format!("{at}/{handler}/port");
        if report.at(&port).is_none() {
            report.refuse(&port, "Invalid value: 0: must be between 1 and 65535, inclusive");
        }
        report.port(&port);
    }
    for field in ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"] {
        report.not_negative(&format!("{at}/{field}"));
    }
    let threshold = format!("{at}/successThreshold");
    if restarts && report.at(&threshold).and_then(Value::as_i64).is_some_and(|threshold| threshold > 1) {
        report.invalid(&threshold, "must be 1");
    }
}

fn mounts(report: &mut Report<'_>, container: &Container<'_>, volumes: &BTreeSet<&str>) {
    let mut paths = BTreeSet::new();
    for (here, _) in container.items("volumeMounts") {
        let (name, path) = (format!("{here}/name"), format!("{here}/mountPath"));
        match report.text(&name) {
            None | Some("") => report.required(&name, ""),
            Some(volume) if !volumes.contains(volume) => report.refuse(&name, format!("Not found: \"{volume}\"")),
            Some(_) => {}
        }
        match report.text(&path) {
            None | Some("") => report.required(&path, ""),
            Some(text) if !paths.insert(text) => report.invalid(&path, "must be unique"),
            Some(_) => {}
        }
    }
}
