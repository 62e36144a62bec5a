//! Speaks as libtest does, for tests with a `main` of their own.

use std::{process::ExitCode, time::Duration};

/// The tests that the words mean: parts of names, whole ones with `--exact`; other options are taken and change nothing.
/// `None` where `--list` only wants them listed.
pub(crate) fn chosen<T: Copy>(words: &[String], all: &[(&'static str, T)]) -> Option<Vec<(&'static str, T)>> {
    let is_there = |option: &str| words.iter().any(|word| word == option);
    let exact = is_there("--exact");
    let filters: Vec<&String> = words.iter().filter(|word| !word.starts_with('-')).collect();
    let fits = |name: &str| {
        filters.is_empty() || filters.iter().any(|filter| if exact { name == *filter } else { name.contains(filter.as_str()) })
    };
    let chosen: Vec<_> = all.iter().copied().filter(|(name, _)| fits(name)).collect();
    if is_there("--list") {
        for (name, _) in &chosen {
            println!("{name}: test");
        }
        return None;
    }
    println!("\nrunning {} tests", chosen.len());
    Some(chosen)
}

/// Says what became of a test; gives the story where it failed.
pub(crate) fn told(name: &str, took: Duration, result: anyhow::Result<()>) -> Option<String> {
    println!("test {name} ... {} ({} ms)", if result.is_ok() { "ok" } else { "FAILED" }, took.as_millis());
    result.err().map(|error| format!("---- {name} ----\n{error:#}\n"))
}

/// Shows the failures and counts all.
pub(crate) fn end(failed: &[String], chosen: usize, all: usize, took: Duration) -> ExitCode {
    for failure in failed {
        println!("\n{failure}");
    }
    println!(
        "\ntest result: {}. {} passed; {} failed; 0 ignored; 0 measured; {} filtered out; finished in {:.2}s\n",
        if failed.is_empty() { "ok" } else { "FAILED" },
        chosen - failed.len(),
        failed.len(),
        all - chosen,
        took.as_secs_f64()
    );
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(101) }
}
