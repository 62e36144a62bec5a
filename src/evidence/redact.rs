//! Takes secrets out of everything that is written down: as they are, in base64, percent-encoded and escaped for JSON.

use crate::{
    manifest::json::bytes,
    verdict::{Outcome, ScenarioResult},
};
use base64::{Engine as _, engine::general_purpose as alphabets};
use regex::bytes::{Regex, RegexBuilder};
use serde_json::Value;
use std::{
    borrow::Cow,
    collections::BTreeSet,
    fmt::Write as _,
    sync::{Arc, PoisonError, RwLock},
};

/// What stands where a secret stood.
pub const REDACTED: &str = "[redacted]";
/// Shorter secrets are found only as whole words, or every text would be full of holes.
const SHORT: usize = 6;

/// Knows the secrets of a run; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Redactor {
    known: Arc<RwLock<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    secrets: BTreeSet<Vec<u8>>,
    pattern: Option<Regex>,
}

impl Redactor {
    /// From now on this value is written nowhere.
    pub fn secret(&self, value: &[u8]) {
        let value = value.trim_ascii();
        if value.is_empty() {
            return;
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.secrets.insert(value.to_vec()) {
            known.pattern = pattern(&known.secrets);
        }
    }

    /// Learns what a Secret object holds. Addresses without a password in them are not secret, whatever holds them.
    pub fn object(&self, object: &Value) {
        if object["kind"] != "Secret" {
            return;
        }
        let decoded = object["data"].as_object().into_iter().flatten().filter_map(|(_, value)| bytes(value));
        let plain =
            object["stringData"].as_object().into_iter().flatten().filter_map(|(_, value)| Some(value.as_str()?.as_bytes().to_vec()));
        for value in decoded.chain(plain) {
            for secret in secrets_in(&value) {
                self.secret(&secret);
            }
        }
    }

    /// Bytes without secrets.
    #[must_use]
    pub fn bytes<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        match &known.pattern {
            Some(pattern) => pattern.replace_all(bytes, REDACTED.as_bytes()),
            None => Cow::Borrowed(bytes),
        }
    }

    /// Text without secrets.
    #[must_use]
    pub fn text(&self, text: &str) -> String {
        String::from_utf8_lossy(&self.bytes(text.as_bytes())).into_owned()
    }

    /// A JSON value without secrets, still JSON: a number that is one becomes a string.
    #[must_use]
    pub fn json(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(&text)),
            Value::Array(values) => values.into_iter().map(|value| self.json(value)).collect(),
            Value::Object(fields) => fields.into_iter().map(|(name, value)| (self.text(&name), self.json(value))).collect(),
            Value::Number(number) => {
                let text = number.to_string();
                let clean = self.text(&text);
                if clean == text { Value::Number(number) } else { Value::String(clean) }
            }
            other => other,
        }
    }

    /// Takes secrets out of what a report will show of a scenario.
    pub fn result(&self, result: &mut ScenarioResult) {
        match &mut result.outcome {
            Outcome::Passed => {}
            Outcome::Failed { step, message } | Outcome::Broken { step, message } => {
                *step = self.text(step);
                *message = self.text(message);
            }
            Outcome::Unsupported { reason, .. } | Outcome::Skipped { reason } => *reason = self.text(reason),
        }
        for note in &mut result.notes {
            *note = self.text(note);
        }
        for step in &mut result.steps {
            step.text = self.text(&step.text);
        }
    }
}

/// Which parts of a Secret's value are secret.
fn secrets_in(value: &[u8]) -> Vec<Vec<u8>> {
    let Ok(text) = std::str::from_utf8(value) else { return vec![value.to_vec()] };
    let text = text.trim();
    if let Some((_, rest)) = text.split_once("://").filter(|_| !text.contains(char::is_whitespace)) {
        let Some((user, _)) = rest.rsplit_once('@') else { return Vec::new() };
        let password = user.split_once(':').map_or(user, |(_, password)| password);
        return vec![text.as_bytes().to_vec(), password.as_bytes().to_vec()];
    }
    let mut secrets = vec![text.as_bytes().to_vec()];
    // A config file kept in a Secret: its passwords show up elsewhere without the lines around them.
    if text.contains('\n') {
        for line in text.lines().map(str::trim) {
            let asks = ["requirepass", "masterauth", "sentinel auth-pass", "user ", "password"];
            if asks.iter().any(|word| line.to_ascii_lowercase().starts_with(word))
                && let Some(last) = line.rsplit([' ', '=', ':', '>']).next()
            {
                secrets.push(last.trim_matches(['"', '\'']).as_bytes().to_vec());
            }
        }
    }
    secrets
}

/// One pattern for all secrets in all their forms, the longest first so that no tail stays.
fn pattern(secrets: &BTreeSet<Vec<u8>>) -> Option<Regex> {
    let mut forms: BTreeSet<Vec<u8>> = BTreeSet::new();
    let mut words: BTreeSet<Vec<u8>> = BTreeSet::new();
    for secret in secrets {
        if secret.len() < SHORT {
            words.insert(secret.clone());
            words.insert(alphabets::STANDARD.encode(secret).into_bytes());
        } else {
            forms.insert(secret.clone());
            forms.extend(encodings(secret));
        }
    }
    let mut alternatives: Vec<(usize, String)> = forms.iter().map(|form| (form.len(), literal(form))).collect();
    // No word character may stand beside it; \b would ask for one where the secret itself begins with a sign.
    alternatives.extend(words.iter().map(|word| (word.len(), format!(r"(?:\b{0}\b|\B{0}\B)", literal(word)))));
    alternatives.sort_by_key(|(length, _)| std::cmp::Reverse(*length));
    let pattern = alternatives.into_iter().map(|(_, pattern)| pattern).collect::<Vec<_>>().join("|");
    // Literals always compile; only a size limit can refuse, and then nothing may be shown that was not looked through.
    (!pattern.is_empty()).then(|| {
        RegexBuilder::new(&pattern)
            .unicode(false)
            .size_limit(usize::MAX)
            .build()
            .unwrap_or_else(|_| Regex::new("(?s-u).+").expect("matches everything"))
    })
}

