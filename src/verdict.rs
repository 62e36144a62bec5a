//! What became of a scenario, a guarantee and a run, and which exit code that makes; it renders nothing.

mod exit;
mod guarantee;
mod mutation;

use crate::{manifest::Place, target::Capability};
pub use exit::{Ending, Exit};
pub use guarantee::{Counts, Guarantee, Standing};
pub use mutation::{Fate, MutantResult, Mutation};
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, time::Duration};

/// What became of one scenario.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, Serialize, Deserialize)]
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
    #[serde(default)]
    pub notes: Vec<String>,
    /// Where in the manifests the fields stand that the outcome speaks of.
    #[serde(default)]
    pub manifests: Vec<Place>,
    /// Fixture programs that helped to reach the verdict.
    #[serde(default)]
    pub fixtures: Vec<String>,
    /// Time since the run began.
    #[serde(rename = "started_ms", with = "milliseconds")]
    pub started: Duration,
    /// Wall time of the scenario.
    #[serde(rename = "took_ms", with = "milliseconds")]
    pub took: Duration,
    /// Where its evidence lies.
    pub evidence: Option<PathBuf>,
}

/// One step of a finished scenario.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StepResult {
    /// Keyword and text.
    pub text: String,
    /// Wall time.
    #[serde(rename = "took_ms", with = "milliseconds")]
    pub took: Duration,
}

/// What a run came to.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Verdict {
    /// Every selected scenario, in the order of the features.
    pub scenarios: Vec<ScenarioResult>,
    /// What the reader must know of the run as a whole: the Redis version used, containers without a program; one sentence each.
    #[serde(default)]
    pub remarks: Vec<String>,
    /// The run was interrupted before everything selected had been tried.
    #[serde(default)]
    pub interrupted: bool,
}

/// Times as milliseconds with one decimal, as reports show them.
pub(crate) mod milliseconds {
    use serde::{Deserialize as _, Deserializer, Serializer};
    use std::time::Duration;

    pub(crate) fn serialize<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64((time.as_secs_f64() * 10_000.0).round() / 10.0)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let milliseconds = f64::deserialize(deserializer)?;
        Duration::try_from_secs_f64(milliseconds / 1000.0).map_err(serde::de::Error::custom)
    }
}
