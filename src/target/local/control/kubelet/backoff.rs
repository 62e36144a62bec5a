//! How long a container that ended waits for its next start: at first not at all, then 10 s, doubled up to five minutes.

use std::time::Duration;
use tokio::time::Instant;

const FIRST: Duration = Duration::from_secs(10);
const MOST: Duration = Duration::from_secs(300);

/// The memory of one container's restarts.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    last: Option<(Duration, Instant)>,
}

impl Backoff {
    /// When a container that ended at `ended` may be started; in the past where it may be at once.
    pub(super) fn ready_at(&self, ended: Instant) -> Instant {
        match self.last {
            Some((wait, at)) if ended.saturating_duration_since(at) <= MOST * 2 => ended + wait,
            _ => ended,
        }
    }

    /// How long the wait is that it stands in.
    pub(super) fn wait(&self) -> Duration {
        self.last.map_or(FIRST, |(wait, _)| wait)
    }

    /// It is started again after it ended at `ended`.
    pub(super) fn restarted(&mut self, ended: Instant) {
        let wait = match self.last {
            Some((wait, at)) if ended.saturating_duration_since(at) <= MOST * 2 => (wait * 2).min(MOST),
            _ => FIRST,
        };
        self.last = Some((wait, Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_restart_is_at_once_and_the_next_ones_wait_twice_as_long_each() {
        let mut backoff = Backoff::default();
        let mut waits = Vec::new();
        for _ in 0..8 {
            let ended = Instant::now();
            let wait = backoff.ready_at(ended).saturating_duration_since(ended);
            waits.push(wait.as_secs());
            tokio::time::advance(wait).await;
            backoff.restarted(ended);
        }
        assert_eq!(waits, [0, 10, 20, 40, 80, 160, 300, 300]);
    }

    #[tokio::test(start_paused = true)]
    async fn ten_quiet_minutes_are_forgiven() {
        let mut backoff = Backoff::default();
        backoff.restarted(Instant::now());
        tokio::time::advance(Duration::from_secs(601)).await;
        let ended = Instant::now();
        assert_eq!(backoff.ready_at(ended), ended);
    }
}
