//! The runtime of the local target, tried from within a node of its own: sandboxes, networks, containers and what is left of them.
//!
//! Has its own `main`, since the node must be entered before any thread exists; it speaks as libtest does.

#[path = "runtime/commands.rs"]
mod commands;
#[path = "runtime/containers.rs"]
mod containers;
#[path = "support/node.rs"]
mod entering;
#[path = "support/libtest.rs"]
mod libtest;
#[path = "runtime/measures.rs"]
mod measures;
#[path = "runtime/network.rs"]
mod network;
#[path = "runtime/roots.rs"]
mod roots;
#[path = "runtime/runs.rs"]
mod runs;
#[path = "runtime/scene.rs"]
mod scene;

use anyhow::Result;
use redis_conformance::target::local::node;
use std::{
    ffi::OsString,
    future::Future,
    pin::Pin,
    process::ExitCode,
    time::{Duration, Instant},
};

/// A test: its name and what makes it.
pub(crate) type Test = (&'static str, fn() -> Pin<Box<dyn Future<Output = Result<()>>>>);

/// Names the tests of a file.
#[macro_export]
macro_rules! tests {
    ($($name:ident),* $(,)?) => { pub(crate) const TESTS: &[$crate::Test] = &[$((stringify!($name), || Box::pin($name()))),*]; };
}

/// No test here takes longer.
const LIMIT: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    node::dispatch(run).unwrap_or_else(entering::enter)
}

/// `--ignored` measures; `--exit`, `--wait` and `--stubborn` are what a run does that one of the tests has started.
fn run(arguments: Vec<OsString>) -> ExitCode {
    let words: Vec<String> = arguments.into_iter().filter_map(|argument| argument.into_string().ok()).collect();
    match words.first().map(String::as_str) {
        Some("--exit") => return ExitCode::from(words[1].parse::<u8>().unwrap_or(1)),
        Some("--wait") => return wait_for_a_signal(false),
        Some("--stubborn") => return wait_for_a_signal(true),
        _ => {}
    }
    let all: Vec<Test> = if words.iter().any(|word| word == "--ignored") {
        measures::TESTS.to_vec()
    } else {
        [network::TESTS, containers::TESTS, roots::TESTS, commands::TESTS, runs::TESTS].concat()
    };
    let Some(chosen) = libtest::chosen(&words, &all) else { return ExitCode::SUCCESS };
    let begun = Instant::now();
    let mut failed = Vec::new();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime can be made");
    for (name, test) in &chosen {
        let began = Instant::now();
        let result = runtime.block_on(async {
            match tokio::time::timeout(LIMIT, tokio::task::LocalSet::new().run_until(test())).await {
                Ok(result) => result,
                Err(_) => Err(anyhow::anyhow!("not done within {LIMIT:?}")),
            }
        });
        failed.extend(libtest::told(name, began.elapsed(), result));
    }
    libtest::end(&failed, chosen.len(), all.len(), begun.elapsed())
}

/// What a harness does that is interrupted: it ends in order, or does not. By SIGTERM, since a shell may have started us in the
/// background, where SIGINT is ignored.
fn wait_for_a_signal(stubborn: bool) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    runtime.block_on(async {
        let mut asked = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).expect("signals can be had");
        println!("waiting in {}", node::run_directory().display());
        loop {
            asked.recv().await;
            println!("interrupted");
            if !stubborn {
                return ExitCode::from(130);
            }
        }
    })
}
