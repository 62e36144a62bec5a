//! The parts that this program plays under another name or a hidden first argument; it is their front door only.

use crate::{
    runbook::kubectl,
    target::{image, local::node},
    traffic::agent,
};
use std::process::ExitCode;

/// Plays the part that the program was started for, if it was started for one; to be called before anything else.
pub(super) fn played() -> Option<ExitCode> {
    if agent::is_called() {
        return Some(agent::main());
    }
    if kubectl::is_called() {
        return Some(kubectl::main());
    }
    if let Some(code) = image::multicall() {
        return Some(code);
    }
    node::dispatch(super::within)
}
