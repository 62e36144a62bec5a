//! Applies a template to an object.

use super::{Node, Operator, PathError, Side, Step, printed};
use serde_json::Value;
use std::cmp::Ordering;

pub(super) fn render(nodes: &[Node], object: &Value, text: &mut String) -> Result<(), PathError> {
    for node in nodes {
        match node {
            Node::Text(plain) => text.push_str(plain),
            Node::Path(steps) => {
                let values: Vec<_> = find(steps, object)?.into_iter().map(printed).collect();
                text.push_str(&values.join(" "));
            }
            Node::Range(steps, body) => {
                for item in find(steps, object)? {
                    render(body, item, text)?;
                }
            }
        }
    }
    Ok(())
}

pub(super) fn find<'v>(steps: &[Step], object: &'v Value) -> Result<Vec<&'v Value>, PathError> {
    let mut values = vec![object];
    for step in steps {
        values = apply(step, &values)?;
    }
    Ok(values)
}

fn apply<'v>(step: &Step, values: &[&'v Value]) -> Result<Vec<&'v Value>, PathError> {
    let mut found = Vec::new();
    if let Step::Union(paths) = step {
        for path in paths {
            for value in values {
                found.extend(find(path, value)?);
            }
        }
        return Ok(found);
    }
    for value in values {
        match step {
            Step::Field(name) => found.extend(value.get(name)),
            Step::Every => found.extend(children(value)),
            Step::Descend => descend(value, &mut found),
            Step::Slice { start, end, step, single } => found.extend(slice(value, (*start, *end, *step), *single)?),
            Step::Filter { left, operator, right } => {
                let unfit = || format!("{} is not array or slice and cannot be filtered", printed(value));
                for item in items(value).ok_or_else(|| PathError::Eval(unfit()))? {
                    if holds(item, left, *operator, right)? {
                        found.push(item);
                    }
                }
            }
            Step::Union(_) => {}
        }
    }
    Ok(found)
}

fn children(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        Value::Object(map) => map.values().collect(),
        _ => Vec::new(),
    }
}

fn descend<'v>(value: &'v Value, found: &mut Vec<&'v Value>) {
    found.push(value);
    for child in children(value) {
        descend(child, found);
    }
}

/// The items of a list; null is an empty one, as Go's nil slice.
fn items(value: &Value) -> Option<&[Value]> {
    match value {
        Value::Array(items) => Some(items),
        Value::Null => Some(&[]),
        _ => None,
    }
}

/// A value's type as Go calls it.
fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "nil",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "slice",
        Value::Object(_) => "map",
    }
}

fn slice(value: &Value, (start, end, step): (Option<i64>, Option<i64>, i64), single: bool) -> Result<Vec<&Value>, PathError> {
    if value.is_null() {
        return Ok(Vec::new());
    }
    let items = items(value).ok_or_else(|| PathError::Eval(format!("{} is not array or slice", type_of(value))))?;
    let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
    let from_end = |at: i64| if at < 0 { at + length } else { at };
    let start = from_end(start.unwrap_or(0));
    let end = if single { start + 1 } else { end.map_or(length, from_end) };
    if start == end {
        return Ok(Vec::new());
    }
    let bounds = |index: i64| PathError::Eval(format!("array index out of bounds: index {index}, length {length}"));
    if !(0..length).contains(&start) {
        return Err(bounds(start));
    }
    if !(0..=length).contains(&end) {
        return Err(bounds(end - 1));
    }
    if start > end {
        return Err(PathError::Eval(format!("starting index {start} is greater than ending index {end}")));
    }
    let index = |at: i64| usize::try_from(at).unwrap_or_default();
    Ok(items[index(start)..index(end)].iter().step_by(index(step).max(1)).collect())
}

fn holds(item: &Value, left: &Side, operator: Operator, right: &Side) -> Result<bool, PathError> {
    let Some(left) = side(item, left)? else { return Ok(false) };
    if operator == Operator::Exists {
        return Ok(true);
    }
    let Some(right) = side(item, right)? else { return Ok(false) };
    let order = match (left, right) {
        (Value::String(left), Value::String(right)) => left.cmp(right),
        (Value::Bool(left), Value::Bool(right)) => left.cmp(right),
        (Value::Number(left), Value::Number(right)) => left.as_f64().partial_cmp(&right.as_f64()).unwrap_or(Ordering::Equal),
        _ => return Err(PathError::Eval(String::from("incompatible types for comparison"))),
    };
    Ok(match operator {
        Operator::Exists => true,
        Operator::Equal => order.is_eq(),
        Operator::Unequal => order.is_ne(),
        Operator::Less => order.is_lt(),
        Operator::Greater => order.is_gt(),
        Operator::AtMost => order.is_le(),
        Operator::AtLeast => order.is_ge(),
    })
}

fn side<'v>(item: &'v Value, side: &'v Side) -> Result<Option<&'v Value>, PathError> {
    match side {
        Side::Constant(value) => Ok(Some(value)),
        Side::Path(steps) => Ok(find(steps, item)?.first().copied()),
    }
}
