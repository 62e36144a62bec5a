//! The parts that this program plays under another name or a hidden first argument; it is their front door only.

use crate::{
    runbook::kubectl,
    target::local::{image, node},
    traffic::agent,
};
use std::{env, process::ExitCode};

/// The hidden argument of the agent in a client pod.
const AGENT: &str = "__agent";

/// Plays the part that the program was started for, if it was started for one; to be called before anything else.
pub(super) fn played() -> Option<ExitCode> {
    if kubectl::is_called() {
        return Some(kubectl::main());
    }
    if env::args_os().nth(1).is_some_and(|first| first == AGENT) {
        return Some(agent::main());
    }
    image::multicall().or_else(|| node::dispatch(super::within))
}
