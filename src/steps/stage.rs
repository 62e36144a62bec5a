//! The stage of a scenario: which manifests, on which target, and what applying them came to.

use super::{Failure, Step, World};
use crate::{
    evidence::{Evidence, Recorded, diagnose},
    manifest::{ManifestSet, Object, ObjectKey, Place, home},
    mutants::Change,
    run::{Case, Places, Variant},
    target::{Applied, ContainerRef, DEFAULT_CLASS, Target},
};
use cucumber::{given, when};
use serde_json::{Value, json};
use std::{collections::BTreeSet, fmt, path::PathBuf, sync::Arc};

/// What a scenario runs on.
pub(super) struct Stage {
    places: Arc<Places>,
    target: Option<Arc<dyn Target>>,
    set: Option<Arc<ManifestSet>>,
    applied: Option<Applied>,
    mutated: bool,
    /// A storage class that this scenario must not have.
    absent_class: Option<String>,
}

impl fmt::Debug for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stage").field("mutated", &self.mutated).finish_non_exhaustive()
    }
}

impl Stage {
    pub(super) fn new(places: Arc<Places>) -> Self {
        Self { places, target: None, set: None, applied: None, mutated: false, absent_class: None }
    }

    /// Gathers what the target knows.
    pub(super) async fn gather(&self, evidence: &Evidence) {
        if let Some(target) = &self.target {
            diagnose(target.as_ref(), evidence).await;
        }
    }

    /// Gives the place back, which takes the target down unless others are still looking at it.
    pub(super) async fn down(&mut self, case: &Case) -> Step {
        Ok(self.places.give_back(case, self.target.take()).await?)
    }

    /// Where the scenario runs, once it runs anywhere.
    pub(super) fn target(&self) -> Option<&Arc<dyn Target>> {
        self.target.as_ref()
    }
}

impl World {
    /// The set that this scenario speaks of.
    pub(super) fn set(&self) -> Step<Arc<ManifestSet>> {
        self.stage.set.clone().ok_or_else(|| Failure::broken("no manifests were named by a Given"))
    }

    /// Where it runs, made at the first call.
    pub(super) async fn target(&mut self) -> Step<Arc<dyn Target>> {
        if let Some(target) = &self.stage.target {
            return Ok(Arc::clone(target));
        }
        let target = self.stage.places.take(&self.case).await?;
        let target: Arc<dyn Target> = Arc::new(Recorded::new(target, self.evidence().clone(), self.case.manner()));
        self.stage.target = Some(Arc::clone(&target));
        Ok(target)
    }

    /// Takes the set of that name, `.` being the system's own, changes it if the case is a mutant's, and keeps it.
    pub(super) async fn take_set(&mut self, name: &str) -> Step<Arc<ManifestSet>> {
        let set = self.rendered(name).await?;
        let set = self.mutate(set)?;
        // Before anything of it is written down.
        for object in &set.objects {
            self.evidence().secrets_of(&object.json);
        }
        let yaml = set.to_yaml().map_err(|error| Failure::broken(format!("{error:#}")))?;
        self.evidence().file("manifests.yaml", yaml);
        for (place, remark) in &set.remarks {
            self.case.subject.remark(format!("{place}: {remark}"));
        }
        self.stage.set = Some(Arc::clone(&set));
        Ok(set)
    }

    /// The set or variant as its files say, unless the mutant puts another in its place.
    pub(super) async fn rendered(&mut self, name: &str) -> Step<Arc<ManifestSet>> {
        let mut name = name;
        if let Some(mutant) = self.case.mutant
            && let Change::Instead(other) = mutant.change
        {
            self.stage.mutated = true;
            name = other;
        }
        let subject = Arc::clone(&self.case.subject);
        if name == "." {
            return subject.manifests().await.map_err(|error| Failure::from(error.as_ref()));
        }
        match subject.variant(name).await {
            Variant::Overlay(path, set) => {
                self.evidence().timeline("variant", json!({ "name": name, "overlay": path }));
                set.map_err(|error| Failure::from(error.as_ref()))
            }
            Variant::Derived => {
                let set = subject.manifests().await.map_err(|error| Failure::from(error.as_ref()))?;
                let derived = super::variants::derive(name, set.as_ref())?;
                self.note(format!("the tree has no overlay {name}: the variant was made from its manifests"));
                Ok(Arc::new(derived))
            }
        }
    }

    fn mutate(&mut self, set: Arc<ManifestSet>) -> Step<Arc<ManifestSet>> {
        let Some(mutant) = self.case.mutant else { return Ok(set) };
        let Change::Objects(change) = mutant.change else { return Ok(set) };
        let mut changed = set.as_ref().clone();
        if change(&mut changed) {
            self.stage.mutated = true;
            return Ok(Arc::new(changed));
        }
        Ok(set)
    }

