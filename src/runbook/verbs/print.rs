//! The forms of `-o`: JSON, YAML, names and JSONPath. Tables are elsewhere.

use super::{
    Halt,
    jsonpath::{PathError, Template},
    select::Found,
    yaml,
};
use serde::Serialize;
use serde_json::{Value, json, ser::PrettyFormatter};

/// What `-o` asks for.
#[derive(Debug)]
pub(super) enum Form {
    /// A table; with more columns.
    Table {
        /// `-o wide`.
        wide: bool,
    },
    /// `-o json`.
    Json,
    /// `-o yaml`.
    Yaml,
    /// `-o name`.
    Name,
    /// `-o jsonpath=…`: its text and what was read of it.
    Path(String, Template),
}

impl Form {
    /// Reads the value of `-o`.
    pub(super) fn parse(output: Option<&str>) -> Result<Self, Halt> {
        match output {
            None | Some("") => Ok(Self::Table { wide: false }),
            Some("wide") => Ok(Self::Table { wide: true }),
            Some("json") => Ok(Self::Json),
            Some("yaml") => Ok(Self::Yaml),
            Some("name") => Ok(Self::Name),
            Some(other) => {
                let Some(text) = other.strip_prefix("jsonpath=") else {
                    let what = format!("-o {}", other.split('=').next().unwrap_or(other));
                    return Err(Halt::NotCarriedOut { what, instead: String::from("it prints json, yaml, name, wide and jsonpath=…") });
                };
                let template = Template::parse(text).map_err(|error| Halt::error(format!("error parsing jsonpath {text}, {error}")))?;
                Ok(Self::Path(text.to_owned(), template))
            }
        }
    }

    /// The text of the objects in this form; `single` where one was asked for by name. Nothing for a table.
    pub(super) fn written(&self, found: &[Found], single: bool) -> Result<Option<String>, Halt> {
        let whole = || match found {
            [one] if single => one.object.clone(),
            several => {
                let items: Vec<_> = several.iter().map(|found| found.object.clone()).collect();
                json!({ "apiVersion": "v1", "items": items, "kind": "List", "metadata": { "resourceVersion": "" } })
            }
        };
        Ok(match self {
            Self::Table { .. } => None,
            Self::Json => Some(pretty(&whole())),
            Self::Yaml => Some(yaml::written(&whole())),
            Self::Name => Some(found.iter().map(|found| found.label() + "\n").collect()),
            Self::Path(text, template) => Some(template.render(&whole()).map_err(|error| not_applied(text, &error))?),
        })
    }
}

fn not_applied(text: &str, error: &PathError) -> Halt {
    Halt::error(format!("error executing jsonpath \"{text}\": Error executing template: {error}. The template was:\n\t{text}"))
}

/// JSON with four blanks a level, as `kubectl` prints it.
pub(super) fn pretty(value: &Value) -> String {
    let mut bytes = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, PrettyFormatter::with_indent(b"    "));
    match value.serialize(&mut serializer) {
        Ok(()) => String::from_utf8_lossy(&bytes).into_owned() + "\n",
        // A JSON value in memory can always be written; should it not, its short form says the same.
        Err(_) => value.to_string(),
    }
}
