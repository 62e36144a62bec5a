//! The local target as a cluster, tried from within its node with real Redis: each test is a sentence about Kubernetes.
//!
//! Has its own `main`, since the node must be entered before any thread exists; it speaks as libtest does.

#[path = "control/admission.rs"]
mod admission;
#[path = "control/containers.rs"]
mod containers;
#[path = "support/node.rs"]
mod entering;
#[path = "support/libtest.rs"]
mod libtest;
#[path = "control/nodes.rs"]
mod nodes;
#[path = "control/probes.rs"]
mod probes;
#[path = "control/scene.rs"]
mod scene;
#[path = "control/storage.rs"]
mod storage;
#[path = "control/workloads.rs"]
mod workloads;

use anyhow::Result;
use redis_conformance::target::{image, local::node};
use std::{
    ffi::OsString,
    future::Future,
    pin::Pin,
    process::ExitCode,
    time::{Duration, Instant},
};

/// A test: its name and what makes it.
pub(crate) type Test = (&'static str, fn() -> Pin<Box<dyn Future<Output = Result<()>> + Send>>);

/// Names the tests of a file.
#[macro_export]
macro_rules! tests {
    ($($name:ident),* $(,)?) => { pub(crate) const TESTS: &[$crate::Test] = &[$((stringify!($name), || Box::pin($name()))),*]; };
}

/// No test here waits longer for anything.
const LIMIT: Duration = Duration::from_secs(120);
/// As many clusters at once.
const AT_ONCE: usize = 8;

fn main() -> ExitCode {
    image::multicall().or_else(|| node::dispatch(run)).unwrap_or_else(entering::enter)
}

fn run(arguments: Vec<OsString>) -> ExitCode {
    let words: Vec<String> = arguments.into_iter().filter_map(|argument| argument.into_string().ok()).collect();
    let all: Vec<Test> = [workloads::TESTS, containers::TESTS, probes::TESTS, storage::TESTS, nodes::TESTS, admission::TESTS].concat();
    let Some(chosen) = libtest::chosen(&words, &all) else { return ExitCode::SUCCESS };
    tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::from_default_env()).with_writer(std::io::stderr).init();
    let begun = Instant::now();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime can be made");
    let failed = runtime.block_on(all_of(&chosen));
    libtest::end(&failed, chosen.len(), all.len(), begun.elapsed())
}

async fn all_of(chosen: &[Test]) -> Vec<String> {
    use futures::StreamExt;
    let mut running = futures::stream::iter(chosen.iter().copied())
        .map(|(name, test)| async move {
            let begun = Instant::now();
            let result = match tokio::time::timeout(LIMIT, tokio::spawn(test())).await {
                Ok(joined) => joined.unwrap_or_else(|error| Err(error.into())),
                Err(_) => Err(anyhow::anyhow!("not done within {LIMIT:?}")),
            };
            (name, begun.elapsed(), result)
        })
        .buffer_unordered(AT_ONCE);
    let mut failed = Vec::new();
    while let Some((name, took, result)) = running.next().await {
        failed.extend(libtest::told(name, took, result));
    }
    failed
}
