//! Resolves plain YAML scalars as kubectl's parser does, which follows YAML 1.1: `yes` is a boolean, `0400` is 256.

use serde_json::{Number, Value};

/// What a plain scalar is, or `None` where JSON has no such value (`.inf`, `.nan`).
pub(super) fn resolve(text: &str) -> Option<Value> {
    Some(match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" | "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Value::Bool(true),
        "false" | "False" | "FALSE" | "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return None,
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" | "-.inf" | "-.Inf" | "-.INF" => return None,
        _ => match text.as_bytes().first() {
            Some(b'0'..=b'9' | b'+' | b'-' | b'.') => return number(text),
            _ => Value::String(text.to_owned()),
        },
    })
}

/// Whether YAML 1.2, and most readers, take this for a word rather than for a boolean.
pub(super) fn is_old_boolean(text: &str) -> bool {
    matches!(resolve(text), Some(Value::Bool(_))) && !matches!(text, "true" | "True" | "TRUE" | "false" | "False" | "FALSE")
}

fn number(text: &str) -> Option<Value> {
    let plain = text.replace('_', "");
    if !text.starts_with('.')
        && let Some(whole) = integer(&plain)
    {
        return Some(whole);
    }
    let is_float = is_float(&plain) && !(text.starts_with('.') && text.contains('_'));
    // A number too large for a float stays a word.
    let value = if is_float { plain.parse().ok().and_then(float) } else { None };
    Some(value.unwrap_or_else(|| Value::String(text.to_owned())))
}

/// A float as it is after the way through JSON: `1.0` comes out as `1`; `None` where it is too large.
fn float(value: f64) -> Option<Value> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() <= EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "a whole number below 2^53 fits exactly")]
        return Some(Value::from(value as i64));
    }
    Number::from_f64(value).map(Value::Number)
}

/// Sign, then a prefix (`0x`, `0b`, `0o`, or a bare `0` for octal), then digits; as Go's `ParseInt(text, 0, 64)`.
fn integer(plain: &str) -> Option<Value> {
    let (negative, digits) = match plain.as_bytes().first()? {
        b'-' => (true, &plain[1..]),
        b'+' => (false, &plain[1..]),
        _ => (false, plain),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let value = i128::from(u64::from_str_radix(digits, radix).ok()?);
    let value = if negative { -value } else { value };
    i64::try_from(value).map(Value::from).or_else(|_| u64::try_from(value).map(Value::from)).ok()
}

fn is_float(plain: &str) -> bool {
    let unsigned = plain.strip_prefix(['+', '-']).unwrap_or(plain);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole)
        && digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent.is_none_or(|text| !text.is_empty() && digits(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    // Each row was put to `kubectl annotate --local -o json`, which prints an object as kubectl reads it.
    #[rstest]
    #[case("0400", json!(256))]
    #[case("0o400", json!(256))]
    #[case("08", json!(8))]
    #[case("0x1F", json!(31))]
    #[case("-0x10", json!(-16))]
    #[case("0b101", json!(5))]
    #[case("1_000", json!(1000))]
    #[case("-0400", json!(-256))]
    #[case("+12", json!(12))]
    #[case("1e3", json!(1000))]
    #[case("1.0", json!(1))]
    #[case("1.10", json!(1.1))]
    #[case(".5", json!(0.5))]
    #[case("5.", json!(5))]
    #[case("1:30", json!("1:30"))]
    #[case("2001-01-01", json!("2001-01-01"))]
    #[case("1.2.3", json!("1.2.3"))]
    #[case("128Mi", json!("128Mi"))]
    #[case("1e999", json!("1e999"))]
    #[case("--save", json!("--save"))]
    #[case("y", json!(true))]
    #[case("Off", json!(false))]
    #[case("yEs", json!("yEs"))]
    #[case("~", json!(null))]
    #[case("9223372036854775807", json!(9_223_372_036_854_775_807_i64))]
    #[case("99999999999999999999999", json!(1e23))]
    fn a_plain_scalar_is_read_as_kubectl_reads_it(#[case] text: &str, #[case] value: Value) {
        assert_eq!(resolve(text), Some(value));
    }

    #[rstest]
    #[case(".inf")]
    #[case("-.INF")]
    #[case(".nan")]
    fn what_json_cannot_say_is_no_value(#[case] text: &str) {
        assert_eq!(resolve(text), None);
    }
}
