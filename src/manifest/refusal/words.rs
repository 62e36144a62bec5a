//! Collects refusals and puts them into the API server's words.

use super::Refusal;
use crate::manifest::{Object, pointer};
use serde_json::Value;

pub(super) struct Report<'o> {
    pub(super) object: &'o Object,
    pub(super) found: Vec<Refusal>,
}

/// The words of a name that is none.
pub(super) const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
pub(super) const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
pub(super) const OLD_LABEL: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";

impl<'o> Report<'o> {
    pub(super) fn new(object: &'o Object) -> Self {
        Self { object, found: Vec::new() }
    }

    pub(super) fn at(&self, pointer: &str) -> Option<&'o Value> {
        self.object.at(pointer)
    }

    pub(super) fn text(&self, pointer: &str) -> Option<&'o str> {
        self.object.str_at(pointer)
    }

    /// Adds a refusal of a field, told as `field: words`.
    pub(super) fn refuse(&mut self, at: &str, words: impl AsRef<str>) {
        let field = pointer::dotted(&self.object.json, at);
        self.refuse_as(at, &field, words);
    }

    /// The same where the server names the field otherwise than by its path.
    pub(super) fn refuse_as(&mut self, at: &str, field: &str, words: impl AsRef<str>) {
        let (kind, group, name) = (self.object.kind(), self.object.group(), self.object.name());
        let dot = if group.is_empty() { "" } else { "." };
        let reason = format!("{kind}{dot}{group} \"{name}\" is invalid: {field}: {}", words.as_ref());
        self.found.push(Refusal { place: self.object.place_of(at), pointer: at.to_owned(), reason });
    }

    pub(super) fn required(&mut self, at: &str, detail: &str) {
        let colon = if detail.is_empty() { "" } else { ": " };
        self.refuse(at, format!("Required value{colon}{detail}"));
    }

    pub(super) fn forbidden(&mut self, at: &str, detail: &str) {
        self.refuse(at, format!("Forbidden: {detail}"));
    }

    /// The value that stands there, and why it must not.
    pub(super) fn invalid(&mut self, at: &str, detail: impl AsRef<str>) {
        let value = self.at(at).cloned().unwrap_or_default();
        self.refuse(at, format!("Invalid value: {value}: {}", detail.as_ref()));
    }

    pub(super) fn duplicate(&mut self, at: &str) {
        let value = self.at(at).cloned().unwrap_or_default();
        self.refuse(at, format!("Duplicate value: {value}"));
    }

    /// A word out of a closed list; one that is not written is not judged.
    pub(super) fn one_of(&mut self, at: &str, supported: &[&str]) {
        if let Some(word) = self.text(at).filter(|word| !supported.contains(word)) {
            let supported = supported.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
            self.refuse(at, format!("Unsupported value: \"{word}\": supported values: {supported}"));
        }
    }

    /// A whole number that may be left out but not be below zero.
    pub(super) fn not_negative(&mut self, at: &str) {
        if self.at(at).and_then(Value::as_i64).is_some_and(|number| number < 0) {
            self.invalid(at, "must be greater than or equal to 0");
        }
    }

    /// A port's number; a name instead of it is for others to judge.
    pub(super) fn port(&mut self, at: &str) {
        if self.at(at).and_then(Value::as_i64).is_some_and(|number| !(1..=65535).contains(&number)) {
            self.invalid(at, "must be between 1 and 65535, inclusive");
        }
    }

    /// A name: there, and sound by `sound`, else refused with `words`.
    pub(super) fn name(&mut self, at: &str, sound: fn(&str) -> bool, words: &str) {
        match self.text(at) {
            None | Some("") => self.required(at, ""),
            Some(name) if !sound(name) => self.invalid(at, words),
            Some(_) => {}
        }
    }
}

/// At most 63 of `a-z0-9-`, with no hyphen at the ends.
pub(super) fn is_label(name: &str) -> bool {
    !name.is_empty() && name.len() <= 63 && is_part(name)
}

/// A label that begins with a letter.
pub(super) fn is_old_label(name: &str) -> bool {
    is_label(name) && name.starts_with(|c: char| c.is_ascii_lowercase())
}

/// Labels joined by dots, at most 253 long.
pub(super) fn is_subdomain(name: &str) -> bool {
    !name.is_empty() && name.len() <= 253 && name.split('.').all(|part| !part.is_empty() && is_part(part))
}

fn is_part(part: &str) -> bool {
    part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !part.starts_with('-')
        && !part.ends_with('-')
}

/// A key of a ConfigMap or Secret.
pub(super) fn is_data_key(key: &str) -> bool {
    !key.is_empty()
        && key.len() <= 253
        && key != "."
        && !key.starts_with("..")
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// A label's value, or the name part of its key.
pub(super) fn is_label_value(value: &str) -> bool {
    value.len() <= 63
        && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        && !value.starts_with(['-', '_', '.'])
        && !value.ends_with(['-', '_', '.'])
}
