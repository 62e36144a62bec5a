//! A run within the node: evidence, progress and signals around the executor.

use super::{Problem, panics, what::What};
use crate::{
    config::Config,
    evidence::{Clock, Store, run_id},
    report::{ColorWhen, Event, Progress, Purpose, Selected, Style, show},
    run::{Case, Keeping, Kept, Provider, Runner, Subject},
    verdict::ScenarioResult,
};
use anyhow::Context as _;
use std::{
    io,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{SignalKind, signal},
    sync::mpsc::{UnboundedSender, unbounded_channel},
    task::LocalSet,
};
use tokio_util::sync::CancellationToken;

/// A run that has been prepared: its folder can be written and its features are read.
pub(super) struct Session {
    pub(super) id: String,
    pub(super) clock: Clock,
    pub(super) subjects: Vec<Arc<Subject>>,
    runner: Runner,
    runtime: Runtime,
    progress: Option<JoinHandle<()>>,
    cancel: CancellationToken,
}

impl Session {
    /// Prepares a run.
    ///
    /// # Errors
    /// When evidence cannot be written, a feature cannot be used, or a guarantee is not known.
    pub(super) fn open(
        what: &What,
        config: &Config,
        color: ColorWhen,
        provider: Arc<dyn Provider>,
        keeping: Keeping,
    ) -> Result<Self, Problem> {
        let clock = Clock::start();
        let id = run_id(clock.began(), std::process::id());
        let store = Store::open(what.evidence(), &id, clock)?;
        panics::keep_in(store.folder().to_path_buf());
        let subjects = what.subjects(config, &store.folder().join("sources"))?;
        let runtime = Builder::new_multi_thread().enable_all().build().context("the asynchronous runtime does not start")?;
        let (events, receiver) = unbounded_channel();
        let style = Style::of(&io::stderr(), color);
        // A thread of its own: a terminal that blocks must not stop the run.
        let handle = runtime.handle().clone();
        let progress = thread::Builder::new()
            .name("progress".into())
            .spawn(move || handle.block_on(show(receiver, Progress::new(style, Instant::now()), io::stderr())))
            .context("the thread that shows progress does not start")?;
        let cancel = CancellationToken::new();
        let _entered = runtime.enter();
        for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
            let mut signals = signal(kind).context("signals cannot be heard")?;
            let (cancel, events) = (cancel.clone(), events.clone());
            runtime.spawn(async move {
                if signals.recv().await.is_some() {
                    cancel.cancel();
                    send(&events, Event::Interrupted { doing: Vec::new() });
                }
            });
        }
        let runner = Runner { provider, jobs: what.jobs(), store, keeping, events, cancel: cancel.clone() };
        let session = Self { id, clock, subjects, runner, runtime, progress: Some(progress), cancel };
        session.prepare()?;
        Ok(session)
    }

    /// Gets ready what all cases share; what is there of it when that fails, or is interrupted, is taken back.
    fn prepare(&self) -> Result<(), Problem> {
        let provider = &self.runner.provider;
        let prepared = self.runtime.block_on(async {
            tokio::select! {
                prepared = provider.prepare(&self.id, self.folder()) => prepared,
                () = self.cancel.cancelled() => Ok(()),
            }
        });
        prepared.map_err(|error| match self.runtime.block_on(provider.finish()) {
            Ok(()) => error.into(),
            Err(left) => error.context(format!("{left:#}")).into(),
        })
    }

    /// Tries the cases, and gives their results in the same order.
    pub(super) fn try_cases(&self, purpose: Purpose, cases: &[Case]) -> Vec<ScenarioResult> {
        let selected = cases
            .iter()
            .map(|case| Selected {
                system: case.subject.system.name.clone(),
                feature: case.feature.clone(),
                guarantee: case.guarantee.clone(),
                promise: case.promise.clone(),
                scenario: case.scenario.name.clone(),
                place: case.scenario.place.clone(),
            })
            .collect();
        let started = Event::RunStarted { run_id: self.id.clone(), purpose, selected, jobs: self.runner.jobs };
        send(&self.runner.events, started);
        LocalSet::new().block_on(&self.runtime, self.runner.run(cases))
    }

    /// Waits for what must be known before cases are tried.
    pub(super) fn wait_for<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// What the reader must know of the systems as a whole.
    pub(super) fn remarks(&self) -> Vec<String> {
        self.subjects.iter().flat_map(|subject| subject.remarks()).collect()
    }

    /// When the run began, as reports say it.
    pub(super) fn started(&self) -> String {
        crate::time::rfc3339(self.clock.began())
    }

    /// Whether the user interrupted the run.
    pub(super) fn interrupted(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// Resolves when the user wants the end: by Ctrl-C, or another signal that asks for it.
    pub(super) async fn end_is_asked_for(&self) {
        self.cancel.cancelled().await;
    }

    /// What stays up, and how many scenarios that did not hold were taken down for want of room.
    pub(super) fn kept(&self) -> (Vec<Kept>, usize) {
        (self.runner.keeping.take(), self.runner.keeping.let_go())
    }

    /// Takes the progress from the terminal; the run's wall time.
    pub(super) fn finish(&mut self) -> Duration {
        send(&self.runner.events, Event::RunFinished);
        if self.progress.take().is_some_and(|progress| progress.join().is_err()) {
            tracing::debug!("the progress thread panicked, which the panic hook has told");
        }
        self.clock.elapsed()
    }

    /// Takes back what all cases shared, and ends what runs in the background: tasks of targets that are down; nothing of the verdict
    /// depends on them any more.
    ///
    /// # Errors
    /// Something stays.
    pub(super) fn close(self) -> Result<(), Problem> {
        let finished = self.runtime.block_on(self.runner.provider.finish());
        self.runtime.shutdown_background();
        Ok(finished?)
    }

    /// The folder of the run's evidence.
    pub(super) fn folder(&self) -> &std::path::Path {
        self.runner.store.folder()
    }
}

fn send(events: &UnboundedSender<Event>, event: Event) {
    if events.send(event).is_err() {
        tracing::debug!("nobody shows progress any more");
    }
}
