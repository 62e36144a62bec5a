//! Whether labels match a selector, as controllers, Services, budgets and policies decide it.

use serde_json::{Map, Value};

/// Whether a label selector (`matchLabels`, `matchExpressions`) matches; an empty one matches everything.
#[must_use]
pub fn matches(selector: &Value, labels: &Map<String, Value>) -> bool {
    let by_label = selector.get("matchLabels").and_then(Value::as_object).is_none_or(|wanted| holds(wanted, labels));
    let expressions = selector.get("matchExpressions").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    by_label && expressions.iter().all(|expression| satisfied(expression, labels))
}

/// Whether a plain map, as in a Service, matches; an empty one matches nothing.
#[must_use]
pub fn selects(wanted: &Value, labels: &Map<String, Value>) -> bool {
    wanted.as_object().is_some_and(|wanted| !wanted.is_empty() && holds(wanted, labels))
}

fn holds(wanted: &Map<String, Value>, labels: &Map<String, Value>) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}

fn satisfied(expression: &Value, labels: &Map<String, Value>) -> bool {
    let key = expression.get("key").and_then(Value::as_str).unwrap_or_default();
    let values = expression.get("values").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    match (expression.get("operator").and_then(Value::as_str).unwrap_or_default(), labels.get(key)) {
        ("In", Some(value)) => values.contains(value),
        ("NotIn", Some(value)) => !values.contains(value),
        ("Exists", value) => value.is_some(),
        ("DoesNotExist", value) => value.is_none(),
        ("NotIn", None) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    #[rstest]
    #[case(json!({}), true)]
    #[case(json!({"matchLabels": {"app": "redis"}}), true)]
    #[case(json!({"matchLabels": {"app": "redis", "role": "master"}}), false)]
    #[case(json!({"matchExpressions": [{"key": "app", "operator": "In", "values": ["redis", "x"]}]}), true)]
    #[case(json!({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["redis"]}]}), false)]
    #[case(json!({"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["redis"]}]}), true)]
    #[case(json!({"matchExpressions": [{"key": "app", "operator": "Exists"}]}), true)]
    #[case(json!({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}), false)]
    #[case(json!({"matchExpressions": [{"key": "app", "operator": "Sometimes"}]}), false)]
    fn a_selector_is_weighed_against_labels(#[case] selector: Value, #[case] matched: bool) {
        let labels = json!({"app": "redis"});
        assert_eq!(matches(&selector, labels.as_object().unwrap()), matched);
    }

    #[test]
    fn a_service_without_a_selector_selects_nothing() {
        assert!(!selects(&json!({}), json!({"app": "redis"}).as_object().unwrap()));
        assert!(!selects(&Value::Null, json!({"app": "redis"}).as_object().unwrap()));
    }
}
