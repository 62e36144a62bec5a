//! Shows a comparison: as a page for people who want to know what the targets agree on, and in lines for who has just compared them.

use crate::{
    compare::{Comparison, Judgement, ONLY_THERE_AT_MOST, Pair},
    report::{Half, Outcome, Report},
};
use std::fmt::Write as _;

const HEAD: &str = "\
<!-- Made from a run of ci/parity/run; run it to make this page anew. Reasons stand in ci/parity/reasons.tsv. -->
# Parity of `local` and `kind`

Every scenario and every mutant runs from the same manifests on this machine (`local`, *here*) and on a cluster of kind (`kind`, *there*),
and must come to the same outcome. Where one does not, the cluster is right, and the difference is mended or explained. What is broken
has told nothing, so that it is never the same as anything.
";

/// The page.
pub(crate) fn page(comparison: &Comparison<'_>) -> String {
    let mut page = String::from(HEAD);
    page += "\n## Counts\n\n";
    page += &counts(comparison);
    page += "\n## Differences\n\n";
    page += &table(
        "| guarantee | scenario or mutant | outcome here | outcome there | reason |\n|---|---|---|---|---|\n",
        comparison.differing().map(|(pair, reason)| {
            let [here, there] = pair.outcomes();
            let reason = reason.map_or("**unexplained**".to_owned(), |reason| reason.words.replace('|', "\\|"));
            format!("| {} | {} | {here} | {there} | {reason} |", pair.guarantee(), subject(pair))
        }),
    );
    let _ = write!(page, "\n## Only there\n\nWhat kind shows and local cannot; at most {ONLY_THERE_AT_MOST} rows.\n\n");
    page += &table(
        "| guarantee | scenario or mutant | outcome there | what local lacks |\n|---|---|---|---|\n",
        comparison.only_there().map(|(pair, lacking)| one_sided(pair, pair.outcomes()[1], lacking)),
    );
    page += "\n## Only here\n\nWhat local shows and kind cannot.\n\n";
    page += &table(
        "| guarantee | scenario or mutant | outcome here | what kind lacks |\n|---|---|---|---|\n",
        comparison.only_here().map(|(pair, lacking)| one_sided(pair, pair.outcomes()[0], lacking)),
    );
    page += "\n## The same\n\n";
    page += &table("| guarantee | scenarios | mutants | killed there by another step |\n|---|---|---|---|\n", guarantees(comparison));
    page
}

/// Rows under their head, or that there are none.
fn table(head: &str, rows: impl Iterator<Item = String>) -> String {
    let rows: Vec<String> = rows.collect();
    if rows.is_empty() { "None.\n".into() } else { format!("{head}{}\n", rows.join("\n")) }
}

fn one_sided(pair: &Pair<'_>, outcome: Outcome, lacking: &str) -> String {
    format!("| {} | {} | {outcome} | {} |", pair.guarantee(), subject(pair), plain(lacking))
}

fn subject(pair: &Pair<'_>) -> String {
    match pair.half {
        Half::Scenarios => plain(pair.name()),
        Half::Mutants => format!("mutant `{}`", pair.name().replace('|', "\\|")),
    }
}

fn counts(comparison: &Comparison<'_>) -> String {
    type Counted = fn(&Judgement<'_>) -> bool;
    let standings: [(&str, Counted); 6] = [
        ("the same", |judgement| matches!(judgement, Judgement::Same)),
        ("different, explained", |judgement| matches!(judgement, Judgement::Differs(Some(_)))),
        ("different, **unexplained**", |judgement| matches!(judgement, Judgement::Differs(None))),
        ("only there", |judgement| matches!(judgement, Judgement::OnlyThere { .. })),
        ("only here", |judgement| matches!(judgement, Judgement::OnlyHere { .. })),
        ("all", |_| true),
    ];
    let mut text = String::from("| |");
    for half in &comparison.halves {
        let _ = write!(text, " {half} |");
    }
    text += "\n|---|";
    text += &"---:|".repeat(comparison.halves.len());
    for (standing, is_counted) in standings {
        let _ = write!(text, "\n| {standing} |");
        for half in &comparison.halves {
            let count = comparison.pairs.iter().filter(|pair| pair.half == *half && is_counted(&pair.judgement)).count();
            let _ = write!(text, " {count} |");
        }
    }
    text.push('\n');
    text
}

/// A row for each guarantee of which something is the same.
fn guarantees(comparison: &Comparison<'_>) -> impl Iterator<Item = String> {
    let mut ids: Vec<&str> = Vec::new();
    for pair in &comparison.pairs {
        if !ids.contains(&pair.guarantee()) {
            ids.push(pair.guarantee());
        }
    }
    ids.retain(|id| comparison.same().any(|pair| pair.guarantee() == *id));
    ids.into_iter().map(|id| {
        let of = |half| comparison.same().filter(move |pair| pair.half == half && pair.guarantee() == id);
        let killers = of(Half::Mutants).filter_map(|pair| pair.killers().map(|steps| (pair, steps)));
        let killers: Vec<String> =
            killers.map(|(pair, [here, there])| format!("{}: “{}” here, “{}” there", subject(pair), plain(here), plain(there))).collect();
        format!("| {id} | {} | {} | {} |", outcomes(of(Half::Scenarios)), outcomes(of(Half::Mutants)), killers.join("; "))
    })
}

/// `3 passed, 1 unsupported`, in the order in which they first come.
fn outcomes<'a>(pairs: impl Iterator<Item = &'a Pair<'a>>) -> String {
    let mut counts: Vec<(Outcome, usize)> = Vec::new();
    for pair in pairs {
        let [outcome, _] = pair.outcomes();
        match counts.iter_mut().find(|(known, _)| *known == outcome) {
            Some((_, count)) => *count += 1,
            None => counts.push((outcome, 1)),
        }
    }
    counts.into_iter().map(|(outcome, count)| format!("{count} {outcome}")).collect::<Vec<_>>().join(", ")
}

