//! `kubectl wait`.

use super::{
    Call, Halt,
    access::{list, name, namespace, text},
    flags::{Args, Flag, switch, value},
    jsonpath::{Template, printed},
    kinds::Resource,
    select::{self, Found, Meant},
};
use crate::wait::{Look, Until};
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;

pub(super) const FLAGS: &[Flag] = &[
    value("for"),
    value("timeout"),
    value("selector").or('l'),
    value("field-selector"),
    switch("all"),
    switch("all-namespaces").or('A'),
    value("output").or('o'),
];

/// How long without `--timeout`.
const BY_DEFAULT: Duration = Duration::from_secs(30);
/// The rarest look; changes wake it earlier.
pub(super) const EVERY: Duration = Duration::from_millis(100);

/// What is waited for.
#[derive(Debug)]
enum Goal {
    Deleted,
    Created,
    Condition { kind: String, status: String },
    Path { template: Template, wanted: Option<String> },
}

impl Goal {
    fn parse(words: &str) -> Result<Self, Halt> {
        if let Some(condition) = words.strip_prefix("condition=") {
            let (kind, status) = condition.split_once('=').unwrap_or((condition, "true"));
            return Ok(Self::Condition { kind: kind.to_owned(), status: status.to_owned() });
        }
        if let Some(path) = words.strip_prefix("jsonpath=") {
            // Filters have signs of equality too, so the value begins behind the closing brace where there is one.
            let (path, wanted) = match path.rfind('}') {
                Some(brace) => (&path[..=brace], path[brace + 1..].strip_prefix('=')),
                None => path.split_once('=').map_or((path, None), |(path, wanted)| (path, Some(wanted))),
            };
            let wanted = wanted.map(|wanted| wanted.trim_matches(['\'', '"']).to_owned());
            let template = Template::parse_relaxed(path).map_err(|error| Halt::error(format!("error parsing jsonpath {path}, {error}")))?;
            return Ok(Self::Path { template, wanted });
        }
        match words {
            "delete" => Ok(Self::Deleted),
            "create" => Ok(Self::Created),
            other => Err(Halt::error(format!("unrecognized condition: \"{other}\""))),
        }
    }

    /// Nothing where the object is as wanted, else what it is instead.
    fn misses(&self, object: &Value) -> Result<Option<String>, Halt> {
        Ok(match self {
            Self::Deleted => Some(String::from("it is still there")),
            Self::Created => None,
            Self::Condition { kind, status } => {
                let mut conditions = list(object, "/status/conditions").iter();
                match conditions.find(|condition| text(condition, "/type").eq_ignore_ascii_case(kind)) {
                    Some(found) if text(found, "/status").eq_ignore_ascii_case(status) => None,
                    Some(found) => Some(format!("{kind} is {} ({})", text(found, "/status"), text(found, "/reason"))),
                    None => Some(format!("it has no condition {kind}")),
                }
            }
            Self::Path { template, wanted } => {
                let found = template.find(object).map_err(|error| Halt::error(error.to_string()))?;
                match (found.as_slice(), wanted) {
                    ([], _) => Some(String::from("the path finds nothing")),
                    ([_], None) => None,
                    ([value], Some(wanted)) if !value.is_object() && !value.is_array() && printed(value) == *wanted => None,
                    ([value], Some(_)) => Some(format!("the path finds {}", printed(value))),
                    _ => return Err(Halt::error("given jsonpath expression matches more than one value")),
                }
            }
        })
    }
}

