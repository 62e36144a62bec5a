//! Holds the reports of two targets against each other and judges each pair; it shows nothing.

use crate::{
    reasons::Reason,
    report::{Entry, Half, Outcome, Report, Target},
};
use anyhow::{Result, ensure};

/// More than this must not be beyond the local target's abilities.
pub(crate) const ONLY_THERE_AT_MOST: usize = 10;

/// What came of all pairs.
#[derive(Debug)]
pub(crate) struct Comparison<'a> {
    /// The halves that were compared.
    pub(crate) halves: Vec<Half>,
    /// In the order of the local run, and then what only kind's has.
    pub(crate) pairs: Vec<Pair<'a>>,
    /// Reasons that no difference has any more.
    pub(crate) stale: Vec<&'a Reason>,
}

/// A scenario or a mutant on both targets; at least one of them has it.
#[derive(Debug)]
pub(crate) struct Pair<'a> {
    pub(crate) half: Half,
    pub(crate) local: Option<&'a Entry>,
    pub(crate) kind: Option<&'a Entry>,
    pub(crate) judgement: Judgement<'a>,
}

/// How the two verdicts stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judgement<'a> {
    /// The same outcome, of which both are sure.
    Same,
    /// kind proves what local cannot show.
    OnlyThere {
        /// What local lacks.
        lacking: &'a str,
    },
    /// local proves what kind cannot show.
    OnlyHere {
        /// What kind lacks.
        lacking: &'a str,
    },
    /// Anything else, with the reason if somebody gave one.
    Differs(Option<&'a Reason>),
}

impl<'a> Pair<'a> {
    fn of(half: Half, local: Option<&'a Entry>, kind: Option<&'a Entry>, reasons: &'a [Reason]) -> Self {
        let mut pair = Self { half, local, kind, judgement: Judgement::Same };
        let [here, there] = pair.outcomes();
        let lacking = |entry: Option<&'a Entry>| entry.map_or("", |entry| entry.capability.as_str());
        pair.judgement = if here == there && here != Outcome::Broken {
            Judgement::Same
        } else if here.is_unable() && there.proves() {
            Judgement::OnlyThere { lacking: lacking(local) }
        } else if here.proves() && there.is_unable() {
            Judgement::OnlyHere { lacking: lacking(kind) }
        } else {
            Judgement::Differs(reasons.iter().find(|reason| pair.is_explained_by(reason)))
        };
        pair
    }

    /// On local and on kind.
    pub(crate) fn outcomes(&self) -> [Outcome; 2] {
        [self.local, self.kind].map(|entry| entry.map_or(Outcome::Missing, |entry| entry.outcome))
    }

    pub(crate) fn guarantee(&self) -> &str {
        self.either().map_or("", |entry| &entry.guarantee)
    }

    pub(crate) fn name(&self) -> &str {
        self.either().map_or("", |entry| &entry.name)
    }

    /// The steps by which the mutant was killed here and there, where both were and by different ones.
    pub(crate) fn killers(&self) -> Option<[&'a str; 2]> {
        let (local, kind) = (self.local?, self.kind?);
        (self.outcomes() == [Outcome::Killed; 2] && local.step != kind.step).then_some([&local.step, &kind.step])
    }

    fn either(&self) -> Option<&'a Entry> {
        self.local.or(self.kind)
    }

    fn is_named_by(&self, reason: &Reason) -> bool {
        reason.half == self.half && reason.guarantee == self.guarantee() && reason.name == self.name()
    }

    fn is_explained_by(&self, reason: &Reason) -> bool {
        self.is_named_by(reason) && reason.outcomes == self.outcomes()
    }
}

impl<'a> Comparison<'a> {
    /// Compares each local report with the one of kind beside it.
    ///
    /// # Errors
    /// There is nothing to compare.
    pub(crate) fn of(reports: &'a [[Report; 2]], reasons: &'a [Reason]) -> Result<Self> {
        let mut halves = Vec::new();
        let mut pairs: Vec<Pair<'a>> = Vec::new();
        for [local, kind] in reports {
            let half = local.half;
            ensure!(
                half == kind.half && [local.target, kind.target] == Target::ALL,
                "these are no two reports of the same on local and on kind"
            );
            ensure!(!local.entries.is_empty() || !kind.entries.is_empty(), "neither report has {half}");
            halves.push(half);
            let of_kind = |wanted: &Entry| kind.entries.iter().find(|entry| entry.is_same_as(wanted));
            pairs.extend(local.entries.iter().map(|entry| Pair::of(half, Some(entry), of_kind(entry), reasons)));
            let only_kinds = kind.entries.iter().filter(|entry| !local.entries.iter().any(|known| known.is_same_as(entry)));
            pairs.extend(only_kinds.map(|entry| Pair::of(half, None, Some(entry), reasons)));
        }
        let is_used =
            |reason: &Reason| pairs.iter().any(|pair| matches!(pair.judgement, Judgement::Differs(_)) && pair.is_explained_by(reason));
        let stale = reasons.iter().filter(|reason| halves.contains(&reason.half) && !is_used(reason)).collect();
        Ok(Self { halves, pairs, stale })
    }

