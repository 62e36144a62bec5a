//! Label selectors, tolerations and the other ways in which objects choose one another.

use super::json::{list, text, texts};
use serde_json::Value;
use std::collections::BTreeMap;

/// Whether a `LabelSelector` (`matchLabels`, `matchExpressions`) chooses these labels; an empty one chooses all, none chooses nothing.
pub(super) fn matches_selector(selector: &Value, labels: &BTreeMap<String, String>) -> bool {
    !selector.is_null()
        && matches_labels(&texts(selector, "/matchLabels"), labels)
        && list(selector, "/matchExpressions").iter().all(|expression| matches_expression(expression, labels))
}

/// Whether all of `wanted` are among the labels.
pub(super) fn matches_labels(wanted: &BTreeMap<String, String>, labels: &BTreeMap<String, String>) -> bool {
    wanted.iter().all(|(name, value)| labels.get(name) == Some(value))
}

/// One requirement: `{key, operator, values}`.
pub(super) fn matches_expression(expression: &Value, labels: &BTreeMap<String, String>) -> bool {
    let label = labels.get(text(expression, "/key"));
    let values = || list(expression, "/values").iter().filter_map(Value::as_str);
    let among = |label: &String| values().any(|value| value == label);
    let number = |text: &str| text.parse::<i64>().ok();
    let bound = || values().next().and_then(number);
    match text(expression, "/operator") {
        "In" => label.is_some_and(among),
        "NotIn" => !label.is_some_and(among),
        "Exists" => label.is_some(),
        "DoesNotExist" => label.is_none(),
        "Gt" => matches!((label.and_then(|label| number(label)), bound()), (Some(label), Some(bound)) if label > bound),
        "Lt" => matches!((label.and_then(|label| number(label)), bound()), (Some(label), Some(bound)) if label < bound),
        _ => false,
    }
}

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
    #[case(json!({}), true)]
    #[case(Value::Null, false)]
    #[case(json!({ "matchLabels": { "app": "redis" } }), true)]
    #[case(json!({ "matchLabels": { "app": "redis", "tier": "x" } }), false)]
    #[case(json!({ "matchExpressions": [{ "key": "app", "operator": "In", "values": ["a", "redis"] }] }), true)]
    #[case(json!({ "matchExpressions": [{ "key": "role", "operator": "NotIn", "values": ["a"] }] }), true)]
    #[case(json!({ "matchExpressions": [{ "key": "role", "operator": "Exists" }] }), false)]
    fn a_selector_chooses_by_labels_and_expressions(#[case] selector: Value, #[case] chosen: bool) {
        assert_eq!(matches_selector(&selector, &BTreeMap::from([("app".to_owned(), "redis".to_owned())])), chosen);
    }

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
