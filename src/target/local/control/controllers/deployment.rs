//! Deployments: ReplicaSets by template, rolled or recreated.

use super::{
    super::{
        clock,
        events::{self, Level},
        json::{self, number, set_condition, text},
        pods, random,
        store::Refusal,
    },
    Context,
    rollout::{self, Limits, Set},
};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

const HASH: &str = "pod-template-hash";
const REVISION: &str = "/metadata/annotations/deployment.kubernetes.io~1revision";

pub(super) fn look(context: &Context<'_>) {
    for deployment in context.store.list("Deployment", None) {
        if !json::has(&deployment, "/metadata/deletionTimestamp") {
            one(context, &deployment);
        }
    }
}

fn one(context: &Context<'_>, deployment: &Value) {
    let sets = context.store.list("ReplicaSet", Some(text(deployment, "/metadata/namespace")));
    let mut sets: Vec<Arc<Value>> = sets.into_iter().filter(|set| json::is_controlled_by(set, deployment)).collect();
    sets.sort_by_key(|set| revision(set));
    let template = &deployment["spec"]["template"];
    let (new, old): (Vec<_>, Vec<_>) = sets.into_iter().partition(|set| without_hash(&set["spec"]["template"]) == *template);
    let new = new.into_iter().next_back();
    let replicas = number(deployment, "/spec/replicas").unwrap_or(1);
    let limits = Limits::of(replicas, &deployment["spec"]["strategy"]);
    if deployment["spec"]["paused"] != true {
        if deployment["spec"]["strategy"]["type"] == "Recreate" {
            recreate(context, deployment, replicas, new.as_ref(), &old);
        } else {
            roll(context, deployment, replicas, limits, new.as_ref(), &old);
        }
        forget(context, deployment, &old);
    } else if let Some(new) = &new {
        resize(context, deployment, new, replicas - old.iter().map(|set| wanted(set)).sum::<i64>());
    }
    status(context, deployment, replicas, limits, new.as_ref(), &old);
}

fn recreate(context: &Context<'_>, deployment: &Value, replicas: i64, new: Option<&Arc<Value>>, old: &[Arc<Value>]) {
    for set in old {
        resize(context, deployment, set, 0);
    }
    // The old ones must be gone, not only on their way: this is what keeps two Redis off one claim.
    if old.iter().any(|set| pods::of(context.store, set).iter().any(|pod| !pods::is_finished(pod))) {
        return;
    }
    match new {
        Some(new) => resize(context, deployment, new, replicas),
        None => create(context, deployment, replicas, old),
    }
}

fn roll(context: &Context<'_>, deployment: &Value, replicas: i64, limits: Limits, new: Option<&Arc<Value>>, old: &[Arc<Value>]) {
    let of_old: i64 = old.iter().map(|set| wanted(set)).sum();
    let Some(new) = new else {
        return create(context, deployment, rollout::new_size(replicas, limits, 0, of_old), old);
    };
    let size = rollout::new_size(replicas, limits, wanted(new), of_old);
    if size != wanted(new) {
        return resize(context, deployment, new, size);
    }
    let as_set = |set: &Value| Set { wanted: wanted(set), available: number(set, "/status/availableReplicas").unwrap_or(0) };
    let before: Vec<Set> = old.iter().map(|set| as_set(set)).collect();
    for (set, size) in old.iter().zip(rollout::old_sizes(replicas, limits, as_set(new), &before)) {
        resize(context, deployment, set, size);
    }
}

fn create(context: &Context<'_>, deployment: &Value, replicas: i64, old: &[Arc<Value>]) {
    let mut template = deployment["spec"]["template"].clone();
    let hash = random::hash(&template.to_string());
    json::set(&mut template, &format!("/metadata/labels/{HASH}"), hash.clone().into());
    let mut selector = deployment["spec"]["selector"].clone();
    json::set(&mut selector, &format!("/matchLabels/{HASH}"), hash.clone().into());
    let name = format!("{}-{hash}", text(deployment, "/metadata/name"));
    let revision = old.last().map_or(0, |set| revision(set)) + 1;
    let set = json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": { "name": name, "namespace": deployment["metadata"]["namespace"], "labels": template["metadata"]["labels"],
            "annotations": { "deployment.kubernetes.io/revision": revision.to_string() }, "ownerReferences": json::owner_reference(deployment) },
        "spec": { "replicas": replicas, "selector": selector, "template": template, "minReadySeconds": deployment["spec"].get("minReadySeconds").cloned().unwrap_or(json!(0)) },
        "status": { "replicas": 0 }
    });
    match context.store.create(set) {
        Ok(_) => scaled(context, deployment, &name, 0, replicas),
        // The same look made it already.
        Err(Refusal::AlreadyExists(_)) => {}
        Err(refusal) => events::tell_once(
            context.store,
            deployment,
            Level::Warning,
            "ReplicaSetCreateError",
            &refusal.to_string(),
            "deployment-controller",
        ),
    }
}

fn resize(context: &Context<'_>, deployment: &Value, set: &Value, size: i64) {
    let before = wanted(set);
    if before != size {
        context.update(set, |set| set["spec"]["replicas"] = json!(size));
        scaled(context, deployment, text(set, "/metadata/name"), before, size);
    }
}

