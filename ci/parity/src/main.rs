//! Compares the reports that `ci/parity/run` has made on two targets, and writes the page of it; it runs nothing itself.

mod compare;
mod page;
mod reasons;
mod report;

use anyhow::{Context as _, Result};
use compare::Comparison;
use report::{Half, Report, Target};
use std::{
    env, fs,
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
};

const USAGE: &str = "usage: redis-conformance-parity [--scenarios | --mutants] REPORTS REASONS PAGE (ci/parity/run calls it)";

fn main() -> ExitCode {
    let mut arguments: Vec<String> = env::args().skip(1).collect();
    let halves = match arguments.first().map(String::as_str) {
        Some("--scenarios") => &Half::ALL[..1],
        Some("--mutants") => &Half::ALL[1..],
        _ => &Half::ALL[..],
    };
    if halves.len() == 1 {
        arguments.remove(0);
    }
    let [reports, reasons, page] = arguments.as_slice() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match compare(halves, Path::new(reports), Path::new(reasons), Path::new(page)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(3)
        }
    }
}

/// Whether parity is shown.
fn compare(halves: &[Half], folder: &Path, reasons: &Path, page: &Path) -> Result<bool> {
    let text = fs::read_to_string(reasons).with_context(|| reasons.display().to_string())?;
    let reasons = reasons::parse(&text).with_context(|| reasons.display().to_string())?;
    let both = |half: &Half| Ok([Report::read(folder, *half, Target::Local)?, Report::read(folder, *half, Target::Kind)?]);
    let reports = halves.iter().map(both).collect::<Result<Vec<_>>>()?;
    let comparison = Comparison::of(&reports, &reasons)?;
    fs::write(page, page::page(&comparison)).with_context(|| page.display().to_string())?;
    let lines = page::lines(&comparison, &reports);
    io::stdout().write_all(lines.as_bytes()).context("standard output cannot be written")?;
    Ok(comparison.holds())
}
