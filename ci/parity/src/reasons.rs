//! Differences that are explained by hand: `reasons.tsv`, a row for each.

use crate::report::{Half, Outcome};
use anyhow::{Context as _, Result, bail, ensure};

/// One explained difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reason {
    pub(crate) line: usize,
    pub(crate) half: Half,
    pub(crate) guarantee: String,
    pub(crate) name: String,
    /// On local and on kind.
    pub(crate) outcomes: [Outcome; 2],
    pub(crate) words: String,
}

impl Reason {
    /// Whether they speak of the same scenario or mutant.
    fn is_beside(&self, other: &Self) -> bool {
        self.half == other.half && self.guarantee == other.guarantee && self.name == other.name
    }
}

/// Reads the rows; lines that begin with `#` are for people.
pub(crate) fn parse(text: &str) -> Result<Vec<Reason>> {
    let mut reasons: Vec<Reason> = Vec::new();
    for (index, row) in text.lines().enumerate().filter(|(_, row)| !row.trim().is_empty() && !row.starts_with('#')) {
        let line = index + 1;
        let reason = reason(line, row).with_context(|| format!("line {line}"))?;
        if let Some(other) = reasons.iter().find(|other| other.is_beside(&reason)) {
            bail!("line {line}: {} {:?} has a reason already, in line {}", reason.half.word(), reason.name, other.line);
        }
        reasons.push(reason);
    }
    Ok(reasons)
}

fn reason(line: usize, row: &str) -> Result<Reason> {
    let cells: Vec<&str> = row.split('\t').map(str::trim).collect();
    let [half, guarantee, name, local, kind, words] = cells.as_slice() else {
        bail!("it has {} cells, not 6: kind, guarantee, name, outcome on local, outcome on kind, reason, parted by tabs", cells.len());
    };
    ensure!(!words.is_empty(), "the reason is empty");
    let half = Half::ALL.into_iter().find(|known| known.word() == *half);
    let half = half.with_context(|| format!("{:?} is neither scenario nor mutant", cells[0]))?;
    Ok(Reason {
        line,
        half,
        guarantee: (*guarantee).to_owned(),
        name: (*name).to_owned(),
        outcomes: [half.outcome(local)?, half.outcome(kind)?],
        words: (*words).to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[test]
    fn a_row_is_read_and_comments_are_not() {
        let reasons = parse("# kind\tguarantee\n\nmutant\tA-1\tno-claim\tkilled\tmissing\tkind has no such thing\n").expect("reasons");
        let [reason] = reasons.as_slice() else { panic!("{reasons:?}") };
        assert_eq!((reason.line, reason.half, reason.guarantee.as_str(), reason.name.as_str()), (3, Half::Mutants, "A-1", "no-claim"));
        assert_eq!((reason.outcomes, reason.words.as_str()), ([Outcome::Killed, Outcome::Missing], "kind has no such thing"));
    }

    #[rstest]
    #[case::cells("scenario\tA-1\ts\tpassed\tfailed", "line 1: it has 5 cells, not 6")]
    #[case::spaces("scenario A-1 s passed failed because", "line 1: it has 1 cells, not 6")]
    #[case::kind("rule\tA-1\ts\tpassed\tfailed\tbecause", "line 1: \"rule\" is neither scenario nor mutant")]
    #[case::outcome("scenario\tA-1\ts\tpassed\tbad\tbecause", "line 1: \"bad\" is no outcome that is known here")]
    #[case::of_mutants("scenario\tA-1\ts\tpassed\tkilled\tbecause", "line 1: no scenario is killed")]
    #[case::reason("scenario\tA-1\ts\tpassed\tfailed\t ", "line 1: the reason is empty")]
    #[case::twice(
        "scenario\tA-1\ts\tpassed\tfailed\ta\nscenario\tA-1\ts\tpassed\tbroken\tb",
        "line 2: scenario \"s\" has a reason already, in line 1"
    )]
    fn a_row_that_says_too_little_is_an_error(#[case] text: &str, #[case] expected: &str) {
        let error = format!("{:#}", parse(text).expect_err("no reasons"));
        assert!(error.starts_with(expected), "{error}");
    }
}
