//! What the steps of one scenario share: a case, a stage, data, faults, findings and evidence; each is owned by one file of this room.

use super::{data::Data, failure::Step, faults::FaultLog, stage::Stage};
use crate::{
    evidence::Evidence,
    run::{Case, Places},
    target::{ContainerRef, Target},
    verdict::Outcome,
};
use std::sync::Arc;

/// The state of one scenario.
#[derive(cucumber::World, Debug)]
#[world(init = Self::without_case)]
pub struct World {
    pub(super) case: Case,
    pub(super) stage: Stage,
    pub(super) data: Data,
    pub(super) fault: FaultLog,
    pub(super) findings: Findings,
    evidence: Evidence,
}

/// What the reader of the report should know beside the outcome.
#[derive(Debug, Default)]
pub(super) struct Findings {
    notes: Vec<String>,
    fixtures: Vec<String>,
}

impl World {
    /// The world of a case, before its first step.
    #[must_use]
    pub fn of(case: Case, places: Arc<Places>, evidence: Evidence) -> Self {
        let stage = Stage::new(places);
        Self { case, stage, data: Data::default(), fault: FaultLog::default(), findings: Findings::default(), evidence }
    }

    /// Cucumber's own runner makes worlds out of nothing; ours never asks for that.
    fn without_case() -> anyhow::Result<Self> {
        anyhow::bail!("a world belongs to a case: run features with `redis-conformance verify`")
    }

    /// Where this scenario's evidence goes.
    #[must_use]
    pub fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    /// One sentence for the report: a measured figure, a stated loss.
    pub(super) fn note(&mut self, note: impl Into<String>) {
        let note = note.into();
        self.evidence.timeline("note", serde_json::json!({ "note": note }));
        if !self.findings.notes.contains(&note) {
            self.findings.notes.push(note);
        }
    }

    /// A fixture program helped: the verdict says so.
    pub(super) fn helped_by(&mut self, fixture: &str) {
        if !self.findings.fixtures.iter().any(|known| known == fixture) {
            self.findings.fixtures.push(fixture.to_owned());
        }
    }

    /// What was noted.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        self.findings.notes.clone()
    }

    /// Which fixtures helped.
    #[must_use]
    pub fn fixtures(&self) -> Vec<String> {
        self.findings.fixtures.clone()
    }

    /// Ends what the scenario itself does, and gathers what the target knows.
    pub async fn gather(&mut self) {
        self.data.stop_writing().await;
        self.stage.gather(&self.evidence).await;
    }

    /// Whether the scenario has begun to run anything.
    #[must_use]
    pub fn stands(&self) -> bool {
        self.stage.target().is_some()
    }

    /// Where it runs, and the container of Redis there as it is now, as far as there are any.
    pub async fn look(&mut self) -> Option<(Arc<dyn Target>, Option<ContainerRef>)> {
        let target = Arc::clone(self.stage.target()?);
        Some((target, self.redis_container().await.ok()))
    }

    /// Takes the target down.
    ///
    /// # Errors
    /// A failure when something of it stays.
    pub async fn down(&mut self) -> Step {
        self.stage.down(&self.case).await
    }

    /// Takes the target down, and keeps the outcome unless that fails; what went wrong before counts more.
    pub async fn leave(&mut self, outcome: Outcome) -> Outcome {
        match (self.down().await, &outcome) {
            (Err(failure), Outcome::Passed | Outcome::Unsupported { .. } | Outcome::Skipped { .. }) => {
                failure.at("taking the scenario down".into())
            }
            (Err(failure), Outcome::Failed { .. } | Outcome::Broken { .. }) => {
                self.evidence.timeline("down", serde_json::json!({ "error": failure.to_string() }));
                outcome
            }
            (Ok(()), _) => outcome,
        }
    }
}
