//! `kubectl scale`.

use super::{
    Call, Halt,
    access::{name, number},
    flags::{Args, Flag, switch, value},
    select,
};
use serde_json::{Value, json};

pub(super) const FLAGS: &[Flag] =
    &[value("replicas"), value("current-replicas"), value("selector").or('l'), switch("all"), value("timeout")];

/// Sets the number of replicas.
pub(super) async fn run(call: &mut Call, args: Args) -> Result<(), Halt> {
    let replicas = args.number("replicas")?.filter(|replicas| *replicas >= 0);
    let replicas =
        replicas.ok_or_else(|| Halt::error("The --replicas=COUNT flag is required, and COUNT must be greater than or equal to 0"))?;
    let (found, missing) = select::all(call, &args, &args.words).await?;
    if let Some(halt) = missing.into_iter().next() {
        return Err(halt);
    }
    if found.is_empty() {
        return Err(Halt::error("no objects passed to scale"));
    }
    for found in &found {
        if !["Deployment", "StatefulSet", "ReplicaSet"].contains(&found.resource.kind) {
            return Err(Halt::error(format!("{} cannot be scaled", found.label())));
        }
        let current = found.object.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1);
        if let Some(expected) = args.number("current-replicas")?.filter(|expected| *expected >= 0 && *expected != current) {
            return Err(Halt::error(format!("Expected replicas to be {expected}, was {current}")));
        }
        let key = found.resource.key(super::access::namespace(&found.object), name(&found.object));
        let answer = call.target.patch(&key, &json!({ "spec": { "replicas": replicas } })).await?;
        if number(&answer, "/spec/replicas") != replicas {
            return Err(Halt::error(format!(
                "{} was told {replicas} replicas and has {}",
                found.label(),
                number(&answer, "/spec/replicas")
            )));
        }
        call.line(format!("{} scaled", found.label())).await?;
    }
    Ok(())
}
