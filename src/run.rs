//! Runs cases: a scenario of a system, perhaps under a mutant, each in a world of its own; it judges nothing.
//!
//! Cucumber gives the phrases and their functions; the loop is ours, since a case is more than a scenario (`docs/decisions/0003-own-executor.md`).

mod keeping;
mod sharing;
mod subject;

use crate::{
    evidence::{Store, slug},
    manifest::Place,
    mutants::{Mutant, NOTHING_TO_CHANGE},
    report::Event,
    spec::Scenario,
    steps::{Failure, World, within_scenario},
    target::{Target, TargetError},
    verdict::{Outcome, ScenarioResult, StepResult},
    wait::{Waiting, watched},
};
use async_trait::async_trait;
use cucumber::{World as _, step::Collection};
use futures::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};
pub use keeping::{Keeping, Kept};
pub use sharing::{DISRUPTIVE, Places, SHARED};
use std::{any::Any, collections::VecDeque, panic::AssertUnwindSafe, path::Path, sync::Arc, time::Instant};
pub use subject::{Rendered, Subject, Variant};
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

/// Gives cases the places where they run.
#[async_trait]
pub trait Provider: Send + Sync {
    /// Gets ready whatever all places share; called once, before the first.
    ///
    /// # Errors
    /// No case could run.
    async fn prepare(&self, _run: &str, _folder: &Path) -> anyhow::Result<()> {
        Ok(())
    }

    /// A fresh, empty place; `alone` where it may disturb all others.
    ///
    /// # Errors
    /// [`TargetError`] when there is none to be had.
    async fn start(&self, name: &str, alone: bool) -> Result<Arc<dyn Target>, TargetError>;

    /// Whether all places are on one cluster, so that a case that needs it for itself waits for all others.
    fn is_shared(&self) -> bool {
        false
    }

    /// What the reader must know of the places as a whole.
    fn remarks(&self) -> Vec<String> {
        Vec::new()
    }

    /// Takes back what all places shared; called once, after the last.
    ///
    /// # Errors
    /// Something stays: it is named.
    async fn finish(&self) -> anyhow::Result<()> {
        Ok(())
    }
}

/// One scenario of one system, perhaps under a mutant.
#[derive(Clone, Debug)]
pub struct Case {
    /// What is tried.
    pub subject: Arc<Subject>,
    /// The feature's name.
    pub feature: String,
    /// The guarantee's id.
    pub guarantee: String,
    /// The guarantee's sentence.
    pub promise: String,
    /// What is done.
    pub scenario: Arc<Scenario>,
    /// Which of several Redis of the set a generic feature speaks of.
    pub redis: Option<usize>,
    /// What is changed beforehand.
    pub mutant: Option<&'static Mutant>,
    /// From 1.
    pub repetition: usize,
}

impl Case {
    /// Every case of the subjects that `selected` takes, in the order of the features.
    pub fn of(subjects: &[Arc<Subject>], repeat: usize, selected: impl Fn(&str, &Scenario) -> bool) -> Vec<Self> {
        let mut cases = Vec::new();
        for subject in subjects {
            for document in &subject.system.documents {
                for guarantee in &document.guarantees {
                    for scenario in guarantee.scenarios.iter().filter(|scenario| selected(&guarantee.id, scenario)) {
                        cases.extend((1..=repeat).map(|repetition| Self {
                            subject: Arc::clone(subject),
                            feature: document.name.clone(),
                            guarantee: guarantee.id.clone(),
                            promise: guarantee.promise.clone(),
                            scenario: Arc::clone(scenario),
                            redis: None,
                            mutant: None,
                            repetition,
                        }));
                    }
                }
            }
        }
        cases
    }

    /// The same cases, those of a generic feature once for each Redis where their set has several; the scenario's name then says which.
    ///
    /// A set that cannot be read keeps its cases: their first step tells why.
    pub async fn for_each_redis(cases: Vec<Self>) -> Vec<Self> {
        let mut all = Vec::new();
        for case in cases {
            let names = if case.is_generic() { case.subject.redis().await } else { Vec::new() };
            if names.len() < 2 {
                all.push(case);
                continue;
            }
            all.extend(names.into_iter().enumerate().map(|(index, name)| {
                let scenario = Scenario { name: format!("{} — {name}", case.scenario.name), ..case.scenario.as_ref().clone() };
                Self { redis: Some(index), scenario: Arc::new(scenario), ..case.clone() }
            }));
        }
        all
    }

    /// Whether the scenario has that tag.
    #[must_use]
    pub fn is_tagged(&self, tag: &str) -> bool {
        self.scenario.tags.iter().any(|own| own == tag)
    }

