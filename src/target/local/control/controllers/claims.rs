//! Claims find a volume that is there or get one made by their class; what is given up is reclaimed.

mod classes;
mod provision;

use super::{
    super::{
        admission, defaults, deletion,
        events::{self, Level},
        json::{self, key_of, list, text},
        pods,
        store::{Refusal, Store},
    },
    Context,
    scheduler::SELECTED_NODE,
};
use crate::manifest::{Quantity, selector};
pub(super) use classes::waits_for_consumer;
use serde_json::{Value, json};
use std::sync::Arc;

const SOURCE: &str = "persistentvolume-controller";

/// Lets a claim in: with its defaults and, where it names no class, the default one.
pub(in super::super) fn admit(store: &Store, mut claim: Value) -> Result<Arc<Value>, Refusal> {
    defaults::fill(&mut claim);
    admission::check_new(&claim)?;
    if claim["metadata"]["labels"].is_null()
        && let Some(metadata) = claim["metadata"].as_object_mut()
    {
        metadata.remove("labels");
    }
    if !json::has(&claim, "/spec/storageClassName")
        && let Some(class) = classes::default(store)
    {
        claim["spec"]["storageClassName"] = class["metadata"]["name"].clone();
    }
    store.create(claim)
}

pub(super) fn look(context: &Context<'_>) {
    for claim in context.store.list("PersistentVolumeClaim", None) {
        if json::has(&claim, "/metadata/deletionTimestamp") {
            if !is_used(context, &claim) {
                context.store.remove(&json::key(&claim));
            }
        } else if claim["status"]["phase"] == "Bound" {
            grow(context, &claim);
        } else {
            bind(context, &claim);
        }
    }
    for volume in context.store.list("PersistentVolume", None) {
        reclaim(context, &volume);
    }
}

/// Whether a pod still holds the claim.
fn is_used(context: &Context<'_>, claim: &Value) -> bool {
    let name = text(claim, "/metadata/name");
    context.store.list("Pod", Some(text(claim, "/metadata/namespace"))).iter().any(|pod| {
        let ephemeral = |volume: &Value| {
            json::has(volume, "/ephemeral") && format!("{}-{}", text(pod, "/metadata/name"), text(volume, "/name")) == name
        };
        let uses = |volume: &Value| text(volume, "/persistentVolumeClaim/claimName") == name || ephemeral(volume);
        !pods::is_finished(pod) && list(pod, "/spec/volumes").iter().any(uses)
    })
}

fn bind(context: &Context<'_>, claim: &Value) {
    // A claim made before there was a default class gets it later.
    if !json::has(claim, "/spec/storageClassName")
        && let Some(class) = classes::default(context.store)
    {
        context.update(claim, |claim| claim["spec"]["storageClassName"] = class["metadata"]["name"].clone());
        return;
    }
    let waits = waits_for_consumer(context, claim);
    let selected = text(claim, SELECTED_NODE);
    if waits && selected.is_empty() {
        tell(context, claim, Level::Normal, "WaitForFirstConsumer", "waiting for first consumer to be created before binding");
        return;
    }
    let node = context.store.get(&key_of("Node", "", selected));
    if let Some(volume) = available(context, claim, node.as_deref()) {
        marry(context, claim, &volume);
        return;
    }
    match classes::of(context.store, claim) {
        classes::Class::None => {
            tell(
                context,
                claim,
                Level::Normal,
                "FailedBinding",
                "no persistent volumes available for this claim and no storage class is set",
            );
        }
        classes::Class::Unknown(name) => {
            tell(context, claim, Level::Warning, "ProvisioningFailed", &format!("storageclass.storage.k8s.io {name:?} not found"));
        }
        classes::Class::Known(class) => provision::provision(context, claim, &class, selected),
    }
}

/// The amount at a pointer; `None` where there is none that can be read.
fn size(object: &Value, pointer: &str) -> Option<Quantity> {
    object.pointer(pointer).and_then(|value| Quantity::of(value).ok())
}

