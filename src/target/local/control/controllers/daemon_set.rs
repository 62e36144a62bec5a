//! DaemonSets: one pod on each node that takes it.

use super::{
    super::{
        events::{self, Level},
        json::{self, list, number, text},
        pods, random,
    },
    Context, rollout, scheduler,
};
use serde_json::{Value, json};

const TOLERATED: &[(&str, &str)] = &[
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];

pub(super) fn look(context: &Context<'_>) {
    for set in context.store.list("DaemonSet", None) {
        if !json::has(&set, "/metadata/deletionTimestamp") {
            one(context, &set);
        }
    }
}

fn one(context: &Context<'_>, set: &Value) {
    let hash = random::hash(&set["spec"]["template"].to_string());
    let all = pods::of(context.store, set);
    let (mut wanted, mut scheduled, mut ready, mut updated, mut missing) = (0, 0, 0, 0, 0);
    let mut outdated = Vec::new();
    for node in context.store.list("Node", None) {
        let node_name = text(&node, "/metadata/name");
        let mut pod = pods::from_template(set, &set["spec"]["template"], &pods::generated_name(set));
        let mut tolerations = list(&pod, "/spec/tolerations").to_vec();
        tolerations.extend(TOLERATED.iter().map(|(key, effect)| json!({ "key": key, "operator": "Exists", "effect": effect })));
        pod["spec"]["tolerations"] = tolerations.into();
        if !scheduler::node_takes(&pod, &node) {
            continue;
        }
        wanted += 1;
        let here: Vec<_> = all.iter().filter(|pod| text(pod, "/spec/nodeName") == node_name && !pods::is_finished(pod)).collect();
        if let Some(present) = here.first() {
            scheduled += 1;
            ready += usize::from(pods::is_ready(present));
            missing += usize::from(!pods::is_ready(present));
            if text(present, "/metadata/labels/controller-revision-hash") == hash {
                updated += 1;
            } else if !pods::is_terminating(present) {
                outdated.push((*present).clone());
            }
            continue;
        }
        missing += 1;
        pod["spec"]["nodeName"] = node_name.into();
        json::set(&mut pod, "/metadata/labels/controller-revision-hash", hash.clone().into());
        if let Err(refusal) = pods::create(context.store, pod, context.options.toleration) {
            let words = format!("Error creating: {refusal}");
            events::tell_once(context.store, set, Level::Warning, "FailedCreate", &words, "daemonset-controller");
        }
    }
    if set["spec"]["updateStrategy"]["type"] != "OnDelete" {
        let limit = rollout::share(&set["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"], wanted, true).unwrap_or(1);
        let room = usize::try_from(limit).unwrap_or(1).saturating_sub(missing);
        for pod in outdated.iter().take(room) {
            pods::delete(context.store, pod, None);
        }
    }
    for pod in all.iter().filter(|pod| pods::is_finished(pod) && !pods::is_terminating(pod)) {
        pods::delete(context.store, pod, None);
    }
    context.update(set, |set| {
        set["status"] = json!({
            "observedGeneration": number(set, "/metadata/generation"), "desiredNumberScheduled": wanted, "currentNumberScheduled": scheduled,
            "numberMisscheduled": 0, "numberReady": ready, "numberAvailable": ready, "updatedNumberScheduled": updated,
            "numberUnavailable": usize::try_from(wanted).unwrap_or(0) - ready
        });
    });
}