/// Text that is no Markdown, as a cell.
fn plain(text: &str) -> String {
    let mut cell = String::new();
    for letter in text.chars() {
        match letter {
            '\n' | '\r' => cell.push(' '),
            '|' | '*' | '`' | '<' | '\\' | '[' => cell.extend(['\\', letter]),
            letter => cell.push(letter),
        }
    }
    cell
}

/// What is different, what is only on one side, what is wrong with that, how long each run took, and the sum.
pub(crate) fn lines(comparison: &Comparison<'_>, reports: &[[Report; 2]]) -> String {
    let mut text = String::new();
    for (pair, reason) in comparison.differing() {
        let [here, there] = pair.outcomes();
        let reason = reason.map_or("unexplained", |reason| &reason.words);
        let _ = writeln!(text, "{}: {here} here, {there} there: {reason}", named(pair));
        for (place, entry) in [("here", pair.local), ("there", pair.kind)] {
            let Some(entry) = entry else { continue };
            let told: Vec<&str> = [entry.step.as_str(), entry.words.as_str()].into_iter().filter(|words| !words.is_empty()).collect();
            if !told.is_empty() {
                let _ = writeln!(text, "    {place}: {}", told.join(": ").replace('\n', "\n      "));
            }
            if let Some(evidence) = &entry.evidence {
                let _ = writeln!(text, "    evidence {place}: {evidence}");
            }
        }
    }
    for (pair, lacking) in comparison.only_there() {
        let _ = writeln!(text, "{}: {} only there; local lacks {lacking}", named(pair), pair.outcomes()[1]);
    }
    for (pair, lacking) in comparison.only_here() {
        let _ = writeln!(text, "{}: {} only here; kind lacks {lacking}", named(pair), pair.outcomes()[0]);
    }
    for reason in &comparison.stale {
        let [here, there] = reason.outcomes;
        let now = match comparison.now(reason) {
            Some([here, there]) => format!("it is {here} here, {there} there now"),
            None => "neither report has it".into(),
        };
        let _ = writeln!(
            text,
            "stale: line {} of the reasons explains {} {} “{}”, {here} here, {there} there: {now}",
            reason.line,
            reason.half.word(),
            reason.guarantee,
            reason.name
        );
    }
    let only_there = comparison.only_there().count();
    if only_there > ONLY_THERE_AT_MOST {
        let _ = writeln!(text, "too many: {only_there} are only there, and {ONLY_THERE_AT_MOST} may be");
    }
    for report in reports.iter().flatten() {
        let _ = writeln!(text, "wall time: {} on {}: {:.1} s", report.half, report.target, report.took.as_secs_f64());
    }
    let _ = writeln!(
        text,
        "parity: {} the same, {} different ({} unexplained), {only_there} only there, {} only here, {} stale",
        comparison.same().count(),
        comparison.differing().count(),
        comparison.unexplained(),
        comparison.only_here().count(),
        comparison.stale.len(),
    );
    text
}

