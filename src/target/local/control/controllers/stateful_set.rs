//! StatefulSets: pods with an ordinal, a name and claims of their own, in order unless told otherwise.

use super::{
    super::{
        deletion,
        events::{self, Level},
        json::{self, entry, key_of, list, number, text},
        pods, random,
        store::Refusal,
    },
    Context,
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};

const SOURCE: &str = "statefulset-controller";
const REVISION: &str = "/metadata/labels/controller-revision-hash";

pub(super) fn look(context: &Context<'_>) {
    for set in context.store.list("StatefulSet", None) {
        if json::has(&set, "/metadata/deletionTimestamp") {
            continue;
        }
        let update = revision_of(context, &set);
        let current = Some(text(&set, "/status/currentRevision")).filter(|name| !name.is_empty()).unwrap_or(&update).to_owned();
        step(context, &set, &current, &update);
        status(context, &set, &current, &update);
    }
}

/// One step towards what is wanted: with ordered pods at most one change at a time.
fn step(context: &Context<'_>, set: &Value, current: &str, update: &str) {
    let ordered = set["spec"]["podManagementPolicy"] != "Parallel";
    let start = number(set, "/spec/ordinals/start").unwrap_or(0);
    let end = start + number(set, "/spec/replicas").unwrap_or(1);
    let rolling = set["spec"]["updateStrategy"]["type"] == "RollingUpdate";
    let partition = if rolling { start + number(set, "/spec/updateStrategy/rollingUpdate/partition").unwrap_or(0) } else { i64::MIN };
    let mut pods: BTreeMap<i64, Arc<Value>> =
        pods::of(context.store, set).into_iter().filter_map(|pod| Some((ordinal(set, &pod)?, pod))).collect();
    for ordinal in start..end {
        let pod = pods.get(&ordinal).cloned();
        match pod {
            Some(pod) if pods::is_finished(&pod) => {
                // A pod that ended is replaced; that is not a rollout.
                pods::delete(context.store, &pod, None);
                create(context, set, ordinal, if ordinal < partition { current } else { update });
                if ordered {
                    return;
                }
            }
            Some(pod) => {
                claims(context, set, ordinal);
                if ordered && !settled(context, set, &pod) {
                    return;
                }
            }
            None => {
                if !create(context, set, ordinal, if ordinal < partition { current } else { update }) || ordered {
                    return;
                }
            }
        }
    }
    let condemned: Vec<(i64, Arc<Value>)> =
        pods.iter().rev().filter(|(ordinal, _)| !(start..end).contains(*ordinal)).map(|(ordinal, pod)| (*ordinal, pod.clone())).collect();
    for (_, pod) in &condemned {
        if !pods::is_terminating(pod) {
            delete(context, set, pod);
        }
        if ordered {
            return;
        }
    }
    if !rolling {
        return;
    }
    pods.retain(|ordinal, _| (start.max(partition)..end).contains(ordinal));
    for pod in pods.values().rev() {
        if text(pod, REVISION) != update && !pods::is_terminating(pod) {
            delete(context, set, pod);
            return;
        }
        if !settled(context, set, pod) {
            return;
        }
    }
}

/// Running, ready for long enough, and not on its way out.
fn settled(context: &Context<'_>, set: &Value, pod: &Value) -> bool {
    let seconds = number(set, "/spec/minReadySeconds").unwrap_or(0);
    let available = pods::is_available(pod, seconds).unwrap_or_else(|missing| {
        context.look_again(missing);
        false
    });
    available && !pods::is_terminating(pod) && text(pod, "/status/phase") == "Running"
}