fn literal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut pattern, byte| {
        let _ = write!(pattern, r"\x{byte:02x}");
        pattern
    })
}

fn encodings(secret: &[u8]) -> Vec<Vec<u8>> {
    let mut forms: Vec<Vec<u8>> = Vec::new();
    for engine in [&alphabets::STANDARD, &alphabets::URL_SAFE] {
        forms.push(engine.encode(secret).into_bytes());
        // Inside a longer text (`user:password`) the secret begins at one of three places in a group; its outer characters mix with neighbours.
        for shift in 0..3 {
            let mut shifted = vec![0; shift];
            shifted.extend_from_slice(secret);
            let encoded = engine.encode(&shifted);
            let inner = &encoded[[0, 2, 3][shift]..shifted.len() * 8 / 6];
            if inner.len() >= SHORT {
                forms.push(inner.as_bytes().to_vec());
            }
        }
    }
    for upper in [true, false] {
        let percent = secret.iter().fold(String::new(), |mut text, &byte| {
            let _ = match byte {
                byte if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => write!(text, "{}", char::from(byte)),
                byte if upper => write!(text, "%{byte:02X}"),
                byte => write!(text, "%{byte:02x}"),
            };
            text
        });
        forms.push(percent.replace("%20", "+").into_bytes());
        forms.push(percent.into_bytes());
    }
    if let Ok(text) = std::str::from_utf8(secret)
        && let Ok(quoted) = serde_json::to_string(text)
    {
        forms.push(quoted.as_bytes()[1..quoted.len() - 1].to_vec());
    }
    forms
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    const SECRET: &str = "p/w+d=\"se cret";

    #[rstest]
    #[case::raw(SECRET.into())]
    #[case::base64(alphabets::STANDARD.encode(SECRET))]
    #[case::base64_of_a_longer_text(alphabets::STANDARD.encode(format!("user:{SECRET}:x")))]
    #[case::base64_shifted_by_one(alphabets::STANDARD.encode(format!("user{SECRET}")))]
    #[case::base64_shifted_by_two(alphabets::URL_SAFE_NO_PAD.encode(format!("users{SECRET}!")))]
    #[case::percent("p%2Fw%2Bd%3D%22se%20cret".into())]
    #[case::percent_lower("p%2fw%2bd%3d%22se%20cret".into())]
    #[case::form("p%2Fw%2Bd%3D%22se+cret".into())]
    #[case::json("p/w+d=\\\"se cret".into())]
    fn a_secret_is_found_in_every_form(#[case] form: String) {
        let redactor = Redactor::default();
        redactor.secret(SECRET.as_bytes());
        let clean = redactor.text(&format!("before {form} after"));
        assert!(clean.contains(REDACTED), "{clean}");
        assert!(!clean.contains(&form), "{clean}");
        assert!(clean.starts_with("before ") && clean.ends_with(" after"), "{clean}");
    }

    #[test]
    fn a_short_secret_is_found_as_a_word_only() {
        let redactor = Redactor::default();
        redactor.secret(b"abc");
        assert_eq!(redactor.text("abc abcd requirepass=abc"), "[redacted] abcd requirepass=[redacted]");
    }

    #[test]
    fn a_secret_in_a_block_scalar_is_found_as_well() {
        let text = "apiVersion: v1\nkind: Secret\nmetadata: { name: s }\ndata:\n  password: |\n    aHVudGVyMjJo\n    dW50ZXIyMg==\n";
        let set = crate::manifest::ManifestSet::parse(text, "a.yaml").expect("manifests");
        assert_eq!(set.objects[0].refusals().len(), 0);
        let redactor = Redactor::default();
        redactor.object(&set.objects[0].json);
        assert_eq!(redactor.text("requirepass hunter22hunter22"), "requirepass [redacted]");
        let written = redactor.json(set.objects[0].json.clone()).to_string();
        assert!(!written.contains("aHVudGVyMjJo") && written.contains(REDACTED), "{written}");
    }

    #[test]
    fn json_stays_json() {
        let redactor = Redactor::default();
        redactor.secret(b"12345678");
        assert_eq!(redactor.json(json!({"a": 12_345_678, "b": ["x12345678", true]})), json!({"a": REDACTED, "b": ["x[redacted]", true]}));
    }

    #[test]
    fn a_secret_object_tells_its_values_but_an_address_without_password_stays_readable() {
        let redactor = Redactor::default();
        redactor.object(&json!({"kind": "Secret", "data": {"password": "aHVudGVyMjI="},
            "stringData": {"redis-url": "redis://redis:6379", "other-url": "redis://:tops3cret@redis:6379", "redis.conf": "port 6379\nrequirepass \"fr0mfile\"\n"}}));
        redactor.object(&json!({"kind": "ConfigMap", "data": {"a": "readable"}}));
        assert_eq!(
            redactor.text("hunter22 redis://redis:6379 AUTH tops3cret readable fr0mfile"),
            "[redacted] redis://redis:6379 AUTH [redacted] readable [redacted]"
        );
    }

    #[test]
    fn an_empty_secret_hides_nothing() {
        let redactor = Redactor::default();
        redactor.secret(b" \n");
        assert_eq!(redactor.text("a b"), "a b");
    }
}
