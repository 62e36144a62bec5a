//! Whether a pod bears a node's taint.

use super::json::{list, text};
use serde_json::Value;

/// The toleration of the pod that bears the taint, if one does.
pub(super) fn tolerates<'a>(pod: &'a Value, taint: &Value) -> Option<&'a Value> {
    list(pod, "/spec/tolerations").iter().find(|toleration| {
        let effect = text(toleration, "/effect");
        let key = text(toleration, "/key");
        let exists = text(toleration, "/operator") == "Exists";
        (effect.is_empty() || effect == text(taint, "/effect"))
            && if key.is_empty() {
                exists
            } else {
                key == text(taint, "/key") && (exists || text(toleration, "/value") == text(taint, "/value"))
            }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    #[rstest]
    #[case(json!({ "operator": "Exists" }), true)]
    #[case(json!({ "key": "a", "operator": "Exists", "effect": "NoSchedule" }), true)]
    #[case(json!({ "key": "a", "operator": "Exists", "effect": "NoExecute" }), false)]
    #[case(json!({ "key": "a", "value": "1" }), true)]
    #[case(json!({ "key": "a", "value": "2" }), false)]
    fn a_toleration_bears_what_it_names(#[case] toleration: Value, #[case] borne: bool) {
        let taint = json!({ "key": "a", "value": "1", "effect": "NoSchedule" });
        assert_eq!(tolerates(&json!({ "spec": { "tolerations": [toleration] } }), &taint).is_some(), borne);
    }
}
