//! The wall clock as the API server writes it.

use k8s_openapi::jiff::{Timestamp, fmt::strtime};
use serde_json::Value;
use std::time::{Duration, SystemTime};

/// Now, as `2006-01-02T15:04:05Z`.
pub(super) fn now() -> Value {
    at(SystemTime::now())
}

/// `time` from now, as [`now`].
pub(super) fn later(time: Duration) -> Value {
    at(SystemTime::now() + time)
}

/// An instant of the wall clock, as [`now`].
pub(super) fn at(time: SystemTime) -> Value {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let stamp = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok()).unwrap_or_default();
    Value::String(strtime::format("%Y-%m-%dT%H:%M:%SZ", stamp).unwrap_or_default())
}

/// How long ago a time of the API server was; zero for what lies ahead or cannot be read.
pub(super) fn since(time: &Value) -> Duration {
    let seconds = time.as_str().and_then(|text| text.parse::<Timestamp>().ok()).and_then(|stamp| u64::try_from(stamp.as_second()).ok());
    seconds
        .and_then(|seconds| SystemTime::now().duration_since(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_now_was_not_long_ago() {
        assert!(since(&now()) < Duration::from_secs(2));
        assert_eq!(since(&later(Duration::from_secs(60))), Duration::ZERO);
    }

    #[test]
    fn an_instant_is_written_without_fractions() {
        assert_eq!(at(SystemTime::UNIX_EPOCH + Duration::from_millis(1500)), "1970-01-01T00:00:01Z");
    }
}