    /// Whether the feature is for any manifest set, so that nothing is promised but by the manifests.
    #[must_use]
    pub fn is_generic(&self) -> bool {
        self.guarantee.starts_with("GEN-")
    }

    /// A short name for logs, namespaces and folders: letters, digits and hyphens.
    #[must_use]
    pub fn slug(&self) -> String {
        let mut words = vec![self.guarantee.clone()];
        words.extend(self.mutant.map(|mutant| mutant.name.to_owned()));
        words.push(self.scenario.name.clone());
        if self.repetition > 1 {
            words.push(self.repetition.to_string());
        }
        slug(&words.join("-").to_lowercase(), 80)
    }
}

/// How cases are run.
pub struct Runner {
    /// Where.
    pub provider: Arc<dyn Provider>,
    /// How many at once.
    pub jobs: usize,
    /// Where evidence goes, and the run's clock.
    pub store: Store,
    /// What stays up afterwards.
    pub keeping: Keeping,
    /// Who is told.
    pub events: UnboundedSender<Event>,
    /// Ends the run early.
    pub cancel: CancellationToken,
}

impl Runner {
    /// Runs all cases, those first that keep others waiting, and gives their results in the order of the cases.
    ///
    /// Must be polled on one thread (a `LocalSet` or `block_on`): steps are not `Send`.
    pub async fn run(&self, cases: &[Case]) -> Vec<ScenarioResult> {
        let steps = World::collection();
        let places = Arc::new(Places::of(Arc::clone(&self.provider), cases));
        let mut waiting = VecDeque::from(sharing::order(cases));
        let mut running = FuturesUnordered::new();
        let mut results: Vec<Option<ScenarioResult>> = vec![None; cases.len()];
        loop {
            while running.len() < self.jobs.max(1) && !self.cancel.is_cancelled() {
                let Some(index) = waiting.pop_front() else { break };
                let (steps, places) = (&steps, &places);
                running.push(async move { (index, self.case(index, &cases[index], steps, places).await) });
            }
            let Some((index, result)) = running.next().await else { break };
            results[index] = Some(result);
        }
        let mut all = Vec::with_capacity(cases.len());
        for (result, case) in results.into_iter().zip(cases) {
            all.push(match result {
                Some(result) => result,
                None => {
                    let outcome = Outcome::Skipped { reason: "the run was interrupted".into() };
                    self.result(case, left_alone(&places, case, outcome).await, Instant::now())
                }
            });
        }
        all
    }

    async fn case(&self, index: usize, case: &Case, steps: &Collection<World>, places: &Arc<Places>) -> ScenarioResult {
        let began = Instant::now();
        self.tell(Event::ScenarioStarted { index });
        let evidence = match self.store.scenario(&case.guarantee, &case.slug(), case.repetition) {
            Ok(evidence) => evidence,
            Err(error) => {
                let message = format!("{:#}", anyhow::Error::from(error));
                let outcome = Outcome::Broken { step: String::new(), message };
                let result = self.result(case, left_alone(places, case, outcome).await, began);
                self.tell(Event::ScenarioFinished { index, result: Box::new(result.clone()) });
                return result;
            }
        };
        let mut world = World::of(case.clone(), Arc::clone(places), evidence.clone());
        let (outcome, begun, fields) = within_scenario(self.steps(index, case, steps, &mut world)).await;
        world.gather().await;
        let stays = self.keeping.takes(case, &outcome, world.stands(), places.are_waited_for());
        let outcome = if stays { outcome } else { world.leave(outcome).await };
        let outcome = match outcome {
            Outcome::Passed | Outcome::Failed { .. } if case.mutant.is_some() && !world.mutated() => {
                Outcome::Broken { step: String::new(), message: NOTHING_TO_CHANGE.into() }
            }
            outcome => outcome,
        };
        let mut result = self.result(case, outcome, began);
        result.steps = begun;
        result.manifests = fields;
        result.evidence = Some(evidence.folder().to_path_buf());
        result.notes = world.notes();
        result.fixtures = world.fixtures();
        self.store.redactor().result(&mut result);
        if let Err(error) = evidence.finish(&result).await
            // A proof that cannot be shown is none, but a violation stays one.
            && !matches!(result.outcome, Outcome::Failed { .. })
        {
            result.outcome = Outcome::Broken { step: "writing the evidence".into(), message: format!("{:#}", anyhow::Error::from(error)) };
        }
        self.tell(Event::ScenarioFinished { index, result: Box::new(result.clone()) });
        if stays {
            self.keeping.keep(result.clone(), world);
        }
        result
    }

