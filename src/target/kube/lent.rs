//! The one namespace that a run was lent, where it may make none: taken while nobody's work is in it, and left as it was.

use super::{
    cluster::gone,
    kinds::{Kind, Kinds},
    names::RUN_LABEL,
    watches::{self, Watches},
};
use crate::{
    manifest::json,
    wait::{Look, Until},
};
use anyhow::{Context as _, bail};
use kube::{
    Client,
    api::{DeleteParams, ListParams, PostParams},
    core::DynamicObject,
};
use serde_json::{Value, json};
use std::time::Duration;

/// The object by which one run at a time has the namespace.
const MARK: &str = "redis-conformance";
/// Kinds whose objects are somebody's work.
const WORK: &[&str] = &["CronJob", "DaemonSet", "Deployment", "Job", "PersistentVolumeClaim", "Pod", "StatefulSet"];
/// Until what was made is gone: its pods' grace, its claims, and what a loaded machine adds.
const GONE: Duration = Duration::from_secs(180);

/// Takes the namespace for a run, which from then on may break everything in it.
///
/// # Errors
/// There is none of that name, another run has it, or somebody's work is in it.
pub(super) async fn take(client: &Client, kinds: &Kinds, namespace: &str, run: &str) -> anyhow::Result<()> {
    let mark: DynamicObject = serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": MARK, "labels": { RUN_LABEL: run } },
        "data": { "README": "A run of redis-conformance uses this namespace, and removes this at its end." },
    }))?;
    let marks = watches::api(client, kinds.named("ConfigMap").context("the cluster serves no ConfigMaps")?, namespace);
    match marks.create(&PostParams::default(), &mark).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.is_already_exists() => {
            let labels = marks.get(MARK).await.ok().and_then(|mark| mark.metadata.labels).unwrap_or_default();
            let whose = labels.get(RUN_LABEL).map_or("nobody that we know", String::as_str);
            bail!(
                "namespace {namespace} is in use by run {whose}, as its ConfigMap {MARK} says; if that run was killed, \
                 `redis-conformance clean` removes what it left"
            );
        }
        Err(error) => return Err(error).with_context(|| format!("namespace {namespace} cannot be used")),
    }
    let mut work = Vec::new();
    for kind in WORK.iter().filter_map(|kind| kinds.named(kind)) {
        let there = watches::api(client, kind, namespace).list(&ListParams::default()).await;
        let there = there.with_context(|| format!("looking for each {} of namespace {namespace}", kind.resource.kind))?;
        work.extend(there.items.into_iter().map(|object| format!("{} {}", kind.resource.kind, object.metadata.name.unwrap_or_default())));
    }
    let more = work.len().saturating_sub(3);
    work.truncate(3);
    match (work.is_empty(), more) {
        (true, _) => return Ok(()),
        (false, 0) => {}
        (false, more) => work.push(format!("{more} more")),
    }
    bail!("namespace {namespace} holds {}; a run breaks what it finds: name by --namespace one that holds nobody's work", work.join(", "))
}

/// Deletes what the labels name in the namespace, and returns it with what the cluster deletes after it.
///
/// # Errors
/// The API server refuses it.
async fn delete<'a>(client: &Client, kinds: &'a Kinds, namespace: &str, labels: &str) -> kube::Result<Vec<(&'a Kind, String)>> {
    let labelled = ListParams::default().labels(labels);
    let mut told = Vec::new();
    for kind in kinds.in_namespaces() {
        let api = watches::api(client, kind, namespace);
        let found = match api.list(&labelled).await {
            Ok(found) => found.items,
            // Whoever may not see such objects has not made any.
            Err(kube::Error::Api(status)) if status.is_forbidden() || status.code == 405 => continue,
            Err(error) => return Err(error),
        };
        for object in found {
            let Some(name) = object.metadata.name else { continue };
            // What has an owner goes with it. The owner stays until then, so that whoever sees it gone need not look for the rest.
            if object.metadata.owner_references.is_none_or(|owners| owners.is_empty()) {
                match gone(api.delete(&name, &DeleteParams::foreground()).await) {
                    // Controllers copy labels to what they make, as from a Service to its endpoints, and delete it themselves.
                    Err(kube::Error::Api(status)) if status.is_forbidden() => {}
                    deleted => deleted?,
                }
            }
            told.push((kind, name));
        }
    }
    Ok(told)
}

/// Deletes what the labels name in the namespace, and waits until it is gone.
///
/// # Errors
/// The API server refuses it, or something stays, with what keeps it.
pub(super) async fn empty(client: &Client, kinds: &Kinds, namespace: &str, labels: &str) -> anyhow::Result<()> {
    let told = delete(client, kinds, namespace, labels).await.with_context(|| format!("emptying namespace {namespace}"))?;
    let watch = Watches::new(client.clone());
    Until::within(GONE)
        .on(watch.changes())
        .met(format!("what was made in namespace {namespace} to be gone"), || async {
            let mut left = Vec::new();
            for (kind, name) in &told {
                if let Some(object) = watch.get(kind, namespace, name).await? {
                    left.push(kept(&object));
                }
            }
            Ok::<_, anyhow::Error>(if left.is_empty() { Look::Ready(()) } else { Look::NotYet(left.join("; ")) })
        })
        .await
}

/// An object that stays, and who has yet to let it go.
fn kept(object: &Value) -> String {
    let finalizers: Vec<&str> = json::list(object, "/metadata/finalizers").iter().filter_map(Value::as_str).collect();
    format!("{} {} waits for {}", json::text(object, "/kind"), json::text(object, "/metadata/name"), finalizers.join(", "))
}
