//! The JSON report of `verify`, as far as the tables need it.

use anyhow::{Context as _, Result};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

pub(crate) struct Report {
    pub(crate) took: Duration,
    /// What the run came to.
    pub(crate) reason: String,
    pub(crate) scenarios: Vec<Scenario>,
}

pub(crate) struct Scenario {
    pub(crate) guarantee: String,
    pub(crate) name: String,
    pub(crate) outcome: String,
    pub(crate) took: Duration,
    pub(crate) steps: Vec<(String, Duration)>,
    pub(crate) evidence: Option<PathBuf>,
}

impl Report {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = fs::read(path).with_context(|| path.display().to_string())?;
        let report: Value = serde_json::from_slice(&text).with_context(|| path.display().to_string())?;
        let guarantees = report["guarantees"].as_array().with_context(|| format!("{} is no report of verify", path.display()))?;
        let scenarios = guarantees.iter().flat_map(|guarantee| guarantee["scenarios"].as_array().into_iter().flatten());
        Ok(Self {
            took: milliseconds(&report["run"]["took_ms"]),
            reason: text_of(&report["exit"]["reason"]),
            scenarios: scenarios.map(Scenario::of).collect(),
        })
    }
}

impl Scenario {
    fn of(scenario: &Value) -> Self {
        let steps = scenario["steps"].as_array().into_iter().flatten();
        Self {
            guarantee: text_of(&scenario["guarantee"]),
            name: text_of(&scenario["scenario"]),
            outcome: text_of(&scenario["outcome"]),
            took: milliseconds(&scenario["took_ms"]),
            steps: steps.map(|step| (text_of(&step["text"]), milliseconds(&step["took_ms"]))).collect(),
            evidence: scenario["evidence"].as_str().map(PathBuf::from),
        }
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn milliseconds(value: &Value) -> Duration {
    Duration::from_secs_f64(value.as_f64().unwrap_or_default().max(0.0) / 1000.0)
}

/// `12.3 s`.
pub(crate) fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

/// A time as Rust's own debug form writes it: `3.14ms`, `890.00µs`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let unit = text.find(|letter: char| letter.is_alphabetic())?;
    let scale = match &text[unit..] {
        "s" => 1.0,
        "ms" => 1e-3,
        "µs" => 1e-6,
        "ns" => 1e-9,
        _ => return None,
    };
    Some(Duration::from_secs_f64(text[..unit].parse::<f64>().ok()? * scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_rust_writes_them() {
        assert_eq!(duration("3.50ms"), Some(Duration::from_micros(3500)));
        assert_eq!(duration("890.00µs"), Some(Duration::from_micros(890)));
        assert_eq!(duration("soon"), None);
    }
}
