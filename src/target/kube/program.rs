//! Programs of this machine that clusters need: Docker, kind, k3d.

use crate::wait::at_most;
use anyhow::{Context as _, bail};
use std::{
    path::PathBuf,
    process::{Output, Stdio},
    time::Duration,
};
use tokio::process::Command;

/// Longer than a program takes for anything that is but asked, on a busy machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// Lines of what a program says when it fails.
const LAST_WORDS: usize = 12;

/// A program that is installed.
#[derive(Clone, Debug)]
pub(super) struct Program {
    pub(super) path: PathBuf,
}

impl Program {
    /// Looks for it.
    ///
    /// # Errors
    /// It is not installed; with the place where it is to be had.
    pub(super) fn find(name: &str) -> anyhow::Result<Self> {
        let remedy = match name {
            "docker" => "https://docs.docker.com/engine/install/",
            "kind" => "https://kind.sigs.k8s.io/docs/user/quick-start/#installation",
            "k3d" => "https://k3d.io/stable/#installation",
            _ => "your distribution",
        };
        let path = which::which(name).with_context(|| format!("{name} is not installed; get it from {remedy}"))?;
        Ok(Self { path })
    }

    /// Runs it to its end, and gives what it printed.
    ///
    /// # Errors
    /// It does not start, takes too long, or fails: then with its own last words.
    pub(super) async fn run(&self, arguments: &[&str], limit: Duration) -> anyhow::Result<String> {
        self.run_with(Stdio::null(), arguments, limit).await
    }

    /// The same with this as its standard input: `Journal::held`, so that nobody mends what it is still breaking if we are killed.
    ///
    /// # Errors
    /// As [`Program::run`].
    pub(super) async fn run_with(&self, stdin: Stdio, arguments: &[&str], limit: Duration) -> anyhow::Result<String> {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let shown = format!("{name} {}", arguments.join(" "));
        let mut command = Command::new(&self.path);
        // A process group of its own: Ctrl-C is ours to hear, and a tool that is cut short leaves half of its work.
        command.args(arguments).process_group(0).stdin(stdin).kill_on_drop(true);
        let Some(output) = at_most(limit, &format!("the end of {shown}"), command.output()).await else {
            bail!("{shown} has not ended within {} s", limit.as_secs());
        };
        let Output { status, stdout, stderr } = output.with_context(|| format!("{} cannot be started", self.path.display()))?;
        if status.success() {
            return Ok(String::from_utf8_lossy(&stdout).into_owned());
        }
        let words = String::from_utf8_lossy(&stderr);
        let lines: Vec<&str> = words.lines().filter(|line| !line.trim().is_empty()).collect();
        bail!("{shown} fails ({status}): {}", lines[lines.len().saturating_sub(LAST_WORDS)..].join("\n  "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(path: &str) -> Program {
        Program { path: path.into() }
    }

    #[tokio::test]
    async fn a_program_that_fails_is_told_with_its_own_words() {
        let error = program("/bin/sh").run(&["-c", "echo no such node >&2; exit 3"], PATIENCE).await.expect_err("it fails");
        assert!(error.to_string().ends_with("(exit status: 3): no such node"), "{error}");
        let error = program("/nowhere/docker").run(&["ps"], PATIENCE).await.expect_err("there is none");
        assert_eq!(error.to_string(), "/nowhere/docker cannot be started");
    }

    #[test]
    fn a_program_that_is_not_installed_is_told_with_where_to_get_it() {
        let error = Program::find("no-such-program-anywhere").expect_err("there is none");
        assert!(error.to_string().contains("is not installed; get it from"), "{error}");
    }
}
