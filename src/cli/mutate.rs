//! `mutate`: breaks each guarantee on purpose and checks that its scenarios notice.

use super::{
    Arguments, Problem,
    home::near,
    output::{print, tell},
    panics,
    session::Session,
    target::{self, Place},
    what::What,
};
use crate::{
    mutants::{self, Trial},
    report::{Purpose, Style, mutation_json, mutation_text, nearby},
    run::{Case, Keeping},
    verdict::{Exit, Mutation, Verdict},
};
use clap::{Args, ValueEnum};
use std::{io, sync::Arc};

/// Check that every guarantee notices its breach: try each mutant of the manifests on the scenarios that must fail.
#[derive(Debug, Args)]
pub(super) struct Mutate {
    #[command(flatten)]
    what: What,

    /// Only this mutant; may be given several times.
    #[arg(long = "mutant", value_name = "NAME")]
    mutants: Vec<String>,

    /// What goes to standard output.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    format: TableFormat,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum TableFormat {
    #[default]
    Text,
    Json,
}

impl Mutate {
    pub(super) fn place(&self) -> &Place {
        self.what.place()
    }

    /// Finds out, before anything starts, what would make the run useless.
    pub(super) fn check(&self, arguments: &Arguments) -> Result<(), Problem> {
        self.what.or_everything().names(&arguments.config()?)?;
        let known: Vec<&str> = mutants::all().map(|mutant| mutant.name).collect();
        for wanted in &self.mutants {
            if !known.contains(&wanted.as_str()) {
                let near = near(wanted, known.iter().copied());
                let hint = if near.is_empty() { known.join(", ") } else { format!("did you mean {}?", near.join(" or ")) };
                return Err(Problem::usage(format!("there is no mutant {wanted}; {hint}")));
            }
        }
        Ok(())
    }

    /// Runs within the node.
    pub(super) fn run(&self, arguments: &Arguments) -> Result<Exit, Problem> {
        let config = arguments.config()?;
        let provider = target::provider(&self.what, &config, false)?;
        let what = self.what.or_everything();
        let mut session = Session::open(&what, &config, arguments.color, Arc::clone(&provider), Keeping::default())?;
        let trials = Trial::of(&session.subjects, |mutant| {
            self.what.takes(mutant.guarantee) && (self.mutants.is_empty() || self.mutants.iter().any(|name| name == mutant.name))
        });
        // Several mutants share a baseline scenario: it is tried once.
        let mut baseline: Vec<Case> = Vec::new();
        for case in trials.iter().flat_map(|trial| &trial.baseline) {
            if !baseline.iter().any(|known| same(known, case)) {
                baseline.push(case.clone());
            }
        }
        let unchanged = session.try_cases(Purpose::Baseline, &baseline);
        let mutated: Vec<Case> = trials.iter().flat_map(|trial| trial.mutated.clone()).collect();
        let changed = if session.interrupted() { Vec::new() } else { session.try_cases(Purpose::Mutants, &mutated) };
        let mut results = Vec::new();
        if !changed.is_empty() {
            let mut rest = changed.as_slice();
            for trial in &trials {
                let (own, others) = rest.split_at(trial.mutated.len());
                rest = others;
                let of_baseline: Vec<_> = trial
                    .baseline
                    .iter()
                    .filter_map(|case| baseline.iter().position(|known| same(known, case)).map(|at| unchanged[at].clone()))
                    .collect();
                results.push(trial.result(&of_baseline, own));
            }
        }
        let interrupted = session.interrupted();
        let folder = session.folder().to_path_buf();
        let took = session.finish();
        let closed = session.close();
        let baseline = Verdict { scenarios: unchanged, remarks: provider.remarks(), interrupted };
        let mutation = Mutation { baseline, mutants: results, interrupted };
        print(&match self.format {
            TableFormat::Text => mutation_text(&mutation, took, &Style::of(&io::stdout(), arguments.color)),
            TableFormat::Json => mutation_json(&mutation, &what.place().target, took, env!("CARGO_PKG_VERSION")),
        })?;
        tell(&format!("evidence: {}", nearby(&folder)));
        closed?;
        Ok(if panics::any() { Exit::Bug } else { mutation.exit().exit })
    }
}

/// Whether two cases try the same scenario of the same system.
fn same(left: &Case, right: &Case) -> bool {
    left.subject.system.name == right.subject.system.name
        && left.scenario.place == right.scenario.place
        && left.scenario.name == right.scenario.name
}
