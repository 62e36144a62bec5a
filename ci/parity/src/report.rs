//! The JSON reports of `verify` and `mutate`, as far as targets are compared by them; what cannot be compared is an error.

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use std::{collections::BTreeMap, fmt, fs, path::Path, str::FromStr, time::Duration};

/// The reports' schema that is understood here.
const SCHEMA: u64 = 1;
/// The exit code of a run that met a bug of ours: what it says is worth nothing.
const BUG: u64 = 70;

/// What is compared: scenarios by `verify`, mutants by `mutate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Half {
    Scenarios,
    Mutants,
}

/// Where something ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Local,
    Kind,
}

/// What a report says of a scenario or a mutant, or that it says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    Failed,
    Unsupported,
    Skipped,
    Killed,
    Survived,
    Stillborn,
    Undecided,
    Broken,
    Missing,
}

/// Every outcome with the word of reports and reasons; it is a scenario's, a mutant's, or both's.
const WORDS: &[(Outcome, &str, &[Half])] = &[
    (Outcome::Passed, "passed", &[Half::Scenarios]),
    (Outcome::Failed, "failed", &[Half::Scenarios]),
    (Outcome::Unsupported, "unsupported", &[Half::Scenarios]),
    (Outcome::Skipped, "skipped", &[Half::Scenarios]),
    (Outcome::Killed, "killed", &[Half::Mutants]),
    (Outcome::Survived, "survived", &[Half::Mutants]),
    (Outcome::Stillborn, "stillborn", &[Half::Mutants]),
    (Outcome::Undecided, "undecided", &[Half::Mutants]),
    (Outcome::Broken, "broken", &[Half::Scenarios, Half::Mutants]),
    (Outcome::Missing, MISSING, &[Half::Scenarios, Half::Mutants]),
];
/// The word for what a report does not name.
const MISSING: &str = "missing";

/// One run.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) half: Half,
    pub(crate) target: Target,
    pub(crate) took: Duration,
    /// In the order of the run.
    pub(crate) entries: Vec<Entry>,
}

/// A scenario or a mutant.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) system: String,
    pub(crate) guarantee: String,
    /// Repetitions have their number in it.
    pub(crate) name: String,
    pub(crate) outcome: Outcome,
    /// The step that failed, or that killed the mutant; empty where there is none.
    pub(crate) step: String,
    /// What was said of the outcome; empty where it passed.
    pub(crate) words: String,
    /// What the target lacks; empty where nothing is told to be lacking.
    pub(crate) capability: String,
    pub(crate) evidence: Option<String>,
}

impl Half {
    pub(crate) const ALL: [Self; 2] = [Self::Scenarios, Self::Mutants];

    /// One of them.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Scenarios => "scenario",
            Self::Mutants => "mutant",
        }
    }

    /// The outcome that a word of this half stands for.
    pub(crate) fn outcome(self, word: &str) -> Result<Outcome> {
        let outcome = word.parse()?;
        let ours = WORDS.iter().any(|(known, _, halves)| *known == outcome && halves.contains(&self));
        ensure!(ours, "no {} is {word}", self.word());
        Ok(outcome)
    }
}

impl fmt::Display for Half {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}s", self.word())
    }
}

impl Target {
    pub(crate) const ALL: [Self; 2] = [Self::Local, Self::Kind];
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local => "local",
            Self::Kind => "kind",
        })
    }
}

impl Outcome {
    /// The promise was shown, or the mutant's death.
    pub(crate) fn proves(self) -> bool {
        matches!(self, Self::Passed | Self::Killed)
    }

    /// The target could not show it for want of a capability.
    pub(crate) fn is_unable(self) -> bool {
        matches!(self, Self::Unsupported | Self::Undecided)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(WORDS.iter().find(|(outcome, ..)| outcome == self).map_or("unknown", |(_, word, _)| word))
    }
}

impl FromStr for Outcome {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let known = WORDS.iter().find(|(_, word, _)| *word == text);
        known.map(|(outcome, ..)| *outcome).with_context(|| format!("{text:?} is no outcome that is known here"))
    }
}

impl Report {
    /// Reads one of the four files that `ci/parity/run` makes: `scenarios.local.json`.
    pub(crate) fn read(folder: &Path, half: Half, target: Target) -> Result<Self> {
        let path = folder.join(format!("{half}.{target}.json"));
        let text = fs::read(&path).with_context(|| path.display().to_string())?;
        let report = serde_json::from_slice(&text).with_context(|| format!("{} is no JSON", path.display()))?;
        Self::of(&report, half, target).with_context(|| path.display().to_string())
    }

