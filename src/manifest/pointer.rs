//! JSON pointers (RFC 6901) over `serde_json::Value`; it knows no Kubernetes.

use serde_json::Value;

/// A key as it stands in a pointer.
#[must_use]
pub fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// The opposite of [`escape`].
#[must_use]
pub fn unescape(token: &str) -> String {
    token.replace("~1", "/").replace("~0", "~")
}

/// A pointer one step further down.
#[must_use]
pub fn join(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", escape(key))
}

/// The pointer one step further up; `None` at the root.
#[must_use]
pub fn parent(pointer: &str) -> Option<&str> {
    pointer.rfind('/').map(|at| &pointer[..at])
}

/// As Kubernetes writes it in messages: `spec.containers[0].image`.
#[must_use]
pub fn dotted(value: &Value, pointer: &str) -> String {
    let mut words = String::new();
    let mut here = Some(value);
    for token in pointer.split('/').skip(1) {
        let key = unescape(token);
        if matches!(here, Some(Value::Array(_))) {
            words.push_str(&format!("[{key}]"));
        } else {
            if !words.is_empty() {
                words.push('.');
            }
            words.push_str(&key);
        }
        here = here.and_then(|value| step(value, token));
    }
    words
}

fn step<'v>(value: &'v Value, token: &str) -> Option<&'v Value> {
    value.pointer(&format!("/{token}"))
}

/// Puts a value at a pointer, making the maps above it where they are missing; `-` as last token appends to a list.
///
/// Gives `false`, and changes nothing, where the pointer leads through something that is neither map nor list, or where the value is there already.
pub fn set(root: &mut Value, pointer: &str, value: Value) -> bool {
    if root.pointer(pointer) == Some(&value) {
        return false;
    }
    let mut here = root;
    let mut tokens = pointer.split('/').skip(1).peekable();
    if tokens.peek().is_none() {
        *here = value;
        return true;
    }
    if !reachable(here, pointer) {
        return false;
    }
    while let Some(token) = tokens.next() {
        let last = tokens.peek().is_none();
        if here.is_null() {
            *here = Value::Object(serde_json::Map::new());
        }
        match here {
            Value::Object(map) => {
                let key = unescape(token);
                if last {
                    map.insert(key, value);
                    return true;
                }
                here = map.entry(key).or_insert(Value::Null);
            }
            Value::Array(items) => {
                if token == "-" || token.parse() == Ok(items.len()) {
                    items.push(Value::Null);
                }
                let index = if token == "-" { items.len().checked_sub(1) } else { token.parse().ok() };
                let Some(item) = index.and_then(|index: usize| items.get_mut(index)) else { return false };
                if last {
                    *item = value;
                    return true;
                }
                here = item;
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return false,
        }
    }
    false
}

/// Whether `set` can go all the way: missing parts may be made, wrong ones may not.
fn reachable(root: &Value, pointer: &str) -> bool {
    let mut here = root;
    for token in pointer.split('/').skip(1) {
        match here {
            Value::Null => return true,
            Value::Object(map) => match map.get(&unescape(token)) {
                Some(next) => here = next,
                None => return true,
            },
            Value::Array(items) => match token.parse::<usize>().ok().map(|index| (index, items.get(index))) {
                Some((_, Some(next))) => here = next,
                Some((index, None)) => return index == items.len(),
                None => return token == "-",
            },
            Value::Bool(_) | Value::Number(_) | Value::String(_) => return false,
        }
    }
    true
}

/// Takes a map's entry or a list's item away and gives it back.
pub fn remove(root: &mut Value, pointer: &str) -> Option<Value> {
    let (above, token) = pointer.rsplit_once('/')?;
    match root.pointer_mut(above)? {
        Value::Object(map) => map.shift_remove(&unescape(token)),
        Value::Array(items) => {
            let index: usize = token.parse().ok()?;
            (index < items.len()).then(|| items.remove(index))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn missing_maps_are_made_on_the_way() {
        let mut value = json!({"spec": {}});
        assert!(set(&mut value, "/spec/template/metadata/labels/a~1b", json!("c")));
        assert_eq!(value, json!({"spec": {"template": {"metadata": {"labels": {"a/b": "c"}}}}}));
    }

    #[test]
    fn a_list_is_changed_and_appended_to_but_gets_no_holes() {
        let mut value = json!({"args": ["a", "b"]});
        assert!(set(&mut value, "/args/1", json!("c")));
        assert!(set(&mut value, "/args/-", json!("d")));
        assert!(!set(&mut value, "/args/9", json!("e")));
        assert!(!set(&mut value, "/args/0/x", json!("e")));
        assert_eq!(value, json!({"args": ["a", "c", "d"]}));
    }

    #[test]
    fn setting_what_is_there_already_is_no_change() {
        let mut value = json!({"a": 1});
        assert!(!set(&mut value, "/a", json!(1)));
        assert!(set(&mut value, "/a", json!(2)));
    }

    #[test]
    fn removing_gives_back_what_was_there() {
        let mut value = json!({"a": [1, 2], "b": 3});
        assert_eq!(remove(&mut value, "/a/0"), Some(json!(1)));
        assert_eq!(remove(&mut value, "/b"), Some(json!(3)));
        assert_eq!(remove(&mut value, "/b"), None);
        assert_eq!(value, json!({"a": [2]}));
    }

    #[test]
    fn a_pointer_is_told_in_the_words_of_kubernetes() {
        let value = json!({"spec": {"containers": [{"image": ""}]}});
        assert_eq!(dotted(&value, "/spec/containers/0/image"), "spec.containers[0].image");
    }
}