    /// What those two outcomes are of which a stale reason speaks, if both reports or one of them still has it.
    pub(crate) fn now(&self, reason: &Reason) -> Option<[Outcome; 2]> {
        self.pairs.iter().find(|pair| pair.is_named_by(reason)).map(Pair::outcomes)
    }

    pub(crate) fn differing(&self) -> impl Iterator<Item = (&Pair<'a>, Option<&'a Reason>)> {
        self.pairs.iter().filter_map(|pair| match pair.judgement {
            Judgement::Differs(reason) => Some((pair, reason)),
            Judgement::Same | Judgement::OnlyThere { .. } | Judgement::OnlyHere { .. } => None,
        })
    }

    pub(crate) fn only_there(&self) -> impl Iterator<Item = (&Pair<'a>, &'a str)> {
        self.pairs.iter().filter_map(|pair| match pair.judgement {
            Judgement::OnlyThere { lacking } => Some((pair, lacking)),
            Judgement::Same | Judgement::OnlyHere { .. } | Judgement::Differs(_) => None,
        })
    }

    pub(crate) fn only_here(&self) -> impl Iterator<Item = (&Pair<'a>, &'a str)> {
        self.pairs.iter().filter_map(|pair| match pair.judgement {
            Judgement::OnlyHere { lacking } => Some((pair, lacking)),
            Judgement::Same | Judgement::OnlyThere { .. } | Judgement::Differs(_) => None,
        })
    }

