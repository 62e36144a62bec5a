//! What stays up after a run, and the command lines with which a person looks at it.

use super::{
    Style,
    style::{Paint, harmless, plural},
    terminal::sign,
};
use crate::verdict::{Outcome, ScenarioResult};
use std::fmt::Write as _;

/// Scenarios that stay up.
#[derive(Clone, Debug)]
pub struct Staying {
    /// Each of them.
    pub scenarios: Vec<Stay>,
    /// How many that did not hold were taken down all the same.
    pub let_go: usize,
    /// How many may be kept.
    pub most: usize,
    /// The process that a signal ends.
    pub process: Option<i32>,
}

/// One scenario that stays up.
#[derive(Clone, Debug)]
pub struct Stay {
    /// What became of it.
    pub result: ScenarioResult,
    /// How to look at it.
    pub ways: Vec<Way>,
}

/// One way to look at it.
#[derive(Clone, Debug)]
pub struct Way {
    /// What it shows: `all pods`.
    pub shows: &'static str,
    /// The command line, or why there is none and how to get it.
    pub command: Result<String, String>,
}

/// Says what stays up, how to look at it and how to end it.
#[must_use]
pub fn staying_text(staying: &Staying, style: &Style) -> String {
    let mut out = String::new();
    let Staying { scenarios, let_go, most, process } = staying;
    if scenarios.is_empty() {
        let why = "--keep keeps what did not hold and has begun to run; there is no such scenario, and nothing is left running";
        let _ = writeln!(out, "\n{}", style.paint(Paint::Quiet, why));
        return out;
    }
    let stay = if scenarios.len() == 1 { "stays" } else { "stay" };
    let title = format!("{} {stay} up, for you to look at from another terminal", plural(scenarios.len(), "scenario"));
    let _ = writeln!(out, "\n{}", style.paint(Paint::Strong, title));
    for Stay { result, ways } in scenarios {
        let (sign, paint) = sign(result.outcome.standing());
        let name = harmless(&result.scenario);
        let _ = writeln!(out, "\n  {} {}  {name}{}", style.paint(paint, sign), style.paint(Paint::Strong, &result.guarantee), seen(result));
        let widest = ways.iter().map(|way| way.shows.chars().count()).max().unwrap_or_default();
        for Way { shows, command } in ways {
            // Never cut: a command line is there to be copied.
            let shown = match command {
                Ok(command) => harmless(command),
                Err(reason) => style.paint(Paint::Odd, format!("not to be had: {}", harmless(reason).replace('\n', " "))),
            };
            let _ = writeln!(out, "    {}  {shown}", style.paint(Paint::Quiet, format!("{shows:widest$}")));
        }
    }
    out.push('\n');
    if *let_go > 0 {
        let _ = writeln!(
            out,
            "{let_go} more did not hold and {} taken down: --keep keeps {most} at most, and one repetition of each; --guarantee chooses",
            if *let_go == 1 { "was" } else { "were" }
        );
    }
    let kill = process.map(|process| format!(", or kill -TERM {process}")).unwrap_or_default();
    let ends = format!("They run on as they would in a cluster, probes included. Ctrl-C ends them{kill}; the exit code stays.");
    let _ = writeln!(out, "{}", style.paint(Paint::Strong, ends));
    out
}

/// The first line of what it saw.
fn seen(result: &ScenarioResult) -> String {
    match &result.outcome {
        Outcome::Failed { message, .. } | Outcome::Broken { message, .. } => {
            format!(": {}", harmless(message.lines().next().unwrap_or_default()))
        }
        Outcome::Passed | Outcome::Unsupported { .. } | Outcome::Skipped { .. } => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stay(guarantee: &str) -> Stay {
        let outcome = Outcome::Failed { step: "Then x".into(), message: "lost 3 of 9\ncaused by y".into() };
        let ways = vec![
            Way { shows: "all pods", command: Ok("/run/kept-1/bin/kubectl get pods -A".into()) },
            Way { shows: "a shell in it", command: Err("nsenter is not installed (package util-linux)".into()) },
        ];
        Stay { result: ScenarioResult::sample(guarantee, outcome), ways }
    }

    #[test]
    fn each_scenario_has_its_ways_and_the_end_says_how_to_end_them() {
        let staying = Staying { scenarios: vec![stay("MCP-P5"), stay("MCP-P9")], let_go: 1, most: 2, process: Some(4711) };
        let scenario = "  a scenario: lost 3 of 9\n    all pods       /run/kept-1/bin/kubectl get pods -A\n    a shell in it  not to be had: nsenter is not installed (package util-linux)\n";
        let expected = format!(
            "\n2 scenarios stay up, for you to look at from another terminal\n\n  ✗ MCP-P5{scenario}\n  ✗ MCP-P9{scenario}\n1 more did not hold and was taken down: --keep keeps 2 at most, and one repetition of each; --guarantee chooses\nThey run on as they would in a cluster, probes included. Ctrl-C ends them, or kill -TERM 4711; the exit code stays.\n"
        );
        assert_eq!(staying_text(&staying, &Style::PLAIN), expected);
    }

    #[test]
    fn no_command_line_is_cut() {
        let style = Style { color: false, live: true, width: Some(40) };
        let staying = Staying { scenarios: vec![stay("MCP-P5")], let_go: 0, most: 2, process: None };
        let text = staying_text(&staying, &style);
        assert!(text.contains("/run/kept-1/bin/kubectl get pods -A\n") && text.contains("Ctrl-C ends them; the"), "{text}");
    }

    #[test]
    fn nothing_kept_is_told() {
        let staying = Staying { scenarios: Vec::new(), let_go: 0, most: 2, process: None };
        assert!(staying_text(&staying, &Style::PLAIN).contains("nothing is left running"));
    }
}
