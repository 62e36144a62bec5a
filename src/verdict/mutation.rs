//! What became of mutants: each must be killed by the guarantee that it breaks.

use super::{Verdict, milliseconds};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What became of one mutant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fate", rename_all = "kebab-case")]
pub enum Fate {
    /// The guarantee's scenario failed at the step and with the message that were foreseen.
    Killed {
        /// The scenario that noticed.
        scenario: String,
        /// The step that noticed.
        step: String,
        /// What it said.
        message: String,
    },
    /// No scenario noticed, or one failed for another reason than the foreseen one.
    Survived {
        /// What happened instead.
        reason: String,
    },
    /// The mutated manifests do not get as far as the promise; counts as survived.
    Stillborn {
        /// Where they ended.
        reason: String,
    },
    /// The target cannot do what the guarantee's scenarios need.
    Undecided {
        /// What is missing.
        reason: String,
    },
    /// We could not tell.
    Broken {
        /// The whole chain of causes.
        message: String,
    },
}

/// One mutant and its fate.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MutantResult {
    /// The system whose manifests it changes.
    pub system: String,
    /// Its name: `claim-to-empty-dir`.
    pub mutant: String,
    /// The guarantee that must notice.
    pub guarantee: String,
    /// The change in one sentence.
    pub change: String,
    /// What became of it.
    #[serde(flatten)]
    pub fate: Fate,
    /// Wall time.
    #[serde(rename = "took_ms", with = "milliseconds")]
    pub took: Duration,
}

/// A run of mutants: the unchanged manifests first.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Mutation {
    /// The unchanged manifests under the scenarios that the mutants must fail.
    pub baseline: Verdict,
    /// Each mutant tried.
    pub mutants: Vec<MutantResult>,
    /// The run was interrupted before every mutant had been tried.
    #[serde(default)]
    pub interrupted: bool,
}

#[cfg(test)]
impl MutantResult {
    /// A result for tests.
    pub(crate) fn sample(fate: Fate) -> Self {
        Self {
            system: "mcp".into(),
            mutant: "claim-to-empty-dir".into(),
            guarantee: "MCP-P5".into(),
            change: "the claim becomes an emptyDir".into(),
            fate,
            took: Duration::from_millis(900),
        }
    }
}
