//! Times as Go writes them: `60s`, `1h30m`, `500ms`.

use std::time::Duration;

/// What `kubectl` makes of a time below zero.
const A_WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

/// Reads a time; the error says what is wrong in Go's words.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    let (rest, negative) = text.strip_prefix('-').map_or((text.strip_prefix('+').unwrap_or(text), false), |rest| (rest, true));
    let mut rest = rest;
    let mut seconds = 0.0;
    let wrong = || format!("invalid duration \"{text}\"");
    if rest.is_empty() {
        return Err(wrong());
    }
    while rest != "0" && !rest.is_empty() {
        let digits = rest
            .find(|letter: char| !letter.is_ascii_digit() && letter != '.')
            .ok_or_else(|| format!("missing unit in duration \"{text}\""))?;
        let number: f64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let unit = rest.find(|letter: char| letter.is_ascii_digit() || letter == '.').unwrap_or(rest.len());
        seconds += number
            * match &rest[..unit] {
                "ns" => 1e-9,
                "us" | "µs" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                other => return Err(format!("unknown unit \"{other}\" in duration \"{text}\"")),
            };
        rest = &rest[unit..];
    }
    match negative {
        true => Ok(A_WEEK),
        false => Duration::try_from_secs_f64(seconds).map_err(|_| wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("60s", Ok(Duration::from_secs(60)))]
    #[case("1h30m", Ok(Duration::from_secs(5400)))]
    #[case("500ms", Ok(Duration::from_millis(500)))]
    #[case("1.5s", Ok(Duration::from_millis(1500)))]
    #[case("0", Ok(Duration::ZERO))]
    #[case("0s", Ok(Duration::ZERO))]
    #[case("-1s", Ok(A_WEEK))]
    #[case("60", Err("missing unit in duration \"60\""))]
    #[case("", Err("invalid duration \"\""))]
    #[case("1w", Err("unknown unit \"w\" in duration \"1w\""))]
    #[case("s", Err("invalid duration \"s\""))]
    fn a_time_is_read_as_go_reads_it(#[case] text: &str, #[case] expected: Result<Duration, &str>) {
        assert_eq!(parse(text), expected.map_err(ToOwned::to_owned));
    }
}
