//! Amounts as Kubernetes writes them: `128Mi`, `0.5`, `1e3`, `250m`.

use serde_json::Value;
use std::{fmt, str::FromStr};

/// An amount, exact to 10⁻⁹; what is smaller is rounded up, as Kubernetes does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quantity {
    nanos: i128,
}

/// A text that is no amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
pub struct NotAQuantity;

const NANO: i128 = 1_000_000_000;

impl Quantity {
    /// Reads a field: a string, or a bare number, which the API server accepts too.
    ///
    /// # Errors
    /// [`NotAQuantity`], in the API server's words.
    pub fn of(value: &Value) -> Result<Self, NotAQuantity> {
        match value {
            Value::String(text) => text.parse(),
            Value::Number(number) => number.to_string().parse(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => Err(NotAQuantity),
        }
    }

    /// In whole units (bytes for memory and storage), rounded up; 0 for negative amounts, `u64::MAX` beyond it.
    #[must_use]
    pub fn units(self) -> u64 {
        u64::try_from(self.nanos.max(0).div_euclid(NANO) + i128::from(self.nanos.max(0).rem_euclid(NANO) > 0)).unwrap_or(u64::MAX)
    }

    /// In thousandths (millicores for CPU), rounded up; 0 for negative amounts, `u64::MAX` beyond it.
    #[must_use]
    pub fn millis(self) -> u64 {
        let nanos = self.nanos.max(0);
        u64::try_from(nanos / 1_000_000 + i128::from(nanos % 1_000_000 > 0)).unwrap_or(u64::MAX)
    }

    /// How many times `unit` it is, rounded up, as `resourceFieldRef` counts; `unit` must not be zero.
    #[must_use]
    pub fn in_units_of(self, unit: Self) -> i128 {
        self.nanos.div_euclid(unit.nanos) + i128::from(self.nanos.rem_euclid(unit.nanos) > 0)
    }

    /// Whether it is below zero.
    #[must_use]
    pub fn is_negative(self) -> bool {
        self.nanos < 0
    }
}

impl From<u64> for Quantity {
    /// So many whole units.
    fn from(units: u64) -> Self {
        Self { nanos: i128::from(units) * NANO }
    }
}

impl FromStr for Quantity {
    type Err = NotAQuantity;

    fn from_str(text: &str) -> Result<Self, NotAQuantity> {
        let (negative, unsigned) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let end = unsigned.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(unsigned.len());
        let (digits, suffix) = unsigned.split_at(end);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return Err(NotAQuantity);
        }
        let (factor, shift) = scale(suffix).ok_or(NotAQuantity)?;
        let mantissa: i128 = format!("{whole}{fraction}").trim_start_matches('0').parse().or_else(|_| {
            let zero = whole.bytes().chain(fraction.bytes()).all(|digit| digit == b'0');
            if zero { Ok(0) } else { Err(NotAQuantity) }
        })?;
        let places = i32::try_from(fraction.len()).map_err(|_| NotAQuantity)?;
        let scaled = mantissa.checked_mul(factor).ok_or(NotAQuantity)?;
        let nanos = shifted(scaled, shift + 9 - places).ok_or(NotAQuantity)?;
        Ok(Self { nanos: if negative { -nanos } else { nanos } })
    }
}

/// A suffix as a factor and a power of ten.
fn scale(suffix: &str) -> Option<(i128, i32)> {
    Some(match suffix {
        "" => (1, 0),
        "n" => (1, -9),
        "u" => (1, -6),
        "m" => (1, -3),
        "k" => (1, 3),
        "M" => (1, 6),
        "G" => (1, 9),
        "T" => (1, 12),
        "P" => (1, 15),
        "E" => (1, 18),
        "Ki" => (1 << 10, 0),
        "Mi" => (1 << 20, 0),
        "Gi" => (1 << 30, 0),
        "Ti" => (1 << 40, 0),
        "Pi" => (1 << 50, 0),
        "Ei" => (1 << 60, 0),
        _ => {
            let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            (1, exponent.clamp(-100, 100))
        }
    })
}

/// Times a power of ten, rounded up; `None` where it does not fit.
fn shifted(value: i128, power: i32) -> Option<i128> {
    let ten = 10_i128.checked_pow(power.unsigned_abs());
    if power >= 0 {
        return if value == 0 { Some(0) } else { value.checked_mul(ten?) };
    }
    match ten {
        Some(ten) => Some(value / ten + i128::from(value % ten > 0)),
        None => Some(i128::from(value > 0)),
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (value, suffix) = [(1 << 30, "Gi"), (1 << 20, "Mi"), (1 << 10, "Ki")]
            .into_iter()
            .find(|(factor, _)| self.nanos != 0 && self.nanos % (i128::from(*factor) * NANO) == 0)
            .map_or((self.nanos, ""), |(factor, suffix)| (self.nanos / i128::from(factor), suffix));
        match suffix {
            "" if value % NANO == 0 => write!(f, "{}", value / NANO),
            "" if value % 1_000_000 == 0 => write!(f, "{}m", value / 1_000_000),
            "" => write!(f, "{value}n"),
            suffix => write!(f, "{}{suffix}", value / NANO),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("128Mi", 134_217_728_000)]
    #[case("0.5", 500)]
    #[case("250m", 250)]
    #[case("1e3", 1_000_000)]
    #[case("1E3", 1_000_000)]
    #[case("12e-1", 1200)]
    #[case("1.5Gi", 1_610_612_736_000)]
    #[case("1k", 1_000_000)]
    #[case(".5", 500)]
    #[case("5.", 5000)]
    #[case("+1", 1000)]
    #[case("0", 0)]
    #[case("00", 0)]
    #[case("1u", 1)]
    #[case("1e-40", 1)]
    #[case("0.1Ki", 102_400)]
    fn an_amount_is_read_in_thousandths(#[case] text: &str, #[case] millis: u64) {
        assert_eq!(text.parse::<Quantity>().unwrap().millis(), millis);
    }

    #[rstest]
    #[case("")]
    #[case("Mi")]
    #[case("1MB")]
    #[case("1 Gi")]
    #[case("1mi")]
    #[case("1K")]
    #[case("256mb")]
    #[case("1.2.3")]
    #[case("1e")]
    #[case("--1")]
    #[case("999999999999999999999999999999999999999999")]
    fn what_is_no_amount_is_refused(#[case] text: &str) {
        assert!(text.parse::<Quantity>().is_err());
    }

    #[rstest]
    #[case("128Mi", "128Mi")]
    #[case("1024Mi", "1Gi")]
    #[case("0.25", "250m")]
    #[case("2", "2")]
    #[case("1n", "1n")]
    fn an_amount_is_shown_in_its_largest_unit(#[case] text: &str, #[case] shown: &str) {
        assert_eq!(text.parse::<Quantity>().unwrap().to_string(), shown);
    }

    #[test]
    fn amounts_compare_whatever_their_units() {
        let of = |text: &str| text.parse::<Quantity>().unwrap();
        assert!(of("1Gi") > of("1G"));
        assert_eq!(of("1000m"), of("1"));
        assert!(of("-1").is_negative());
        assert_eq!(of("1n").units(), 1);
    }
}