fn scaled(context: &Context<'_>, deployment: &Value, set: &str, from: i64, to: i64) {
    let way = if to >= from { "up" } else { "down" };
    let words = format!("Scaled {way} replica set {set} from {from} to {to}");
    events::tell(context.store, deployment, Level::Normal, "ScalingReplicaSet", &words, "deployment-controller");
}

/// Drops the oldest empty sets beyond the history that is kept.
fn forget(context: &Context<'_>, deployment: &Value, old: &[Arc<Value>]) {
    let keep = usize::try_from(number(deployment, "/spec/revisionHistoryLimit").unwrap_or(10)).unwrap_or(0);
    for set in old.iter().take(old.len().saturating_sub(keep)) {
        if wanted(set) == 0 && number(set, "/status/replicas") == Some(0) && pods::of(context.store, set).is_empty() {
            context.store.remove(&json::key(set));
        }
    }
}

fn status(context: &Context<'_>, deployment: &Value, replicas: i64, limits: Limits, new: Option<&Arc<Value>>, old: &[Arc<Value>]) {
    let fresh = |set: &Value| context.store.get(&json::key(set)).unwrap_or_else(|| Arc::new(Value::Null));
    let new = new.map(|set| fresh(set));
    let sets: Vec<Arc<Value>> = old.iter().map(|set| fresh(set)).chain(new.clone()).collect();
    let sum = |field: &str| sets.iter().filter_map(|set| number(set, &format!("/status/{field}"))).sum::<i64>();
    let updated = new.as_ref().and_then(|set| number(set, "/status/replicas")).unwrap_or(0);
    let (total, ready, available) = (sum("replicas"), sum("readyReplicas"), sum("availableReplicas"));
    let failure = sets.iter().find_map(|set| json::condition(set, "ReplicaFailure").cloned());
    let complete = updated == replicas && total == replicas && available == replicas;
    let name = new.as_ref().map(|set| text(set, "/metadata/name").to_owned()).unwrap_or_default();
    let revision = new.as_ref().map(|set| revision(set)).filter(|revision| *revision > 0);
    let before = deployment;
    let deadline = Duration::from_secs(
        number(deployment, "/spec/progressDeadlineSeconds").and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(600),
    );
    let progress = [total, updated, ready, available];
    let stood: Vec<i64> = ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas"]
        .iter()
        .map(|field| number(before, &format!("/status/{field}")).unwrap_or(0))
        .collect();
    let moved = stood != progress || json::number(before, "/status/observedGeneration") != number(before, "/metadata/generation");
    let since = json::condition(before, "Progressing").map(|condition| clock::since(&condition["lastUpdateTime"])).unwrap_or_default();
    if !complete && !moved && since < deadline {
        context.look_again(deadline.saturating_sub(since));
    }
    context.store.update_uid(&json::key(deployment), &deployment["metadata"]["uid"], |deployment| {
        if let Some(revision) = revision {
            json::set(deployment, REVISION, revision.to_string().into());
        }
        deployment["status"]["observedGeneration"] = deployment["metadata"]["generation"].clone();
        for (field, count) in [
            ("replicas", total),
            ("updatedReplicas", updated),
            ("readyReplicas", ready),
            ("availableReplicas", available),
            ("unavailableReplicas", (total.max(replicas) - available).max(0)),
        ] {
            deployment["status"][field] = json!(count);
        }
        if available >= replicas - limits.unavailable {
            set_condition(deployment, "Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability.");
        } else {
            set_condition(deployment, "Available", "False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.");
        }
        match &failure {
            Some(failure) => set_condition(deployment, "ReplicaFailure", "True", text(failure, "/reason"), text(failure, "/message")),
            None => json::clear_condition(deployment, "ReplicaFailure"),
        }
        let (status, reason, words) = if complete {
            ("True", "NewReplicaSetAvailable", format!("ReplicaSet {name:?} has successfully progressed."))
        } else if !moved && since >= deadline && json::condition(deployment, "Progressing").is_some() {
            ("False", "ProgressDeadlineExceeded", format!("ReplicaSet {name:?} has timed out progressing."))
        } else {
            ("True", "ReplicaSetUpdated", format!("ReplicaSet {name:?} is progressing."))
        };
        let stamp = json::condition(deployment, "Progressing")
            .map(|condition| condition["lastUpdateTime"].clone())
            .filter(|stamp| !moved && !stamp.is_null());
        set_condition(deployment, "Progressing", status, reason, &words);
        let conditions = deployment["status"]["conditions"].as_array_mut();
        if let Some(condition) = conditions.into_iter().flatten().find(|condition| condition["type"] == "Progressing") {
            condition["lastUpdateTime"] = stamp.unwrap_or_else(clock::now);
        }
    });
}

fn wanted(set: &Value) -> i64 {
    number(set, "/spec/replicas").unwrap_or(0)
}

fn revision(set: &Value) -> u64 {
    text(set, REVISION).parse().unwrap_or(0)
}

fn without_hash(template: &Value) -> Value {
    let mut template = template.clone();
    if let Some(labels) = template.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
        labels.remove(HASH);
    }
    template
}
