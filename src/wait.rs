//! The one place that waits: a condition, a limit, and the memory of the last look.

mod watched;

use std::{future::Future, time::Duration};
use tokio::{sync::watch, time::Instant};
use watched::Open;
pub use watched::{Waiting, watched};

/// What one look at the world gave.
pub enum Look<T> {
    /// The condition holds.
    Ready(T),
    /// It does not hold yet; what was seen instead.
    NotYet(String),
}

/// The condition did not come true in time.
#[derive(Clone, Debug, thiserror::Error)]
#[error("waited {waited:.1?} for {what}, looked {looks} times; last saw: {last}")]
pub struct TimedOut {
    /// The condition.
    pub what: String,
    /// How long.
    pub waited: Duration,
    /// How many looks.
    pub looks: usize,
    /// What the last look saw.
    pub last: String,
    /// No look came back in time: nothing is known of the condition.
    pub blind: bool,
}

/// Waits until a condition holds, at most for `limit`, looking each `every` and at each wake-up.
#[derive(Clone, Debug)]
pub struct Until {
    limit: Duration,
    every: Duration,
    changes: Option<watch::Receiver<u64>>,
}

impl Until {
    /// A wait of at most `limit` that looks every 20 ms.
    #[must_use]
    pub fn within(limit: Duration) -> Self {
        Self { limit, every: Duration::from_millis(20), changes: None }
    }

    /// Looks each `every` instead.
    #[must_use]
    pub fn every(mut self, every: Duration) -> Self {
        self.every = every;
        self
    }

    /// Looks at each change, so that no time is lost between two looks, and else only now and then: twenty waits that look fifty times
    /// a second each would be the load that they wait for.
    #[must_use]
    pub fn on(mut self, changes: watch::Receiver<u64>) -> Self {
        self.every = self.every.max(Duration::from_millis(200));
        self.changes = Some(changes);
        self
    }

    /// Looks until `look` is ready.
    ///
    /// # Errors
    /// [`TimedOut`] with the last look when the limit has passed; an error of `look` itself ends the wait at once.
    pub async fn met<T, E, F>(mut self, what: impl Into<String>, mut look: impl FnMut() -> F) -> Result<T, E>
    where
        F: Future<Output = Result<Look<T>, E>>,
        E: From<TimedOut>,
    {
        let what = what.into();
        let start = Instant::now();
        let deadline = start + self.limit;
        let _open = Open::new(&what, deadline);
        let mut looks = 0;
        let mut last = String::from("nothing, no look came back in time");
        let mut blind = true;
        loop {
            looks += 1;
            match tokio::time::timeout_at(deadline, look()).await {
                Ok(Ok(Look::Ready(value))) => return Ok(value),
                Ok(Ok(Look::NotYet(seen))) => (last, blind) = (seen, false),
                Ok(Err(error)) => return Err(error),
                Err(_) => {}
            }
            if Instant::now() >= deadline {
                return Err(TimedOut { what, waited: start.elapsed(), looks, last, blind }.into());
            }
            let nap = nap(self.every.min(deadline.saturating_duration_since(Instant::now())));
            match &mut self.changes {
                Some(changes) => tokio::select! {
                    () = nap => {}
                    changed = changes.changed() => if changed.is_err() { self.changes = None },
                },
                None => nap.await,
            }
        }
    }
}

/// Gives work that tells by itself when it is done at most `limit`; nothing when that has passed.
pub async fn at_most<F: Future>(limit: Duration, what: &str, work: F) -> Option<F::Output> {
    let deadline = Instant::now() + limit;
    let _open = Open::new(what, deadline);
    tokio::time::timeout_at(deadline, work).await.ok()
}

/// Lets `time` pass because the promise itself speaks of time ("for the derived window nothing happens", a probe's period).
pub async fn pause(time: Duration) {
    let _open = Open::new("the time to pass", Instant::now() + time);
    nap(time).await;
}

#[expect(clippy::disallowed_methods, reason = "the one place that sleeps")]
async fn nap(time: Duration) {
    tokio::time::sleep(time).await;
}
