//! How long ago something was, in the few letters that `kubectl` spends on it.

use crate::time;
use std::time::SystemTime;

/// `5s`, `3m10s`, `2d`; `<unknown>` for what is no time.
pub(super) fn since(written: &str) -> String {
    let second = |moment: SystemTime| moment.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs().cast_signed());
    time::read(written).map_or_else(|| String::from("<unknown>"), |then| short(second(SystemTime::now()) - second(then)))
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
        assert!(["0s", "1s"].contains(&since(&time::in_seconds(SystemTime::now())).as_str()));
        assert_eq!(since("yesterday"), "<unknown>");
    }
}