    pub(crate) fn same(&self) -> impl Iterator<Item = &Pair<'a>> {
        self.pairs.iter().filter(|pair| pair.judgement == Judgement::Same)
    }

    pub(crate) fn unexplained(&self) -> usize {
        self.differing().filter(|(_, reason)| reason.is_none()).count()
    }

    /// Whether parity is shown: whatever differs is explained, every explanation is needed, and local is able enough.
    pub(crate) fn holds(&self) -> bool {
        self.unexplained() == 0 && self.stale.is_empty() && self.only_there().count() <= ONLY_THERE_AT_MOST
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        reasons,
        report::tests::{broken, failed, killed, mutated, passed, undecided, unsupported, verified},
    };
    use rstest::rstest;
    use serde_json::{Value, json};

    fn scenarios(local: &[(&str, Value)], kind: &[(&str, Value)]) -> [Report; 2] {
        let report = |target: Target, scenarios| Report::of(&verified(&target.to_string(), scenarios), Half::Scenarios, target);
        [report(Target::Local, local), report(Target::Kind, kind)].map(|report| report.expect("a report"))
    }

    fn mutants(local: &[(&str, Value)], kind: &[(&str, Value)]) -> [Report; 2] {
        let report = |target: Target, mutants| Report::of(&mutated(&target.to_string(), mutants), Half::Mutants, target);
        [report(Target::Local, local), report(Target::Kind, kind)].map(|report| report.expect("a report"))
    }

    fn all<'a>(names: &[&'a str], outcome: &Value) -> Vec<(&'a str, Value)> {
        names.iter().map(|name| (*name, outcome.clone())).collect()
    }

    fn lacks_power() -> Value {
        unsupported("power-loss")
    }

    fn skipped() -> Value {
        json!({ "outcome": "skipped", "reason": "nobody makes it anew" })
    }

    /// A judgement in a word.
    fn told(judgement: Judgement<'_>) -> String {
        match judgement {
            Judgement::Same => "same".into(),
            Judgement::OnlyThere { lacking } => format!("only there: {lacking}"),
            Judgement::OnlyHere { lacking } => format!("only here: {lacking}"),
            Judgement::Differs(None) => "unexplained".into(),
            Judgement::Differs(Some(reason)) => reason.words.clone(),
        }
    }

    const NO_REASON: &str = "";
    const KINDS_DISK: &str = "scenario\tA-1\ts\tpassed\tfailed\tkind's disk is slow";

    #[rstest]
    #[case::same(passed(), passed(), NO_REASON, "same", true)]
    #[case::both_failed(failed(), failed(), NO_REASON, "same", true)]
    #[case::neither_can(lacks_power(), lacks_power(), NO_REASON, "same", true)]
    #[case::both_left_out(skipped(), skipped(), NO_REASON, "same", true)]
    #[case::differs(passed(), failed(), NO_REASON, "unexplained", false)]
    #[case::explained(passed(), failed(), KINDS_DISK, "kind's disk is slow", true)]
    #[case::explained_the_other_way_round(failed(), passed(), KINDS_DISK, "unexplained", false)]
    #[case::stale(passed(), passed(), KINDS_DISK, "same", false)]
    #[case::another_difference_by_now(passed(), broken(), KINDS_DISK, "unexplained", false)]
    #[case::a_reason_for_what_only_kind_can(
        lacks_power(),
        passed(),
        "scenario\tA-1\ts\tunsupported\tpassed\tx",
        "only there: power-loss",
        false
    )]
    #[case::only_there(lacks_power(), passed(), NO_REASON, "only there: power-loss", true)]
    #[case::only_here(passed(), unsupported("root-owned-volumes"), NO_REASON, "only here: root-owned-volumes", true)]
    #[case::only_there_but_failed(lacks_power(), failed(), NO_REASON, "unexplained", false)]
    #[case::only_there_but_left_out(lacks_power(), skipped(), NO_REASON, "unexplained", false)]
    #[case::broken_there(passed(), broken(), NO_REASON, "unexplained", false)]
    #[case::broken_where_the_other_cannot(lacks_power(), broken(), NO_REASON, "unexplained", false)]
    #[case::broken_on_both(broken(), broken(), NO_REASON, "unexplained", false)]
    #[case::broken_on_both_explained(broken(), broken(), "scenario\tA-1\ts\tbroken\tbroken\tRedis 7.0 hangs", "Redis 7.0 hangs", true)]
    fn scenarios_are_judged(#[case] local: Value, #[case] kind: Value, #[case] reasons: &str, #[case] expected: &str, #[case] holds: bool) {
        let reports = [scenarios(&[("s", local)], &[("s", kind)])];
        let reasons = reasons::parse(reasons).expect("reasons");
        let comparison = Comparison::of(&reports, &reasons).expect("a comparison");
        assert_eq!(told(comparison.pairs[0].judgement), expected);
        assert_eq!(comparison.holds(), holds);
    }

    #[rstest]
    #[case::same(killed("Then x"), killed("Then x"), "same", false)]
    #[case::by_another_step(killed("Then x"), killed("And y"), "same", true)]
    #[case::survived(killed("Then x"), json!({ "fate": "survived", "reason": "every step held" }), "unexplained", false)]
    #[case::stillborn(json!({ "fate": "stillborn", "reason": "refused" }), killed("Then x"), "unexplained", false)]
    #[case::only_there(undecided(), killed("Then x"), "only there: power-loss", false)]
    #[case::only_here(killed("Then x"), undecided(), "only here: power-loss", false)]
    #[case::neither_can(undecided(), undecided(), "same", false)]
    #[case::broken(json!({ "fate": "broken", "message": "lost" }), json!({ "fate": "broken", "message": "lost" }), "unexplained", false)]
    fn mutants_are_judged(#[case] local: Value, #[case] kind: Value, #[case] expected: &str, #[case] at_another_step: bool) {
        let reports = [mutants(&[("m", local)], &[("m", kind)])];
        let comparison = Comparison::of(&reports, &[]).expect("a comparison");
        assert_eq!(told(comparison.pairs[0].judgement), expected);
        assert_eq!(comparison.pairs[0].killers().is_some(), at_another_step);
    }

    #[rstest]
    #[case::there(&["s", "t"], &["s"], "t", [Outcome::Passed, Outcome::Missing])]
    #[case::here(&["s"], &["s", "t"], "t", [Outcome::Missing, Outcome::Passed])]
    #[case::everywhere_here(&[], &["s"], "s", [Outcome::Missing, Outcome::Passed])]
    fn what_one_report_alone_has_differs(
        #[case] local: &[&str],
        #[case] kind: &[&str],
        #[case] name: &str,
        #[case] outcomes: [Outcome; 2],
    ) {
        let reports = [scenarios(&all(local, &passed()), &all(kind, &passed()))];
        let comparison = Comparison::of(&reports, &[]).expect("a comparison");
        let differing: Vec<_> = comparison.differing().map(|(pair, reason)| (pair.name(), pair.outcomes(), reason)).collect();
        assert_eq!(differing, [(name, outcomes, None)]);
        let explained = format!("scenario\tA-1\t{name}\t{}\t{}\tknown", outcomes[0], outcomes[1]);
        let reasons = reasons::parse(&explained).expect("reasons");
        assert!(Comparison::of(&reports, &reasons).expect("a comparison").holds());
    }

    #[rstest]
    #[case::as_many_as_may_be(10, true)]
    #[case::one_too_many(11, false)]
    fn only_so_many_may_be_beyond_local(#[case] count: usize, #[case] holds: bool) {
        let names: Vec<String> = (0..count).map(|number| format!("s{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (unable, proves) = (all(&names, &lacks_power()), all(&names, &passed()));
        let reports = [scenarios(&unable, &proves)];
        assert_eq!(Comparison::of(&reports, &[]).expect("a comparison").holds(), holds);
        // What kind lacks is nothing that local could mend.
        let reports = [scenarios(&proves, &unable)];
        assert!(Comparison::of(&reports, &[]).expect("a comparison").holds());
    }

    #[test]
    fn of_one_half_the_other_halfs_reasons_are_not_stale() {
        let reports = [mutants(&[("m", killed("Then x"))], &[("m", killed("Then x"))])];
        let reasons = reasons::parse(KINDS_DISK).expect("reasons");
        assert!(Comparison::of(&reports, &reasons).expect("a comparison").holds());
    }

    #[test]
    fn reports_of_nothing_are_no_parity() {
        let error = Comparison::of(&[scenarios(&[], &[])], &[]).map(drop).expect_err("no comparison");
        assert_eq!(error.to_string(), "neither report has scenarios");
    }
}