    /// A file of the tree that the document names, as the mutant left it.
    pub(super) async fn tree_file(&mut self, name: &str) -> Step<(PathBuf, String)> {
        let tree = &self.case.subject.system.tree;
        let mut path = tree.join(name);
        // What a document names beside the manifests is written once, and not in each overlay.
        let shared = home(tree).join(name);
        if !path.is_file() && shared.is_file() {
            path = shared;
        }
        let mut text = tokio::fs::read_to_string(&path)
            .await
            .map_err(|error| Failure::violated(format!("the document names {name}, and {} cannot be read: {error}", path.display())))?;
        if let Some(mutant) = self.case.mutant
            && let Change::File { name: changed, from, to } = mutant.change
            && changed == name
            && text.contains(from)
        {
            text = text.replace(from, to);
            self.stage.mutated = true;
        }
        Ok((path, text))
    }

    /// The mutant found what it changes.
    pub(super) fn mutant_was_at_work(&mut self) {
        self.stage.mutated = true;
    }

    /// Whether the case is no mutant's, or its mutant has changed something.
    #[must_use]
    pub fn mutated(&self) -> bool {
        self.stage.mutated
    }

    /// Applies objects, and before them the namespaces and storage classes that they use and that nothing makes.
    pub(super) async fn apply(&mut self, objects: &[Object]) -> Step {
        let target = self.target().await?;
        let mut all = self.namespaces_in_no_file(objects).await?;
        all.extend(self.classes_in_no_file(objects).await?);
        all.extend_from_slice(objects);
        let applied = target.apply(&all).await?;
        for remark in &applied.remarks {
            self.case.subject.remark(remark.clone());
        }
        for without in &applied.without_program {
            let (owner, container, image) = (&without.owner, &without.container, &without.image);
            self.case.subject.remark(format!(
                "{owner}, container {container}, is not started: nothing here stands for its image; in redis-conformance.yaml:  images: {{ \"{image}\": /path/to/program }}"
            ));
        }
        self.stage.applied = Some(applied);
        Ok(())
    }

    /// Whether the objects or the cluster hold something of no namespace.
    async fn has(&mut self, objects: &[Object], kind: &str, name: &str) -> Step<bool> {
        let in_a_file = objects.iter().any(|object| object.kind() == kind && object.name() == name);
        Ok(in_a_file || self.live(kind, "", name).await?.is_some())
    }

    /// The namespaces that objects live in and that neither they nor the cluster hold: whoever applies such files has made them by hand.
    async fn namespaces_in_no_file(&mut self, objects: &[Object]) -> Step<Vec<Object>> {
        let used: BTreeSet<&str> = objects.iter().map(Object::namespace).filter(|name| !name.is_empty()).collect();
        let mut made = Vec::new();
        for name in used {
            if self.has(objects, "Namespace", name).await? {
                continue;
            }
            self.case.subject.remark(format!("namespace {name} is in no file; it was made for this run"));
            let json = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
            made.push(Object::made(json, Place::default()));
        }
        Ok(made)
    }

    /// The storage classes that claims name and that neither the objects nor the cluster hold: whoever names one has a cluster with it, and
    /// what else the set promises is tried as it would be there.
    async fn classes_in_no_file(&mut self, objects: &[Object]) -> Step<Vec<Object>> {
        let mut made = Vec::new();
        let absent = self.stage.absent_class.clone();
        let is_wanted = |class: &&str| absent.as_deref() != Some(*class) && !has_volume_of(objects, class);
        // A generic feature says instead what stands in the way of a set.
        let named: BTreeSet<&str> = if self.case.is_generic() { BTreeSet::new() } else { classes(objects).filter(is_wanted).collect() };
        for name in named {
            if self.has(objects, "StorageClass", name).await? {
                continue;
            }
            self.target().await?.capability(crate::target::Capability::StorageClasses).await?;
            self.case.subject.remark(format!("storage class {name} is in no file; it was made for this run"));
            made.push(self.class(name).await?);
        }
        Ok(made)
    }

    /// A storage class of that name, made like one that the cluster has.
    async fn class(&mut self, name: &str) -> Step<Object> {
        let classes = self.target().await?.list("StorageClass", None).await?;
        let like = classes.first().ok_or_else(|| Failure::broken("the cluster has no storage class to start from"))?;
        let json = json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": { "name": name },
            "provisioner": like["provisioner"], "volumeBindingMode": "WaitForFirstConsumer", "reclaimPolicy": "Delete",
        });
        Ok(Object::made(json, Place::default()))
    }

    /// Speaks of this set from now on.
    pub(super) fn keep_set(&mut self, set: Arc<ManifestSet>) {
        self.stage.set = Some(set);
    }

    /// What applying came to.
    pub(super) fn applied(&self) -> Step<&Applied> {
        self.stage.applied.as_ref().ok_or_else(|| Failure::broken("nothing was applied by an earlier step"))
    }

    /// A live object, which must be there.
    pub(super) async fn live(&mut self, kind: &str, namespace: &str, name: &str) -> Step<Option<Value>> {
        let key = ObjectKey { kind: kind.into(), namespace: namespace.into(), name: name.into() };
        Ok(self.target().await?.get(&key).await?)
    }

    /// A command in a container, which must succeed.
    pub(super) async fn ask(&mut self, container: &ContainerRef, command: &[&str]) -> Step<String> {
        let output = self.target().await?.exec(container, command, b"").await?;
        let stdout = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
        if output.code != 0 {
            let stderr = String::from_utf8_lossy(&output.stderr);
            return Err(Failure::broken(format!("{} exits {} in {container}: {stdout} {}", command.join(" "), output.code, stderr.trim())));
        }
        Ok(stdout)
    }
}

