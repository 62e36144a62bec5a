//! Shell completions and the man page, made from the arguments themselves.

use super::{Arguments, Problem, output::print};
use anyhow::Context as _;
use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

/// Print completions for a shell.
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// Which shell.
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub(super) fn run(&self) -> Result<(), Problem> {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut Arguments::command(), env!("CARGO_PKG_NAME"), &mut text);
        print(&String::from_utf8_lossy(&text))
    }
}

/// Prints the man page.
pub(super) fn manual() -> Result<(), Problem> {
    let mut text = Vec::new();
    clap_mangen::Man::new(Arguments::command()).render(&mut text).context("the man page cannot be made")?;
    print(&String::from_utf8_lossy(&text))
}
