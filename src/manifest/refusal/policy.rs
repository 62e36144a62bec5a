//! Disruption budgets and network policies.

use super::words::Report;
use serde_json::Value;

pub(super) fn check(report: &mut Report<'_>) {
    match report.object.kind() {
        "PodDisruptionBudget" => budget(report),
        "NetworkPolicy" => policy(report),
        _ => {}
    }
}

fn budget(report: &mut Report<'_>) {
    let written = |field: &str| report.at(&format!("/spec/{field}")).is_some_and(|value| !value.is_null());
    if written("minAvailable") && written("maxUnavailable") {
        let spec = report.at("/spec").cloned().unwrap_or_default();
        report.refuse("/spec", format!("Invalid value: {spec}: minAvailable and maxUnavailable cannot be both set"));
    }
    for field in ["minAvailable", "maxUnavailable"] {
        let at = format!("/spec/{field}");
        report.not_negative(&at);
        if let Some(text) = report.text(&at) {
            let percent = text.strip_suffix('%').and_then(|number| number.parse::<u32>().ok());
            match percent {
                None => report.invalid(&at, "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')"),
                Some(percent) if percent > 100 => report.invalid(&at, "must not be greater than 100%"),
                Some(_) => {}
            }
        }
    }
}

fn policy(report: &mut Report<'_>) {
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        for (rule, _) in report.object.items_at(&format!("/spec/{direction}")) {
            for (here, peer) in report.object.items_at(&format!("{rule}/{peers}")) {
                let written: Vec<&String> =
                    peer.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()).map(|(key, _)| key).collect();
                if written.is_empty() {
                    report.required(&here, "must specify a peer");
                } else if written.len() > 1 && written.iter().any(|key| *key == "ipBlock") {
                    report.forbidden(&here, "may not specify both ipBlock and another peer");
                }
            }
            for (here, _) in report.object.items_at(&format!("{rule}/ports")) {
                report.port(&format!("{here}/port"));
                report.one_of(&format!("{here}/protocol"), &["SCTP", "TCP", "UDP"]);
            }
        }
    }
    let types: Vec<(String, &Value)> = report.object.items_at("/spec/policyTypes").collect();
    for (here, _) in types {
        report.one_of(&here, &["Egress", "Ingress"]);
    }
}