    pub(crate) fn of(report: &Value, half: Half, target: Target) -> Result<Self> {
        let schema = report["schema"].as_u64().context("it is no report of redis-conformance")?;
        ensure!(schema == SCHEMA, "its schema is {schema}, not {SCHEMA}");
        ensure!(report["exit"]["code"].as_u64() != Some(BUG), "its run met a bug of ours");
        let (run, entries) = match half {
            Half::Scenarios => {
                let guarantees = report["guarantees"].as_array().context("it is no report of verify")?;
                (&report["run"], guarantees.iter().flat_map(|guarantee| guarantee["scenarios"].as_array().into_iter().flatten()).collect())
            }
            Half::Mutants => (report, report["mutants"].as_array().context("it is no report of mutate")?.iter().collect::<Vec<_>>()),
        };
        let ran_on = text_of(run, "target")?;
        ensure!(ran_on == target.to_string(), "its target is {ran_on}, not {target}");
        ensure!(run["interrupted"].as_bool() == Some(false), "its run was interrupted");
        let took = run["took_ms"].as_u64().map(Duration::from_millis).context("it tells no time")?;
        let mut entries = entries.into_iter().map(|value| Entry::of(value, half)).collect::<Result<Vec<_>>>()?;
        let mut seen = BTreeMap::new();
        for entry in &mut entries {
            let times = seen.entry((entry.system.clone(), entry.guarantee.clone(), entry.name.clone())).or_insert(0_usize);
            *times += 1;
            if *times > 1 {
                entry.name = format!("{} ({times})", entry.name);
            }
        }
        Ok(Self { half, target, took, entries })
    }
}

impl Entry {
    /// Whether both are of one scenario or mutant; they are of one half.
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        self.system == other.system && self.guarantee == other.guarantee && self.name == other.name
    }

    fn of(value: &Value, half: Half) -> Result<Self> {
        let (name, outcome) = match half {
            Half::Scenarios => ("scenario", "outcome"),
            Half::Mutants => ("mutant", "fate"),
        };
        let (name, outcome) = (text_of(value, name)?, half.outcome(text_of(value, outcome)?)?);
        let told = ["message", "reason"].iter().filter_map(|key| value[key].as_str());
        Ok(Self {
            system: text_of(value, "system")?.to_owned(),
            guarantee: text_of(value, "guarantee")?.to_owned(),
            name: name.to_owned(),
            outcome,
            step: value["step"].as_str().unwrap_or_default().to_owned(),
            words: told.collect(),
            capability: if outcome.is_unable() {
                capability(value).with_context(|| format!("{name} is {outcome}"))?
            } else {
                String::new()
            },
            evidence: value["evidence"].as_str().map(ToOwned::to_owned),
        })
    }
}

fn text_of<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    value[key].as_str().with_context(|| format!("{key} is no text in {}", cut(&value.to_string())))
}

/// So much that a reader finds the place.
fn cut(text: &str) -> String {
    text.chars().take(120).collect()
}

