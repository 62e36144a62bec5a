//! Writes JSON values as YAML blocks, for `-o yaml` and `describe`.

use serde_json::Value;

/// The YAML of a value, with a line's end behind it.
pub(super) fn written(value: &Value) -> String {
    let mut text = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => block(value, 0, &mut text),
        Value::Array(items) if !items.is_empty() => block(value, 0, &mut text),
        plain => {
            text.push_str(&scalar(plain));
            text.push('\n');
        }
    }
    text
}

fn block(value: &Value, depth: usize, text: &mut String) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                text.push_str(&" ".repeat(depth));
                text.push_str(&quoted(key));
                text.push(':');
                // Lists stand as deep as their key, as `kubectl` writes them.
                below(value, if value.is_array() { depth } else { depth + 2 }, text);
            }
        }
        Value::Array(items) => {
            for item in items {
                text.push_str(&" ".repeat(depth));
                text.push('-');
                match item {
                    Value::Object(map) if !map.is_empty() => {
                        let mut inner = String::new();
                        block(item, depth + 2, &mut inner);
                        text.push(' ');
                        text.push_str(inner.trim_start());
                    }
                    other => below(other, depth + 2, text),
                }
            }
        }
        _ => {}
    }
}

fn below(value: &Value, depth: usize, text: &mut String) {
    let nested = value.as_object().is_some_and(|map| !map.is_empty()) || value.as_array().is_some_and(|items| !items.is_empty());
    if nested {
        text.push('\n');
        block(value, depth, text);
    } else {
        text.push(' ');
        text.push_str(&scalar(value));
        text.push('\n');
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(plain) => quoted(plain),
        other => other.to_string(),
    }
}

/// A text that YAML reads as text: bare where it cannot be anything else, in double quotes otherwise.
fn quoted(text: &str) -> String {
    let bare = text.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '/')
        && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_./".contains(letter))
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(&text.to_lowercase().as_str());
    if bare { text.to_owned() } else { Value::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nested_values_become_blocks() {
        let value = json!({ "kind": "Pod", "on": "no", "empty": {}, "none": null, "items": [{ "a": 1, "b": ["x", "1"] }, "y z", []], "deep": { "er": true } });
        let expected = "kind: Pod\n\"on\": \"no\"\nempty: {}\nnone: null\nitems:\n- a: 1\n  b:\n  - x\n  - \"1\"\n- \"y z\"\n- []\ndeep:\n  er: true\n";
        assert_eq!(written(&value), expected);
    }
}
