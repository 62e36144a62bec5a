//! Which exit code a verdict makes, and why; nothing else chooses one.

use super::{Counts, Fate, Mutation, Outcome, Standing, Verdict};
use serde::Serialize;
use std::{fmt, process::ExitCode};

/// Keeps the doc comment of each exit code as text, so that help, docs and code say the same.
macro_rules! exits {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal,)+) => {
        /// How the process ends; each has a row in `docs/exit-codes.md`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
        #[serde(rename_all = "kebab-case")]
        #[repr(u8)]
        pub enum Exit {
            $($(#[doc = $doc])+ $name = $code,)+
        }

        impl Exit {
            /// Every way to end, by rising code.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// What it means, in one or two sentences.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($doc),+).trim_start(),)+
                }
            }
        }
    };
}

exits! {
    /// Every selected guarantee holds; those for which the target lacks a capability are listed as *not proven here*.
    Conformant = 0,
    /// A guarantee is violated; also when the manifests do not render or are refused.
    Violated = 1,
    /// The command line or the config file is wrong.
    Usage = 2,
    /// A verdict is broken (we could not tell), or the target or the input cannot be used at all.
    Unusable = 3,
    /// Something selected got no decided verdict, or nothing ran. With `--strict` also what is not proven here.
    Undecided = 4,
    /// A mutant survived: a guarantee has no scenario that would notice its breach.
    Survived = 5,
    /// A bug of ours; please report it.
    Bug = 70,
    /// Interrupted before everything selected had been tried.
    Interrupted = 130,
}

impl Exit {
    /// The number that the shell sees.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Conformant => "conformant",
            Self::Violated => "violated",
            Self::Usage => "usage",
            Self::Unusable => "unusable",
            Self::Undecided => "undecided",
            Self::Survived => "survived",
            Self::Bug => "bug",
            Self::Interrupted => "interrupted",
        })
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// An exit code with its reason in one sentence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ending {
    /// The code.
    #[serde(rename = "name")]
    pub exit: Exit,
    /// Why this one.
    pub reason: String,
}

impl Ending {
    fn new(exit: Exit, reason: impl Into<String>) -> Self {
        Self { exit, reason: reason.into() }
    }
}

impl Verdict {
    /// The exit code that this verdict makes, and why; `strict` makes what is not proven here undecided.
    ///
    /// Precedence: interrupted, violated, broken, undecided. A bug of ours (70) is no verdict: it is caught above.
    #[must_use]
    pub fn exit(&self, strict: bool) -> Ending {
        let counts = self.counts();
        if self.interrupted {
            let tried = self.scenarios.iter().filter(|scenario| !matches!(scenario.outcome, Outcome::Skipped { .. })).count();
            return Ending::new(
                Exit::Interrupted,
                format!("interrupted after {}{}", plural(tried, "scenario"), also_violated(&counts, self)),
            );
        }
        if self.scenarios.is_empty() {
            return Ending::new(Exit::Undecided, "nothing was selected, so nothing ran");
        }
        let of = |standing| self.named(standing);
        if counts.violated > 0 {
            let named = of(Standing::Violated);
            let reason = match (counts.violated, counts.guarantees) {
                (1, 1) => format!("{named} is violated"),
                (1, all) => format!("1 of {all} guarantees is violated: {named}"),
                (violated, all) => format!("{violated} of {all} guarantees are violated: {named}"),
            };
            return Ending::new(Exit::Violated, reason);
        }
        if counts.broken > 0 {
            return Ending::new(Exit::Unusable, format!("no verdict could be had for {}: the run broke", of(Standing::Broken)));
        }
        if counts.undecided > 0 {
            return Ending::new(Exit::Undecided, format!("left out: {}", of(Standing::Undecided)));
        }
        if counts.holds == 0 {
            return Ending::new(Exit::Undecided, format!("nothing could be proven here: {}", of(Standing::NotProven)));
        }
        let verb = if counts.holds == 1 { "holds" } else { "hold" };
        if counts.gaps() == 0 {
            let all = if counts.holds == 1 { "the one guarantee".into() } else { format!("all {} guarantees", counts.holds) };
            return Ending::new(Exit::Conformant, format!("{all} {verb}"));
        }
        let gaps = self.gaps();
        if strict {
            return Ending::new(Exit::Undecided, format!("not proven here, and --strict wants all: {gaps}"));
        }
        let of = plural(counts.guarantees, "guarantee");
        Ending::new(Exit::Conformant, format!("{} of {of} {verb}; not proven here: {gaps}", counts.holds))
    }

