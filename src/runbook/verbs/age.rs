//! How long ago something was, in the few letters that `kubectl` spends on it; and now, as the API server writes it.

use k8s_openapi::jiff::{Timestamp, fmt::strtime};
use std::time::{SystemTime, UNIX_EPOCH};

/// `5s`, `3m10s`, `2d`; `<unknown>` for what is no time.
pub(super) fn since(time: &str) -> String {
    time.parse::<Timestamp>().map_or_else(|_| String::from("<unknown>"), |time| short(unix_now() - time.as_second()))
}

/// Now, in whole seconds: `2006-01-02T15:04:05Z`.
pub(super) fn now() -> String {
    Timestamp::from_second(unix_now()).and_then(|now| strtime::format("%Y-%m-%dT%H:%M:%SZ", now)).unwrap_or_default()
}

/// Seconds since 1970.
fn unix_now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs().cast_signed())
}

fn short(seconds: i64) -> String {
    let two = |big: i64, big_unit: &str, small: i64, small_unit: &str| match small {
        0 => format!("{big}{big_unit}"),
        _ => format!("{big}{big_unit}{small}{small_unit}"),
    };
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match seconds {
        ..-1 => String::from("<invalid>"),
        -1..=0 => String::from("0s"),
        1..120 => format!("{seconds}s"),
        120..600 => two(minutes, "m", seconds % 60, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => two(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => two(days, "d", hours % 24, "h"),
        691_200..63_072_000 => format!("{days}d"),
        63_072_000..252_288_000 => two(days / 365, "y", days % 365, "d"),
        252_288_000.. => format!("{}y", days / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(-5, "<invalid>")]
    #[case(0, "0s")]
    #[case(119, "119s")]
    #[case(190, "3m10s")]
    #[case(3600, "60m")]
    #[case(10_800, "3h")]
    #[case(90_000, "25h")]
    #[case(180_000, "2d2h")]
    #[case(8_640_000, "100d")]
    fn an_age_is_short(#[case] seconds: i64, #[case] expected: &str) {
        assert_eq!(short(seconds), expected);
    }

    #[test]
    fn now_is_no_time_ago() {
        assert!(["0s", "1s"].contains(&since(&now()).as_str()));
        assert_eq!(since("yesterday"), "<unknown>");
    }
}
