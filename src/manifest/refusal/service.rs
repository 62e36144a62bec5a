//! Services: their type, their address and their ports.

use super::words::{self, Report};
use serde_json::{Value, json};

pub(super) fn check(report: &mut Report<'_>) {
    if report.object.kind() != "Service" {
        return;
    }
    report.one_of("/spec/type", &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"]);
    report.one_of("/spec/sessionAffinity", &["ClientIP", "None"]);
    let kind = report.text("/spec/type").unwrap_or("ClusterIP");
    let headless = report.text("/spec/clusterIP") == Some("None");
    let ports: Vec<(String, &Value)> = report.object.items_at("/spec/ports").collect();
    match kind {
        "ExternalName" if report.text("/spec/externalName").unwrap_or_default().is_empty() => {
            report.refuse("/spec/externalName", format!("Invalid value: \"\": {}", words::SUBDOMAIN));
        }
        "NodePort" | "LoadBalancer" if headless => {
            let words = format!("Invalid value: \"None\": may not be set to 'None' for {kind} services");
            report.refuse_as("/spec/clusterIP", "spec.clusterIPs[0]", words);
        }
        "ExternalName" => {}
        _ if ports.is_empty() && !headless => report.required("/spec/ports", ""),
        _ => {}
    }
    let mut seen: Vec<(&str, i64)> = Vec::new();
    let mut names: Vec<&str> = Vec::new();
    for (here, port) in &ports {
        let name = format!("{here}/name");
        match report.text(&name).unwrap_or_default() {
            "" if ports.len() > 1 => report.required(&name, ""),
            "" => {}
            text if names.contains(&text) => report.duplicate(&name),
            text => {
                names.push(text);
                report.name(&name, words::is_label, words::LABEL);
            }
        }
        if port.get("port").is_none() {
            report.refuse(&format!("{here}/port"), "Invalid value: 0: must be between 1 and 65535, inclusive");
        }
        report.port(&format!("{here}/port"));
        report.port(&format!("{here}/targetPort"));
        report.one_of(&format!("{here}/protocol"), &["SCTP", "TCP", "UDP"]);
        if kind == "ClusterIP" && port.get("nodePort").and_then(Value::as_i64).is_some_and(|port| port != 0) {
            report.forbidden(&format!("{here}/nodePort"), "may not be used when `type` is 'ClusterIP'");
        }
        let protocol = port.get("protocol").and_then(Value::as_str).unwrap_or("TCP");
        let number = port.get("port").and_then(Value::as_i64).unwrap_or_default();
        if seen.contains(&(protocol, number)) {
            report.refuse(here, format!("Duplicate value: {}", json!({"protocol": protocol, "port": number})));
        }
        seen.push((protocol, number));
    }
}
