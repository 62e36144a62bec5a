//! The one namespace that a run was lent, where it may make none: taken while nobody's work is in it, and left as it was.

use super::{
    cluster::{gone, holds_nothing_of_ours},
    kinds::{Kind, Kinds},
    names::RUN_LABEL,
    watches::{self, Watches},
};
use crate::{
    manifest::json,
    wait::{Look, Until, at_most},
};
use anyhow::{Context as _, bail};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, PostParams, Preconditions},
    core::DynamicObject,
};
use serde_json::{Value, json};
use std::{collections::BTreeSet, time::Duration};

/// The object by which one run at a time has the namespace.
const MARK: &str = "redis-conformance";
/// Kinds whose objects are somebody's work, or decide what a run finds.
const WORK: &[&str] =
    &["CronJob", "DaemonSet", "Deployment", "Job", "NetworkPolicy", "PersistentVolumeClaim", "Pod", "PodDisruptionBudget", "StatefulSet"];
/// Kinds whose objects make others or hold them, each after those that make it.
const MAKERS: &[&str] = &["CronJob", "DaemonSet", "Deployment", "StatefulSet", "ReplicaSet", "Job", "Pod"];
/// Nothing in a pod is needed any more. With no grace at all it would be gone for the API server while its containers still run, and meet
/// the next scenario, which has the same names.
const GRACE: u32 = 1;
/// Until what was made is gone: its claims, and what a loaded machine adds.
const GONE: Duration = Duration::from_secs(180);
/// The API server answers some dozens of requests.
const ANSWERS: Duration = Duration::from_secs(60);

/// A namespace that was lent.
#[derive(Clone, Copy)]
pub(super) struct Lent<'a> {
    pub(super) client: &'a Client,
    pub(super) kinds: &'a Kinds,
    pub(super) namespace: &'a str,
}

/// An object that was told to go.
struct Told<'a> {
    kind: &'a Kind,
    name: String,
    uid: String,
}

impl<'a> Lent<'a> {
    fn api(&self, kind: &Kind) -> Api<DynamicObject> {
        watches::api(self.client, kind, self.namespace)
    }

    fn marks(&self) -> anyhow::Result<Api<DynamicObject>> {
        Ok(self.api(self.kinds.named("ConfigMap").context("the cluster serves no ConfigMaps")?))
    }

