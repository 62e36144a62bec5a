//! ReplicaSets: as many pods as asked for.

use super::{
    super::{
        events::{self, Level},
        json::{self, condition, labels, map, number, set_condition, text},
        pods,
    },
    Context,
};
use crate::manifest::selector;
use serde_json::{Value, json};
use std::sync::Arc;

const SOURCE: &str = "replicaset-controller";

pub(super) fn look(context: &Context<'_>) {
    for set in context.store.list("ReplicaSet", None) {
        if !json::has(&set, "/metadata/deletionTimestamp") {
            one(context, &set);
        }
    }
}

fn one(context: &Context<'_>, set: &Value) {
    let wanted = usize::try_from(number(set, "/spec/replicas").unwrap_or(1)).unwrap_or(0);
    let mut active: Vec<Arc<Value>> = pods::of(context.store, set).into_iter().filter(|pod| pods::is_active(pod)).collect();
    let mut failure = None;
    for _ in active.len()..wanted {
        let pod = pods::from_template(set, &set["spec"]["template"], &pods::generated_name(set));
        match pods::create(context.store, pod, context.options.toleration) {
            Ok(pod) => {
                let words = format!("Created pod: {}", text(&pod, "/metadata/name"));
                events::tell(context.store, set, Level::Normal, "SuccessfulCreate", &words, SOURCE);
                active.push(pod);
            }
            Err(refusal) => {
                events::tell_once(context.store, set, Level::Warning, "FailedCreate", &format!("Error creating: {refusal}"), SOURCE);
                failure = Some(refusal.to_string());
                break;
            }
        }
    }
    if active.len() > wanted {
        active.sort_by_key(|pod| keeping_order(pod));
        for pod in active.split_off(wanted) {
            pods::delete(context.store, &pod, None);
            let words = format!("Deleted pod: {}", text(&pod, "/metadata/name"));
            events::tell(context.store, set, Level::Normal, "SuccessfulDelete", &words, SOURCE);
        }
    }
    let ready = active.iter().filter(|pod| pods::is_ready(pod)).count();
    let seconds = number(set, "/spec/minReadySeconds").unwrap_or(0);
    let available = active.iter().filter(|pod| {
        pods::is_available(pod, seconds).unwrap_or_else(|missing| {
            context.look_again(missing);
            false
        })
    });
    let available = available.count();
    let wanted = map(set, "/spec/template/metadata/labels");
    let labelled = active.iter().filter(|pod| selector::holds(wanted, labels(pod))).count();
    context.update(set, |set| {
        for (field, count) in
            [("replicas", active.len()), ("fullyLabeledReplicas", labelled), ("readyReplicas", ready), ("availableReplicas", available)]
        {
            set["status"][field] = json!(count);
        }
        set["status"]["observedGeneration"] = set["metadata"]["generation"].clone();
        match &failure {
            Some(words) => set_condition(set, "ReplicaFailure", "True", "FailedCreate", words),
            None if condition(set, "ReplicaFailure").is_some() => json::clear_condition(set, "ReplicaFailure"),
            None => {}
        }
    });
}

/// Those that are kept come first: scheduled, running, ready, older.
fn keeping_order(pod: &Value) -> (bool, u8, bool, String) {
    let phase = match text(pod, "/status/phase") {
        "Running" => 0,
        "Unknown" => 1,
        _ => 2,
    };
    (text(pod, "/spec/nodeName").is_empty(), phase, !pods::is_ready(pod), text(pod, "/metadata/creationTimestamp").to_owned())
}
