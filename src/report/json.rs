//! The report for programs: JSON with a schema number that moves when a field changes its meaning or goes.

use super::{Run, Style};
use crate::verdict::Guarantee;
use serde::Serialize;

/// Moves when a field changes its meaning or goes; new fields do not move it.
pub(super) const SCHEMA: u32 = 1;

#[derive(Serialize)]
struct Report<'a> {
    schema: u32,
    tool: Tool<'a>,
    run: About<'a>,
    exit: ExitCode,
    counts: crate::verdict::Counts,
    guarantees: Vec<Guarantee<'a>>,
    remarks: &'a [String],
}

#[derive(Serialize)]
pub(super) struct Tool<'a> {
    pub(super) name: &'static str,
    pub(super) version: &'a str,
}

#[derive(Serialize)]
struct About<'a> {
    id: &'a str,
    target: &'a str,
    started: &'a str,
    took_ms: u128,
    strict: bool,
    interrupted: bool,
}

#[derive(Serialize)]
pub(super) struct ExitCode {
    code: u8,
    #[serde(flatten)]
    ending: crate::verdict::Ending,
}

impl From<crate::verdict::Ending> for ExitCode {
    fn from(ending: crate::verdict::Ending) -> Self {
        Self { code: ending.exit.code(), ending }
    }
}

/// Writes the whole report; the style is for people only.
pub(super) fn render(run: &Run, _: &Style) -> String {
    let verdict = &run.verdict;
    text(&Report {
        schema: SCHEMA,
        tool: Tool { name: env!("CARGO_PKG_NAME"), version: &run.version },
        run: About {
            id: &run.id,
            target: &run.target,
            started: &run.started,
            took_ms: run.took.as_millis(),
            strict: run.strict,
            interrupted: verdict.interrupted,
        },
        exit: run.exit().into(),
        counts: verdict.counts(),
        guarantees: verdict.guarantees(),
        remarks: &verdict.remarks,
    })
}

/// Any report as text. Only maps with keys that are no strings and failing `Serialize` impls can fail here, and there are none.
pub(super) fn text(report: &impl Serialize) -> String {
    let mut text = serde_json::to_string_pretty(report).expect("reports are structs of strings and numbers");
    text.push('\n');
    text
}
