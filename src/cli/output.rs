//! Writes to standard output and error; a reader who has gone away is no error.

use super::Problem;
use anyhow::Context as _;
use std::io::{self, Write};

/// Writes to standard output.
///
/// # Errors
/// When the text is lost for another reason than a reader who has gone away: a report on a full disk must not look whole.
pub(super) fn print(text: &str) -> Result<(), Problem> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("standard output cannot be written to")?,
        _ => Ok(()),
    }
}

/// Writes a line to standard error. Where that fails there is nobody left to tell.
pub(super) fn tell(line: &str) {
    let mut out = io::stderr().lock();
    if writeln!(out, "{line}").is_err() {
        tracing::debug!("standard error is closed");
    }
}
