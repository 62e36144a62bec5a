//! Parses the command line and chooses the exit code; it decides nothing about guarantees.

mod completions;
mod doctor;
mod output;
mod panics;
mod problem;

use crate::{
    report::{ColorWhen, Style},
    verdict::Exit,
};
use clap::{Parser, Subcommand, error::ErrorKind};
use output::tell;
use problem::Problem;
use std::{io, path::PathBuf, process::ExitCode};

/// Proves that what a document promises about a Redis deployment is true of its Kubernetes manifests.
#[derive(Debug, Parser)]
#[command(name = "redis-conformance", version, about, after_help = after_help(), disable_help_subcommand = true, max_term_width = 120)]
struct Arguments {
    #[command(subcommand)]
    command: Command,

    /// When to use colour: auto, always or never; auto heeds NO_COLOR.
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t, hide_possible_values = true)]
    color: ColorWhen,

    /// The config file; without it `redis-conformance.yaml` of the current folder, if there is one.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what works on this machine, and how to get the rest.
    Doctor,
    Completions(completions::Completions),
    /// Print the man page.
    #[command(hide = true)]
    Man,
}

/// Runs the command that the arguments name.
#[must_use]
pub fn main() -> ExitCode {
    logging();
    panics::caught(run).unwrap_or(Exit::Bug).into()
}

fn run() -> Exit {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are answers; a reader who has gone away is no error.
            if error.print().is_err() {
                tracing::debug!("the answer could not be printed");
            }
            return match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Conformant,
                _ => Exit::Usage,
            };
        }
    };
    arguments.run().unwrap_or_else(|problem| {
        tell(&problem.told());
        problem.exit
    })
}

impl Arguments {
    fn run(&self) -> Result<Exit, Problem> {
        let style = Style::of(&io::stdout(), self.color);
        match &self.command {
            Command::Doctor => doctor::run(&style),
            Command::Completions(completions) => completions.run().map(|()| Exit::Conformant),
            Command::Man => completions::manual().map(|()| Exit::Conformant),
        }
    }
}

/// Debug output of our own, for our own bugs: `REDIS_CONFORMANCE_LOG=debug`.
fn logging() {
    let Ok(filter) = tracing_subscriber::EnvFilter::try_from_env("REDIS_CONFORMANCE_LOG") else { return };
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    if subscriber.try_init().is_err() {
        tell("REDIS_CONFORMANCE_LOG is not heeded: something else has set up logging");
    }
}

fn after_help() -> String {
    let mut text = String::from("Exit codes:\n");
    for exit in Exit::ALL {
        text.push_str(&format!("  {:>3}  {}\n", exit.code(), exit.meaning()));
    }
    text
}
