//! What became of a scenario, a guarantee and a run, and which exit code that makes; it renders nothing.

use crate::{manifest::Place, target::Capability};
use serde::Serialize;
use std::{path::PathBuf, time::Duration};

/// What became of one scenario.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// Every step held.
    Passed,
    /// The system under test broke the promise: the step that saw it, and what it saw.
    Failed {
        /// The step's text, with its keyword.
        step: String,
        /// The whole chain of causes, on one or more lines.
        message: String,
    },
    /// The target cannot do what the scenario needs.
    Unsupported {
        /// What is missing.
        capability: Capability,
        /// Why it is missing here, and how to get it.
        reason: String,
    },
    /// Left out on purpose.
    Skipped {
        /// Who left it out, and why.
        reason: String,
    },
    /// We could not tell; never counted as passed.
    Broken {
        /// The step at which we lost sight, with its keyword; empty outside steps.
        step: String,
        /// The whole chain of causes.
        message: String,
    },
}

/// One finished scenario.
#[derive(Clone, Debug, Serialize)]
pub struct ScenarioResult {
    /// The system as the user named it: `mcp`, `agentsmith`, or a path.
    pub system: String,
    /// The feature's name, without `Feature:`.
    pub feature: String,
    /// The guarantee's id: `MCP-P5`.
    pub guarantee: String,
    /// The promise in one sentence: the Rule's name.
    pub promise: String,
    /// The scenario's name; an outline's row has its values in it.
    pub scenario: String,
    /// Feature file and line of the scenario.
    pub place: Place,
    /// Which repetition this was, from 1.
    pub repetition: usize,
    /// What became of it.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Each step that was begun, in order.
    pub steps: Vec<StepResult>,
    /// What was measured or found on the way: `RTO 412 ms`, `lost 200 of 200`; one sentence each.
    pub notes: Vec<String>,
    /// Fixture programs that helped to reach the verdict.
    pub fixtures: Vec<String>,
    /// Time since the run began.
    pub started: Duration,
    /// Wall time of the scenario.
    pub took: Duration,
    /// Where its evidence lies.
    pub evidence: Option<PathBuf>,
}

/// One step of a finished scenario.
#[derive(Clone, Debug, Serialize)]
pub struct StepResult {
    /// Keyword and text.
    pub text: String,
    /// Wall time.
    pub took: Duration,
}

/// What a run came to.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Verdict {
    /// Every selected scenario, in the order of the features.
    pub scenarios: Vec<ScenarioResult>,
    /// What the reader must know of the run as a whole: the Redis version used, containers without a program; one sentence each.
    pub remarks: Vec<String>,
    /// The run was interrupted before everything selected had been tried.
    pub interrupted: bool,
}

/// How the process ends; each has a row in `docs/exit-codes.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[repr(u8)]
pub enum Exit {
    /// Every selected guarantee holds, those apart for which the target lacks a capability.
    Conformant = 0,
    /// A guarantee is violated.
    Violated = 1,
    /// The command line is wrong.
    Usage = 2,
    /// A verdict is Broken, or target or input cannot be used at all.
    Unusable = 3,
    /// Something selected got no decided verdict, or nothing ran.
    Undecided = 4,
    /// A mutant survived.
    Survived = 5,
    /// Our own bug.
    Bug = 70,
    /// Interrupted by the user.
    Interrupted = 130,
}
