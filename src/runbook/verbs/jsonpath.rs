//! `kubectl`'s own JSONPath templates: `{.items[0].metadata.name}`, `{range .items[*]}…{end}`, filters, slices and quoted text.
//!
//! It is a dialect: a path needs no `$`, a backslash escapes a dot, missing fields print nothing, and an index out of bounds is an error.

mod eval;
mod parse;

use serde_json::Value;

/// Why a template gives nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PathError {
    /// It cannot be read.
    #[error("{0}")]
    Syntax(String),
    /// It can be read but not be applied to this object.
    #[error("{0}")]
    Eval(String),
}

/// A whole template.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Template(Vec<Node>);

#[derive(Clone, Debug, PartialEq)]
enum Node {
    Text(String),
    Path(Vec<Step>),
    Range(Vec<Step>, Vec<Node>),
}

#[derive(Clone, Debug, PartialEq)]
enum Step {
    /// `.name`.
    Field(String),
    /// `.*` and `[*]`.
    Every,
    /// `..`: the value itself and all below it.
    Descend,
    /// `[n]`, `[a:b:c]`.
    Slice { start: Option<i64>, end: Option<i64>, step: i64, single: bool },
    /// `['a','b']`, `[0,2]`.
    Union(Vec<Vec<Step>>),
    /// `[?(@.a=="b")]`.
    Filter { left: Side, operator: Operator, right: Side },
}

#[derive(Clone, Debug, PartialEq)]
enum Side {
    Path(Vec<Step>),
    Constant(Value),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Exists,
    Equal,
    Unequal,
    Less,
    Greater,
    AtMost,
    AtLeast,
}

impl Template {
    /// Reads a template as `-o jsonpath=` takes it: text with paths in braces.
    pub(super) fn parse(text: &str) -> Result<Self, PathError> {
        parse::template(text).map(Self)
    }

    /// Reads a single path, with or without braces and first dot, as `wait --for=jsonpath=` takes it.
    pub(super) fn parse_relaxed(text: &str) -> Result<Self, PathError> {
        let inner = text.strip_prefix('{').and_then(|inner| inner.strip_suffix('}')).unwrap_or(text);
        let dot = if inner.starts_with(['.', '[', '$', '@']) { "" } else { "." };
        Self::parse(&format!("{{{dot}{inner}}}"))
    }

    /// The text that the template makes of an object.
    pub(super) fn render(&self, object: &Value) -> Result<String, PathError> {
        let mut text = String::new();
        eval::render(&self.0, object, &mut text)?;
        Ok(text)
    }

    /// The values that the template's paths find.
    pub(super) fn find<'v>(&self, object: &'v Value) -> Result<Vec<&'v Value>, PathError> {
        let paths = self.0.iter().filter_map(|node| match node {
            Node::Path(steps) => Some(eval::find(steps, object)),
            Node::Text(_) | Node::Range(..) => None,
        });
        Ok(paths.collect::<Result<Vec<_>, _>>()?.concat())
    }
}

