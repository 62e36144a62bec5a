//! The wall clock as fields of API objects have it.

use crate::time;
use serde_json::Value;
use std::time::{Duration, SystemTime};

/// Now, as `2006-01-02T15:04:05Z`.
pub(super) fn now() -> Value {
    at(SystemTime::now())
}

/// `wait` from now, as [`now`].
pub(super) fn later(wait: Duration) -> Value {
    at(SystemTime::now() + wait)
}

/// An instant of the wall clock, as [`now`].
pub(super) fn at(instant: SystemTime) -> Value {
    Value::String(time::in_seconds(instant))
}

/// How long ago a time of the API server was; zero for what lies ahead or cannot be read.
pub(super) fn since(written: &Value) -> Duration {
    let then = written.as_str().and_then(time::read);
    then.and_then(|then| SystemTime::now().duration_since(then).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_now_was_not_long_ago() {
        assert!(since(&now()) < Duration::from_secs(2));
        assert_eq!(since(&later(Duration::from_secs(60))), Duration::ZERO);
    }
}