    fn named(&self, standing: Standing) -> String {
        let ids: Vec<String> =
            self.guarantees().iter().filter(|guarantee| guarantee.standing == standing).map(|guarantee| guarantee.id.clone()).collect();
        ids.join(", ")
    }

    /// Ids of the guarantees of which at least one scenario is not proven here.
    fn gaps(&self) -> String {
        let ids: Vec<String> = self
            .guarantees()
            .iter()
            .filter(|guarantee| matches!(guarantee.standing, Standing::NotProven | Standing::HoldsInPart))
            .map(|guarantee| match guarantee.standing {
                Standing::HoldsInPart => format!("{} in part", guarantee.id),
                _ => guarantee.id.clone(),
            })
            .collect();
        ids.join(", ")
    }
}

impl Mutation {
    /// The exit code: the baseline's own where that is not conformant, 5 where a mutant survived or was stillborn, 4 where one got no verdict.
    #[must_use]
    pub fn exit(&self) -> Ending {
        let baseline = self.baseline.exit(false);
        if baseline.exit != Exit::Conformant {
            return Ending::new(baseline.exit, format!("the baseline must be green first: {}", baseline.reason));
        }
        if self.interrupted {
            return Ending::new(Exit::Interrupted, format!("interrupted after {}", plural(self.mutants.len(), "mutant")));
        }
        if self.mutants.is_empty() {
            return Ending::new(Exit::Undecided, "no mutant was selected, so nothing ran");
        }
        let named = |wanted: fn(&Fate) -> bool| -> Vec<String> {
            self.mutants
                .iter()
                .filter(|mutant| wanted(&mutant.fate))
                .map(|mutant| format!("{} ({})", mutant.mutant, mutant.guarantee))
                .collect()
        };
        let broken = named(|fate| matches!(fate, Fate::Broken { .. }));
        if !broken.is_empty() {
            return Ending::new(Exit::Unusable, format!("no verdict could be had for {}", broken.join(", ")));
        }
        let undecided = named(|fate| matches!(fate, Fate::Undecided { .. }));
        let survivors = named(|fate| matches!(fate, Fate::Survived { .. } | Fate::Stillborn { .. }));
        if !survivors.is_empty() {
            return Ending::new(Exit::Survived, format!("survived: {}", survivors.join(", ")));
        }
        let killed = self.mutants.len() - undecided.len();
        if killed == 0 {
            return Ending::new(Exit::Undecided, format!("nothing could be proven here: {}", undecided.join(", ")));
        }
        match undecided.as_slice() {
            [] => Ending::new(Exit::Conformant, format!("{} killed, none survived", plural(killed, "mutant"))),
            left => Ending::new(Exit::Conformant, format!("{} killed; not proven here: {}", plural(killed, "mutant"), left.join(", "))),
        }
    }
}

fn also_violated(counts: &Counts, verdict: &Verdict) -> String {
    if counts.violated == 0 { String::new() } else { format!("; already violated: {}", verdict.named(Standing::Violated)) }
}

