//! The claims of a pod as the scheduler sees them: which nodes their volumes allow, and which are still to be made.

use super::super::{
    super::json::{self, key_of, list, text},
    Context, claims,
};
use serde_json::{Value, json};
use std::sync::Arc;

/// The claim's annotation that names the node of its first consumer.
pub(in super::super) const SELECTED: &str = "/metadata/annotations/volume.kubernetes.io~1selected-node";

/// The pod's claims, or what stands in the way before any node is looked at.
pub(super) fn claims(context: &Context<'_>, pod: &Value) -> Result<Vec<Arc<Value>>, String> {
    let namespace = text(pod, "/metadata/namespace");
    let mut found = Vec::new();
    for volume in list(pod, "/spec/volumes") {
        let name = if json::has(volume, "/ephemeral") {
            ephemeral(context, pod, volume)
        } else if json::has(volume, "/persistentVolumeClaim") {
            text(volume, "/persistentVolumeClaim/claimName").to_owned()
        } else {
            continue;
        };
        let Some(claim) = context.store.get(&key_of("PersistentVolumeClaim", namespace, &name)) else {
            return Err(format!("persistentvolumeclaim {name:?} not found."));
        };
        if json::has(&claim, "/metadata/deletionTimestamp") {
            return Err(format!("persistentvolumeclaim {name:?} is being deleted."));
        }
        if list(&claim, "/spec/accessModes").iter().any(|mode| mode == "ReadWriteOncePod") && taken(context, pod, &name) {
            return Err("node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode.".into());
        }
        if claim["status"]["phase"] != "Bound" && !claims::waits_for_consumer(context, &claim) {
            return Err("pod has unbound immediate PersistentVolumeClaims.".into());
        }
        found.push(claim);
    }
    Ok(found)
}

/// Why the claims' volumes cannot be used on the node.
pub(super) fn filter(context: &Context<'_>, claims: &[Arc<Value>], node: &Value) -> Option<String> {
    claims.iter().find_map(|claim| {
        if claim["status"]["phase"] == "Bound" {
            let volume = context.store.get(&key_of("PersistentVolume", "", text(claim, "/spec/volumeName")))?;
            let fits = super::volume_is_for(&volume, node);
            return (!fits).then(|| "node(s) didn't match PersistentVolume's node affinity".into());
        }
        let selected = text(claim, SELECTED);
        if !selected.is_empty() && selected != text(node, "/metadata/name") {
            return Some("node(s) didn't match PersistentVolume's node affinity".into());
        }
        (!claims::can_be_made(context, claim, node)).then(|| "node(s) didn't find available persistent volumes to bind".into())
    })
}

/// Asks for the volumes that are made for their first consumer; whether all are there.
pub(super) fn reserve(context: &Context<'_>, pod: &Value, node: &str) -> bool {
    // One that has gone since the node was chosen: the pod waits for it, and is told so at the next look.
    let Ok(claims) = claims(context, pod) else { return false };
    let mut all = true;
    for claim in claims.iter().filter(|claim| claim["status"]["phase"] != "Bound") {
        all = false;
        if text(claim, SELECTED).is_empty() {
            context.update(claim, |claim| json::set(claim, SELECTED, node.into()));
        }
    }
    all
}

/// The claim of an `ephemeral` volume, which lives with its pod.
fn ephemeral(context: &Context<'_>, pod: &Value, volume: &Value) -> String {
    let name = format!("{}-{}", text(pod, "/metadata/name"), text(volume, "/name"));
    let template = &volume["ephemeral"]["volumeClaimTemplate"];
    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": { "name": name, "namespace": pod["metadata"]["namespace"], "ownerReferences": json::owner_reference(pod),
            "labels": template["metadata"]["labels"] },
        "spec": template["spec"]
    });
    // It is there already at every look but the first.
    drop(claims::admit(context.store, claim));
    name
}

fn taken(context: &Context<'_>, pod: &Value, claim: &str) -> bool {
    context.store.list("Pod", Some(text(pod, "/metadata/namespace"))).iter().any(|other| {
        other["metadata"]["uid"] != pod["metadata"]["uid"]
            && !super::pods::is_finished(other)
            && !text(other, "/spec/nodeName").is_empty()
            && list(other, "/spec/volumes").iter().any(|volume| text(volume, "/persistentVolumeClaim/claimName") == claim)
    })
}
