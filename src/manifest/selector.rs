//! Whether labels match a selector, as controllers, Services, budgets, policies and the scheduler decide it.

use super::json::{list, map, text};
use serde_json::{Map, Value};

/// Whether a label selector (`matchLabels`, `matchExpressions`) matches; an empty one matches everything, none (null) nothing.
#[must_use]
pub fn matches(selector: &Value, labels: &Map<String, Value>) -> bool {
    !selector.is_null()
        && holds(map(selector, "/matchLabels"), labels)
        && list(selector, "/matchExpressions").iter().all(|expression| meets(expression, labels))
}

/// Whether a plain map, as in a Service, matches; an empty one matches nothing.
#[must_use]
pub fn selects(wanted: &Value, labels: &Map<String, Value>) -> bool {
    wanted.as_object().is_some_and(|wanted| !wanted.is_empty() && holds(wanted, labels))
}

/// Whether all of `wanted` are among the labels; where nothing is wanted, they are.
#[must_use]
pub fn holds(wanted: &Map<String, Value>, labels: &Map<String, Value>) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// One requirement: `{key, operator, values}`. `Gt` and `Lt` compare whole numbers; selectors of nodes alone may have them.
#[must_use]
pub fn meets(requirement: &Value, labels: &Map<String, Value>) -> bool {
    let label = labels.get(text(requirement, "/key"));
    let values = list(requirement, "/values");
    let number = |value: &Value| value.as_str().and_then(|text| text.parse::<i64>().ok());
    let numbers = || Some((label.and_then(number)?, values.first().and_then(number)?));
    match text(requirement, "/operator") {
        "In" => label.is_some_and(|label| values.contains(label)),
        "NotIn" => label.is_none_or(|label| !values.contains(label)),
        "Exists" => label.is_some(),
        "DoesNotExist" => label.is_none(),
        "Gt" => numbers().is_some_and(|(label, bound)| label > bound),
        "Lt" => numbers().is_some_and(|(label, bound)| label < bound),
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
    #[case(Value::Null, false)]
    fn a_selector_is_weighed_against_labels(#[case] selector: Value, #[case] matched: bool) {
        let labels = json!({"app": "redis"});
        assert_eq!(matches(&selector, labels.as_object().unwrap()), matched);
    }

    #[rstest]
    #[case("Gt", "3", true)]
    #[case("Gt", "4", false)]
    #[case("Lt", "5", true)]
    #[case("Lt", "many", false)]
    fn a_nodes_label_may_be_compared_as_a_number(#[case] operator: &str, #[case] bound: &str, #[case] met: bool) {
        let labels = json!({"cores": "4"});
        assert_eq!(meets(&json!({"key": "cores", "operator": operator, "values": [bound]}), labels.as_object().unwrap()), met);
    }

    #[test]
    fn a_service_without_a_selector_selects_nothing() {
        assert!(!selects(&json!({}), json!({"app": "redis"}).as_object().unwrap()));
        assert!(!selects(&Value::Null, json!({"app": "redis"}).as_object().unwrap()));
    }
}