fn named(pair: &Pair<'_>) -> String {
    format!("{} {} “{}”", pair.half.word(), pair.guarantee(), pair.name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        reasons,
        report::{
            Target,
            tests::{failed, killed, mutated, passed, undecided, unsupported, verified},
        },
    };
    use serde_json::Value;

    fn report(value: &Value, half: Half, target: Target) -> Report {
        Report::of(value, half, target).expect("a report")
    }

    fn example() -> [[Report; 2]; 2] {
        let local = [("a", passed()), ("b | <c>", passed()), ("d", unsupported("power-loss")), ("e", passed()), ("f", failed())];
        let kind = [("a", passed()), ("b | <c>", failed()), ("d", passed()), ("e", unsupported("root-owned-volumes")), ("f", failed())];
        let mutants_local = [("m", killed("Then x")), ("n", killed("Then x")), ("o", undecided())];
        let mutants_kind = [("m", killed("And y")), ("n", killed("Then x"))];
        [
            [
                report(&verified("local", &local), Half::Scenarios, Target::Local),
                report(&verified("kind", &kind), Half::Scenarios, Target::Kind),
            ],
            [
                report(&mutated("local", &mutants_local), Half::Mutants, Target::Local),
                report(&mutated("kind", &mutants_kind), Half::Mutants, Target::Kind),
            ],
        ]
    }

    const REASONS: &str = "mutant\tA-1\to\tundecided\tmissing\tkind has `no` such mutant\nscenario\tA-1\tz\tpassed\tfailed\tgone";

    #[test]
    fn the_page_tells_counts_first_and_then_what_is_not_the_same() {
        let (reports, reasons) = (example(), reasons::parse(REASONS).expect("reasons"));
        let page = page(&Comparison::of(&reports, &reasons).expect("a comparison"));
        assert_eq!(page.strip_prefix(HEAD).expect("the head"), EXPECTED);
    }

    const EXPECTED: &str = "
## Counts

| | scenarios | mutants |
|---|---:|---:|
| the same | 2 | 2 |
| different, explained | 0 | 1 |
| different, **unexplained** | 1 | 0 |
| only there | 1 | 0 |
| only here | 1 | 0 |
| all | 5 | 3 |

## Differences

| guarantee | scenario or mutant | outcome here | outcome there | reason |
|---|---|---|---|---|
| A-1 | b \\| \\<c> | passed | failed | **unexplained** |
| A-1 | mutant `o` | undecided | missing | kind has `no` such mutant |

## Only there

What kind shows and local cannot; at most 10 rows.

| guarantee | scenario or mutant | outcome there | what local lacks |
|---|---|---|---|
| A-1 | d | passed | power-loss |

## Only here

What local shows and kind cannot.

| guarantee | scenario or mutant | outcome here | what kind lacks |
|---|---|---|---|
| A-1 | e | passed | root-owned-volumes |

## The same

| guarantee | scenarios | mutants | killed there by another step |
|---|---|---|---|
| A-1 | 1 passed, 1 failed | 2 killed | mutant `m`: “Then x” here, “And y” there |
";

    #[test]
    fn of_one_half_nothing_is_said_of_the_other() {
        let [_, mutants] = example();
        let page = page(&Comparison::of(&[mutants], &[]).expect("a comparison"));
        assert!(page.contains("| | mutants |\n|---|---:|\n| the same | 2 |\n"), "{page}");
    }

    #[test]
    fn the_lines_tell_each_difference_with_what_was_said_of_it() {
        let (reports, reasons) = (example(), reasons::parse(REASONS).expect("reasons"));
        let lines = lines(&Comparison::of(&reports, &reasons).expect("a comparison"), &reports);
        let expected = "\
scenario A-1 “b | <c>”: passed here, failed there: unexplained
    evidence here: /evidence/local
    there: Then all is kept: 3 lost
      of 300
    evidence there: /evidence/kind
mutant A-1 “o”: undecided here, missing there: kind has `no` such mutant
    here: power-loss: no such disk
scenario A-1 “d”: passed only there; local lacks power-loss
scenario A-1 “e”: passed only here; kind lacks root-owned-volumes
stale: line 2 of the reasons explains scenario A-1 “z”, passed here, failed there: neither report has it
wall time: scenarios on local: 84.2 s
wall time: scenarios on kind: 84.2 s
wall time: mutants on local: 190.0 s
wall time: mutants on kind: 190.0 s
parity: 4 the same, 2 different (1 unexplained), 1 only there, 1 only here, 1 stale
";
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_stale_reason_is_told_with_what_is_there_now() {
        let [scenarios, _] = example();
        let reasons = reasons::parse("scenario\tA-1\ta\tpassed\tfailed\tmended").expect("reasons");
        let reports = [scenarios];
        let lines = lines(&Comparison::of(&reports, &reasons).expect("a comparison"), &reports);
        assert!(lines.contains("“a”, passed here, failed there: it is passed here, passed there now\n"), "{lines}");
    }
}
