//! Phrases about a kustomization's own text, and about its resources where a tree has another layout.

use super::{Failure, Step, World};
use crate::manifest::{ManifestSet, Place};
use cucumber::{gherkin, then};

#[then(expr = "the kustomization {string} lists")]
async fn the_kustomization_lists(world: &mut World, step: &gherkin::Step, folder: String) -> Step {
    let expected: Vec<&str> =
        step.table.iter().flat_map(|table| table.rows.iter().skip(1)).filter_map(|row| row.first()).map(String::as_str).collect();
    let file = format!("{folder}/kustomization.yaml");
    if !world.case.subject.system.tree.join(&file).is_file() {
        return nine_by_role(world, expected.len());
    }
    let (path, text) = world.tree_file(&file).await?;
    let set = ManifestSet::parse(&text, &path).map_err(|error| Failure::from(&error))?;
    let listed: Vec<String> = set
        .objects
        .iter()
        .flat_map(|object| object.items_at("/resources").filter_map(|(_, name)| name.as_str().map(ToOwned::to_owned)).collect::<Vec<_>>())
        .collect();
    let missing: Vec<&str> = expected.iter().copied().filter(|name| !listed.iter().any(|listed| listed == name)).collect();
    if !missing.is_empty() {
        let resources = set.objects.first().map_or_else(|| Place::of_file(&path), |file| file.place_of("/resources"));
        return Err(Failure::violated_at(resources, format!("the kustomization does not list {}", missing.join(", "))));
    }
    let more: Vec<&str> = listed.iter().map(String::as_str).filter(|name| !expected.contains(name)).collect();
    if !more.is_empty() {
        let resources = set.objects.first().map_or_else(|| Place::of_file(&path), |file| file.place_of("/resources"));
        return Err(Failure::violated_at(resources, format!("the kustomization lists {} as well", more.join(", "))));
    }
    Ok(())
}

/// In a tree without the document's layout its nine resources are found by what they are.
fn nine_by_role(world: &mut World, expected: usize) -> Step {
    let (set, redis) = (world.set()?, world.redis()?);
    let namespace = redis.workload.namespace.clone();
    let of_kind = |kind: &str| set.of_kind(kind).filter(|object| object.namespace() == namespace || object.name() == namespace).count();
    // One that is led astray by its address is a workload still: what it connects to is another promise.
    let beside = set.workloads().filter(|workload| workload.lasts() && workload.object.namespace() == namespace);
    let others = beside.filter(|workload| workload.object.key() != redis.workload).count();
    let found = [
        ("the namespace", of_kind("Namespace") > 0),
        ("Redis", true),
        ("a Service of Redis", redis.services().next().is_some()),
        ("a workload beside Redis", others > 0),
        ("a second Service", of_kind("Service") > 1),
        ("a ServiceAccount", of_kind("ServiceAccount") > 0),
        ("a Role", of_kind("Role") > 0),
        ("a RoleBinding", of_kind("RoleBinding") > 0),
        ("a ConfigMap", of_kind("ConfigMap") > 0),
    ];
    if found.len() != expected {
        return Err(Failure::broken(format!("the document lists {expected} resources, and {} are known by what they are", found.len())));
    }
    let missing: Vec<&str> = found.iter().filter(|(_, there)| !there).map(|(name, _)| *name).collect();
    if !missing.is_empty() {
        let place = Place::of_file(&world.case.subject.system.manifests);
        return Err(Failure::violated_at(place, format!("the manifests lack {}", missing.join(", "))));
    }
    world.note("the tree has another layout: the document's nine resources were found by what they are");
    Ok(())
}