    /// Takes the namespace for a run, which from then on may break everything in it.
    ///
    /// # Errors
    /// There is none of that name, another run has it, or somebody's work is in it.
    pub(super) async fn take(&self, run: &str) -> anyhow::Result<()> {
        let namespace = self.namespace;
        let mark: DynamicObject = serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": MARK, "labels": { RUN_LABEL: run } },
            "data": { "README": "A run of redis-conformance uses this namespace, and removes this at its end." },
        }))?;
        let marks = self.marks()?;
        match marks.create(&PostParams::default(), &mark).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.is_already_exists() => {
                let there = marks.get_opt(MARK).await.with_context(|| format!("asking who uses namespace {namespace}"))?;
                let labels = there.and_then(|mark| mark.metadata.labels).unwrap_or_default();
                let whose = labels.get(RUN_LABEL).map_or("nobody that we know", String::as_str);
                bail!(
                    "namespace {namespace} is in use by run {whose}, as its ConfigMap {MARK} says; if that run was killed, \
                     `redis-conformance clean` removes what it left"
                );
            }
            Err(error) => return Err(error).with_context(|| format!("namespace {namespace} cannot be used")),
        }
        let mut work = Vec::new();
        for kind in WORK.iter().filter_map(|kind| self.kinds.named(kind)) {
            let there = self.api(kind).list(&ListParams::default()).await;
            let there = there.with_context(|| format!("looking for each {} of namespace {namespace}", kind.resource.kind))?;
            work.extend(
                there.items.into_iter().map(|object| format!("{} {}", kind.resource.kind, object.metadata.name.unwrap_or_default())),
            );
        }
        let more = work.len().saturating_sub(3);
        work.truncate(3);
        if more > 0 {
            work.push(format!("{more} more"));
        }
        anyhow::ensure!(
            work.is_empty(),
            "namespace {namespace} holds {}; a run breaks what it finds: name by --namespace one that holds nobody's work",
            work.join(", ")
        );
        Ok(())
    }

    /// The run is over: nothing of it is left, and others may have the namespace.
    ///
    /// # Errors
    /// Something of it stays, and so does the mark.
    pub(super) async fn give_back(&self, run: &str) -> anyhow::Result<()> {
        self.empty(&format!("{RUN_LABEL}={run}")).await?;
        let (marks, doing) = (self.marks()?, || format!("giving namespace {} back", self.namespace));
        let there = marks.get_opt(MARK).await.with_context(doing)?;
        match there.filter(|mark| mark.metadata.labels.iter().flatten().any(|(label, of)| label == RUN_LABEL && of == run)) {
            Some(mark) => gone(marks.delete(MARK, &this_one(DeleteParams::default(), mark.metadata.uid)).await).with_context(doing),
            None => Ok(()),
        }
    }

    /// Deletes what the labels name, but for the mark, and waits until it is gone.
    ///
    /// # Errors
    /// The API server refuses it, or something stays, with what keeps it; whatever could be deleted is.
    pub(super) async fn empty(&self, labels: &str) -> anyhow::Result<()> {
        let is_maker = |kind: &Kind| MAKERS.contains(&kind.resource.kind.as_str());
        // A StatefulSet at work would make a claim anew that was just deleted.
        let makers = self.delete(labels, is_maker).await;
        let everything = self.delete(labels, |_| true).await;
        makers.and(everything)
    }

    async fn delete(&self, labels: &str, which: impl Fn(&Kind) -> bool) -> anyhow::Result<()> {
        let mut told = Vec::new();
        let work = async {
            let mut done = Ok(());
            for kind in self.kinds.in_namespaces().filter(|kind| which(kind)) {
                // One kind that its server cannot serve keeps nobody from deleting the others.
                let each = self.delete_each(kind, labels, &mut told).await;
                done = done.and(each.with_context(|| format!("deleting each {}", kind.resource.kind)));
            }
            done.and(self.end_pods(&mut told).await.context("ending pods"))
        };
        let done = match at_most(ANSWERS, "what was made in the namespace to be deleted", work).await {
            Some(done) => done.with_context(|| format!("emptying namespace {}", self.namespace)),
            None => Err(anyhow::anyhow!("the API server did not answer within {} s", ANSWERS.as_secs())),
        };
        done.and(self.gone(&told).await)
    }

    async fn delete_each(&self, kind: &'a Kind, labels: &str, told: &mut Vec<Told<'a>>) -> kube::Result<()> {
        let api = self.api(kind);
        let found = match api.list(&ListParams::default().labels(labels)).await {
            Err(error) if holds_nothing_of_ours(&error) => return Ok(()),
            found => found?.items,
        };
        for object in found {
            let (Some(name), Some(uid)) = (object.metadata.name, object.metadata.uid) else { continue };
            if kind.resource.kind == "ConfigMap" && name == MARK {
                continue;
            }
            // What has an owner goes with it. The owner stays until then, so that whoever sees it gone need not look for the rest.
            if object.metadata.owner_references.is_none_or(|owners| owners.is_empty()) {
                match gone(api.delete(&name, &this_one(DeleteParams::foreground(), Some(uid.clone()))).await) {
                    // Controllers copy labels to what they make, as from a Service to its endpoints, and delete it themselves.
                    Err(kube::Error::Api(status)) if status.is_forbidden() => {}
                    deleted => deleted?,
                }
            }
            told.push(Told { kind, name, uid });
        }
        Ok(())
    }

    /// Ends the pods of what was told to go, and those whose maker a scenario has deleted itself: they bear no labels.
    async fn end_pods(&self, told: &mut Vec<Told<'a>>) -> kube::Result<()> {
        let mut of_ours: BTreeSet<String> = told.iter().map(|told| told.uid.clone()).collect();
        let mut there: BTreeSet<String> = BTreeSet::new();
        for kind in MAKERS.iter().filter_map(|kind| self.kinds.named(kind)) {
            for object in self.api(kind).list(&ListParams::default()).await?.items {
                let (Some(name), Some(uid)) = (object.metadata.name, object.metadata.uid) else { continue };
                let makers = object.metadata.owner_references.iter().flatten().filter(|owner| MAKERS.contains(&owner.kind.as_str()));
                for maker in makers {
                    if of_ours.contains(&maker.uid) || !there.contains(&maker.uid) {
                        of_ours.insert(uid.clone());
                    }
                }
                there.insert(uid.clone());
                if kind.resource.kind == "Pod" && of_ours.contains(&uid) {
                    let at_once = this_one(DeleteParams::default().grace_period(GRACE), Some(uid.clone()));
                    gone(self.api(kind).delete(&name, &at_once).await)?;
                    told.push(Told { kind, name, uid });
                }
            }
        }
        Ok(())
    }

    async fn gone(&self, told: &[Told<'_>]) -> anyhow::Result<()> {
        let watch = Watches::new(self.client.clone());
        Until::within(GONE)
            .on(watch.changes())
            .met(format!("what was made in namespace {} to be gone", self.namespace), || async {
                let mut left = Vec::new();
                for Told { kind, name, uid } in told {
                    let object = watch.get(kind, self.namespace, name).await?;
                    left.extend(object.filter(|object| json::text(object, "/metadata/uid") == uid).map(|object| kept(&object)));
                }
                Ok::<_, anyhow::Error>(if left.is_empty() { Look::Ready(()) } else { Look::NotYet(left.join("; ")) })
            })
            .await
    }
}

/// Deletes the object that was seen, and not another of its name.
fn this_one(parameters: DeleteParams, uid: Option<String>) -> DeleteParams {
    parameters.preconditions(Preconditions { uid, resource_version: None })
}

/// An object that stays, and who has yet to let it go.
fn kept(object: &Value) -> String {
    let finalizers: Vec<&str> = json::list(object, "/metadata/finalizers").iter().filter_map(Value::as_str).collect();
    let by = if finalizers.is_empty() { "its controller".to_owned() } else { finalizers.join(", ") };
    format!("{} {} is kept by {by}", json::text(object, "/kind"), json::text(object, "/metadata/name"))
}
