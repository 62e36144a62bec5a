//! The final report for people: every guarantee in one line, what is wrong in full, and the verdict last.

use super::{
    Run, Style,
    style::{Paint, harmless, plural, seconds},
};
use crate::verdict::{Exit, Guarantee, Outcome, ScenarioResult, Standing};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    path::Path,
};

/// Most notes shown below a guarantee; all of them are in the JSON report.
const NOTES: usize = 4;
/// Columns for text where nothing limits the line.
const WIDE: usize = 100;
/// Columns for a promise where nothing limits the line; a longer one moves what follows it.
const PROMISE: usize = 76;
/// Columns for a time: `12 min 05 s`.
const TIME: usize = 10;

/// Writes the whole report.
pub(super) fn render(run: &Run, style: &Style) -> String {
    let mut out = String::new();
    let guarantees = run.verdict.guarantees();
    let title = format!("redis-conformance {} · target {}", run.version, run.target);
    let _ = writeln!(out, "{}", style.paint(Paint::Quiet, title));
    let columns = Columns::of(&guarantees, style);
    let common = common_notes(&guarantees);
    let mut document = ("", "");
    for guarantee in &guarantees {
        if document != (guarantee.system, guarantee.feature) {
            document = (guarantee.system, guarantee.feature);
            let _ = writeln!(out, "\n{} · {}", style.paint(Paint::Strong, guarantee.system), style.paint(Paint::Strong, guarantee.feature));
        }
        line(&mut out, guarantee, &columns, style);
        for note in notes(guarantee, &common, columns.room) {
            let _ = writeln!(out, "{:before$}{}", "", style.paint(Paint::Quiet, note), before = columns.before());
        }
    }
    for guarantee in &guarantees {
        details(&mut out, run, guarantee, style);
    }
    not_proven(&mut out, &guarantees, columns.id, style);
    let remarks: Vec<String> = run.verdict.remarks.iter().map(|remark| harmless(remark)).chain(common).collect();
    if !remarks.is_empty() {
        let _ = writeln!(out, "\n{}", style.paint(Paint::Strong, "Remarks"));
        for remark in remarks {
            let _ = writeln!(out, "  {}", indented(&remark, 2));
        }
    }
    summary(&mut out, run, style);
    out
}

/// Where the columns of the list stand.
struct Columns {
    id: usize,
    promise: usize,
    /// For notes, which stand below the promise.
    room: usize,
}

