//! Shows what became of a run; it knows verdicts and evidence only, and decides nothing.

mod event;
mod json;
mod junit;
mod kept;
mod mutants;
mod progress;
mod style;
mod terminal;

use crate::verdict::{Ending, Exit, Verdict};
pub use event::{Event, Purpose, Selected};
pub use kept::{Stay, Staying, Way, staying_text};
pub use mutants::{mutation_json, mutation_text};
pub use progress::{Progress, show};
use serde::{Deserialize, Serialize};
use std::time::Duration;
pub use style::{ColorWhen, Style};
pub use terminal::nearby;

/// A finished run with all that a report says of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Run {
    /// Names the run in namespaces and folders.
    pub id: String,
    /// Where it ran: `local`.
    pub target: String,
    /// Version of this program.
    pub version: String,
    /// When it began, as RFC 3339 in UTC.
    pub started: String,
    /// Wall time of the whole run.
    #[serde(rename = "took_ms", with = "crate::verdict::milliseconds")]
    pub took: Duration,
    /// What is not proven here counts as undecided.
    pub strict: bool,
    /// Arguments that decided what was tried, beside the systems: `--manifests DIR`; whoever tries again needs them.
    #[serde(default)]
    pub chosen_by: Vec<String>,
    /// A bug of ours was met on the way.
    #[serde(default)]
    pub bug: bool,
    /// What it came to.
    pub verdict: Verdict,
}

impl Run {
    /// The exit code that it makes.
    #[must_use]
    pub fn exit(&self) -> Ending {
        if self.bug {
            return Ending {
                exit: Exit::Bug,
                reason: "redis-conformance itself went wrong; what it wrote about it is in the evidence".into(),
            };
        }
        self.verdict.exit(self.strict)
    }
}

/// A way to write a run down.
#[derive(Debug)]
pub struct Format {
    /// As `--report` and `--format` name it.
    pub name: &'static str,
    /// What it is for, in one sentence.
    pub about: &'static str,
    /// Writes it; the style matters to people's formats only.
    pub render: fn(&Run, &Style) -> String,
}

/// Every format; `--report` and `--format` take their values from here.
pub const FORMATS: &[Format] = &[
    Format { name: "text", about: "for people", render: terminal::render },
    Format { name: "json", about: "for programs, with a versioned schema", render: json::render },
    Format { name: "junit", about: "for test reports of CI systems", render: junit::render },
];

impl Format {
    /// The format of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        FORMATS.iter().find(|format| format.name == name)
    }
}
