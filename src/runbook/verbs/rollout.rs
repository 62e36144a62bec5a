//! `kubectl rollout restart` and `rollout status`.

use super::{
    Call, Halt,
    access::{list, name, namespace, number, text},
    flags::{Args, Flag, switch, value},
    select::{self, Found},
    wait::EVERY,
};
use crate::{
    time,
    wait::{Look, Until},
};
use serde_json::{Value, json};
use std::time::{Duration, SystemTime};
use tokio::sync::mpsc;

pub(super) const FLAGS: &[Flag] = &[value("timeout"), switch("watch").or('w'), value("selector").or('l')];

const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";
const A_WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

/// Restarts a controller's pods or follows its roll-out.
pub(super) async fn run(call: &mut Call, args: Args) -> Result<(), Halt> {
    let Some((what, rest)) = args.words.split_first() else {
        return Err(Halt::error("a subcommand is missing: restart or status"));
    };
    if !["restart", "status"].contains(&what.as_str()) {
        let instead = String::from("of rollout it maps restart and status");
        return Err(Halt::NotCarriedOut { what: format!("kubectl rollout {what}"), instead });
    }
    let (found, missing) = select::all(call, &args, rest).await?;
    if let Some(halt) = missing.into_iter().next() {
        return Err(halt);
    }
    for found in &found {
        if !["Deployment", "StatefulSet"].contains(&found.resource.kind) {
            return Err(Halt::error(format!("{} has no roll-out that is followed here", found.label())));
        }
        if what == "restart" { restart(call, found).await? } else { status(call, &args, found).await? }
    }
    Ok(())
}

async fn restart(call: &Call, found: &Found) -> Result<(), Halt> {
    let now = time::in_seconds(SystemTime::now());
    let pointer = format!("/spec/template/metadata/annotations/{}", RESTARTED_AT.replace('/', "~1"));
    if text(&found.object, &pointer) == now {
        return Err(Halt::error(
            "if restart has already been triggered within the past second, please wait before attempting to trigger another",
        ));
    }
    let key = found.resource.key(namespace(&found.object), name(&found.object));
    let patch = json!({ "spec": { "template": { "metadata": { "annotations": { RESTARTED_AT: now } } } } });
    call.target.patch(&key, &patch).await?;
    call.line(format!("{} restarted", found.label())).await
}

/// How far a roll-out is.
#[derive(Debug, PartialEq, Eq)]
enum Stage {
    Done(String),
    Underway(String),
    Failed(String),
}

async fn status(call: &Call, args: &Args, found: &Found) -> Result<(), Halt> {
    let key = found.resource.key(namespace(&found.object), name(&found.object));
    let limit = args.time("timeout")?.filter(|limit| !limit.is_zero()).unwrap_or(A_WEEK);
    let watch = args.is("watch", true)?;
    let (lines, mut to_show) = mpsc::unbounded_channel();
    let look = || {
        let (key, lines) = (&key, &lines);
        async move {
            let object = call.target.get(key).await?.ok_or_else(|| Halt::error(format!("object has been deleted: {key}")))?;
            let (line, done) = match stage(&object) {
                Stage::Done(line) => (line, true),
                Stage::Underway(line) => (line, !watch),
                Stage::Failed(words) => return Err(Halt::error(words)),
            };
            // The receiver outlives every look.
            let _received = lines.send(line.clone());
            Ok(if done { Look::Ready(()) } else { Look::NotYet(line) })
        }
    };
    let until = Until::within(limit).every(EVERY).on(call.target.changes()).met(format!("the roll-out of {key}"), look);
    tokio::pin!(until);
    let mut shown = String::new();
    let result = loop {
        tokio::select! {
            biased;
            Some(line) = to_show.recv() => show(call, &mut shown, line).await?,
            result = &mut until => break result,
        }
    };
    while let Ok(line) = to_show.try_recv() {
        show(call, &mut shown, line).await?;
    }
    match result {
        Err(Halt::TimedOut(_)) => Err(Halt::error("timed out waiting for the condition")),
        other => other,
    }
}

/// Says how far it is, where that has changed.
async fn show(call: &Call, shown: &mut String, line: String) -> Result<(), Halt> {
    if *shown == line {
        return Ok(());
    }
    shown.clone_from(&line);
    call.line(line).await
}

fn stage(object: &Value) -> Stage {
    if number(object, "/metadata/generation") > number(object, "/status/observedGeneration") {
        return Stage::Underway(format!("Waiting for {} spec update to be observed...", text(object, "/kind").to_lowercase()));
    }
    match text(object, "/kind") {
        "StatefulSet" => stateful(object),
        _ => deployment(object),
    }
}

