//! The names under which this program plays a part of an image, inside a container.

use super::entrypoint;
use nix::{
    sys::signal::{SigSet, Signal},
    unistd::getuid,
};
use std::{env, ffi::OsString, hint::black_box, path::Path, process::ExitCode};

/// The hidden argument of a client pod's main process: waits to be told to end.
pub const PAUSE: &str = "__pause";
/// The hidden argument of a pod that tries what its cluster enforces: says its user, and takes more memory than it may.
pub const GLUTTON: &str = "__glutton";
/// In MiB; a machine without limits bears it.
const FILL: usize = 256;

/// Plays the part that the program's name or its first argument asks for, if they ask for one; to be called before anything else.
#[must_use]
pub fn multicall() -> Option<ExitCode> {
    let mut arguments = env::args_os();
    let name = arguments.next()?;
    let name = Path::new(&name).file_name()?.to_str()?.to_owned();
    let rest: Vec<OsString> = arguments.collect();
    match name.as_str() {
        entrypoint::NAME => Some(entrypoint::entrypoint(rest)),
        "redis-server" | "redis-sentinel" => Some(entrypoint::server(&name, &rest)),
        _ if rest.first().is_some_and(|first| first == PAUSE) => Some(pause()),
        _ if rest.first().is_some_and(|first| first == GLUTTON) => Some(glutton()),
        _ => None,
    }
}

fn glutton() -> ExitCode {
    println!("uid {}", getuid());
    let taken: Vec<Vec<u8>> = (0..FILL).map(|_| black_box(vec![1; 1 << 20])).collect();
    println!("took {} MiB", taken.len());
    ExitCode::SUCCESS
}

fn pause() -> ExitCode {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        signals.add(signal);
    }
    // Before any thread exists: blocked signals wait to be taken.
    match signals.thread_block().and_then(|()| signals.wait()) {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("redis-conformance: waiting for a signal: {error}");
            ExitCode::FAILURE
        }
    }
}
