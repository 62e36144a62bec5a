//! One clock for all evidence of a run: milliseconds since it began, and the wall's time.

use crate::time::written;
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

/// A name for a run that sorts by time and fits into the name of a namespace: `20260131-120000-3f9a`.
#[must_use]
pub fn run_id(time: SystemTime, process: u32) -> String {
    // Runs of one second may share a process number too (each is 1 in its namespace): the fraction tells them apart.
    let fraction = time.duration_since(UNIX_EPOCH).unwrap_or_default().subsec_nanos();
    let tail = (fraction ^ process).wrapping_mul(0x9e37_79b1) >> 16;
    format!("{}-{tail:04x}", written(time, "%Y%m%d-%H%M%S"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_named_by_its_time() {
        let moment = UNIX_EPOCH + Duration::from_secs(1_767_225_599);
        let id = run_id(moment, 1);
        assert!(id.starts_with("20251231-235959-") && id.len() == 20, "{id}");
        assert_ne!(id, run_id(moment + Duration::from_nanos(100), 1));
    }
}
