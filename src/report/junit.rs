//! JUnit XML as Jenkins' schema (junit-10.xsd) and GitLab read it: one suite a document, one case a scenario.

use super::{Run, Style, terminal::nearby};
use crate::verdict::{Outcome, ScenarioResult};
use std::{
    fmt::{self, Write as _},
    time::Duration,
};

/// Writes the whole report; the style is for people only.
pub(super) fn render(run: &Run, _: &Style) -> String {
    let mut documents: Vec<((&str, &str), Vec<&ScenarioResult>)> = Vec::new();
    for scenario in &run.verdict.scenarios {
        let document = (scenario.system.as_str(), scenario.feature.as_str());
        match documents.iter_mut().find(|(known, _)| *known == document) {
            Some((_, scenarios)) => scenarios.push(scenario),
            None => documents.push((document, vec![scenario])),
        }
    }
    let all: Vec<&ScenarioResult> = run.verdict.scenarios.iter().collect();
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(
        out,
        r#"<testsuites name="redis-conformance" tests="{}" failures="{}" errors="{}" time="{}">"#,
        all.len(),
        count(&all, |outcome| matches!(outcome, Outcome::Failed { .. })),
        count(&all, |outcome| matches!(outcome, Outcome::Broken { .. })),
        seconds(run.took),
    );
    for ((system, feature), scenarios) in documents {
        let _ = writeln!(
            out,
            r#"  <testsuite name="{}" tests="{}" failures="{}" errors="{}" skipped="{}" time="{}" timestamp="{}" file="{}">"#,
            Xml(&format!("{system} · {feature}")),
            scenarios.len(),
            count(&scenarios, |outcome| matches!(outcome, Outcome::Failed { .. })),
            count(&scenarios, |outcome| matches!(outcome, Outcome::Broken { .. })),
            count(&scenarios, |outcome| matches!(outcome, Outcome::Skipped { .. } | Outcome::Unsupported { .. })),
            seconds(scenarios.iter().map(|scenario| scenario.took).sum()),
            Xml(&run.started),
            Xml(&scenarios.first().map(|scenario| scenario.place.file.display().to_string()).unwrap_or_default()),
        );
        properties(&mut out, run);
        for scenario in scenarios {
            case(&mut out, scenario);
        }
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}

fn properties(out: &mut String, run: &Run) {
    out.push_str("    <properties>\n");
    let known = [("run", &run.id), ("target", &run.target), ("version", &run.version)];
    let remarks = run.verdict.remarks.iter().map(|remark| ("remark", remark));
    for (name, value) in known.into_iter().chain(remarks) {
        let _ = writeln!(out, r#"      <property name="{name}" value="{}"/>"#, Xml(value));
    }
    out.push_str("    </properties>\n");
}

fn case(out: &mut String, scenario: &ScenarioResult) {
    let repetition = if scenario.repetition > 1 { format!(" #{}", scenario.repetition) } else { String::new() };
    let _ = writeln!(
        out,
        r#"    <testcase classname="{}.{}" name="{}" time="{}">"#,
        Xml(&scenario.system),
        Xml(&scenario.guarantee),
        Xml(&format!("{}: {}{repetition}", scenario.promise, scenario.scenario)),
        seconds(scenario.took),
    );
    let mut element = |name: &str, kind: &str, message: &str, text: &str| {
        let message = Xml(message.lines().next().unwrap_or_default());
        let _ = writeln!(out, r#"      <{name} type="{kind}" message="{message}">{}</{name}>"#, Xml(text));
    };
    match &scenario.outcome {
        Outcome::Passed => {}
        Outcome::Failed { step, message } => element("failure", "violated", message, &told(scenario, step, message)),
        Outcome::Broken { step, message } => element("error", "broken", message, &told(scenario, step, message)),
        Outcome::Unsupported { capability, reason } => {
            element("skipped", "not-proven-here", &format!("not proven here: {capability}"), &told(scenario, "", reason));
        }
        Outcome::Skipped { reason } => element("skipped", "left-out", reason, &told(scenario, "", reason)),
    }
    let fixtures = scenario.fixtures.iter().map(|fixture| format!("with fixture {fixture}"));
    let told: Vec<String> = scenario.notes.iter().cloned().chain(fixtures).collect();
    if !told.is_empty() {
        let _ = writeln!(out, "      <system-out>{}</system-out>", Xml(&told.join("\n")));
    }
    out.push_str("    </testcase>\n");
}

fn told(scenario: &ScenarioResult, step: &str, message: &str) -> String {
    let mut lines = vec![scenario.place.to_string()];
    lines.extend([step, message].into_iter().filter(|line| !line.is_empty()).map(ToOwned::to_owned));
    lines.extend(scenario.manifests.iter().map(|place| format!("manifest {place}")));
    lines.extend(scenario.evidence.iter().map(|path| format!("evidence {}", nearby(path))));
    lines.join("\n")
}

fn count(scenarios: &[&ScenarioResult], wanted: fn(&Outcome) -> bool) -> usize {
    scenarios.iter().filter(|scenario| wanted(&scenario.outcome)).count()
}

fn seconds(time: Duration) -> String {
    format!("{:.3}", time.as_secs_f64())
}

/// Text for an attribute or an element; what XML cannot hold at all becomes a replacement character.
struct Xml<'a>(&'a str);

impl fmt::Display for Xml<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            match letter {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\n' | '\t' => f.write_char(letter)?,
                '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => f.write_char('\u{fffd}')?,
                _ => f.write_char(letter)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_xml_cannot_hold_is_replaced() {
        assert_eq!(Xml("a<b> & \"c\"\u{1b}[0m\0\n").to_string(), "a&lt;b&gt; &amp; &quot;c&quot;\u{fffd}[0m\u{fffd}\n");
    }
}
