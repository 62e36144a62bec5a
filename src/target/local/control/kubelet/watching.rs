//! The three probes of a running container, in their rhythm.

use super::{
    super::{
        super::runtime::{Exit, Running},
        events::Level,
        json::text,
    },
    pod::Worker,
    probe::{self, Found, Rhythm, Row},
};
use crate::wait::pause;
use serde_json::Value;
use std::{future::pending, time::Duration};
use tokio::time::Instant;

/// Within this time of its start a kubelet reports a container as running.
const FIRST_REPORT: Duration = Duration::from_secs(1);
/// Between the first two looks; doubled from look to look.
const FIRST_NAP: Duration = Duration::from_millis(10);

impl Worker {
    /// Resolves when startup or liveness give the container up: which of them, and its probe.
    pub(super) async fn until_unhealthy<'a>(&self, spec: &'a Value, running: &Running, started: Instant) -> (&'static str, &'a Value) {
        let name = text(spec, "/name");
        if let Some(startup) = given(spec, "startupProbe")
            && !self.starts(spec, startup, running, started).await
        {
            return ("startup", startup);
        }
        let without_readiness = given(spec, "readinessProbe").is_none();
        self.change(name, |status| (status.started, status.ready) = (true, without_readiness));
        let Some(liveness) = given(spec, "livenessProbe") else { return pending().await };
        let rhythm = Rhythm::of(liveness);
        let mut row = Row::default();
        let mut next = started + first_tick(rhythm);
        loop {
            pause(next.saturating_duration_since(Instant::now())).await;
            let begun = Instant::now();
            if let Some(success) = self.look("Liveness", spec, liveness, rhythm, running).await
                && row.add(success, rhythm) == Some(false)
            {
                return ("liveness", liveness);
            }
            next = begun + rhythm.period;
        }
    }

    /// Whether a probe without delay succeeds at its first looks, whose failures do not count.
    ///
    /// A kubelet's first look comes with its first report of the running container, some time within a second of the start; looking
    /// early and ever less often within that second finds a Redis that needs 15 ms without waiting for a whole period.
    async fn succeeds_early(&self, spec: &Value, probe: &Value, rhythm: Rhythm, running: &Running) -> bool {
        let begun = Instant::now();
        let mut nap = FIRST_NAP;
        while rhythm.delay.is_zero() && begun.elapsed() < FIRST_REPORT.min(rhythm.period) {
            if self.found(spec, probe, rhythm, running).await == Found::Success {
                return true;
            }
            pause(nap).await;
            nap *= 2;
        }
        false
    }

    /// Whether the startup probe succeeds before its failures are used up.
    async fn starts(&self, spec: &Value, startup: &Value, running: &Running, started: Instant) -> bool {
        let rhythm = Rhythm::of(startup);
        if self.succeeds_early(spec, startup, rhythm, running).await {
            return true;
        }
        let mut row = Row::default();
        let mut next = started + first_tick(rhythm);
        loop {
            pause(next.saturating_duration_since(Instant::now())).await;
            let begun = Instant::now();
            if let Some(success) = self.look("Startup", spec, startup, rhythm, running).await
                && let Some(verdict) = row.add(success, rhythm)
            {
                return verdict;
            }
            next = begun + rhythm.period;
        }
    }

    /// Keeps the container's readiness as its probe finds it; never resolves.
    pub(super) async fn keep_readiness(&self, spec: &Value, running: &Running, started: Instant) -> Exit {
        let name = text(spec, "/name");
        let Some(readiness) = given(spec, "readinessProbe") else { return pending().await };
        let rhythm = Rhythm::of(readiness);
        let mut changes = self.cluster.store.changes();
        while !self.status_of(name, |status| status.started).unwrap_or(false) {
            // The report of the start is a change.
            if changes.changed().await.is_err() {
                return pending().await;
            }
        }
        let mut row = Row::default();
        let mut next = started + if rhythm.delay.is_zero() { rhythm.period } else { rhythm.delay };
        if self.succeeds_early(spec, readiness, rhythm, running).await && row.add(true, rhythm) == Some(true) {
            self.change(name, |status| status.ready = true);
        }
        loop {
            pause(next.saturating_duration_since(Instant::now())).await;
            let begun = Instant::now();
            if let Some(success) = self.look("Readiness", spec, readiness, rhythm, running).await
                && let Some(ready) = row.add(success, rhythm)
            {
                self.change(name, |status| status.ready = ready);
            }
            next = begun + rhythm.period;
        }
    }

    async fn found(&self, spec: &Value, probe: &Value, rhythm: Rhythm, running: &Running) -> Found {
        let Some(sandbox) = self.sandbox.get() else { return Found::Unknown("the pod has no sandbox".into()) };
        probe::look(probe, spec, &self.cluster.network, sandbox.address(), running, rhythm.timeout).await
    }

    /// One look, told where it is not well; `None` where it counts neither way.
    async fn look(&self, kind: &str, spec: &Value, probe: &Value, rhythm: Rhythm, running: &Running) -> Option<bool> {
        match self.found(spec, probe, rhythm, running).await {
            Found::Success => Some(true),
            Found::Failure(_) | Found::Unknown(_) if running.exit().is_some() => None,
            Found::Failure(seen) => {
                self.tell(Level::Warning, "Unhealthy", &format!("{kind} probe failed: {seen}"));
                Some(false)
            }
            Found::Unknown(why) => {
                self.tell(Level::Warning, "Unhealthy", &format!("{kind} probe errored and resulted in unknown state: {why}"));
                None
            }
        }
    }
}

fn given<'a>(spec: &'a Value, name: &str) -> Option<&'a Value> {
    spec.get(name).filter(|probe| !probe.is_null())
}

/// The kubelet looks at whole periods, and not before the delay.
fn first_tick(rhythm: Rhythm) -> Duration {
    let periods = rhythm.delay.as_secs().div_ceil(rhythm.period.as_secs().max(1)).max(1);
    rhythm.period * u32::try_from(periods).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    #[rstest]
    #[case(0, 10, 10)]
    #[case(10, 15, 15)]
    #[case(15, 10, 20)]
    #[case(20, 10, 20)]
    fn the_first_counted_look_is_at_a_whole_period(#[case] delay: u64, #[case] period: u64, #[case] first: u64) {
        let rhythm = Rhythm::of(&json!({ "initialDelaySeconds": delay, "periodSeconds": period }));
        assert_eq!(first_tick(rhythm), Duration::from_secs(first));
    }
}