/// The storage classes that claims and templates of claims name.
fn classes(objects: &[Object]) -> impl Iterator<Item = &str> {
    let of_claims = objects.iter().filter(|object| object.kind() == "PersistentVolumeClaim").map(|claim| &claim.json);
    let templates = objects.iter().flat_map(|object| object.json.pointer("/spec/volumeClaimTemplates").and_then(Value::as_array)).flatten();
    let prepared = |claim: &&Value| claim["spec"]["volumeName"].as_str().is_some_and(|name| !name.is_empty());
    let named = of_claims.chain(templates).filter(move |claim| !prepared(claim));
    named.filter_map(|claim| claim["spec"]["storageClassName"].as_str()).filter(|class| !class.is_empty())
}

/// Whether a volume of the objects waits for claims of the class, which then need not exist.
fn has_volume_of(objects: &[Object], class: &str) -> bool {
    objects.iter().any(|object| object.kind() == "PersistentVolume" && object.json["spec"]["storageClassName"] == class)
}

#[given("the manifests")]
async fn the_manifests(world: &mut World) -> Step {
    world.take_set(".").await.map(drop)
}

#[given(expr = "a cluster with the storage class {string}")]
async fn a_cluster_with_the_class(world: &mut World, class: String) -> Step {
    let target = world.target().await?;
    target.capability(crate::target::Capability::StorageClasses).await?;
    let class = world.class(&class).await?;
    target.apply(&[class]).await?;
    Ok(())
}

#[given(expr = "a cluster without the storage class {string}")]
async fn a_cluster_without_the_class(world: &mut World, class: String) -> Step {
    match world.live("StorageClass", "", &class).await? {
        None => {
            world.stage.absent_class = Some(class);
            Ok(())
        }
        Some(_) => Err(Failure::broken(format!("this cluster has the storage class {class}, so that its absence cannot be tried"))),
    }
}

#[given("a cluster without a default storage class")]
async fn a_cluster_without_a_default_class(world: &mut World) -> Step {
    world.target().await?.capability(crate::target::Capability::StorageClasses).await?;
    let class = default_class(world).await?;
    set_default(world, &class, false).await
}

#[when("a default storage class is set")]
async fn a_default_class_is_set(world: &mut World) -> Step {
    let classes = world.target().await?.list("StorageClass", None).await?;
    let class = classes.into_iter().next().ok_or_else(|| Failure::broken("the cluster has no storage class at all"))?;
    set_default(world, &class, true).await
}

async fn default_class(world: &mut World) -> Step<Value> {
    let classes = world.target().await?.list("StorageClass", None).await?;
    classes
        .into_iter()
        .find(|class| class["metadata"]["annotations"][DEFAULT_CLASS] == "true")
        .ok_or_else(|| Failure::broken("the cluster has no default storage class to start from"))
}

async fn set_default(world: &mut World, class: &Value, default: bool) -> Step {
    let name = class["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let key = ObjectKey { kind: "StorageClass".into(), namespace: String::new(), name };
    world.target().await?.patch(&key, &json!({ "metadata": { "annotations": { DEFAULT_CLASS: default.to_string() } } })).await?;
    Ok(())
}

#[given("a cluster whose new volumes belong to root")]
async fn new_volumes_belong_to_root(world: &mut World) -> Step {
    Ok(world.target().await?.new_volumes_belong_to_root().await?)
}

#[given("users are kept apart")]
async fn users_are_kept_apart(world: &mut World) -> Step {
    Ok(world.target().await?.capability(crate::target::Capability::RunAsUser).await?)
}

#[given("memory limits are enforced")]
async fn memory_limits_are_enforced(world: &mut World) -> Step {
    Ok(world.target().await?.capability(crate::target::Capability::MemoryLimit).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_classes_that_claims_name_are_known() {
        let text = "apiVersion: v1
kind: PersistentVolumeClaim
metadata: { name: a }
spec: { storageClassName: gp2 }
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: { name: b }
spec: { storageClassName: '' }
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: { name: c }
spec: { storageClassName: manual, volumeName: v }
---
apiVersion: apps/v1
kind: StatefulSet
metadata: { name: d }
spec: { volumeClaimTemplates: [{ metadata: { name: e }, spec: { storageClassName: fast } }] }
---
apiVersion: v1
kind: PersistentVolume
metadata: { name: f }
spec: { storageClassName: fast }
";
        let set = ManifestSet::parse(text, "a.yaml").expect("manifests");
        assert_eq!(classes(&set.objects).collect::<Vec<_>>(), ["gp2", "fast"]);
        assert!(has_volume_of(&set.objects, "fast") && !has_volume_of(&set.objects, "gp2"));
    }
}