/// Waits until objects are as wanted.
pub(super) async fn run(call: &mut Call, args: Args) -> Result<(), Halt> {
    args.only("output", &["name"])?;
    let goal = Goal::parse(args.one("for").ok_or_else(|| Halt::error("--for is missing, such as --for=condition=Ready"))?)?;
    let limit = args.time("timeout")?.unwrap_or(BY_DEFAULT);
    let deadline = Instant::now() + limit;
    let meant = select::meant(&args.words)?;
    let narrowed = args.one("selector").is_some() || args.one("field-selector").is_some() || args.is("all", false)?;
    if matches!(meant, Meant::Kinds(_)) && !narrowed {
        return Err(Halt::error("resource(s) were provided, but no name was specified"));
    }
    if let (Goal::Created, Meant::Names(names)) = (&goal, &meant) {
        for (resource, name) in names {
            created(call, resource, args.namespace(), name, limit).await?;
        }
    }
    let (found, missing) = select::all(call, &args, &args.words).await?;
    let deleting = matches!(goal, Goal::Deleted);
    if let Some(halt) = missing.into_iter().next().filter(|_| !deleting) {
        return Err(halt);
    }
    if found.is_empty() && !deleting {
        return Err(Halt::error("no matching resources found"));
    }
    for found in &found {
        one(call, &goal, found, deadline.saturating_duration_since(Instant::now())).await?;
        let line = if args.one("output").is_some() { found.label() } else { format!("{} condition met", found.label()) };
        call.line(line).await?;
    }
    Ok(())
}

async fn created(call: &Call, resource: &Resource, namespace: &str, name: &str, limit: Duration) -> Result<(), Halt> {
    let key = resource.key(namespace, name);
    let until = Until::within(limit).every(EVERY).on(call.target.changes());
    let look = || async {
        Ok::<_, Halt>(match call.target.get(&key).await? {
            Some(_) => Look::Ready(()),
            None => Look::NotYet(String::from("it is not there")),
        })
    };
    timed(until.met(format!("{key} to be created"), look).await, resource, name, call).await
}

/// Waits for one object; one that is made anew under the name has gone too.
async fn one(call: &Call, goal: &Goal, found: &Found, limit: Duration) -> Result<(), Halt> {
    let key = found.resource.key(namespace(&found.object), name(&found.object));
    let uid = text(&found.object, "/metadata/uid");
    let until = Until::within(limit).every(EVERY).on(call.target.changes());
    let look = || async {
        let object = call.target.get(&key).await?;
        let object = object.filter(|object| !matches!(goal, Goal::Deleted) || text(object, "/metadata/uid") == uid);
        Ok::<_, Halt>(match (object, goal) {
            (None, Goal::Deleted) => Look::Ready(()),
            (None, _) => Look::NotYet(String::from("it is gone")),
            (Some(object), goal) => goal.misses(&object)?.map_or(Look::Ready(()), Look::NotYet),
        })
    };
    timed(until.met(format!("{key}"), look).await, found.resource, &key.name, call).await
}

/// Says a time-out in `kubectl`'s words, and what the last look saw in our own.
async fn timed(result: Result<(), Halt>, resource: &Resource, name: &str, call: &Call) -> Result<(), Halt> {
    match result {
        Err(Halt::TimedOut(timed_out)) => {
            call.warn(format!("error: timed out waiting for the condition on {}/{name}", resource.plural)).await?;
            call.warn(format!("redis-conformance: last saw: {}", timed_out.last)).await?;
            Err(Halt::Silent(1))
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    #[rstest]
    #[case("condition=ready", None)]
    #[case("condition=Ready=False", Some("Ready is True (Up)"))]
    #[case("condition=Available", Some("it has no condition Available"))]
    #[case("jsonpath={.status.phase}=Bound", None)]
    #[case("jsonpath=.status.phase=Bound", None)]
    #[case("jsonpath={.status.phase}", None)]
    #[case("jsonpath={.status.phase}=Lost", Some("the path finds Bound"))]
    #[case("jsonpath={.status.none}=x", Some("the path finds nothing"))]
    #[case("jsonpath={.status.conditions[?(@.type==\"Ready\")].status}='True'", None)]
    #[case("create", None)]
    #[case("delete", Some("it is still there"))]
    fn a_goal_is_met_or_says_what_it_saw(#[case] words: &str, #[case] expected: Option<&str>) {
        let object = json!({ "status": { "phase": "Bound", "conditions": [{ "type": "Ready", "status": "True", "reason": "Up" }] } });
        let misses = Goal::parse(words).and_then(|goal| goal.misses(&object)).expect("it can be read");
        assert_eq!(misses.as_deref(), expected);
    }

    #[test]
    fn an_unknown_goal_is_refused() {
        assert_eq!(Goal::parse("ready").expect_err("unknown").to_string(), "error: unrecognized condition: \"ready\"");
    }
}