/// What the target lacks: a field of a scenario, and of a mutant what its reason begins with.
fn capability(value: &Value) -> Result<String> {
    let field = &value["capability"];
    if let Some(name) = field.as_str().or_else(|| field["field"].as_str()) {
        return Ok(name.to_owned());
    }
    if let Some(image) = field["program"].as_str() {
        return Ok(format!("program for {image}"));
    }
    match value["reason"].as_str().and_then(|reason| reason.split_once(": ")) {
        Some((capability, _)) => Ok(capability.to_owned()),
        None => bail!("what is lacking is not told"),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    /// A report of one guarantee, as `verify` writes it.
    pub(crate) fn verified(target: &str, scenarios: &[(&str, Value)]) -> Value {
        let scenario = |(name, outcome): &(&str, Value)| {
            let mut scenario = json!({ "system": "mcp", "guarantee": "A-1", "scenario": name, "evidence": format!("/evidence/{target}") });
            merge(&mut scenario, outcome);
            scenario
        };
        json!({
            "schema": 1,
            "run": { "target": target, "took_ms": 84_200, "interrupted": false },
            "exit": { "code": 0 },
            "guarantees": [{ "id": "A-1", "scenarios": scenarios.iter().map(scenario).collect::<Vec<_>>() }],
        })
    }

    /// A report of mutants of one guarantee, as `mutate` writes it.
    pub(crate) fn mutated(target: &str, mutants: &[(&str, Value)]) -> Value {
        let mutant = |(name, fate): &(&str, Value)| {
            let mut mutant = json!({ "system": "mcp", "guarantee": "A-1", "mutant": name });
            merge(&mut mutant, fate);
            mutant
        };
        json!({
            "schema": 1,
            "target": target,
            "took_ms": 190_000,
            "interrupted": false,
            "exit": { "code": 0 },
            "mutants": mutants.iter().map(mutant).collect::<Vec<_>>(),
        })
    }

    fn merge(into: &mut Value, from: &Value) {
        for (key, value) in from.as_object().expect("an object") {
            into[key] = value.clone();
        }
    }

    pub(crate) fn passed() -> Value {
        json!({ "outcome": "passed" })
    }

    pub(crate) fn failed() -> Value {
        json!({ "outcome": "failed", "step": "Then all is kept", "message": "3 lost\nof 300" })
    }

    pub(crate) fn unsupported(capability: &str) -> Value {
        json!({ "outcome": "unsupported", "capability": capability, "reason": "not here: no such disk" })
    }

    pub(crate) fn broken() -> Value {
        json!({ "outcome": "broken", "step": "", "message": "the API server was silent" })
    }

    pub(crate) fn killed(step: &str) -> Value {
        json!({ "fate": "killed", "scenario": "the pod is killed", "step": step, "message": "3 lost" })
    }

    pub(crate) fn undecided() -> Value {
        json!({ "fate": "undecided", "reason": "power-loss: no such disk" })
    }

    #[rstest]
    #[case::by_name(json!("power-loss"), "power-loss")]
    #[case::a_program(json!({ "program": "redis:7" }), "program for redis:7")]
    #[case::a_field(json!({ "field": "spec.tls at a.yaml:1:2" }), "spec.tls at a.yaml:1:2")]
    fn a_scenario_tells_what_the_target_lacks(#[case] told: Value, #[case] expected: &str) {
        let scenario = json!({ "outcome": "unsupported", "capability": told, "reason": "not here: no such disk" });
        let report = Report::of(&verified("kind", &[("s", scenario)]), Half::Scenarios, Target::Kind).expect("a report");
        assert_eq!(report.entries[0].capability, expected);
    }

    #[test]
    fn a_mutants_reason_begins_with_what_the_target_lacks() {
        let report = Report::of(&mutated("local", &[("m", undecided())]), Half::Mutants, Target::Local).expect("a report");
        assert_eq!(report.entries[0].capability, "power-loss");
    }

    #[test]
    fn repetitions_are_told_apart_by_their_number() {
        let report = verified("local", &[("s", passed()), ("t", passed()), ("s", failed()), ("s", passed())]);
        let report = Report::of(&report, Half::Scenarios, Target::Local).expect("a report");
        assert_eq!(report.entries.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), ["s", "t", "s (2)", "s (3)"]);
    }

    #[rstest]
    #[case::another_schema("/schema", json!(2), "its schema is 2, not 1")]
    #[case::no_report("/schema", json!(null), "it is no report of redis-conformance")]
    #[case::another_target("/run/target", json!("kind"), "its target is kind, not local")]
    #[case::interrupted("/run/interrupted", json!(true), "its run was interrupted")]
    #[case::a_bug("/exit/code", json!(70), "its run met a bug of ours")]
    #[case::an_unknown_outcome("/guarantees/0/scenarios/0/outcome", json!("fine"), "\"fine\" is no outcome that is known here")]
    #[case::a_mutants_fate("/guarantees/0/scenarios/0/outcome", json!("killed"), "no scenario is killed")]
    #[case::nothing_lacking("/guarantees/0/scenarios/0/outcome", json!("unsupported"), "what is lacking is not told")]
    #[case::no_name("/guarantees/0/scenarios/0/scenario", json!(null), "scenario is no text in {")]
    fn what_cannot_be_compared_is_an_error(#[case] at: &str, #[case] value: Value, #[case] expected: &str) {
        let mut report = verified("local", &[("s", passed())]);
        *report.pointer_mut(at).expect("a field") = value;
        let error = format!("{:#}", Report::of(&report, Half::Scenarios, Target::Local).expect_err("no report"));
        assert!(error.contains(expected), "{error}");
    }
}
