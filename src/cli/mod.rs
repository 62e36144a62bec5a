//! Parses the command line and chooses the exit code; it decides nothing about guarantees.

mod clean;
mod completions;
mod doctor;
mod hidden;
mod home;
mod image;
mod keep;
mod mutate;
mod output;
mod panics;
mod problem;
mod session;
mod steps;
mod target;
mod verify;
mod what;

use crate::{
    config::{Config, ConfigError},
    report::{ColorWhen, Style},
    target::local::node,
    verdict::Exit,
};
use clap::{Parser, Subcommand, error::ErrorKind};
use output::tell;
use problem::Problem;
use std::{env, ffi::OsString, io, iter, path::PathBuf, process::ExitCode};

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
    Verify(verify::Verify),
    Mutate(mutate::Mutate),
    /// List every phrase that a feature may use.
    Steps,
    /// Show what works on this machine, and how to get the rest.
    Doctor,
    Image(image::Image),
    /// Remove what killed runs left.
    Clean,
    Completions(completions::Completions),
    /// Print the man page.
    #[command(hide = true)]
    Man,
}

/// Runs the command that the arguments name.
#[must_use]
pub fn main() -> ExitCode {
    // First of all: some parts must be played before any thread exists.
    if let Some(code) = hidden::played() {
        return code;
    }
    logging();
    panics::caught(|| parse(env::args_os()).map_or_else(ExitCode::from, |arguments| arguments.outside())).unwrap_or(Exit::Bug.into())
}

/// What the node does: the same command once more, now for real.
fn within(arguments: Vec<OsString>) -> ExitCode {
    logging();
    let run =
        || parse(iter::once(OsString::from("redis-conformance")).chain(arguments)).map_or_else(|exit| exit, |arguments| arguments.within());
    panics::caught(run).unwrap_or(Exit::Bug).into()
}

fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Arguments, Exit> {
    Arguments::try_parse_from(arguments).map_err(|error| {
        // Help and version are answers; a reader who has gone away is no error.
        if error.print().is_err() {
            tracing::debug!("the answer could not be printed");
        }
        match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Conformant,
            _ => Exit::Usage,
        }
    })
}

impl Arguments {
    /// Commands that run something are checked here and done in the node; the others are done here.
    fn outside(&self) -> ExitCode {
        let style = Style::of(&io::stdout(), self.color);
        let done = match &self.command {
            Command::Verify(verify) => {
                verify.check(self).and_then(|()| if verify.place().is_local() { enter() } else { verify.run(self).map(Into::into) })
            }
            Command::Mutate(mutate) => {
                mutate.check(self).and_then(|()| if mutate.place().is_local() { enter() } else { mutate.run(self).map(Into::into) })
            }
            Command::Image(image) => image.run(self).map(Into::into),
            Command::Steps => steps::run(&style).map(|()| Exit::Conformant.into()),
            Command::Doctor => doctor::run(&style).map(Into::into),
            Command::Clean => clean::run().map(Into::into),
            Command::Completions(completions) => completions.run().map(|()| Exit::Conformant.into()),
            Command::Man => completions::manual().map(|()| Exit::Conformant.into()),
        };
        done.unwrap_or_else(|problem| told(&problem).into())
    }

    fn within(&self) -> Exit {
        let done = match &self.command {
            Command::Verify(verify) => verify.run(self),
            Command::Mutate(mutate) => mutate.run(self),
            _ => Err(Problem::usage("only verify and mutate run in the node")),
        };
        done.unwrap_or_else(|problem| told(&problem))
    }

    fn config(&self) -> Result<Config, ConfigError> {
        Config::find(self.config.as_deref())
    }
}

fn enter() -> Result<ExitCode, Problem> {
    node::enter(env::args_os().skip(1).collect()).map_err(|error| anyhow::Error::from(error).into())
}

fn told(problem: &Problem) -> Exit {
    tell(&problem.told());
    problem.exit
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
