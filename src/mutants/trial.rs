//! Tries mutants: the baseline first, then each mutant on the scenarios that must notice it; the fate of each follows from the results alone.

use super::{Mutant, all};
use crate::{
    run::{Case, Subject},
    verdict::{Fate, MutantResult, Outcome, ScenarioResult},
};
use std::{sync::Arc, time::Duration};

/// A mutant with the cases that must notice it.
#[derive(Debug)]
pub struct Trial {
    /// Which mutant.
    pub mutant: &'static Mutant,
    /// The system whose manifests it changes.
    pub system: String,
    /// Its scenarios, unchanged.
    pub baseline: Vec<Case>,
    /// The same under the mutant.
    pub mutated: Vec<Case>,
}

impl Trial {
    /// The trials of every mutant that `selected` takes and whose guarantee one of the subjects has.
    #[must_use]
    pub fn of(subjects: &[Arc<Subject>], selected: impl Fn(&Mutant) -> bool) -> Vec<Self> {
        let mut trials = Vec::new();
        for mutant in all().filter(|mutant| selected(mutant)) {
            for subject in subjects {
                let baseline = Case::of(std::slice::from_ref(subject), 1, |guarantee, scenario| {
                    guarantee == mutant.guarantee && scenario.steps.iter().any(|step| step.value.contains(mutant.killer.step))
                });
                if baseline.is_empty() {
                    continue;
                }
                let mutated = baseline.iter().map(|case| Case { mutant: Some(mutant), ..case.clone() }).collect();
                trials.push(Self { mutant, system: subject.system.name.clone(), baseline, mutated });
            }
        }
        trials
    }

    /// What became of the mutant, given the results of its baseline and of itself.
    #[must_use]
    pub fn result(&self, baseline: &[ScenarioResult], mutated: &[ScenarioResult]) -> MutantResult {
        MutantResult {
            system: self.system.clone(),
            mutant: self.mutant.name.into(),
            guarantee: self.mutant.guarantee.into(),
            change: self.mutant.what.into(),
            fate: self.fate(baseline, mutated),
            took: mutated.iter().map(|result| result.took).max().unwrap_or(Duration::ZERO),
        }
    }

    fn fate(&self, baseline: &[ScenarioResult], mutated: &[ScenarioResult]) -> Fate {
        let killer = &self.mutant.killer;
        for result in baseline {
            match &result.outcome {
                Outcome::Passed => {}
                Outcome::Unsupported { capability, reason } => return Fate::Undecided { reason: format!("{capability}: {reason}") },
                other => return Fate::Broken { message: format!("the baseline does not hold: {}: {}", result.scenario, words(other)) },
            }
        }
        let mut reasons = Vec::new();
        for result in mutated {
            match &result.outcome {
                Outcome::Failed { step, message } if step.contains(killer.step) && message.contains(killer.message) => {
                    return Fate::Killed { scenario: result.scenario.clone(), step: step.clone(), message: message.clone() };
                }
                Outcome::Failed { step, message } if step.starts_with("Given ") => {
                    return Fate::Stillborn { reason: format!("{step}: {message}") };
                }
                Outcome::Broken { message, .. } if message == NOTHING_TO_CHANGE => return Fate::Stillborn { reason: message.clone() },
                Outcome::Broken { .. } => return Fate::Broken { message: words(&result.outcome) },
                other => reasons.push(format!("{}: {}", result.scenario, words(other))),
            }
        }
        Fate::Survived { reason: reasons.join("; ") }
    }
}

/// What a case says whose mutant did not find what it changes.
pub const NOTHING_TO_CHANGE: &str = "the mutant found nothing to change";

fn words(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Passed => "every step held".into(),
        Outcome::Failed { step, message } => format!("failed at {step}: {message}"),
        Outcome::Unsupported { capability, reason } => format!("unsupported ({capability}): {reason}"),
        Outcome::Skipped { reason } => format!("skipped: {reason}"),
        Outcome::Broken { step, message } => format!("broken at {step}: {message}"),
    }
}
