//! Reads features into documents, guarantees and scenarios, and checks their form; it runs nothing.

mod phrase;
mod system;
mod tags;

use crate::manifest::Place;
use cucumber::{
    feature::Ext as _,
    gherkin::{self, GherkinEnv},
};
pub use phrase::{Phrase, phrases};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
pub use system::{BUILT_IN, System, SystemError};
pub use tags::Tags;

/// One source text with promises: one `.feature` file.
#[derive(Clone, Debug)]
pub struct Document {
    /// The feature's name.
    pub name: String,
    /// The file.
    pub path: Arc<PathBuf>,
    /// In the order of the file.
    pub guarantees: Vec<Guarantee>,
}

/// One promise: one Rule.
#[derive(Clone, Debug)]
pub struct Guarantee {
    /// Its tag without `@`: `MCP-P5`.
    pub id: String,
    /// The Rule's name.
    pub promise: String,
    /// The Rule's text: the document's section and the reasoning.
    pub reasoning: String,
    /// Each way to hold it, outlines expanded.
    pub scenarios: Vec<Arc<Scenario>>,
}

/// One way to hold a guarantee, or to show a documented loss.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The name; an outline's has its row's values in it.
    pub name: String,
    /// File and line.
    pub place: Place,
    /// Background first.
    pub steps: Vec<gherkin::Step>,
    /// Tags of scenario, Rule and feature, without `@`.
    pub tags: Vec<String>,
}

/// A feature file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// It is no Gherkin.
    #[error("{} is not a feature", path.display())]
    Gherkin {
        /// The file.
        path: PathBuf,
        /// The parser's words, with line and column.
        #[source]
        cause: Box<gherkin::ParseFileError>,
    },
    /// An outline's placeholder has no column.
    #[error("{} has an outline that cannot be expanded", path.display())]
    Outline {
        /// The file.
        path: PathBuf,
        /// Which placeholder.
        #[source]
        cause: Box<cucumber::feature::ExpandExamplesError>,
    },
    /// Its form is not ours.
    #[error("{place}: {problem}")]
    Form {
        /// Where.
        place: Place,
        /// What is wrong and what to write instead.
        problem: String,
    },
    /// A folder without any feature.
    #[error("{} holds no .feature file", .0.display())]
    Empty(PathBuf),
    /// It cannot be read.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// The system's words.
        #[source]
        cause: std::io::Error,
    },
}

impl Document {
    /// Reads one feature file.
    ///
    /// # Errors
    /// [`SpecError`] names file and line: not Gherkin, a scenario outside a Rule, a Rule without exactly one id, an id twice.
    pub fn read(path: &Path) -> Result<Self, SpecError> {
        let written = gherkin::Feature::parse_path(path, GherkinEnv::default())
            .map_err(|cause| SpecError::Gherkin { path: path.into(), cause: Box::new(cause) })?;
        let file = Arc::new(path.to_path_buf());
        let place = |at: gherkin::LineCol| Place { file: Arc::clone(&file), line: at.line as u64, column: at.col as u64 };
        if let Some(hollow) =
            written.rules.iter().flat_map(|rule| &rule.scenarios).chain(&written.scenarios).find(|outline| is_hollow(outline))
        {
            let problem = format!("the outline {:?} has no row of examples, so that it would never be tried", hollow.name);
            return Err(SpecError::Form { place: place(hollow.position), problem });
        }
        let feature = written.expand_examples().map_err(|cause| SpecError::Outline { path: path.into(), cause: Box::new(cause) })?;
        if let Some(stray) = feature.scenarios.first() {
            let problem = format!("the scenario {:?} stands outside a Rule; give it the promise that it proves", stray.name);
            return Err(SpecError::Form { place: place(stray.position), problem });
        }
        let mut guarantees: Vec<Guarantee> = Vec::new();
        for rule in &feature.rules {
            let ids: Vec<&String> = rule.tags.iter().filter(|tag| is_id(tag)).collect();
            let [id] = ids[..] else {
                let problem = format!("the Rule {:?} needs exactly one id as its tag, such as @MCP-P5; it has {}", rule.name, ids.len());
                return Err(SpecError::Form { place: place(rule.position), problem });
            };
            if guarantees.iter().any(|guarantee| guarantee.id == *id) {
                let problem = format!("the id {id} is used twice");
                return Err(SpecError::Form { place: place(rule.position), problem });
            }
            if rule.scenarios.is_empty() {
                let problem = format!("{id} has no scenario: a promise without a proof");
                return Err(SpecError::Form { place: place(rule.position), problem });
            }
            let background: Vec<gherkin::Step> =
                [&feature.background, &rule.background].into_iter().flatten().flat_map(|background| background.steps.clone()).collect();
            for (at, scenario) in rule.scenarios.iter().enumerate() {
                if rule.scenarios[..at].iter().any(|earlier| earlier.name == scenario.name) {
                    let problem = format!("{id} has two scenarios named {:?}; let an outline's name hold its <placeholder>", scenario.name);
                    return Err(SpecError::Form { place: place(scenario.position), problem });
                }
            }
            if let Some(vague) = rule.scenarios.iter().find(|scenario| scenario.steps.iter().all(|step| step.ty != gherkin::StepType::Then))
            {
                let problem = format!("the scenario {:?} has no Then: whatever happens, it would pass", vague.name);
                return Err(SpecError::Form { place: place(vague.position), problem });
            }
            let scenarios = rule
                .scenarios
                .iter()
                .map(|scenario| {
                    Arc::new(Scenario {
                        name: scenario.name.clone(),
                        place: place(scenario.position),
                        steps: background.iter().chain(&scenario.steps).cloned().collect(),
                        tags: [&feature.tags, &rule.tags, &scenario.tags].into_iter().flatten().cloned().collect(),
                    })
                })
                .collect();
            guarantees.push(Guarantee {
                id: id.clone(),
                promise: rule.name.clone(),
                reasoning: rule.description.clone().unwrap_or_default().trim().to_owned(),
                scenarios,
            });
        }
        Ok(Self { name: feature.name, path: file, guarantees })
    }

