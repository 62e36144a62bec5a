//! One clock for all evidence of a run: milliseconds since it began, and the wall's time.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The clock of a run.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Instant,
    wall: SystemTime,
}

impl Clock {
    /// The run begins now.
    #[must_use]
    pub fn start() -> Self {
        Self { started: Instant::now(), wall: SystemTime::now() }
    }

    /// When the run began.
    #[must_use]
    pub fn began(&self) -> SystemTime {
        self.wall
    }

    /// Time since the run began.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// The wall's time now, which never steps back within a run: it is the beginning plus what has passed.
    #[must_use]
    pub fn wall(&self) -> SystemTime {
        self.wall + self.elapsed()
    }
}

/// `2026-01-31T12:00:00.250Z`.
#[must_use]
pub fn rfc3339(time: SystemTime) -> String {
    let Civil { year, month, day, hour, minute, second, millisecond } = civil(time);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}Z")
}

/// A name for a run that sorts by time and fits into the name of a namespace: `20260131-120000-3f9a`.
#[must_use]
pub fn run_id(time: SystemTime, process: u32) -> String {
    let Civil { year, month, day, hour, minute, second, .. } = civil(time);
    // Runs of one second may share a process number too (each is 1 in its namespace): the fraction tells them apart.
    let fraction = time.duration_since(UNIX_EPOCH).unwrap_or_default().subsec_nanos();
    let tail = (fraction ^ process).wrapping_mul(0x9e37_79b1) >> 16;
    format!("{year:04}{month:02}{day:02}-{hour:02}{minute:02}{second:02}-{tail:04x}")
}

struct Civil {
    year: u64,
    month: u64,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
    millisecond: u32,
}

/// The Gregorian calendar in UTC, for times since 1970.
fn civil(time: SystemTime) -> Civil {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, of_day) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    // Years counted from March have the leap day at their end: 400 of them are 146,097 days.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    Civil {
        year: era * 400 + year_of_era + u64::from(month <= 2),
        month,
        day: of_year - (153 * from_march + 2) / 5 + 1,
        hour: of_day / 3_600,
        minute: of_day % 3_600 / 60,
        second: of_day % 60,
        millisecond: since.subsec_millis(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(0, "1970-01-01T00:00:00.000Z")]
    #[case(951_782_399, "2000-02-28T23:59:59.000Z")]
    #[case(951_782_400, "2000-02-29T00:00:00.000Z")]
    #[case(1_709_164_800, "2024-02-29T00:00:00.000Z")]
    #[case(1_767_225_599, "2025-12-31T23:59:59.000Z")]
    #[case(4_107_542_400, "2100-03-01T00:00:00.000Z")]
    fn dates_are_those_of_the_calendar(#[case] seconds: u64, #[case] expected: &str) {
        assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_secs(seconds)), expected);
    }

    #[test]
    fn a_run_is_named_by_its_time() {
        let moment = UNIX_EPOCH + Duration::from_secs(1_767_225_599);
        let id = run_id(moment, 1);
        assert!(id.starts_with("20251231-235959-") && id.len() == 20, "{id}");
        assert_ne!(id, run_id(moment + Duration::from_nanos(100), 1));
    }
}