    async fn steps(
        &self,
        index: usize,
        case: &Case,
        steps: &Collection<World>,
        world: &mut World,
    ) -> (Outcome, Vec<StepResult>, Vec<Place>) {
        let mut begun = Vec::new();
        for step in &case.scenario.steps {
            let text = format!("{} {}", step.keyword.trim(), step.value);
            let function = match steps.find(step) {
                Ok(Some((function, _, _, context))) => Ok((*function, context)),
                Ok(None) => Err("no function stands behind this phrase; `redis-conformance steps` lists those that there are".to_owned()),
                Err(ambiguous) => Err(format!("several functions stand behind this phrase: {ambiguous}")),
            };
            let (function, context) = match function {
                Ok(found) => found,
                Err(message) => return (Outcome::Broken { step: text, message }, begun, Vec::new()),
            };
            self.tell(Event::StepStarted { index, text: text.clone() });
            world.evidence().timeline("step", serde_json::json!({ "text": text }));
            let start = Instant::now();
            let ended = tokio::select! {
                ended = AssertUnwindSafe(watched(self.waits_of(index), function(world, context))).catch_unwind() => ended,
                () = self.cancel.cancelled() => {
                    return (Outcome::Skipped { reason: format!("interrupted while: {text}") }, begun, Vec::new());
                }
            };
            begun.push(StepResult { text: text.clone(), took: start.elapsed() });
            if let Err(panic) = ended {
                let failure = Failure::take().unwrap_or_else(|| Failure::broken(said(panic.as_ref())));
                let places = failure.places().to_vec();
                return (failure.at(text), begun, places);
            }
        }
        (Outcome::Passed, begun, Vec::new())
    }

    fn result(&self, case: &Case, outcome: Outcome, began: Instant) -> ScenarioResult {
        ScenarioResult {
            system: case.subject.system.name.clone(),
            feature: case.feature.clone(),
            guarantee: case.guarantee.clone(),
            promise: case.promise.clone(),
            scenario: case.scenario.name.clone(),
            place: case.scenario.place.clone(),
            repetition: case.repetition,
            outcome,
            steps: Vec::new(),
            notes: Vec::new(),
            manifests: Vec::new(),
            fixtures: Vec::new(),
            started: self.store.clock().elapsed().saturating_sub(began.elapsed()),
            took: began.elapsed(),
            evidence: None,
        }
    }

    /// Passes on what a step waits for; whatever the words of a wait quote, no secret of theirs is shown.
    fn waits_of(&self, index: usize) -> impl Fn(Option<Waiting>) + Send + Sync + use<> {
        let (events, redactor) = (self.events.clone(), self.store.redactor().clone());
        move |waiting| {
            let waiting = waiting.map(|waiting| Waiting { what: redactor.text(&waiting.what), ..waiting });
            tell(&events, Event::StepWaits { index, waiting });
        }
    }

    fn tell(&self, event: Event) {
        tell(&self.events, event);
    }
}

/// The outcome of a case that was not begun, and whose place others may be using.
async fn left_alone(places: &Places, case: &Case, outcome: Outcome) -> Outcome {
    if let Err(error) = places.give_back(case, None).await {
        tracing::warn!(%error, scenario = case.slug(), "a place stays up");
    }
    outcome
}

fn tell(events: &UnboundedSender<Event>, event: Event) {
    // The listener ends before us only when its output is gone, which ends the run by other means.
    if events.send(event).is_err() {
        tracing::debug!("nobody listens to events any more");
    }
}

/// The words of a panic.
fn said(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|words| (*words).to_owned()))
        .unwrap_or_else(|| "a panic without words".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Clock;
    use std::time::Duration;
    use tokio::{sync::mpsc::unbounded_channel, time};

    struct Nowhere;

    #[async_trait]
    impl Provider for Nowhere {
        async fn start(&self, name: &str, _alone: bool) -> Result<Arc<dyn Target>, TargetError> {
            Err(TargetError::Missing(name.into()))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn waits_of_a_step_become_events_without_secrets() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (events, mut heard) = unbounded_channel();
        let store = Store::open(folder.path(), "r", Clock::start()).expect("opens");
        store.redactor().secret(b"hunter22");
        let cancel = CancellationToken::new();
        let runner = Runner { provider: Arc::new(Nowhere), jobs: 1, store, keeping: Keeping::default(), events, cancel };
        let began = time::Instant::now().into_std();
        let step = crate::wait::at_most(Duration::from_secs(9), "the answer to AUTH hunter22", std::future::pending::<()>());
        watched(runner.waits_of(3), step).await;
        let told: Vec<(usize, Option<Waiting>)> = std::iter::from_fn(|| match heard.try_recv() {
            Ok(Event::StepWaits { index, waiting }) => Some((index, waiting)),
            _ => None,
        })
        .collect();
        let waiting = Waiting { what: "the answer to AUTH [redacted]".into(), until: began + Duration::from_secs(9) };
        assert_eq!(told, [(3, Some(waiting)), (3, None)]);
    }
}
