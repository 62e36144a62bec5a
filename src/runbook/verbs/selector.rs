//! Which objects a selector takes: `-l app=redis,tier in (a,b)`, `--field-selector status.phase=Running`.

use super::{
    Halt,
    access::{text, texts},
};
use serde_json::Value;

/// One condition on a label or field.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Condition {
    Is(String, Vec<String>),
    IsNot(String, Vec<String>),
    Exists(String),
    Missing(String),
}

/// Conditions that must all hold; none takes everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Selector(Vec<Condition>);

impl Selector {
    /// Reads `-l`.
    pub(super) fn labels(words: &str) -> Result<Self, Halt> {
        let parts = split(words).into_iter().map(str::trim).filter(|part| !part.is_empty());
        parts.map(condition).collect::<Option<_>>().map(Self).ok_or_else(|| Halt::error(format!("unable to parse requirement: {words}")))
    }

    /// Whether an object's labels satisfy it.
    pub(super) fn takes(&self, object: &Value) -> bool {
        let labels = texts(object, "/metadata/labels");
        self.holds(|key| labels.get(key).cloned())
    }

    /// Whether an object's fields do: keys are dotted paths.
    pub(super) fn takes_fields(&self, object: &Value) -> bool {
        self.holds(|key| Some(text(object, &format!("/{}", key.replace('.', "/"))).to_owned()))
    }

    fn holds(&self, find: impl Fn(&str) -> Option<String>) -> bool {
        self.0.iter().all(|condition| match condition {
            Condition::Is(key, values) => find(key).is_some_and(|value| values.contains(&value)),
            Condition::IsNot(key, values) => find(key).is_none_or(|value| !values.contains(&value)),
            Condition::Exists(key) => find(key).is_some(),
            Condition::Missing(key) => find(key).is_none(),
        })
    }
}

/// Splits at commas outside parentheses.
fn split(words: &str) -> Vec<&str> {
    let mut depth = 0_i32;
    words
        .split(|letter| {
            depth += i32::from(letter == '(') - i32::from(letter == ')');
            letter == ',' && depth == 0
        })
        .collect()
}

fn condition(part: &str) -> Option<Condition> {
    let known = |key: &str| {
        let key = key.trim();
        (!key.is_empty() && key.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_./".contains(letter))).then(|| key.to_owned())
    };
    let set = |values: &str| {
        let values = values.trim().strip_prefix('(')?.strip_suffix(')')?;
        Some(values.split(',').map(|value| value.trim().to_owned()).collect())
    };
    if let Some((key, values)) = part.split_once(" notin ") {
        return Some(Condition::IsNot(known(key)?, set(values)?));
    }
    if let Some((key, values)) = part.split_once(" in ") {
        return Some(Condition::Is(known(key)?, set(values)?));
    }
    if let Some((key, value)) = part.split_once("!=") {
        return Some(Condition::IsNot(known(key)?, vec![value.trim().to_owned()]));
    }
    if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return Some(Condition::Is(known(key)?, vec![value.trim().to_owned()]));
    }
    match part.strip_prefix('!') {
        Some(key) => Some(Condition::Missing(known(key)?)),
        None => Some(Condition::Exists(known(part)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    #[rstest]
    #[case("app=redis", true)]
    #[case("app==redis,tier!=web", true)]
    #[case("app in (redis, valkey)", true)]
    #[case("app notin (redis)", false)]
    #[case("app", true)]
    #[case("!app", false)]
    #[case("tier", false)]
    #[case("!tier", true)]
    #[case("app in (a,b),app", false)]
    #[case("", true)]
    fn labels_are_selected_as_kubectl_does(#[case] words: &str, #[case] taken: bool) {
        let object = json!({ "metadata": { "labels": { "app": "redis" } } });
        assert_eq!(Selector::labels(words).expect("it can be read").takes(&object), taken);
    }

    #[test]
    fn nonsense_is_refused_and_fields_are_paths() {
        assert!(Selector::labels("a b").is_err());
        assert!(Selector::labels("=x").is_err());
        let running = Selector::labels("status.phase=Running").expect("it can be read");
        assert!(running.takes_fields(&json!({ "status": { "phase": "Running" } })));
        assert!(!running.takes_fields(&json!({ "status": { "phase": "Pending" } })));
    }
}