/// A value as a template prints it: bare text and numbers, everything else as JSON with sorted keys.
pub(super) fn printed(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => sorted(other).to_string(),
    }
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().map(|(key, value)| (key.clone(), sorted(value))).collect();
            entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            Value::Object(entries.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        plain => plain.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    fn list() -> Value {
        json!({
            "kind": "List",
            "items": [
                { "metadata": { "name": "redis-0", "labels": { "app.kubernetes.io/name": "redis", "b": "1", "a": "2" } }, "spec": { "replicas": 3, "ratio": 0.5 },
                  "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }, { "type": "Init", "status": "False" }] } },
                { "metadata": { "name": "redis-1" }, "spec": { "replicas": 5, "on": true }, "status": { "phase": "Pending", "conditions": null } },
                { "metadata": { "name": "redis-2" }, "spec": {}, "status": { "phase": "Running", "note": "it's \"x\"" } },
            ],
        })
    }

    #[rstest]
    #[case("{.items[0].metadata.name}", "redis-0")]
    #[case("{$.items[0].metadata.name}", "redis-0")]
    #[case("{.items[-1].metadata.name}", "redis-2")]
    #[case("{.items[*].metadata.name}", "redis-0 redis-1 redis-2")]
    #[case("{.items..metadata.name}", "redis-0 redis-1 redis-2")]
    #[case("{..name}", "redis-0 redis-1 redis-2")]
    #[case("{.items[0:2].metadata.name}", "redis-0 redis-1")]
    #[case("{.items[1:].metadata.name}", "redis-1 redis-2")]
    #[case("{.items[::2].metadata.name}", "redis-0 redis-2")]
    #[case("{.items[0,2].metadata.name}", "redis-0 redis-2")]
    #[case("{.items[*]['metadata.name','status.phase']}", "redis-0 redis-1 redis-2 Running Pending Running")]
    #[case("{.items[0]['metadata']['name']}", "redis-0")]
    #[case("{range .items[*]}{.metadata.name}{\"\\n\"}{end}", "redis-0\nredis-1\nredis-2\n")]
    #[case("{range .items[*]}{.metadata.name}{'\\t'}{.status.phase}, {end}", "redis-0\tRunning, redis-1\tPending, redis-2\tRunning, ")]
    #[case("{range .items[*]}[{range .status.conditions[*]}{.type};{end}]{end}", "[Ready;Init;][][]")]
    #[case("{.items[0].metadata.labels.app\\.kubernetes\\.io/name}", "redis")]
    #[case("{.items[0].metadata.labels['app\\.kubernetes\\.io/name']}", "redis")]
    #[case("{.items[0].metadata.labels}", "{\"a\":\"2\",\"app.kubernetes.io/name\":\"redis\",\"b\":\"1\"}")]
    #[case("{.items[?(@.status.phase==\"Running\")].metadata.name}", "redis-0 redis-2")]
    #[case("{.items[?(@.status.phase!='Running')].metadata.name}", "redis-1")]
    #[case("{.items[?(@.spec.replicas>3)].metadata.name}", "redis-1")]
    #[case("{.items[?(@.spec.replicas<=3)].metadata.name}", "redis-0")]
    #[case("{.items[?(@.spec.on==true)].metadata.name}", "redis-1")]
    #[case("{.items[?(@.spec.replicas)].metadata.name}", "redis-0 redis-1")]
    #[case("{.items[0].status.conditions[?(@.type==\"Ready\")].status}", "True")]
    #[case("{.items[?(@.metadata.labels.app\\.kubernetes\\.io/name==\"redis\")].spec.replicas}", "3")]
    #[case("{.items[0].spec.replicas} of {.items[1].spec.replicas}", "3 of 5")]
    #[case("{.items[0].spec.ratio}", "0.5")]
    #[case("{.items[1].spec.on}", "true")]
    #[case("{.items[0].spec.none.at.all}", "")]
    #[case("{.items[2].status.note}", "it's \"x\"")]
    #[case("{.kind.x}", "")]
    #[case("no braces", "no braces")]
    #[case("{.kind}{\"}\"}", "List}")]
    #[case("{ .kind }", "List")]
    #[case("", "")]
    fn a_template_prints_what_kubectl_prints(#[case] template: &str, #[case] expected: &str) {
        assert_eq!(Template::parse(template).and_then(|template| template.render(&list())), Ok(expected.to_owned()));
    }

    #[rstest]
    #[case("{.items[3].metadata.name}", "array index out of bounds: index 3, length 3")]
    #[case("{.items[-4]}", "array index out of bounds: index -1, length 3")]
    #[case("{.kind[0]}", "string is not array or slice")]
    #[case("{.kind[?(@.a==1)]}", "List is not array or slice and cannot be filtered")]
    #[case("{.items[?(@.status.phase>1)]}", "incompatible types for comparison")]
    #[case("{.items", "unclosed action")]
    #[case("{.items[0", "unterminated array")]
    #[case("{range .items[*]}x", "unclosed range: {end} is missing")]
    #[case("{end}", "not in range, nothing to end")]
    #[case("{\"x}", "unterminated quoted string")]
    #[case("{.items[?(@.a=\"x\")]}", "unterminated filter")]
    #[case("{.items[a]}", "invalid array index a")]
    #[case("{.items[0] nonsense}", "unrecognized character in action: U+006E 'n'")]
    fn what_gives_nothing_is_told(#[case] template: &str, #[case] expected: &str) {
        let result = Template::parse(template).and_then(|template| template.render(&list()));
        assert_eq!(result.expect_err("it gives nothing").to_string(), expected);
    }

    #[test]
    fn nothing_of_nothing_is_out_of_bounds() {
        let template = Template::parse("{.items[0].metadata.name}").expect("it can be read");
        let error = template.render(&json!({ "items": [] })).expect_err("there is none").to_string();
        assert_eq!(error, "array index out of bounds: index 0, length 0");
    }

    #[rstest]
    #[case("{.status.phase}")]
    #[case(".status.phase")]
    #[case("status.phase")]
    #[case("{status.phase}")]
    fn a_relaxed_path_needs_no_braces(#[case] path: &str) {
        let object = json!({ "status": { "phase": "Bound" } });
        let template = Template::parse_relaxed(path).expect("it can be read");
        assert_eq!(template.find(&object), Ok(vec![&json!("Bound")]));
    }
}
