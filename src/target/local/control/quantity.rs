//! Kubernetes' quantities: `10Gi`, `500m`.

use serde_json::Value;

/// In thousandths of the unit, rounded up; `None` where it is no quantity.
pub(super) fn of(value: &Value) -> Option<i128> {
    match value {
        Value::String(text) => parse(text),
        Value::Number(number) => parse(&number.to_string()),
        _ => None,
    }
}

/// In whole units, rounded up.
pub(super) fn whole(value: &Value) -> Option<u64> {
    let thousandths = of(value)?;
    u64::try_from((thousandths + 999).div_euclid(1000)).ok()
}

fn parse(text: &str) -> Option<i128> {
    let text = text.trim();
    let end = text.find(|letter: char| !(letter.is_ascii_digit() || matches!(letter, '.' | '+' | '-'))).unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (factor, divisor): (i128, i128) = match suffix {
        "m" => (1, 1000),
        "" => (1, 1),
        "k" => (1000, 1),
        "M" => (1_000_000, 1),
        "G" => (1_000_000_000, 1),
        "T" => (1_000_000_000_000, 1),
        "P" => (1_000_000_000_000_000, 1),
        "Ki" => (1 << 10, 1),
        "Mi" => (1 << 20, 1),
        "Gi" => (1 << 30, 1),
        "Ti" => (1 << 40, 1),
        "Pi" => (1 << 50, 1),
        exponent => (10_i128.checked_pow(exponent.strip_prefix(['e', 'E'])?.parse().ok()?)?, 1),
    };
    let (before, after) = number.split_once('.').unwrap_or((number, ""));
    let sign = if before.starts_with('-') { -1 } else { 1 };
    let digits = format!("{}{after}", before.trim_start_matches(['+', '-']));
    let scale = 10_i128.checked_pow(u32::try_from(after.len()).ok()?)?;
    let value: i128 = digits.parse().ok()?;
    let numerator = value.checked_mul(factor)?.checked_mul(1000)?;
    let denominator = scale.checked_mul(divisor)?;
    Some(sign * (numerator + denominator - 1).div_euclid(denominator))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("10Gi", Some(10 * (1 << 30)))]
    #[case("384Mi", Some(384 * (1 << 20)))]
    #[case("1.5Gi", Some(3 * (1 << 29)))]
    #[case("1e3", Some(1000))]
    #[case("500m", Some(1))]
    #[case("128974848", Some(128_974_848))]
    #[case("10Gib", None)]
    #[case("", None)]
    #[case("99999999999999999999999999999999999999Pi", None)]
    fn a_quantity_is_read_as_kubernetes_reads_it(#[case] text: &str, #[case] units: Option<u64>) {
        assert_eq!(whole(&Value::from(text)), units);
    }
}