fn plural(number: usize, word: &str) -> String {
    if number == 1 { format!("1 {word}") } else { format!("{number} {word}s") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        target::Capability,
        verdict::{MutantResult, Outcome, ScenarioResult},
    };
    use rstest::rstest;

    const PASSED: Outcome = Outcome::Passed;

    fn failed() -> Outcome {
        Outcome::Failed { step: "Then x".into(), message: "y".into() }
    }

    fn broken() -> Outcome {
        Outcome::Broken { step: String::new(), message: "y".into() }
    }

    fn skipped() -> Outcome {
        Outcome::Skipped { reason: "by the user".into() }
    }

    fn unsupported() -> Outcome {
        Outcome::Unsupported { capability: Capability::PowerLoss, reason: "no".into() }
    }

    fn verdict(outcomes: &[(&str, Outcome)]) -> Verdict {
        let scenarios = outcomes.iter().map(|(id, outcome)| ScenarioResult::sample(id, outcome.clone())).collect();
        Verdict { scenarios, ..Verdict::default() }
    }

    #[rstest]
    #[case::nothing(&[], false, Exit::Undecided)]
    #[case::all_hold(&[("A-1", PASSED), ("A-2", PASSED)], true, Exit::Conformant)]
    #[case::violated(&[("A-1", PASSED), ("A-2", failed())], false, Exit::Violated)]
    #[case::violated_beats_broken(&[("A-1", broken()), ("A-2", failed()), ("A-3", skipped())], false, Exit::Violated)]
    #[case::broken_beats_undecided(&[("A-1", broken()), ("A-2", skipped())], false, Exit::Unusable)]
    #[case::broken_never_counts_as_passed(&[("A-1", PASSED), ("A-1", broken())], false, Exit::Unusable)]
    #[case::skipped(&[("A-1", PASSED), ("A-2", skipped())], false, Exit::Undecided)]
    #[case::not_proven_here(&[("A-1", PASSED), ("A-2", unsupported())], false, Exit::Conformant)]
    #[case::strict(&[("A-1", PASSED), ("A-2", unsupported())], true, Exit::Undecided)]
    #[case::part_of_a_guarantee(&[("A-1", PASSED), ("A-1", unsupported())], false, Exit::Conformant)]
    #[case::part_of_a_guarantee_strict(&[("A-1", PASSED), ("A-1", unsupported())], true, Exit::Undecided)]
    #[case::nothing_proven_at_all(&[("A-1", unsupported())], false, Exit::Undecided)]
    fn a_verdict_makes_an_exit_code(#[case] outcomes: &[(&str, Outcome)], #[case] strict: bool, #[case] expected: Exit) {
        let ending = verdict(outcomes).exit(strict);
        assert_eq!(ending.exit, expected, "{}", ending.reason);
    }

    #[test]
    fn an_interrupted_run_says_what_was_already_violated() {
        let mut verdict = verdict(&[("A-1", failed())]);
        verdict.interrupted = true;
        let ending = verdict.exit(false);
        assert_eq!(ending.exit, Exit::Interrupted);
        assert_eq!(ending.reason, "interrupted after 1 scenario; already violated: A-1");
    }

    #[test]
    fn the_reason_names_the_guarantees() {
        let ending = verdict(&[("A-1", PASSED), ("A-2", failed()), ("A-3", failed())]).exit(false);
        assert_eq!(ending.reason, "2 of 3 guarantees are violated: A-2, A-3");
        let ending = verdict(&[("A-1", PASSED), ("A-1", unsupported()), ("A-2", unsupported())]).exit(false);
        assert_eq!(ending.reason, "1 of 2 guarantees holds; not proven here: A-1 in part, A-2");
    }

    fn killed() -> Fate {
        Fate::Killed { scenario: "s".into(), step: "Then x".into(), message: "y".into() }
    }

    fn undecided() -> Fate {
        Fate::Undecided { reason: "no power".into() }
    }

    #[rstest]
    #[case::none(vec![], Exit::Undecided)]
    #[case::killed(vec![killed()], Exit::Conformant)]
    #[case::survived(vec![killed(), Fate::Survived { reason: "all passed".into() }], Exit::Survived)]
    #[case::stillborn_counts_as_survived(vec![Fate::Stillborn { reason: "refused".into() }], Exit::Survived)]
    #[case::broken_beats_survived(vec![Fate::Broken { message: "lost".into() }, Fate::Survived { reason: String::new() }], Exit::Unusable)]
    #[case::not_proven_here(vec![killed(), undecided()], Exit::Conformant)]
    #[case::nothing_proven(vec![undecided()], Exit::Undecided)]
    fn mutants_make_an_exit_code(#[case] fates: Vec<Fate>, #[case] expected: Exit) {
        let mutants = fates.into_iter().map(MutantResult::sample).collect();
        let mutation = Mutation { baseline: verdict(&[("A-1", PASSED)]), mutants, interrupted: false };
        assert_eq!(mutation.exit().exit, expected);
    }

    #[test]
    fn a_red_baseline_proves_nothing_about_mutants() {
        let mutation =
            Mutation { baseline: verdict(&[("A-1", failed())]), mutants: vec![MutantResult::sample(killed())], interrupted: false };
        assert_eq!(mutation.exit().exit, Exit::Violated);
    }

    #[test]
    fn every_exit_code_has_a_meaning() {
        for exit in Exit::ALL {
            assert!(exit.meaning().ends_with('.'), "{exit}: {}", exit.meaning());
        }
    }
}
