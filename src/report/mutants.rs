//! What became of the mutants: a table for people and JSON for programs.

use super::{
    Style,
    json::{ExitCode, SCHEMA, Tool, text},
    style::{Paint, harmless, plural, seconds},
};
use crate::verdict::{Exit, Fate, Mutation};
use serde_json::json;
use std::{fmt::Write as _, time::Duration};

/// The table: mutant, guarantee, and which step killed it with which message, or that it survived.
#[must_use]
pub fn mutation_text(mutation: &Mutation, took: Duration, style: &Style) -> String {
    let mut out = String::new();
    let mutants = &mutation.mutants;
    let mutant_width = mutants.iter().map(|mutant| mutant.mutant.chars().count()).max().unwrap_or(0);
    let id_width = mutants.iter().map(|mutant| mutant.guarantee.chars().count()).max().unwrap_or(0);
    let mut system = "";
    for mutant in mutants {
        if system != mutant.system {
            system = &mutant.system;
            let _ = writeln!(out, "\n{}", style.paint(Paint::Strong, system));
        }
        let (sign, paint, told) = match &mutant.fate {
            Fate::Killed { step, message, .. } => ("✓", Paint::Good, format!("killed by “{step}”: {}", first_line(message))),
            Fate::Survived { reason } => ("✗", Paint::Bad, format!("survived: {reason}")),
            Fate::Stillborn { reason } => ("✗", Paint::Bad, format!("stillborn: {reason}")),
            Fate::Undecided { reason } => ("–", Paint::Odd, format!("not proven here: {reason}")),
            Fate::Broken { message } => ("!", Paint::Bad, format!("broken: {message}")),
        };
        let before = 4 + id_width + 2 + mutant_width + 2;
        let told = harmless(&told);
        let told = match (&mutant.fate, style.width) {
            (Fate::Killed { .. }, Some(width)) => Style::cut(&told, width.saturating_sub(before).max(24)),
            _ => told.replace('\n', &format!("\n{:before$}", "")),
        };
        let _ = writeln!(
            out,
            "  {} {}  {:mutant_width$}  {}",
            style.paint(paint, sign),
            style.paint(Paint::Strong, format!("{:id_width$}", mutant.guarantee)),
            mutant.mutant,
            style.paint(if paint == Paint::Good { Paint::Quiet } else { paint }, told),
        );
        if !matches!(mutant.fate, Fate::Killed { .. }) {
            let _ = writeln!(out, "{:before$}{}", "", style.paint(Paint::Quiet, format!("change: {}", harmless(&mutant.change))));
        }
    }
    let ending = mutation.exit();
    let paint = if ending.exit == Exit::Conformant { Paint::Good } else { Paint::Bad };
    let _ = writeln!(
        out,
        "\n{} · baseline of {} · {}",
        plural(mutants.len(), "mutant"),
        plural(mutation.baseline.scenarios.len(), "scenario"),
        seconds(took)
    );
    let _ = writeln!(out, "{} (exit {}): {}", style.paint(paint, ending.exit.to_string()), ending.exit.code(), ending.reason);
    out
}

/// The same as JSON, with the target on which they were tried.
#[must_use]
pub fn mutation_json(mutation: &Mutation, target: &str, took: Duration, version: &str) -> String {
    text(&json!({
        "schema": SCHEMA,
        "tool": Tool { name: env!("CARGO_PKG_NAME"), version },
        "target": target,
        "took_ms": u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        "exit": ExitCode::from(mutation.exit()),
        "interrupted": mutation.interrupted,
        "baseline": mutation.baseline.guarantees(),
        "mutants": mutation.mutants,
    }))
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
