//! Lets whoever runs a piece of work see which wait of it is under way and how long it may take; it waits for nothing itself.

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::time::Instant;

/// A wait that is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// For what.
    pub what: String,
    /// When it is given up, or over.
    pub until: std::time::Instant,
}

tokio::task_local! {
    /// Waits are deep in steps and targets, and the one who shows them is far above: it is known to the task that runs the work, and
    /// to no other, so that what a target does in the background is shown to nobody.
    static WATCH: Arc<Watch>;
}

/// The open waits of a piece of work, by their order, and who is told.
struct Watch {
    open: Mutex<(u64, BTreeMap<u64, Waiting>)>,
    tell: Box<dyn Fn(Option<Waiting>) + Send + Sync>,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("open", &self.open).finish_non_exhaustive()
    }
}

/// Does work, and tells each time which wait of it is under way from now on, if any.
///
/// Of several it is the one that began first: the others are looks of its own, or run beside it.
pub async fn watched<F: Future>(tell: impl Fn(Option<Waiting>) + Send + Sync + 'static, work: F) -> F::Output {
    WATCH.scope(Arc::new(Watch { open: Mutex::default(), tell: Box::new(tell) }), work).await
}

/// A wait is open as long as this lives.
#[derive(Debug)]
pub(super) struct Open(Option<(Arc<Watch>, u64)>);

impl Open {
    /// Begins a wait; nothing where nobody watches.
    pub(super) fn new(what: &str, until: Instant) -> Self {
        Self(WATCH.try_with(Arc::clone).ok().map(|watch| {
            let number = watch.begin(Waiting { what: what.to_owned(), until: until.into_std() });
            (watch, number)
        }))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some((watch, number)) = self.0.take() {
            watch.end(number);
        }
    }
}

impl Watch {
    fn begin(&self, waiting: Waiting) -> u64 {
        let mut held = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let (next, open) = &mut *held;
        let number = *next;
        *next += 1;
        open.insert(number, waiting.clone());
        if open.len() == 1 {
            // Under the lock, so that nobody hears of two changes in the wrong order.
            (self.tell)(Some(waiting));
        }
        number
    }

    fn end(&self, number: u64) {
        let mut held = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let open = &mut held.1;
        let was_shown = open.first_key_value().is_some_and(|(first, _)| *first == number);
        open.remove(&number);
        if was_shown {
            (self.tell)(open.first_key_value().map(|(_, waiting)| waiting.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Look, TimedOut, Until, at_most, pause},
        *,
    };
    use std::time::Duration;
    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

    const SECOND: Duration = Duration::from_secs(1);

    /// What was told until now: the wait and the seconds that it had left at the time `began`.
    fn told(heard: &mut UnboundedReceiver<Option<Waiting>>, began: Instant) -> Vec<Option<(String, u64)>> {
        let left = |waiting: Waiting| (waiting.what, waiting.until.duration_since(began.into_std()).as_secs());
        std::iter::from_fn(|| heard.try_recv().ok()).map(|waiting| waiting.map(left)).collect()
    }

    fn some(what: &str, left: u64) -> Option<(String, u64)> {
        Some((what.to_owned(), left))
    }

    /// Becomes ready at the moment.
    async fn becomes_ready(what: &str, limit: u64, at: Instant) -> Result<(), TimedOut> {
        Until::within(SECOND * u32::try_from(limit).expect("a small limit"))
            .met(what, || async { Ok(if Instant::now() >= at { Look::Ready(()) } else { Look::NotYet("not yet".into()) }) })
            .await
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_is_told_with_its_deadline_and_again_when_it_is_over() {
        let (sender, mut heard) = unbounded_channel();
        let began = Instant::now();
        let work = async {
            becomes_ready("a pod", 60, began + 4 * SECOND).await.expect("it comes");
            becomes_ready("PONG", 10, began + 60 * SECOND).await.expect_err("it does not come");
        };
        watched(move |waiting| drop(sender.send(waiting)), work).await;
        assert_eq!(told(&mut heard, began), [some("a pod", 60), None, some("PONG", 14), None]);
    }

    #[tokio::test(start_paused = true)]
    async fn of_waits_within_each_other_the_outer_one_is_told() {
        let (sender, mut heard) = unbounded_channel();
        let began = Instant::now();
        let work = async {
            let look = || async {
                becomes_ready("the client", 5, began + 2 * SECOND).await?;
                Ok::<_, TimedOut>(Look::Ready(()))
            };
            Until::within(30 * SECOND).met("an answer", look).await.expect("it comes");
        };
        watched(move |waiting| drop(sender.send(waiting)), work).await;
        assert_eq!(told(&mut heard, began), [some("an answer", 30), None]);
    }

    #[tokio::test(start_paused = true)]
    async fn of_waits_beside_each_other_the_one_that_is_left_is_told_in_the_end() {
        let (sender, mut heard) = unbounded_channel();
        let began = Instant::now();
        let work = async {
            let (pod, client) =
                tokio::join!(becomes_ready("a pod", 60, began + SECOND), becomes_ready("the client", 20, began + 3 * SECOND));
            pod.and(client).expect("both come");
        };
        watched(move |waiting| drop(sender.send(waiting)), work).await;
        assert_eq!(told(&mut heard, began), [some("a pod", 60), some("the client", 20), None]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_span_of_time_and_bounded_work_are_waits_too() {
        let (sender, mut heard) = unbounded_channel();
        let began = Instant::now();
        let work = async {
            pause(65 * SECOND).await;
            assert_eq!(at_most(5 * SECOND, "the end of it", std::future::pending::<()>()).await, None);
            assert_eq!(at_most(5 * SECOND, "an answer", async { 42 }).await, Some(42));
        };
        watched(move |waiting| drop(sender.send(waiting)), work).await;
        let expected = [some("the time to pass", 65), None, some("the end of it", 70), None, some("an answer", 75), None];
        assert_eq!(told(&mut heard, began), expected);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_is_given_up_is_over() {
        let (sender, mut heard) = unbounded_channel();
        let began = Instant::now();
        let work = async {
            tokio::select! {
                _ = becomes_ready("a pod", 60, began + 50 * SECOND) => {}
                () = pause(SECOND) => {}
            }
        };
        watched(move |waiting| drop(sender.send(waiting)), work).await;
        let told = told(&mut heard, began);
        assert_eq!(told.last(), Some(&None), "{told:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_other_tasks_wait_for_is_told_to_nobody() {
        let (sender, mut heard) = unbounded_channel();
        let began = Instant::now();
        becomes_ready("before", 5, began).await.expect("it is there");
        let work = async {
            tokio::spawn(async move { becomes_ready("a kubelet's own", 5, began + SECOND).await })
                .await
                .expect("it ends")
                .expect("it comes");
        };
        watched(move |waiting| drop(sender.send(waiting)), work).await;
        assert_eq!(told(&mut heard, began), []);
    }
}
