//! Tests that run within the node have a `main` of their own: it must be entered before any thread exists.

use redis_conformance::target::local::node;
use std::process::ExitCode;

/// Enters the node with this process' arguments.
pub(crate) fn enter() -> ExitCode {
    match node::enter(std::env::args_os().skip(1).collect()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(3)
        }
    }
}
