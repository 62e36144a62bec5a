//! Claims: access modes and size.

use super::words::Report;
use crate::manifest::Quantity;
use serde_json::Value;

pub(super) fn check(report: &mut Report<'_>) {
    if report.object.kind() != "PersistentVolumeClaim" {
        return;
    }
    let modes: Vec<(String, &Value)> = report.object.items_at("/spec/accessModes").collect();
    if modes.is_empty() {
        report.required("/spec/accessModes", "at least 1 access mode is required");
    }
    for (here, mode) in modes {
        let supported = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
        if !mode.as_str().is_some_and(|mode| supported.contains(&mode)) {
            let supported = supported.map(|mode| format!("\"{mode}\"")).join(", ");
            report.refuse_as(&here, "spec.accessModes", format!("Unsupported value: {mode}: supported values: {supported}"));
        }
    }
    let size = "/spec/resources/requests/storage";
    match report.at(size).map(Quantity::of) {
        None => report.refuse_as(size, "spec.resources[storage]", "Required value"),
        Some(Ok(amount)) if amount <= Quantity::default() => {
            report.refuse_as(size, "spec.resources[storage]", format!("Invalid value: \"{amount}\": must be greater than zero"));
        }
        Some(_) => {}
    }
}
