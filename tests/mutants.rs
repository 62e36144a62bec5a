//! Each mutant is what the catalogue calls one: a single change of the reference manifests, which an API server still takes.

use redis_conformance::{
    manifest::{Difference, ManifestSet},
    mutants::{self, Change, Mutant},
};
use std::{collections::BTreeMap, path::Path};

/// Changes that the catalogue itself names for two guarantees.
const SHARED: &[[&str; 2]] = &[["MCP-P5", "MCP-P8"], ["BUS-1", "BUS-15"]];

/// The sets that the scenarios of each document apply.
const SETS: &[(&str, &[&str])] = &[
    ("MCP-", &["k8s/mcp", "k8s/mcp/overlays/fast-ssd"]),
    ("BUS-", &["k8s/agentsmith/overlays/dev", "k8s/agentsmith/overlays/persistence"]),
    ("GEN-", &["k8s/mcp"]),
];

/// The reference set that the mutant changes, before and after.
async fn tried(mutant: &Mutant, change: fn(&mut ManifestSet) -> bool) -> (ManifestSet, ManifestSet) {
    let (_, sets) = SETS.iter().find(|(document, _)| mutant.guarantee.starts_with(document)).expect("a document");
    for path in *sets {
        let set = ManifestSet::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).await.expect("a set");
        let mut changed = set.clone();
        if change(&mut changed) {
            return (set, changed);
        }
    }
    panic!("{} finds nothing to change in the reference manifests", mutant.name);
}

fn refusals(set: &ManifestSet) -> Vec<String> {
    set.objects.iter().flat_map(redis_conformance::manifest::Object::refusals).map(|refusal| refusal.reason).collect()
}

fn told(differences: &[Difference]) -> String {
    differences.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

#[tokio::test]
async fn a_mutant_is_one_change_that_is_still_accepted_and_of_one_guarantee() {
    let mut known: BTreeMap<String, &Mutant> = BTreeMap::new();
    for mutant in mutants::all() {
        let Change::Objects(change) = mutant.change else { continue };
        let (before, after) = tried(mutant, change).await;
        let differences = before.differences(&after);
        let change = told(&differences);
        // A volume and its mount, or what goes and what comes in its place, are two fields of one object; so are its old and its new name.
        let is_renamed = differences.iter().all(|difference| difference.pointer.is_empty());
        let one_object = differences
            .iter()
            .all(|difference| difference.key == differences[0].key || is_renamed && difference.key.kind == differences[0].key.kind);
        assert!((1..=2).contains(&differences.len()) && one_object, "{} changes {}: {change}", mutant.name, differences.len());
        assert_eq!(refusals(&after), Vec::<String>::new(), "{} would not be taken by an API server", mutant.name);
        // The generic features speak of the same sets, and their promises are the manifests' own.
        if mutant.guarantee.starts_with("GEN-") {
            continue;
        }
        if let Some(other) = known.insert(change.clone(), mutant).filter(|other| other.guarantee != mutant.guarantee) {
            let pair = [other.guarantee, mutant.guarantee];
            assert!(SHARED.contains(&pair), "{} and {} are one mutant of {} and {}: {change}", other.name, mutant.name, pair[0], pair[1]);
        }
    }
}