fn create(context: &Context<'_>, set: &Value, ordinal: i64, revision: &str) -> bool {
    if !claims(context, set, ordinal) {
        return false;
    }
    let namespace = text(set, "/metadata/namespace");
    let template = context
        .store
        .get(&key_of("ControllerRevision", namespace, revision))
        .map_or_else(|| set["spec"]["template"].clone(), |revision| revision["data"]["spec"]["template"].clone());
    let pod_name = format!("{}-{ordinal}", name(set));
    let mut pod = pods::from_template(set, &template, &pod_name);
    for (label, value) in [
        ("statefulset.kubernetes.io/pod-name", pod_name.clone()),
        ("apps.kubernetes.io/pod-index", ordinal.to_string()),
        ("controller-revision-hash", revision.to_owned()),
    ] {
        entry(&mut pod["metadata"], "labels")[label] = value.into();
    }
    pod["spec"]["hostname"] = pod_name.clone().into();
    pod["spec"]["subdomain"] = set["spec"]["serviceName"].as_str().unwrap_or_default().into();
    let mut volumes: Vec<Value> = list(&pod, "/spec/volumes").to_vec();
    for template in list(set, "/spec/volumeClaimTemplates") {
        let volume = text(template, "/metadata/name");
        volumes.retain(|other| text(other, "/name") != volume);
        volumes.push(json!({ "name": volume, "persistentVolumeClaim": { "claimName": claim_name(set, template, ordinal) } }));
    }
    pod["spec"]["volumes"] = volumes.into();
    match pods::create(context.store, pod, context.options.toleration) {
        Ok(_) => {
            tell(
                context,
                set,
                Level::Normal,
                "SuccessfulCreate",
                &format!("create Pod {pod_name} in StatefulSet {} successful", name(set)),
            );
            true
        }
        // Its predecessor is still going.
        Err(Refusal::AlreadyExists(_)) => false,
        Err(refusal) => {
            let words = format!("create Pod {pod_name} in StatefulSet {} failed error: {refusal}", name(set));
            events::tell_once(context.store, set, Level::Warning, "FailedCreate", &words, SOURCE);
            false
        }
    }
}

/// Makes the claims of an ordinal where they are missing.
fn claims(context: &Context<'_>, set: &Value, ordinal: i64) -> bool {
    list(set, "/spec/volumeClaimTemplates").iter().all(|template| {
        let mut claim = json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": { "name": claim_name(set, template, ordinal), "namespace": set["metadata"]["namespace"],
                "labels": template["metadata"].get("labels").cloned().unwrap_or_else(|| set["spec"]["selector"]["matchLabels"].clone()) },
            "spec": template["spec"]
        });
        if json::has(template, "/metadata/annotations") {
            claim["metadata"]["annotations"] = template["metadata"]["annotations"].clone();
        }
        if set["spec"]["persistentVolumeClaimRetentionPolicy"]["whenDeleted"] == "Delete" {
            claim["metadata"]["ownerReferences"] = json::owner_reference(set);
        }
        if context.store.get(&json::key(&claim)).is_some() {
            return true;
        }
        let words = format!("create Claim {} Pod {}-{ordinal} in StatefulSet {} success", name(&claim), name(set), name(set));
        match super::claims::admit(context.store, claim) {
            Ok(_) => {
                tell(context, set, Level::Normal, "SuccessfulCreate", &words);
                true
            }
            Err(refusal) => {
                events::tell_once(context.store, set, Level::Warning, "FailedCreate", &refusal.to_string(), SOURCE);
                false
            }
        }
    })
}

fn claim_name(set: &Value, template: &Value, ordinal: i64) -> String {
    format!("{}-{}-{ordinal}", name(template), name(set))
}

fn ordinal(set: &Value, pod: &Value) -> Option<i64> {
    name(pod).strip_prefix(name(set))?.strip_prefix('-')?.parse().ok()
}

