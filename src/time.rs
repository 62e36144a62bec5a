//! Writes and reads times of the wall clock, always in UTC; it measures nothing and waits for nothing.

use k8s_openapi::jiff::{Timestamp, fmt::strtime};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// `2026-01-31T12:00:00.250Z`: as evidence and reports have it.
#[must_use]
pub fn rfc3339(time: SystemTime) -> String {
    written(time, "%Y-%m-%dT%H:%M:%S.%3fZ")
}

/// `2026-01-31T12:00:00Z`: whole seconds, as the API server writes them.
#[must_use]
pub fn in_seconds(time: SystemTime) -> String {
    written(time, "%Y-%m-%dT%H:%M:%SZ")
}

/// In the letters of `strftime`; what lies before 1970 is taken for its first moment.
#[must_use]
pub fn written(time: SystemTime, format: &str) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let stamp = Timestamp::new(since.as_secs().cast_signed(), since.subsec_nanos().cast_signed()).unwrap_or(Timestamp::MAX);
    strtime::format(format, stamp).unwrap_or_default()
}

/// The whole second that a time in RFC 3339 lies in; `None` for what is no time, and before 1970.
#[must_use]
pub fn read(text: &str) -> Option<SystemTime> {
    let seconds = u64::try_from(text.parse::<Timestamp>().ok()?.as_second()).ok()?;
    Some(UNIX_EPOCH + Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(0, "1970-01-01T00:00:00.000Z")]
    #[case(951_782_399_999, "2000-02-28T23:59:59.999Z")]
    #[case(951_782_400_000, "2000-02-29T00:00:00.000Z")]
    #[case(1_709_164_800_250, "2024-02-29T00:00:00.250Z")]
    #[case(4_107_542_400_007, "2100-03-01T00:00:00.007Z")]
    fn dates_are_those_of_the_calendar(#[case] milliseconds: u64, #[case] expected: &str) {
        assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_millis(milliseconds)), expected);
    }

    #[rstest]
    #[case("1970-01-01T00:00:01Z", Some(1))]
    #[case("1970-01-01T00:00:01.5Z", Some(1))]
    #[case("1970-01-01T02:00:01+02:00", Some(1))]
    #[case("1969-12-31T23:59:59Z", None)]
    #[case("yesterday", None)]
    fn a_time_is_read_to_the_second(#[case] text: &str, #[case] seconds: Option<u64>) {
        assert_eq!(read(text), seconds.map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds)));
    }

    #[test]
    fn the_api_servers_times_have_no_fractions() {
        assert_eq!(in_seconds(UNIX_EPOCH + Duration::from_millis(1500)), "1970-01-01T00:00:01Z");
    }
}
