//! Reads the program's own JSON report.

use serde_json::Value;
use std::collections::BTreeMap;

/// Guarantee → the outcomes of its scenarios, with what each said: its name, and why it failed or what the target lacks.
pub(crate) fn outcomes(report: &Value) -> BTreeMap<String, Vec<(String, String)>> {
    let mut outcomes: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    let guarantees = report["guarantees"].as_array().expect("guarantees");
    for scenario in guarantees.iter().flat_map(|guarantee| guarantee["scenarios"].as_array().expect("scenarios")) {
        let text = |field: &str| scenario[field].as_str().unwrap_or_default().to_owned();
        outcomes
            .entry(text("guarantee"))
            .or_default()
            .push((text("outcome"), format!("{} {}{}", text("scenario"), text("message"), text("capability"))));
    }
    outcomes
}
