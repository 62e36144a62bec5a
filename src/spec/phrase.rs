//! Every phrase that a feature may use, as a person would write it.

use crate::{manifest::Place, steps::World};
use cucumber::codegen::{StepConstructor, WorldInventory};
use std::{path::PathBuf, sync::Arc};

/// One phrase with its keyword.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Phrase {
    /// `Given`, `When` or `Then`.
    pub keyword: &'static str,
    /// `Redis is ready again within {int} seconds`.
    pub expression: String,
    /// The function behind it.
    pub place: Place,
}

/// All phrases, sorted by keyword and text.
#[must_use]
pub fn phrases() -> Vec<Phrase> {
    fn of<S: StepConstructor<World> + cucumber::codegen::inventory::Collect>(keyword: &'static str) -> impl Iterator<Item = Phrase> {
        cucumber::codegen::inventory::iter::<S>.into_iter().map(move |step| {
            let (location, regex, _) = step.inner();
            Phrase {
                keyword,
                expression: readable(regex().as_str()),
                place: Place {
                    file: Arc::new(PathBuf::from(location.path)),
                    line: u64::from(location.line),
                    column: u64::from(location.column),
                },
            }
        })
    }
    let mut all: Vec<Phrase> = of::<<World as WorldInventory>::Given>("Given")
        .chain(of::<<World as WorldInventory>::When>("When"))
        .chain(of::<<World as WorldInventory>::Then>("Then"))
        .collect();
    all.sort();
    all
}

/// Turns the pattern that an expression was compiled to back into the expression.
fn readable(pattern: &str) -> String {
    let mut text = pattern.trim_start_matches('^').trim_end_matches('$').to_owned();
    // A string is two alternatives, each in a group that is named after the parameter's number.
    for parameter in 0..9 {
        let string = format!(r#"(?:"(?P<__{parameter}_0>[^"\\]*(?:\\.[^"\\]*)*)"|'(?P<__{parameter}_1>[^'\\]*(?:\\.[^'\\]*)*)')"#);
        text = text.replace(&string, "{string}");
    }
    for (pattern, name) in [(r"((?:-?\d+)|(?:\d+))", "{int}"), (r"([^\s]+)", "{word}")] {
        text = text.replace(pattern, name);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_phrase_shows_a_pattern() {
        let all = phrases();
        assert!(!all.is_empty());
        for phrase in all {
            assert!(!phrase.expression.contains(['\\', '[', '?']), "{} at {}", phrase.expression, phrase.place);
        }
    }
}
