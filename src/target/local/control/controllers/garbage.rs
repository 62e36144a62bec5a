//! Deletes what has lost its owner, and what lives in a namespace that goes.

use super::{
    super::{
        deletion,
        json::{self, key_of, list, text},
    },
    Context,
};
use std::collections::BTreeSet;

pub(super) fn look(context: &Context<'_>) {
    let all = context.store.all();
    let uids: BTreeSet<&str> = all.iter().map(|object| text(object, "/metadata/uid")).collect();
    let going: BTreeSet<&str> = all
        .iter()
        .filter(|object| object["kind"] == "Namespace" && json::has(object, "/metadata/deletionTimestamp"))
        .map(|object| text(object, "/metadata/name"))
        .collect();
    for object in &all {
        if json::has(object, "/metadata/deletionTimestamp") {
            continue;
        }
        let owners = list(object, "/metadata/ownerReferences");
        let orphaned = !owners.is_empty() && !owners.iter().any(|owner| uids.contains(text(owner, "/uid")));
        if orphaned || going.contains(text(object, "/metadata/namespace")) {
            deletion::delete(context.store, object, None);
        }
    }
    for namespace in going {
        if !all.iter().any(|object| text(object, "/metadata/namespace") == namespace) {
            context.store.remove(&key_of("Namespace", "", namespace));
        }
    }
}