    /// Reads every feature of a folder, in the order of their names.
    ///
    /// # Errors
    /// As [`Document::read`]; a folder without a feature is an error too.
    pub fn read_all(path: &Path) -> Result<Vec<Self>, SpecError> {
        if path.is_file() {
            return Ok(vec![Self::read(path)?]);
        }
        let unreadable = |cause| SpecError::Unreadable { path: path.into(), cause };
        let mut files: Vec<PathBuf> = std::fs::read_dir(path)
            .map_err(unreadable)?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()
            .map_err(unreadable)?;
        files.retain(|file| file.extension().is_some_and(|extension| extension == "feature"));
        files.sort();
        if files.is_empty() {
            return Err(SpecError::Empty(path.into()));
        }
        files.iter().map(|file| Self::read(file)).collect()
    }
}

/// Whether an outline has examples and none of them has a row.
fn is_hollow(outline: &gherkin::Scenario) -> bool {
    let rows = |examples: &gherkin::Examples| examples.table.as_ref().map_or(0, |table| table.rows.len().saturating_sub(1));
    !outline.examples.is_empty() && outline.examples.iter().all(|examples| rows(examples) == 0)
}

/// Whether a tag is a guarantee's id: capitals, a hyphen, and an end such as `P5` or `12`.
fn is_id(tag: &str) -> bool {
    let Some((family, number)) = tag.split_once('-') else { return false };
    let digits = number.trim_start_matches(|letter: char| letter.is_ascii_uppercase());
    !family.is_empty()
        && family.chars().all(|letter| letter.is_ascii_uppercase())
        && !digits.is_empty()
        && digits.chars().all(|digit| digit.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn read(text: &str) -> Result<Document, SpecError> {
        let mut file = tempfile::Builder::new().suffix(".feature").tempfile().expect("a temporary file");
        file.write_all(text.as_bytes()).expect("writable");
        Document::read(file.path())
    }

    #[rstest::rstest]
    #[case("MCP-P5", true)]
    #[case("BUS-12", true)]
    #[case("needs:memory-limit", false)]
    #[case("long", false)]
    #[case("MCP-", false)]
    fn ids_are_told_from_other_tags(#[case] tag: &str, #[case] expected: bool) {
        assert_eq!(is_id(tag), expected);
    }

    #[test]
    fn an_outline_gives_a_scenario_for_each_row() {
        let document = read(
            "Feature: F\n  @A-1\n  Rule: R\n    why\n\n    Scenario Outline: s <how>\n      Then it is <how>\n\n      Examples:\n        | how |\n        | a |\n        | b |\n",
        )
        .expect("a feature");
        let names: Vec<&str> = document.guarantees[0].scenarios.iter().map(|scenario| scenario.name.as_str()).collect();
        assert_eq!(names, ["s a", "s b"]);
        assert_eq!(document.guarantees[0].scenarios[1].steps[0].value, "it is b");
        assert_eq!(document.guarantees[0].reasoning, "why");
    }

    #[rstest::rstest]
    #[case("Feature: F\n  Scenario: s\n    Given x\n", "outside a Rule")]
    #[case("Feature: F\n  Rule: R\n    Scenario: s\n      Given x\n", "exactly one id")]
    #[case("Feature: F\n  @A-1 @A-2\n  Rule: R\n    Scenario: s\n      Given x\n", "it has 2")]
    #[case("Feature: F\n  @A-1\n  Rule: R\n", "no scenario")]
    #[case("Feature: F\n  @A-1\n  Rule: R\n    Scenario: s\n      Given x\n    Scenario: s\n      Given y\n", "two scenarios")]
    #[case("Feature: F\n  @A-1\n  Rule: R\n    Scenario: s\n      Given x\n      And y\n", "no Then")]
    #[case("Feature: F\n  @A-1\n  Rule: R\n    Scenario: s\n", "no Then")]
    #[case(
        "Feature: F\n  @A-1\n  Rule: R\n    Scenario: s\n      Then x\n    Scenario Outline: o <how>\n      Then <how>\n\n      Examples:\n        | how |\n",
        "no row of examples"
    )]
    fn a_wrong_form_is_named_with_its_line(#[case] text: &str, #[case] expected: &str) {
        let error = read(text).expect_err("the form is wrong").to_string();
        assert!(error.contains(expected), "{error}");
        assert!(error.contains(".feature:"), "{error}");
    }
}