/// The smallest volume that is free and fits.
fn available(context: &Context<'_>, claim: &Value, node: Option<&Value>) -> Option<Arc<Value>> {
    let wanted = size(claim, "/spec/resources/requests/storage")?;
    let capacity = |volume: &Value| size(volume, "/spec/capacity/storage").unwrap_or_default();
    let asked_for = text(claim, "/spec/volumeName");
    let fits = |volume: &&Arc<Value>| {
        let reference = &volume["spec"]["claimRef"];
        let free = reference.is_null()
            || (reference["name"] == claim["metadata"]["name"]
                && reference["namespace"] == claim["metadata"]["namespace"]
                && (reference["uid"].is_null() || reference["uid"] == claim["metadata"]["uid"]));
        let modes = list(volume, "/spec/accessModes");
        free && volume["status"]["phase"] != "Released"
            && (asked_for.is_empty() || asked_for == text(volume, "/metadata/name"))
            && text(volume, "/spec/storageClassName") == text(claim, "/spec/storageClassName")
            && volume["spec"]["volumeMode"] == claim["spec"]["volumeMode"]
            && capacity(volume) >= wanted
            && list(claim, "/spec/accessModes").iter().all(|mode| modes.contains(mode))
            && (claim["spec"]["selector"].is_null() || selector::matches(&claim["spec"]["selector"], json::labels(volume)))
            && node.is_none_or(|node| super::scheduler::volume_is_for(volume, node))
    };
    let volumes = context.store.list("PersistentVolume", None);
    volumes.iter().filter(fits).min_by_key(|volume| (volume["spec"]["claimRef"].is_null(), capacity(volume))).cloned()
}

/// Whether a volume for the claim could be had on the node.
pub(super) fn can_be_made(context: &Context<'_>, claim: &Value, node: &Value) -> bool {
    available(context, claim, Some(node)).is_some()
        || matches!(classes::of(context.store, claim), classes::Class::Known(class) if class["provisioner"] != classes::NO_PROVISIONER)
}

fn marry(context: &Context<'_>, claim: &Value, volume: &Value) {
    context.update(volume, |volume| {
        volume["spec"]["claimRef"] = json!({ "apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": claim["metadata"]["name"],
            "namespace": claim["metadata"]["namespace"], "uid": claim["metadata"]["uid"] });
        volume["status"] = json!({ "phase": "Bound" });
    });
    context.update(claim, |claim| {
        claim["spec"]["volumeName"] = volume["metadata"]["name"].clone();
        claim["status"] = json!({ "phase": "Bound", "accessModes": volume["spec"]["accessModes"], "capacity": volume["spec"]["capacity"] });
        json::set(claim, "/metadata/annotations/pv.kubernetes.io~1bind-completed", "yes".into());
    });
}

/// Expands the volume of a claim that asks for more, where its class has a resizer; whether it may ask at all was admission's business.
fn grow(context: &Context<'_>, claim: &Value) {
    let request = &claim["spec"]["resources"]["requests"]["storage"];
    let has = size(claim, "/status/capacity/storage").unwrap_or_default();
    if Quantity::of(request).unwrap_or_default() <= has {
        return;
    }
    if !matches!(classes::of(context.store, claim), classes::Class::Known(class) if classes::has_resizer(&class)) {
        tell(context, claim, Level::Normal, "ExternalExpanding", "waiting for an external controller to expand this PVC");
        return;
    }
    if let Some(volume) = context.store.get(&key_of("PersistentVolume", "", text(claim, "/spec/volumeName"))) {
        context.update(&volume, |volume| volume["spec"]["capacity"]["storage"] = request.clone());
    }
    context.update(claim, |claim| claim["status"]["capacity"]["storage"] = request.clone());
    tell(context, claim, Level::Normal, "FileSystemResizeSuccessful", "MountVolume.NodeExpandVolume succeeded for volume");
}

fn reclaim(context: &Context<'_>, volume: &Value) {
    let reference = &volume["spec"]["claimRef"];
    let phase = |phase: &str| context.update(volume, |volume| volume["status"]["phase"] = phase.into());
    if json::has(volume, "/metadata/deletionTimestamp") {
        context.store.remove(&json::key(volume));
        return;
    }
    if reference.is_null() || reference["uid"].is_null() {
        return phase("Available");
    }
    let key = key_of("PersistentVolumeClaim", text(reference, "/namespace"), text(reference, "/name"));
    if context.store.get(&key).is_some_and(|claim| claim["metadata"]["uid"] == reference["uid"]) {
        return;
    }
    if volume["spec"]["persistentVolumeReclaimPolicy"] == "Delete" {
        deletion::delete(context.store, volume, None);
    } else {
        phase("Released");
    }
}

fn tell(context: &Context<'_>, claim: &Value, level: Level, reason: &str, words: &str) {
    events::tell_once(context.store, claim, level, reason, words, SOURCE);
}
