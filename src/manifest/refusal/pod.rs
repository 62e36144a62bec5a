//! The specification of a pod: volumes, and each of its containers.

use super::{
    container,
    words::{self, Report},
};
use crate::manifest::Workload;
use serde_json::Value;
use std::collections::BTreeSet;

pub(super) fn check(report: &mut Report<'_>, workload: &Workload<'_>) {
    let spec = workload.pod_spec();
    let volumes = volumes(report, &format!("{spec}/volumes"));
    let templates = report.object.items_at("/spec/volumeClaimTemplates");
    let templates = templates.into_iter().filter_map(|(_, template)| template.pointer("/metadata/name").and_then(Value::as_str));
    let known: BTreeSet<&str> = volumes.into_iter().chain(templates).collect();
    if report.at(&format!("{spec}/containers")).and_then(Value::as_array).is_none_or(Vec::is_empty) {
        report.required(&format!("{spec}/containers"), "");
    }
    let mut names = BTreeSet::new();
    for one in workload.containers() {
        container::check(report, &one, &known);
        if !one.name().is_empty() && !names.insert(one.name()) {
            report.duplicate(&format!("{}/name", one.pointer));
        }
    }
    report.not_negative(&format!("{spec}/terminationGracePeriodSeconds"));
    report.one_of(&format!("{spec}/dnsPolicy"), &["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"]);
    for id in ["runAsUser", "runAsGroup", "fsGroup"] {
        container::user_id(report, &format!("{spec}/securityContext/{id}"));
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
        affinity(report, &format!("{spec}/affinity/{kind}"));
    }
}

/// Checks volumes and gives their names.
fn volumes<'o>(report: &mut Report<'o>, at: &str) -> Vec<&'o str> {
    let mut names: Vec<&str> = Vec::new();
    for (here, volume) in report.object.items_at(at) {
        let name = format!("{here}/name");
        report.name(&name, words::is_label, words::LABEL);
        let text = report.text(&name).unwrap_or_default();
        if !text.is_empty() && names.contains(&text) {
            report.duplicate(&name);
        }
        names.push(text);
        let sources: Vec<&String> = volume
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(key, value)| *key != "name" && !value.is_null())
            .map(|(key, _)| key)
            .collect();
        match sources.as_slice() {
            // Without a source it becomes an emptyDir.
            [] | [_] => {}
            [_, second, ..] => report.forbidden(&format!("{here}/{second}"), "may not specify more than 1 volume type"),
        }
        for (source, field) in [("persistentVolumeClaim", "claimName"), ("hostPath", "path"), ("secret", "secretName")] {
            let there = volume.get(source).filter(|source| source.is_object());
            if there.is_some_and(|source| source.get(field).and_then(Value::as_str).unwrap_or_default().is_empty()) {
                report.required(&format!("{here}/{source}/{field}"), "");
            }
        }
        for source in ["configMap", "secret", "projected", "downwardAPI"] {
            let mode = format!("{here}/{source}/defaultMode");
            if report.at(&mode).and_then(Value::as_i64).is_some_and(|mode| !(0..=0o777).contains(&mode)) {
                report.invalid(&mode, "must be a number between 0 and 0777 (octal), both inclusive");
            }
        }
    }
    names
}

fn affinity(report: &mut Report<'_>, at: &str) {
    for (here, _) in report.object.items_at(&format!("{at}/requiredDuringSchedulingIgnoredDuringExecution")) {
        topology(report, &here);
    }
    for (here, term) in report.object.items_at(&format!("{at}/preferredDuringSchedulingIgnoredDuringExecution")) {
        if !term.get("weight").and_then(Value::as_i64).is_some_and(|weight| (1..=100).contains(&weight)) {
            report.invalid(&format!("{here}/weight"), "must be in the range 1-100");
        }
        topology(report, &format!("{here}/podAffinityTerm"));
    }
}

fn topology(report: &mut Report<'_>, term: &str) {
    let at = format!("{term}/topologyKey");
    if report.text(&at).unwrap_or_default().is_empty() {
        report.required(&at, "can not be empty");
    }
}
