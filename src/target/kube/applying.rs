//! How a scenario applies objects to its part of a cluster: what is left out and said, what comes first, and what is somebody's.

use super::{
    error::{broken, refused},
    kinds::Kind,
    names::RUN_LABEL,
    scenario::Scenario,
    watches,
};
use crate::{
    manifest::{Container, Object, Place, Workload, json},
    target::{Applied, Capability, Fixture, TargetError, Unsupported, WithoutProgram, image::Programs},
};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Who owns the fields that we apply.
const MANAGER: &str = "redis-conformance";

impl Scenario {
    /// Applies a set: what others live in first.
    pub(super) async fn apply_all(&self, objects: &[Object]) -> Result<Applied, TargetError> {
        self.fits(objects)?;
        self.remember_events().await?;
        let mut applied = Applied::default();
        let json: Vec<Value> = objects.iter().map(|object| object.json.clone()).collect();
        self.names.declare(&json);
        // A cluster has this namespace of itself; here it is one like the others.
        if objects.iter().any(|object| object.namespace() == "default") && self.namespace("default").is_none() {
            let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "default" } });
            self.put(&Object::made(namespace, Place::default()), &BTreeSet::new(), &mut applied).await?;
        }
        self.judge_images(objects, &mut applied).await?;
        let absent = applied.without_program.iter().map(|without| without.image.clone()).collect();
        // What others live in or name comes first; everything else may be in any order.
        let rank = |object: &&Object| match object.kind() {
            "Namespace" => 0,
            "ResourceQuota" | "LimitRange" | "StorageClass" | "PersistentVolume" | "PriorityClass" | "ClusterRole" | "Role" => 1,
            "ServiceAccount" | "ConfigMap" | "Secret" => 2,
            _ => 3,
        };
        let mut ordered: Vec<&Object> = objects.iter().collect();
        ordered.sort_by_key(rank);
        for object in ordered {
            self.put(object, &absent, &mut applied).await?;
        }
        let mut seen = BTreeSet::new();
        applied.remarks.retain(|remark| seen.insert(remark.clone()));
        Ok(applied)
    }

    async fn put(&self, object: &Object, absent: &BTreeSet<String>, applied: &mut Applied) -> Result<(), TargetError> {
        let key = object.key();
        let Some(kind) = self.cluster.kinds.of(&object.json) else {
            let version = object.api_version();
            if self.cluster.kinds.has_group(version) {
                let reason = format!("no matches for kind \"{}\" in version \"{version}\"", key.kind);
                return Err(TargetError::Refused { key, place: object.place_of("/apiVersion"), reason });
            }
            applied.remarks.push(format!("{key} at {}: this cluster does not know {version}, so that it is left out", object.place));
            return Ok(());
        };
        let mut outgoing = self.names.outgoing(object.json.clone());
        if let Some(workload) = Workload::of(object) {
            leave_out(&mut outgoing.object, &workload, absent);
        }
        let rewritten = outgoing.rewritten.iter().filter_map(|told| told.split_once(": "));
        let own = |(at, _): (&str, &str)| format!("{at}: the namespace in it is written as this scenario's own");
        applied.remarks.extend(rewritten.map(own));
        let name = outgoing.object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let namespace = outgoing.object["metadata"]["namespace"].as_str().unwrap_or_default().to_owned();
        if key.kind == "Namespace" && self.cluster.lent.is_some() {
            self.held().namespaces.insert(key.name.clone());
            let left = "it is not made, nor its labels: the run has namespace";
            // One that stands in no file was never to be made as somebody wrote it.
            if !object.place.file.as_os_str().is_empty() {
                applied.remarks.push(format!("{key} at {}: {left} {name}", object.place));
            }
            return Ok(());
        }
        if !kind.namespaced {
            for (label, value) in self.names.labels() {
                outgoing.object["metadata"]["labels"][label] = value.into();
            }
        }
        self.is_ours_or_new(object, kind, &namespace, &name).await?;
        if key.kind == "Namespace" {
            let there = self.watches.get(kind, "", &name).await?;
            if let Some(there) = there.filter(|there| there["metadata"]["labels"][RUN_LABEL] != self.cluster.run.as_str()) {
                let whose = there["metadata"]["labels"][RUN_LABEL].as_str().unwrap_or("nobody that we know");
                return Err(broken(format!("making namespace {name}"), anyhow::anyhow!("it is there already and belongs to {whose}")));
            }
            self.held().namespaces.insert(key.name.clone());
        } else if !kind.namespaced {
            self.held().objects.insert((key.kind.clone(), name.clone()));
        }
        let parameters = PatchParams::apply(MANAGER).force();
        let told = |reason: String| self.names.words(&reason);
        let done = watches::api(&self.cluster.client, kind, &namespace)
            .patch(&name, &parameters, &Patch::Apply(&outgoing.object))
            .await
            .map_err(refused(&key, &object.place, told))?;
        self.watches.seen(kind, &namespace, done.metadata.resource_version.as_deref()).await
    }

    /// Where others may have an object of that name, it is not touched: in a namespace that was lent, and in none if a kind keeps its name.
    async fn is_ours_or_new(&self, object: &Object, kind: &Kind, namespace: &str, name: &str) -> Result<(), TargetError> {
        if kind.namespaced && self.cluster.lent.is_none() || object.kind() == "Namespace" {
            return Ok(());
        }
        let there = match watches::api(&self.cluster.client, kind, namespace).get_opt(name).await {
            // Whoever may not even see it hears from the server what it may not do.
            Err(kube::Error::Api(status)) if status.is_forbidden() => return Ok(()),
            there => there.map_err(|error| broken(format!("looking for {}", object.key()), error))?,
        };
        let Some(there) = there.map(|there| watches::json(&there, kind)) else { return Ok(()) };
        let label = there["metadata"]["labels"][RUN_LABEL].as_str();
        let why = match (label, &self.cluster.lent) {
            _ if self.names.is_ours(&there) => return Ok(()),
            (Some(run), None) if run == self.cluster.run => return Ok(()),
            (Some(run), Some(lent)) if run == self.cluster.run => format!("an earlier scenario has left one in namespace {lent}"),
            (_, Some(lent)) => format!("namespace {lent} has one that is somebody's; name by --namespace one that holds none"),
            (_, None) => "the cluster has one that is somebody's, and this kind's names cannot be others".to_owned(),
        };
        Err(broken(format!("applying {} ({})", object.key(), object.place), anyhow::anyhow!(why)))
    }

    /// Events live on after what they are about: in a namespace that was lent those are left out that were there before.
    async fn remember_events(&self) -> Result<(), TargetError> {
        let Some(namespace) = self.cluster.lent.as_ref().filter(|_| self.held().namespaces.is_empty()) else { return Ok(()) };
        let events = self.watches.list(self.cluster.kind("Event")?, namespace).await?;
        self.held().events_before.extend(events.iter().map(|event| json::text(event, "/metadata/uid").to_owned()));
        Ok(())
    }

    /// Whether what the manifests speak of has room in the one namespace that was lent.
    fn fits(&self, objects: &[Object]) -> Result<(), Unsupported> {
        let Some(lent) = &self.cluster.lent else { return Ok(()) };
        let reason = || format!("the run has namespace {lent} alone; without --namespace it makes its own");
        for object in objects {
            let of_the_cluster = self.cluster.kinds.of(&object.json).is_some_and(|kind| !kind.namespaced) && object.kind() != "Namespace";
            let of_each = matches!((object.kind(), object.name()), ("ServiceAccount", "default") | ("ConfigMap", "kube-root-ca.crt"));
            let why = if of_the_cluster { "is in no namespace" } else { "every namespace has, of somebody's" };
            if of_the_cluster || of_each {
                let field = format!("{} at {}, which {why}", object.key(), object.place);
                return Err(Unsupported { capability: Capability::Field(field), reason: reason() });
            }
        }
        let mut namespaces = self.held().namespaces.clone();
        let own = |object: &Object| if object.kind() == "Namespace" { object.name().to_owned() } else { object.namespace().to_owned() };
        namespaces.extend(objects.iter().map(own).filter(|name| !name.is_empty()));
        if namespaces.len() < 2 {
            return Ok(());
        }
        let all = namespaces.into_iter().collect::<Vec<_>>().join(", ");
        Err(Unsupported { capability: Capability::Field(format!("namespaces {all}")), reason: reason() })
    }

    /// Containers that cannot run since the cluster has no such image, and those that run a fixture of ours.
    async fn judge_images(&self, objects: &[Object], applied: &mut Applied) -> Result<(), TargetError> {
        let containers: Vec<_> = objects.iter().filter_map(Workload::of).flat_map(|workload| workload.containers()).collect();
        let judged = futures::future::try_join_all(containers.iter().map(|container| async move {
            let image = container.json["image"].as_str().unwrap_or_default();
            let policy = container.json["imagePullPolicy"].as_str().unwrap_or_default();
            let there = self.cluster.has_image(image, policy).await?;
            Ok::<_, TargetError>((container, image, there))
        }))
        .await?;
        for (container, image, there) in judged {
            let owner = container.workload.object.key();
            match there {
                Ok(()) => applied.fixtures.extend(self.cluster.images.fixture(image).map(|program| Fixture { owner, program })),
                Err(reason) if Programs::is_redis(image) => {
                    return Err(Unsupported { capability: Capability::Program(image.into()), reason }.into());
                }
                Err(_) => {
                    applied.without_program.push(WithoutProgram { owner, container: container.name().to_owned(), image: image.to_owned() });
                }
            }
        }
        applied.without_program.sort();
        applied.without_program.dedup();
        Ok(())
    }
}

/// Does not start what the cluster has no image of: pods of which nothing could run are not asked for, and of the others a kubelet does not
/// try to pull again and again, during which it does little else.
fn leave_out(outgoing: &mut Value, workload: &Workload<'_>, absent: &BTreeSet<String>) {
    let is_absent = |container: &Container<'_>| absent.contains(container.json["image"].as_str().unwrap_or_default());
    let (out, left): (Vec<_>, Vec<_>) = workload.containers().partition(is_absent);
    if left.iter().all(|container| container.init) && matches!(workload.object.kind(), "Deployment" | "StatefulSet" | "ReplicaSet") {
        outgoing["spec"]["replicas"] = 0.into();
    }
    for container in out {
        if let Some(container) = outgoing.pointer_mut(&container.pointer) {
            container["imagePullPolicy"] = "Never".into();
        }
    }
}