/// The revision that holds the set's template, made where it is new.
fn revision_of(context: &Context<'_>, set: &Value) -> String {
    let template = &set["spec"]["template"];
    let revisions = context.store.list("ControllerRevision", Some(text(set, "/metadata/namespace")));
    let mine: Vec<_> = revisions.iter().filter(|revision| json::is_controlled_by(revision, set)).collect();
    if let Some(same) = mine.iter().find(|revision| revision["data"]["spec"]["template"] == *template) {
        return name(same).to_owned();
    }
    let revision_name = format!("{}-{}", name(set), random::hash(&template.to_string()));
    let number = mine.iter().filter_map(|revision| number(revision, "/revision")).max().unwrap_or(0) + 1;
    let revision = json!({
        "apiVersion": "apps/v1", "kind": "ControllerRevision", "revision": number,
        "metadata": { "name": revision_name, "namespace": set["metadata"]["namespace"], "ownerReferences": json::owner_reference(set) },
        "data": { "spec": { "template": template } }
    });
    // It can only be there already, with the same hash and so the same template.
    drop(context.store.create(revision));
    revision_name
}

fn status(context: &Context<'_>, set: &Value, current: &str, update: &str) {
    let pods = pods::of(context.store, set);
    let start = number(set, "/spec/ordinals/start").unwrap_or(0);
    let replicas = number(set, "/spec/replicas").unwrap_or(1);
    let pods: Vec<_> = pods.iter().filter(|pod| ordinal(set, pod).is_some() && !pods::is_finished(pod)).collect();
    let count = |fits: &dyn Fn(&Value) -> bool| pods.iter().filter(|pod| fits(pod)).count();
    let seconds = number(set, "/spec/minReadySeconds").unwrap_or(0);
    let ready = count(&pods::is_ready);
    let updated = count(&|pod| text(pod, REVISION) == update && !pods::is_terminating(pod));
    let available = count(&|pod| pods::is_available(pod, seconds).unwrap_or(false));
    let wanted = usize::try_from(replicas).unwrap_or(0);
    let complete = set["spec"]["updateStrategy"]["type"] == "RollingUpdate" && updated == wanted && ready == wanted && pods.len() == wanted;
    let current = if complete { update } else { current };
    let of_current = count(&|pod| text(pod, REVISION) == current && !pods::is_terminating(pod));
    context.update(set, |set| {
        set["status"]["observedGeneration"] = set["metadata"]["generation"].clone();
        let counts = [
            ("replicas", pods.len()),
            ("readyReplicas", ready),
            ("availableReplicas", available),
            ("updatedReplicas", updated),
            ("currentReplicas", of_current),
        ];
        for (field, count) in counts {
            set["status"][field] = json!(count);
        }
        set["status"]["currentRevision"] = current.into();
        set["status"]["updateRevision"] = update.into();
        set["status"]["collisionCount"] = json!(0);
    });
    scaled_claims(context, set, start, start + replicas);
}

/// `whenScaled: Delete`: claims of ordinals that are gone go with them.
fn scaled_claims(context: &Context<'_>, set: &Value, start: i64, end: i64) {
    if set["spec"]["persistentVolumeClaimRetentionPolicy"]["whenScaled"] != "Delete" {
        return;
    }
    let namespace = text(set, "/metadata/namespace");
    for claim in context.store.list("PersistentVolumeClaim", Some(namespace)) {
        for template in list(set, "/spec/volumeClaimTemplates") {
            let prefix = format!("{}-{}-", name(template), name(set));
            let Some(ordinal) = name(&claim).strip_prefix(&prefix).and_then(|ordinal| ordinal.parse::<i64>().ok()) else { continue };
            let pod = key_of("Pod", namespace, &format!("{}-{ordinal}", name(set)));
            if !(start..end).contains(&ordinal) && context.store.get(&pod).is_none() {
                deletion::delete(context.store, &claim, None);
            }
        }
    }
}

fn delete(context: &Context<'_>, set: &Value, pod: &Value) {
    pods::delete(context.store, pod, None);
    let words = format!("delete Pod {} in StatefulSet {} successful", name(pod), name(set));
    tell(context, set, Level::Normal, "SuccessfulDelete", &words);
}

fn name(object: &Value) -> &str {
    text(object, "/metadata/name")
}

fn tell(context: &Context<'_>, set: &Value, level: Level, reason: &str, words: &str) {
    events::tell(context.store, set, level, reason, words, SOURCE);
}
