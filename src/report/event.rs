//! What a run tells while it runs: plain data from the executor to whatever shows it.

use crate::{manifest::Place, verdict::ScenarioResult, wait::Waiting};

/// A scenario that the run will try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selected {
    /// The system as the user named it.
    pub system: String,
    /// The feature's name.
    pub feature: String,
    /// `MCP-P5`.
    pub guarantee: String,
    /// The promise in one sentence.
    pub promise: String,
    /// The scenario's name.
    pub scenario: String,
    /// Feature file and line.
    pub place: Place,
}

/// Why scenarios are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To see what holds.
    Verify,
    /// To see that mutants are tried against something green.
    Baseline,
    /// To see which mutants are noticed: a scenario that fails is good news.
    Mutants,
}

/// Something that happened in a run, in the order in which it happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// The first event, and again when another round begins.
    RunStarted {
        /// Names the run in namespaces, folders and reports.
        run_id: String,
        /// Why.
        purpose: Purpose,
        /// Everything that will be tried; later events name a scenario by its index here.
        selected: Vec<Selected>,
        /// How many scenarios run at once.
        jobs: usize,
    },
    /// A scenario begins.
    ScenarioStarted {
        /// Which.
        index: usize,
    },
    /// A step of it begins.
    StepStarted {
        /// Which scenario.
        index: usize,
        /// The step with its keyword.
        text: String,
    },
    /// The running step of a scenario begins to wait for something, or waits for nothing any more.
    StepWaits {
        /// Which scenario.
        index: usize,
        /// For what, and until when at most.
        waiting: Option<Waiting>,
    },
    /// A scenario ended.
    ScenarioFinished {
        /// Which.
        index: usize,
        /// What became of it.
        result: Box<ScenarioResult>,
    },
    /// Something that the reader must know of the run as a whole; one sentence.
    Remark(String),
    /// The user interrupted the run.
    Interrupted {
        /// What was going on beside the running steps, one sentence each.
        doing: Vec<String>,
    },
    /// The last event.
    RunFinished,
}
