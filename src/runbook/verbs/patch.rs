//! `kubectl patch`, `label` and `annotate`: all three are merge patches.

use super::{
    Call, Halt,
    access::{name, namespace, texts},
    flags::{Args, Flag, switch, value},
    select,
};
use serde_json::{Map, Value, json};

pub(super) const FLAGS: &[Flag] = &[value("patch").or('p'), value("patch-file"), value("type"), value("output").or('o')];

/// Patches an object.
pub(super) async fn run(call: &mut Call, args: Args) -> Result<(), Halt> {
    args.only("type", &["merge", "strategic"])?;
    args.only("output", &["name"])?;
    let text = match (args.one("patch"), args.one("patch-file")) {
        (Some(text), None) => text.to_owned(),
        (None, Some(file)) => {
            let file = call.cwd.join(file);
            tokio::fs::read_to_string(&file)
                .await
                .map_err(|error| Halt::error(format!("unable to read patch file: {}: {error}", file.display())))?
        }
        _ => return Err(Halt::error("must specify --patch or --patch-file containing the contents of the patch")),
    };
    let patch: Value = serde_json::from_str(&text).map_err(|error| Halt::error(format!("unable to parse \"{text}\" as JSON: {error}")))?;
    if args.one("type") != Some("merge") {
        refuse_lists(&patch)?;
    }
    let (resource, object) = select::single(&args.words)?;
    let before = select::live(call, resource, args.namespace(), &object).await?;
    let after = call.target.patch(&resource.key(args.namespace(), &object), &patch).await?;
    let line = match (args.one("output"), version(&before.object) == version(&after) && version(&after).is_some()) {
        (Some(_), _) => before.label(),
        (None, true) => format!("{} patched (no change)", before.label()),
        (None, false) => format!("{} patched", before.label()),
    };
    call.line(line).await
}

fn version(object: &Value) -> Option<&Value> {
    object.pointer("/metadata/resourceVersion")
}

/// A strategic merge is a plain merge where there is no list and no directive; elsewhere the two would differ.
fn refuse_lists(patch: &Value) -> Result<(), Halt> {
    let differs = match patch {
        Value::Array(_) => Some("a list"),
        Value::Object(map) => match map.keys().any(|key| key.starts_with('$')) {
            true => Some("a directive"),
            false => return map.values().try_for_each(refuse_lists),
        },
        _ => None,
    };
    match differs {
        Some(what) => Err(Halt::NotCarriedOut {
            what: format!("a strategic patch with {what}"),
            instead: String::from("give --type=merge with the whole list, or change the manifest and apply it"),
        }),
        None => Ok(()),
    }
}

/// `kubectl label`.
pub(super) mod label {
    use super::{Args, Call, Flag, Halt, change};

    pub(in super::super) const FLAGS: &[Flag] = super::MARKING;

    pub(in super::super) async fn run(call: &mut Call, args: Args) -> Result<(), Halt> {
        change(call, args, "labels", "labeled").await
    }
}

/// `kubectl annotate`.
pub(super) mod annotate {
    use super::{Args, Call, Flag, Halt, change};

    pub(in super::super) const FLAGS: &[Flag] = super::MARKING;

    pub(in super::super) async fn run(call: &mut Call, args: Args) -> Result<(), Halt> {
        change(call, args, "annotations", "annotated").await
    }
}

const MARKING: &[Flag] = &[switch("overwrite"), value("selector").or('l'), switch("all"), switch("all-namespaces").or('A')];

async fn change(call: &mut Call, args: Args, field: &str, done: &str) -> Result<(), Halt> {
    let is_change = |word: &&String| word.contains('=') || word.ends_with('-');
    let first = args.words.iter().position(|word| is_change(&word)).unwrap_or(args.words.len());
    let (objects, changes) = args.words.split_at(first);
    if changes.is_empty() || objects.is_empty() {
        return Err(Halt::error(format!("an object and at least one change of its {field} are wanted")));
    }
    let mut map = Map::new();
    for change in changes {
        let (key, value) = match change.split_once('=') {
            Some((key, value)) => (key, Value::from(value)),
            None => (change.trim_end_matches('-'), Value::Null),
        };
        map.insert(key.to_owned(), value);
    }
    let (found, missing) = select::all(call, &args, objects).await?;
    if let Some(halt) = missing.into_iter().next() {
        return Err(halt);
    }
    for found in &found {
        let present = texts(&found.object, &format!("/metadata/{field}"));
        let clash = map.iter().find_map(|(key, value)| {
            let old = present.get(key).filter(|old| value.as_str().is_some_and(|new| new != old.as_str()))?;
            Some(format!("'{key}' already has a value ({old}), and --overwrite is false"))
        });
        if let Some(words) = clash.filter(|_| !matches!(args.is("overwrite", false), Ok(true))) {
            return Err(Halt::error(words));
        }
        let key = found.resource.key(namespace(&found.object), name(&found.object));
        call.target.patch(&key, &json!({ "metadata": { field: map } })).await?;
        call.line(format!("{} {done}", found.label())).await?;
    }
    Ok(())
}