impl Columns {
    fn of(guarantees: &[Guarantee<'_>], style: &Style) -> Self {
        let longest = |width: fn(&Guarantee<'_>) -> usize| guarantees.iter().map(width).max().unwrap_or(0);
        let id = longest(|guarantee| guarantee.id.chars().count());
        let promise = longest(|guarantee| guarantee.promise.chars().count());
        let words = longest(|guarantee| words(guarantee).chars().count());
        let width = style.width.unwrap_or(WIDE);
        let before = 4 + id + 2;
        // Cut only where the terminal would break the line; a file has room.
        let fits = width.saturating_sub(before + 2 + TIME + 2 + words).max(24);
        let promise = promise.min(if style.width.is_some() { fits } else { PROMISE });
        Self { id, promise, room: width.saturating_sub(before) }
    }

    fn before(&self) -> usize {
        4 + self.id + 2
    }
}

/// Notes that most guarantees of a system share speak of the run, and are told once.
fn common_notes(guarantees: &[Guarantee<'_>]) -> BTreeSet<String> {
    let mut systems: BTreeMap<&str, usize> = BTreeMap::new();
    let mut seen: BTreeMap<(&str, String), usize> = BTreeMap::new();
    for guarantee in guarantees {
        *systems.entry(guarantee.system).or_default() += 1;
        let own: BTreeSet<String> = guarantee.scenarios.iter().flat_map(|scenario| &scenario.notes).map(|note| one_line(note)).collect();
        for note in own {
            *seen.entry((guarantee.system, note)).or_default() += 1;
        }
    }
    let shared = |system: &str, times: usize| times >= 3 && times * 2 >= systems.get(system).copied().unwrap_or(0);
    seen.into_iter().filter(|((system, _), times)| shared(system, *times)).map(|((_, note), _)| note).collect()
}

fn one_line(text: &str) -> String {
    harmless(text).replace('\n', " ")
}

/// The sign of a standing, and the colour of the sign.
pub(super) fn sign(standing: Standing) -> (&'static str, Paint) {
    match standing {
        Standing::Holds => ("✓", Paint::Good),
        Standing::HoldsInPart => ("✓", Paint::Odd),
        Standing::NotProven => ("–", Paint::Odd),
        Standing::Undecided => ("?", Paint::Odd),
        Standing::Broken => ("!", Paint::Bad),
        Standing::Violated => ("✗", Paint::Bad),
    }
}

/// One guarantee in one line: sign, id, promise, the time of its longest scenario, and what there is to say.
fn line(out: &mut String, guarantee: &Guarantee<'_>, columns: &Columns, style: &Style) {
    let (sign, paint) = sign(guarantee.standing);
    let promise = harmless(guarantee.promise);
    let promise = if style.width.is_some() { Style::cut(&promise, columns.promise) } else { promise };
    let took = match guarantee.standing {
        // Nothing was tried that took time.
        Standing::NotProven | Standing::Undecided => String::new(),
        _ => seconds(guarantee.scenarios.iter().map(|scenario| scenario.took).max().unwrap_or_default()),
    };
    let words_paint = if guarantee.standing == Standing::Holds { Paint::Quiet } else { paint };
    let line = format!(
        "  {} {}  {promise:width$}  {}  {}",
        style.paint(paint, sign),
        style.paint(Paint::Strong, format!("{:id$}", guarantee.id, id = columns.id)),
        style.paint(Paint::Quiet, format!("{took:>TIME$}")),
        style.paint(words_paint, words(guarantee)),
        width = columns.promise,
    );
    let _ = writeln!(out, "{}", line.trim_end());
}

/// What there is to say of a guarantee beside its sign.
fn words(guarantee: &Guarantee<'_>) -> String {
    let word = match guarantee.standing {
        Standing::Holds => String::new(),
        Standing::HoldsInPart => "in part".into(),
        Standing::NotProven => "not proven here".into(),
        Standing::Undecided => "left out".into(),
        Standing::Broken => "broken".into(),
        Standing::Violated => "violated".into(),
    };
    let scenarios = match guarantee.scenarios.len() {
        1 => String::new(),
        scenarios => plural(scenarios, "scenario"),
    };
    [scenarios, word].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
}

/// What was measured and which fixtures helped, packed into as few lines as they need.
fn notes(guarantee: &Guarantee<'_>, common: &BTreeSet<String>, room: usize) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for note in guarantee.scenarios.iter().flat_map(|scenario| &scenario.notes) {
        let note = one_line(note);
        if !all.contains(&note) && !common.contains(&note) {
            all.push(note);
        }
    }
    if all.len() > NOTES {
        let more = all.len() - NOTES;
        all.truncate(NOTES);
        all.push(format!("{more} more in the evidence"));
    }
    let fixtures: BTreeSet<&String> = guarantee.scenarios.iter().flat_map(|scenario| &scenario.fixtures).collect();
    all.extend(fixtures.into_iter().map(|fixture| format!("with fixture {fixture}")));
    let mut lines: Vec<String> = Vec::new();
    for note in all {
        match lines.last_mut() {
            Some(last) if last.chars().count() + note.chars().count() + 3 <= room => {
                last.push_str(" · ");
                last.push_str(&note);
            }
            _ => lines.push(note),
        }
    }
    lines
}

/// Everything that a reader needs about scenarios that did not hold; repetitions of the same failure once.
fn details(out: &mut String, run: &Run, guarantee: &Guarantee<'_>, style: &Style) {
    let mut told: BTreeSet<(&str, &str)> = BTreeSet::new();
    for scenario in &guarantee.scenarios {
        let (standing, word) = match scenario.outcome {
            Outcome::Failed { .. } => (Standing::Violated, "because"),
            Outcome::Broken { .. } => (Standing::Broken, "because"),
            // What an interrupted run did not get to needs no explanation.
            Outcome::Skipped { .. } if !run.verdict.interrupted => (Standing::Undecided, "left out"),
            _ => continue,
        };
        let (step, message) = step_and_message(&scenario.outcome);
        if !told.insert((&scenario.scenario, step)) {
            continue;
        }
        let (sign, paint) = sign(standing);
        let _ =
            writeln!(out, "\n{} {}  {}", style.paint(paint, sign), style.paint(Paint::Strong, &guarantee.id), harmless(guarantee.promise));
        let mut row = |name: &str, text: &str| {
            let _ = writeln!(out, "    {}  {}", style.paint(Paint::Quiet, format!("{name:8}")), indented(&harmless(text), 14));
        };
        row("scenario", &format!("{}{}", scenario.scenario, repeated(guarantee, scenario)));
        row("", &scenario.place.to_string());
        if !step.is_empty() {
            row("step", step);
        }
        row(word, message);
        for place in &scenario.manifests {
            row("manifest", &place.to_string());
        }
        if let Some(evidence) = &scenario.evidence {
            row("evidence", &nearby(evidence));
        }
        let mut again = format!("redis-conformance verify {}", scenario.system);
        for argument in &run.chosen_by {
            again.push(' ');
            again.push_str(argument);
        }
        row("again", &format!("{again} --guarantee {}", guarantee.id));
    }
}

/// How many of a scenario's repetitions ended in the same way, where there are several.
fn repeated(guarantee: &Guarantee<'_>, scenario: &ScenarioResult) -> String {
    let all = || guarantee.scenarios.iter().filter(|other| other.scenario == scenario.scenario);
    let (repetitions, step) = (all().count(), step_and_message(&scenario.outcome).0);
    if repetitions < 2 {
        return String::new();
    }
    let standing = scenario.outcome.standing();
    let same = all().filter(|other| other.outcome.standing() == standing && step_and_message(&other.outcome).0 == step).count();
    format!(" ({same} of {repetitions} repetitions)")
}

fn step_and_message(outcome: &Outcome) -> (&str, &str) {
    match outcome {
        Outcome::Failed { step, message } | Outcome::Broken { step, message } => (step, message),
        Outcome::Skipped { reason } | Outcome::Unsupported { reason, .. } => ("", reason),
        Outcome::Passed => ("", ""),
    }
}

/// What the target could not show, why, and how to get it.
fn not_proven(out: &mut String, guarantees: &[Guarantee<'_>], id_width: usize, style: &Style) {
    let mut rows: Vec<(String, String, String)> = Vec::new();
    for guarantee in guarantees {
        for scenario in &guarantee.scenarios {
            if let Outcome::Unsupported { capability, reason } = &scenario.outcome {
                let part = if guarantee.standing == Standing::HoldsInPart { format!("{}: ", scenario.scenario) } else { String::new() };
                let row = (guarantee.id.clone(), capability.to_string(), format!("{part}{reason}"));
                if !rows.contains(&row) {
                    rows.push(row);
                }
            }
        }
    }
    if rows.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n{}", style.paint(Paint::Strong, "Not proven here"));
    for (id, capability, reason) in rows {
        let id = format!("{id:id_width$}");
        let indent = 2 + id_width + 2;
        let _ = writeln!(
            out,
            "  {}  {}: {}",
            style.paint(Paint::Strong, id),
            style.paint(Paint::Odd, harmless(&capability)),
            indented(&harmless(&reason), indent)
        );
    }
}

fn summary(out: &mut String, run: &Run, style: &Style) {
    let counts = run.verdict.counts();
    let mut parts: Vec<String> = Vec::new();
    let mut part = |number: usize, word: &str, paint: Paint| {
        if number > 0 {
            parts.push(style.paint(paint, format!("{number} {word}")));
        }
    };
    part(counts.holds, if counts.holds == 1 { "holds" } else { "hold" }, Paint::Good);
    part(counts.violated, "violated", Paint::Bad);
    part(counts.broken, "broken", Paint::Bad);
    part(counts.undecided, "left out", Paint::Odd);
    part(counts.not_proven, "not proven here", Paint::Odd);
    let parts = if parts.is_empty() { String::new() } else { format!(": {}", parts.join(", ")) };
    let _ = writeln!(
        out,
        "\n{}{parts} · {} in {}",
        plural(counts.guarantees, "guarantee"),
        plural(counts.scenarios, "scenario"),
        seconds(run.took)
    );
    let ending = run.exit();
    let paint = match ending.exit {
        Exit::Conformant => Paint::Good,
        Exit::Violated | Exit::Unusable => Paint::Bad,
        _ => Paint::Odd,
    };
    let _ = writeln!(out, "{} (exit {}): {}", style.paint(paint, ending.exit.to_string()), ending.exit.code(), ending.reason);
}

/// Further lines of a text below its first.
fn indented(text: &str, by: usize) -> String {
    text.trim_end().replace('\n', &format!("\n{:by$}", ""))
}

/// A path as one would type it from here.
#[must_use]
pub fn nearby(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(path).display().to_string()
}
