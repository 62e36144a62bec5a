//! `verify`: holds promises against manifests and reports what became of each.

use super::{
    Arguments, Problem, keep,
    output::{print, tell},
    panics,
    session::Session,
    target::{self, Place},
    what::What,
};
use crate::{
    report::{FORMATS, Format, Purpose, Run, Style, nearby},
    run::{Case, Keeping},
    spec::Tags,
    verdict::{Exit, Verdict},
};
use anyhow::Context as _;
use clap::{Args, builder::PossibleValuesParser};
use std::{
    fs::{self, File},
    io,
    path::PathBuf,
    str::FromStr,
    sync::Arc,
};

/// Hold promises against manifests: run each scenario on real Redis, and report what holds, what is lost, and why.
#[derive(Debug, Args)]
pub(super) struct Verify {
    #[command(flatten)]
    what: What,

    /// Only scenarios whose tags this takes: "@long and not @slow".
    #[arg(long, value_name = "EXPRESSION")]
    tags: Option<Tags>,

    /// Try each scenario so many times.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    repeat: u32,

    /// Leave the pods of scenarios that did not hold running, at most four, and print how to look at them; Ctrl-C then ends them.
    #[arg(long, conflicts_with = "namespace")]
    keep: bool,

    /// What is not proven here makes the exit code 4.
    #[arg(long)]
    strict: bool,

    /// Also write a report to a file: json=FILE, junit=FILE or text=FILE; may be given several times.
    #[arg(long = "report", value_name = "FORMAT=FILE")]
    reports: Vec<ReportFile>,

    /// What goes to standard output.
    #[arg(long, value_name = "FORMAT", default_value = "text", value_parser = PossibleValuesParser::new(FORMATS.iter().map(|format| format.name)))]
    format: String,
}

/// `junit=report.xml`.
#[derive(Clone, Debug)]
struct ReportFile {
    format: &'static Format,
    path: PathBuf,
}

impl FromStr for ReportFile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = || FORMATS.iter().map(|format| format.name).collect::<Vec<_>>().join(", ");
        let (name, path) =
            text.split_once('=').ok_or_else(|| format!("write FORMAT=FILE, for example junit=report.xml; formats are {}", known()))?;
        let format = Format::named(name).ok_or_else(|| format!("there is no format {name}; formats are {}", known()))?;
        if path.is_empty() {
            return Err(format!("name a file: {name}=FILE"));
        }
        Ok(Self { format, path: path.into() })
    }
}

impl Verify {
    pub(super) fn place(&self) -> &Place {
        self.what.place()
    }

    /// Finds out, before anything starts, what would make the run useless.
    pub(super) fn check(&self, arguments: &Arguments) -> Result<(), Problem> {
        self.what.names(&arguments.config()?)?;
        for report in &self.reports {
            File::options()
                .create(true)
                .append(true)
                .open(&report.path)
                .with_context(|| format!("the report {} cannot be written", report.path.display()))?;
        }
        Ok(())
    }

    /// Runs within the node.
    pub(super) fn run(&self, arguments: &Arguments) -> Result<Exit, Problem> {
        let config = arguments.config()?;
        let provider = target::provider(&self.what, &config, self.keep)?;
        let keeping = Keeping::at_most(if self.keep { keep::MOST } else { 0 });
        let mut session = Session::open(&self.what, &config, arguments.color, Arc::clone(&provider), keeping)?;
        let repeat = usize::try_from(self.repeat).unwrap_or(usize::MAX);
        let cases = Case::of(&session.subjects, repeat, |guarantee, scenario| {
            self.what.takes(guarantee) && self.tags.as_ref().is_none_or(|tags| tags.take(&scenario.tags))
        });
        let cases = session.wait_for(Case::for_each_redis(cases));
        let scenarios = session.try_cases(Purpose::Verify, &cases);
        let interrupted = session.interrupted();
        let remarks: Vec<String> = provider.remarks().into_iter().chain(session.remarks()).collect();
        let (id, started, folder) = (session.id.clone(), session.started(), session.folder().to_path_buf());
        let took = session.finish();
        let run = Run {
            id,
            target: self.what.place().target.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            started,
            took,
            strict: self.strict,
            chosen_by: self.what.chosen_by(arguments.config.as_deref()),
            bug: panics::any(),
            verdict: Verdict { scenarios, remarks, interrupted },
        };
        let reported = self.report(&run, arguments);
        if reported.is_ok() {
            tell(&format!("evidence: {}", nearby(&folder)));
            if self.keep {
                keep::hold(&session, &Style::of(&io::stderr(), arguments.color));
            }
        }
        session.close().and(reported).map(|()| run.exit().exit)
    }

    fn report(&self, run: &Run, arguments: &Arguments) -> Result<(), Problem> {
        if let Some(format) = Format::named(&self.format) {
            print(&(format.render)(run, &Style::of(&io::stdout(), arguments.color)))?;
        }
        for report in &self.reports {
            let text = (report.format.render)(run, &Style::PLAIN);
            fs::write(&report.path, text).with_context(|| format!("the report {} cannot be written", report.path.display()))?;
        }
        Ok(())
    }
}
