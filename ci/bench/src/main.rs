//! Reads the reports that `ci/bench/run` and `ci/bench/kind` have made and prints the tables; it measures nothing itself.

mod chain;
mod pods;
mod report;

use anyhow::{Context as _, Result};
use report::{Report, Scenario, seconds};
use std::{collections::BTreeMap, env, fs, path::Path, process::ExitCode, time::Duration};

/// The scenario whose time has a budget.
const PERSISTENCE: &str = "the pod is deleted in order";
/// How many steps of a scenario are shown.
const SLOWEST: usize = 3;

fn main() -> ExitCode {
    let words: Vec<_> = env::args_os().skip(1).collect();
    let tables = match &words[..] {
        [reports] => tables(Path::new(reports)),
        [kind, reports] if kind == "--kind" => of_kind(Path::new(reports)),
        _ => {
            eprintln!("usage: redis-conformance-bench [--kind] DIRECTORY (ci/bench/run or ci/bench/kind makes it)");
            return ExitCode::from(2);
        }
    };
    match tables {
        Ok(tables) => {
            print!("{tables}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(3)
        }
    }
}

fn tables(reports: &Path) -> Result<String> {
    let whole = Report::read(&reports.join("whole.json"))?;
    let persistence = Report::read(&reports.join("persistence.json"))?;
    let pod = reports.join("pod.txt");
    let pod = fs::read_to_string(&pod).with_context(|| pod.display().to_string())?;
    Ok([the_whole(&whole), the_persistence_scenario(&persistence), the_start_of_a_pod(&pod), the_scenarios(&whole)].join("\n"))
}

fn of_kind(reports: &Path) -> Result<String> {
    let kind = Report::read(&reports.join("kind.json"))?;
    let event = reports.join("event.txt");
    let event = fs::read_to_string(&event).with_context(|| event.display().to_string())?;
    let measured: String = event.lines().filter(|line| line.starts_with("event to step")).map(|line| format!("  {line}\n")).collect();
    anyhow::ensure!(!measured.is_empty(), "the measure of events has printed nothing");
    let whole = format!(
        "verify mcp agentsmith on kind ({})\n  wall time beyond the cluster's creation      {:>8}   budget 600 s\n",
        kind.reason,
        seconds(kind.took)
    );
    Ok([whole, format!("the API server's events\n{measured}"), pods::table(&kind.scenarios)].join("\n"))
}

fn the_whole(report: &Report) -> String {
    let mut text =
        format!("verify mcp agentsmith ({})\n  wall time                                    {:>8}\n", report.reason, seconds(report.took));
    let chains = report.scenarios.iter().map(|scenario| (chain::of(scenario), scenario));
    let Some((chain, scenario)) = chains.max_by_key(|(chain, _)| chain.least()) else { return text };
    text += &format!(
        "  longest chain that the fields impose, at least {:>6}, at most {} by the phase of its probes\n",
        seconds(chain.least()),
        seconds(chain.most())
    );
    text += &format!("    {} {}\n", scenario.guarantee, scenario.name);
    for wait in &chain.waits {
        text += &format!("    {:>6}..{:<6} {}\n", seconds(wait.least), seconds(wait.most), wait.why);
    }
    let beyond = report.took.saturating_sub(chain.least());
    text += &format!("  beyond the least of it                       {:>8}   budget 30 s\n", seconds(beyond));
    text
}

fn the_persistence_scenario(report: &Report) -> String {
    let runs: Vec<&Scenario> = report.scenarios.iter().filter(|scenario| scenario.name == PERSISTENCE).collect();
    let passed = runs.iter().filter(|run| run.outcome == "passed").count();
    let mut text = format!("{PERSISTENCE}, alone, {} times, {passed} passed\n", runs.len());
    text += &row("in all, budget 300 ms", runs.iter().map(|run| run.took).collect());
    let mut steps: Vec<(&str, Vec<Duration>)> = Vec::new();
    for (step, took) in runs.iter().flat_map(|run| &run.steps) {
        match steps.iter_mut().find(|(known, _)| known == step) {
            Some((_, times)) => times.push(*took),
            None => steps.push((step, vec![*took])),
        }
    }
    for (step, times) in steps {
        text += &row(&format!("  {step}"), times);
    }
    let rest = runs.iter().map(|run| run.took.saturating_sub(run.steps.iter().map(|(_, took)| *took).sum())).collect();
    text += &row("  before and after: evidence, the cluster's end", rest);
    text
}

fn row(what: &str, mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |percent: usize| times.get((times.len() * percent / 100).min(times.len().saturating_sub(1))).copied().unwrap_or_default();
    let ms = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1000.0);
    format!("  {what:<56} p50 {:>9}  p95 {:>9}  worst {:>9}\n", ms(at(50)), ms(at(95)), ms(at(100)))
}

/// The runtime's own measures, and the difference between a Redis in a pod and a bare one.
fn the_start_of_a_pod(measured: &str) -> String {
    let lines: BTreeMap<&str, &str> =
        measured.lines().filter_map(|line| line.trim().split_once(" p50 ")).map(|(what, times)| (what.trim(), times)).collect();
    let median = |what: &str| lines.get(what).and_then(|times| report::duration(times.split_whitespace().next()?));
    let mut text = "a pod's start\n".to_owned();
    for (what, times) in &lines {
        text += &format!("  {what:<56} p50 {times}\n");
    }
    if let (Some(bare), Some(pod)) = (median("bare Redis, start to PONG"), median("Redis in a new pod, start to PONG from the node")) {
        let over = pod.saturating_sub(bare);
        text += &format!("  {:<56} p50 {over:.1?}   budget 60 ms\n", "over the bare process");
    }
    text
}

fn the_scenarios(report: &Report) -> String {
    let mut scenarios: Vec<&Scenario> = report.scenarios.iter().collect();
    scenarios.sort_by_key(|scenario| std::cmp::Reverse(scenario.took));
    let mut text = "every scenario, imposed: at least, by its manifests' fields; and its slowest steps\n".to_owned();
    for scenario in scenarios {
        text += &format!(
            "  {:>8}  imposed {:>6}  {:<8} {} ({})\n",
            seconds(scenario.took),
            seconds(chain::of(scenario).least()),
            scenario.guarantee,
            scenario.name,
            scenario.outcome
        );
        let mut steps: Vec<_> = scenario.steps.iter().collect();
        steps.sort_by_key(|(_, took)| std::cmp::Reverse(*took));
        for (step, took) in steps.into_iter().take(SLOWEST).filter(|(_, took)| *took > Duration::from_millis(20)) {
            text += &format!("  {:>19}  {step}\n", seconds(*took));
        }
    }
    text
}