fn deployment(object: &Value) -> Stage {
    let name = name(object);
    let wanted = object.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1);
    let count = |field: &str| number(object, &format!("/status/{field}"));
    let (all, updated, available) = (count("replicas"), count("updatedReplicas"), count("availableReplicas"));
    let late = |condition: &&Value| text(condition, "/type") == "Progressing" && text(condition, "/reason") == "ProgressDeadlineExceeded";
    if list(object, "/status/conditions").iter().any(|condition| late(&condition)) {
        return Stage::Failed(format!("deployment \"{name}\" exceeded its progress deadline"));
    }
    let waiting = |what: String| Stage::Underway(format!("Waiting for deployment \"{name}\" rollout to finish: {what}..."));
    if updated < wanted {
        return waiting(format!("{updated} out of {wanted} new replicas have been updated"));
    }
    if all > updated {
        return waiting(format!("{} old replicas are pending termination", all - updated));
    }
    if available < updated {
        return waiting(format!("{available} of {updated} updated replicas are available"));
    }
    Stage::Done(format!("deployment \"{name}\" successfully rolled out"))
}

fn stateful(object: &Value) -> Stage {
    if text(object, "/spec/updateStrategy/type") == "OnDelete" {
        return Stage::Failed(String::from("rollout status is only available for RollingUpdate strategy type"));
    }
    let wanted = object.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1);
    let count = |field: &str| number(object, &format!("/status/{field}"));
    let (ready, updated) = (count("readyReplicas"), count("updatedReplicas"));
    if ready < wanted {
        return Stage::Underway(format!("Waiting for {} pods to be ready...", wanted - ready));
    }
    let partition = number(object, "/spec/updateStrategy/rollingUpdate/partition");
    if partition > 0 {
        return match updated < wanted - partition {
            true => {
                let words = format!("{updated} out of {} new pods have been updated", wanted - partition);
                Stage::Underway(format!("Waiting for partitioned roll out to finish: {words}..."))
            }
            false => Stage::Done(format!("partitioned roll out complete: {updated} new pods have been updated...")),
        };
    }
    let revision = text(object, "/status/updateRevision");
    if revision != text(object, "/status/currentRevision") {
        return Stage::Underway(format!("waiting for statefulset rolling update to complete {updated} pods at revision {revision}..."));
    }
    Stage::Done(format!("statefulset rolling update complete {} pods at revision {revision}...", count("currentReplicas")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::unseen(json!({ "kind": "Deployment", "metadata": { "generation": 2 }, "status": { "observedGeneration": 1 } }), Stage::Underway("Waiting for deployment spec update to be observed...".into()))]
    #[case::new(json!({ "metadata": { "name": "r" }, "spec": { "replicas": 2 }, "status": { "updatedReplicas": 1 } }), Stage::Underway("Waiting for deployment \"r\" rollout to finish: 1 out of 2 new replicas have been updated...".into()))]
    #[case::old(json!({ "metadata": { "name": "r" }, "status": { "updatedReplicas": 1, "replicas": 2 } }), Stage::Underway("Waiting for deployment \"r\" rollout to finish: 1 old replicas are pending termination...".into()))]
    #[case::unready(json!({ "metadata": { "name": "r" }, "status": { "updatedReplicas": 1, "replicas": 1 } }), Stage::Underway("Waiting for deployment \"r\" rollout to finish: 0 of 1 updated replicas are available...".into()))]
    #[case::done(json!({ "metadata": { "name": "r" }, "status": { "updatedReplicas": 1, "replicas": 1, "availableReplicas": 1 } }), Stage::Done("deployment \"r\" successfully rolled out".into()))]
    #[case::none_wanted(json!({ "metadata": { "name": "r" }, "spec": { "replicas": 0 } }), Stage::Done("deployment \"r\" successfully rolled out".into()))]
    #[case::late(json!({ "metadata": { "name": "r" }, "status": { "conditions": [{ "type": "Progressing", "reason": "ProgressDeadlineExceeded" }] } }), Stage::Failed("deployment \"r\" exceeded its progress deadline".into()))]
    #[case::set_unready(json!({ "kind": "StatefulSet", "spec": { "replicas": 3 }, "status": { "readyReplicas": 1 } }), Stage::Underway("Waiting for 2 pods to be ready...".into()))]
    #[case::set_rolls(json!({ "kind": "StatefulSet", "status": { "readyReplicas": 1, "updateRevision": "b", "currentRevision": "a" } }), Stage::Underway("waiting for statefulset rolling update to complete 0 pods at revision b...".into()))]
    #[case::set_done(json!({ "kind": "StatefulSet", "status": { "readyReplicas": 1, "currentReplicas": 1, "updateRevision": "b", "currentRevision": "b" } }), Stage::Done("statefulset rolling update complete 1 pods at revision b...".into()))]
    #[case::by_hand(json!({ "kind": "StatefulSet", "spec": { "updateStrategy": { "type": "OnDelete" } } }), Stage::Failed("rollout status is only available for RollingUpdate strategy type".into()))]
    fn a_roll_out_is_as_far_as_its_status_says(#[case] object: Value, #[case] expected: Stage) {
        assert_eq!(stage(&object), expected);
    }
}
