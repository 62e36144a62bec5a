//! What became of a guarantee: its scenarios taken together, the worst first.

use super::{Outcome, ScenarioResult, Verdict};
use serde::Serialize;

/// How a guarantee stands after a run, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Every scenario held.
    Holds,
    /// Every scenario that the target could run held; at least one it could not run.
    HoldsInPart,
    /// The target could run none of its scenarios.
    NotProven,
    /// Something was left out on purpose.
    Undecided,
    /// We could not tell.
    Broken,
    /// A scenario failed.
    Violated,
}

/// One guarantee with its scenarios, in the order of the run.
#[derive(Clone, Debug, Serialize)]
pub struct Guarantee<'a> {
    /// The system as the user named it.
    pub system: &'a str,
    /// The feature's name.
    pub feature: &'a str,
    /// `MCP-P5`.
    pub id: String,
    /// The promise in one sentence.
    pub promise: &'a str,
    /// All scenarios together.
    pub standing: Standing,
    /// Each scenario.
    pub scenarios: Vec<&'a ScenarioResult>,
}

/// How many guarantees stand how, and how many scenarios ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// All of them.
    pub guarantees: usize,
    /// Held by at least one scenario and contradicted by none.
    pub holds: usize,
    /// Of those, the ones of which the target could not run every scenario.
    pub in_part: usize,
    /// The target could run no scenario.
    pub not_proven: usize,
    /// Left out.
    pub undecided: usize,
    /// No verdict could be had.
    pub broken: usize,
    /// Contradicted.
    pub violated: usize,
    /// Scenarios, each repetition counted.
    pub scenarios: usize,
}

impl Counts {
    /// Guarantees of which something is not proven here.
    #[must_use]
    pub fn gaps(&self) -> usize {
        self.in_part + self.not_proven
    }
}

impl Outcome {
    /// How a guarantee with this one scenario stands.
    #[must_use]
    pub fn standing(&self) -> Standing {
        match self {
            Self::Passed => Standing::Holds,
            Self::Unsupported { .. } => Standing::NotProven,
            Self::Skipped { .. } => Standing::Undecided,
            Self::Broken { .. } => Standing::Broken,
            Self::Failed { .. } => Standing::Violated,
        }
    }
}

impl Verdict {
    /// The guarantees in the order in which they first appear, each with all its scenarios.
    #[must_use]
    pub fn guarantees(&self) -> Vec<Guarantee<'_>> {
        let mut guarantees: Vec<Guarantee<'_>> = Vec::new();
        for result in &self.scenarios {
            let same =
                |known: &Guarantee<'_>| known.system == result.system && known.feature == result.feature && known.id == result.guarantee;
            match guarantees.iter_mut().rev().find(|known| same(known)) {
                Some(known) => known.scenarios.push(result),
                None => guarantees.push(Guarantee {
                    system: &result.system,
                    feature: &result.feature,
                    id: result.guarantee.clone(),
                    promise: &result.promise,
                    standing: Standing::Holds,
                    scenarios: vec![result],
                }),
            }
        }
        for guarantee in &mut guarantees {
            let standings = || guarantee.scenarios.iter().map(|scenario| scenario.outcome.standing());
            let worst = standings().max().unwrap_or(Standing::Undecided);
            let some_held = standings().any(|standing| standing == Standing::Holds);
            guarantee.standing = if worst == Standing::NotProven && some_held { Standing::HoldsInPart } else { worst };
        }
        guarantees
    }

    /// How many guarantees stand how.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts { scenarios: self.scenarios.len(), ..Counts::default() };
        for guarantee in self.guarantees() {
            counts.guarantees += 1;
            match guarantee.standing {
                Standing::Holds => counts.holds += 1,
                Standing::HoldsInPart => {
                    counts.holds += 1;
                    counts.in_part += 1;
                }
                Standing::NotProven => counts.not_proven += 1,
                Standing::Undecided => counts.undecided += 1,
                Standing::Broken => counts.broken += 1,
                Standing::Violated => counts.violated += 1,
            }
        }
        counts
    }
}

#[cfg(test)]
impl ScenarioResult {
    /// A result for tests.
    pub(crate) fn sample(guarantee: &str, outcome: Outcome) -> Self {
        use std::time::Duration;
        Self {
            system: "mcp".into(),
            feature: "Persistence".into(),
            guarantee: guarantee.into(),
            promise: "A promise".into(),
            scenario: "a scenario".into(),
            place: crate::manifest::Place::default(),
            repetition: 1,
            outcome,
            steps: Vec::new(),
            notes: Vec::new(),
            manifests: Vec::new(),
            fixtures: Vec::new(),
            started: Duration::ZERO,
            took: Duration::from_millis(120),
            evidence: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Capability;

    #[test]
    fn the_worst_scenario_speaks_for_its_guarantee() {
        let unsupported = || Outcome::Unsupported { capability: Capability::PowerLoss, reason: String::new() };
        let failed = || Outcome::Failed { step: String::new(), message: String::new() };
        let verdict = Verdict {
            scenarios: vec![
                ScenarioResult::sample("A-1", Outcome::Passed),
                ScenarioResult::sample("A-2", unsupported()),
                ScenarioResult::sample("A-1", unsupported()),
                ScenarioResult::sample("A-3", Outcome::Passed),
                ScenarioResult::sample("A-3", failed()),
            ],
            ..Verdict::default()
        };
        let standings: Vec<(String, Standing)> = verdict.guarantees().into_iter().map(|known| (known.id, known.standing)).collect();
        let expected = [("A-1", Standing::HoldsInPart), ("A-2", Standing::NotProven), ("A-3", Standing::Violated)];
        assert_eq!(standings, expected.map(|(id, standing)| (id.to_owned(), standing)));
        assert_eq!(
            verdict.counts(),
            Counts { guarantees: 3, holds: 1, in_part: 1, not_proven: 1, violated: 1, scenarios: 5, ..Counts::default() }
        );
    }
}
