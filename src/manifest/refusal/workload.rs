//! Deployments, StatefulSets and their like: selectors, strategies, and the template below them.

use super::{metadata, pod, words::Report};
use crate::manifest::{Workload, selector};
use serde_json::Value;

pub(super) fn check(report: &mut Report<'_>) {
    let Some(workload) = Workload::of(report.object) else { return };
    report.not_negative("/spec/replicas");
    match report.object.kind() {
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" => selected(report, &workload),
        "CronJob" if report.text("/spec/schedule").unwrap_or_default().is_empty() => report.required("/spec/schedule", ""),
        _ => {}
    }
    if report.object.kind() == "Deployment" {
        report.one_of("/spec/strategy/type", &["Recreate", "RollingUpdate"]);
        if report.text("/spec/strategy/type") == Some("Recreate")
            && report.at("/spec/strategy/rollingUpdate").is_some_and(|update| !update.is_null())
        {
            report.forbidden("/spec/strategy/rollingUpdate", "may not be specified when strategy `type` is 'Recreate'");
        }
    }
    if report.object.kind() == "StatefulSet" {
        report.one_of("/spec/podManagementPolicy", &["OrderedReady", "Parallel"]);
        report.one_of("/spec/updateStrategy/type", &["OnDelete", "RollingUpdate"]);
    }
    if !workload.template.is_empty() {
        metadata::labels(report, &format!("{}/metadata/labels", workload.template));
    }
    let policy = format!("{}/restartPolicy", workload.pod_spec());
    match report.object.kind() {
        "Pod" => report.one_of(&policy, &["Always", "Never", "OnFailure"]),
        "Job" | "CronJob" if report.text(&policy).is_none() => {
            report.refuse(&policy, "Required value: valid values: \"OnFailure\", \"Never\"");
        }
        "Job" | "CronJob" => report.one_of(&policy, &["Never", "OnFailure"]),
        _ => report.one_of(&policy, &["Always"]),
    }
    pod::check(report, &workload);
}

/// The selector is there, is not empty, and matches the pods that the template makes.
fn selected(report: &mut Report<'_>, workload: &Workload<'_>) {
    let at = "/spec/selector";
    let Some(wanted) = report.at(at).filter(|selector| !selector.is_null()) else {
        report.required(at, "");
        return;
    };
    let is_empty = |field: &str| {
        wanted
            .get(field)
            .is_none_or(|value| value.as_object().map(serde_json::Map::len).or(value.as_array().map(Vec::len)).unwrap_or(0) == 0)
    };
    if is_empty("matchLabels") && is_empty("matchExpressions") {
        let kind = report.object.kind().to_lowercase();
        report.invalid(at, format!("empty selector is invalid for {kind}"));
    } else if !selector::matches(wanted, workload.labels()) {
        let labels = Value::Object(workload.labels().clone());
        report.refuse("/spec/template/metadata/labels", format!("Invalid value: {labels}: `selector` does not match template `labels`"));
    }
}
