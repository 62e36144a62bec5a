//! The real `kubectl`, for what needs no cluster: rendering kustomizations and writing objects from flags.

use super::{Call, Halt};
use crate::manifest::kubectl;
use std::process::Stdio;
use tokio::process::Command;

/// Runs it where the caller stands, without any cluster to talk to, and gives its output.
pub(super) async fn ask(call: &mut Call, words: &[String]) -> Result<Vec<u8>, Halt> {
    let none = "this needs the real kubectl (no cluster), and none is on the PATH: install it";
    let program = kubectl().ok_or_else(|| Halt::Here(none.to_owned()))?;
    let mut command = Command::new(&program);
    command.args(words).current_dir(&call.cwd).env("KUBECONFIG", "/dev/null").stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.map_err(|error| Halt::Here(format!("cannot run {}: {error}", program.display())))?;
    call.say(super::Said::Err(output.stderr)).await?;
    match output.status.code() {
        Some(0) => Ok(output.stdout),
        code => Err(Halt::Silent(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))),
    }
}
