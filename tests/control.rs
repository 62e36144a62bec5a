//! The local target as a cluster, tried from within its node with real Redis: each test is a sentence about Kubernetes.
//!
//! Has its own `main`, since the node must be entered before any thread exists; it speaks as libtest does.

#[path = "control/admission.rs"]
mod admission;
#[path = "control/containers.rs"]
mod containers;
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
use redis_conformance::target::local::{image, node};
use std::{ffi::OsString, future::Future, pin::Pin, process::ExitCode, time::Duration};

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
    if let Some(code) = image::multicall().or_else(|| node::dispatch(run)) {
        return code;
    }
    match node::enter(std::env::args_os().skip(1).collect()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(3)
        }
    }
}

/// As libtest: words are parts of names, `--list` lists, other options are taken and change nothing.
fn run(arguments: Vec<OsString>) -> ExitCode {
    let words: Vec<String> = arguments.into_iter().filter_map(|argument| argument.into_string().ok()).collect();
    let exact = words.iter().any(|word| word == "--exact");
    let filters: Vec<&String> = words.iter().filter(|word| !word.starts_with('-')).collect();
    let fits = |name: &str| {
        filters.is_empty() || filters.iter().any(|filter| if exact { name == *filter } else { name.contains(filter.as_str()) })
    };
    let all: Vec<Test> = [workloads::TESTS, containers::TESTS, probes::TESTS, storage::TESTS, nodes::TESTS, admission::TESTS].concat();
    let chosen: Vec<Test> = all.iter().copied().filter(|(name, _)| fits(name)).collect();
    if words.iter().any(|word| word == "--list") {
        for (name, _) in &chosen {
            println!("{name}: test");
        }
        return ExitCode::SUCCESS;
    }
    tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::from_default_env()).with_writer(std::io::stderr).init();
    println!("\nrunning {} tests", chosen.len());
    let begun = std::time::Instant::now();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime can be made");
    let failed = runtime.block_on(all_of(&chosen));
    for failure in &failed {
        println!("\n{failure}");
    }
    let (word, passed) = (if failed.is_empty() { "ok" } else { "FAILED" }, chosen.len() - failed.len());
    println!(
        "\ntest result: {word}. {passed} passed; {} failed; 0 ignored; 0 measured; {} filtered out; finished in {:.2}s\n",
        failed.len(),
        all.len() - chosen.len(),
        begun.elapsed().as_secs_f64()
    );
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(101) }
}

async fn all_of(chosen: &[Test]) -> Vec<String> {
    use futures::StreamExt;
    let mut running = futures::stream::iter(chosen.iter().copied())
        .map(|(name, test)| async move {
            let begun = std::time::Instant::now();
            let result = match tokio::time::timeout(LIMIT, tokio::spawn(test())).await {
                Ok(joined) => joined.unwrap_or_else(|error| Err(error.into())),
                Err(_) => Err(anyhow::anyhow!("not done within {LIMIT:?}")),
            };
            (name, begun.elapsed(), result)
        })
        .buffer_unordered(AT_ONCE);
    let mut failed = Vec::new();
    while let Some((name, took, result)) = running.next().await {
        println!("test {name} ... {} ({} ms)", if result.is_ok() { "ok" } else { "FAILED" }, took.as_millis());
        if let Err(error) = result {
            failed.push(format!("---- {name} ----\n{error:#}\n"));
        }
    }
    failed
}
