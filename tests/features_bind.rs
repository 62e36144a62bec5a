//! Features, phrases, catalogue and mutants fit together; all of it without a target.

use cucumber::{
    World as _,
    gherkin::{Step, StepType},
};
use redis_conformance::{
    mutants,
    run::{DISRUPTIVE, SHARED},
    spec::{Document, Guarantee, phrases},
    steps::World,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

fn documents() -> Vec<Document> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("features");
    let mut folders: Vec<_> =
        fs::read_dir(folder).expect("features").map(|entry| entry.expect("an entry").path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    let documents: Vec<Document> = folders.iter().flat_map(|folder| Document::read_all(folder).expect("readable features")).collect();
    assert!(documents.len() >= 3, "the features are not where they should be");
    documents
}

fn guarantees() -> BTreeMap<String, Guarantee> {
    let mut all = BTreeMap::new();
    for guarantee in documents().into_iter().flat_map(|document| document.guarantees) {
        let id = guarantee.id.clone();
        assert!(all.insert(id.clone(), guarantee).is_none(), "{id} is promised twice");
    }
    all
}

/// Rows of the catalogue: id, document, promise.
fn catalogue() -> Vec<[String; 3]> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("features/catalogue.tsv")).expect("the catalogue");
    let rows: Vec<[String; 3]> = text
        .lines()
        .skip(1)
        .map(|line| {
            let cells: Vec<String> = line.split('\t').map(ToOwned::to_owned).collect();
            cells.try_into().unwrap_or_else(|cells| panic!("a row of the catalogue needs three cells: {cells:?}"))
        })
        .collect();
    assert_eq!(rows.len(), 71, "the catalogue has lost or gained a guarantee");
    rows
}

fn not_yet() -> BTreeSet<String> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("features/not-yet.txt")).expect("the list");
    text.lines().filter(|line| !line.starts_with('#')).map(ToOwned::to_owned).collect()
}

#[test]
fn every_phrase_of_every_feature_binds_to_exactly_one_function() {
    let collection = World::collection();
    let mut seen = 0;
    for document in documents() {
        for scenario in document.guarantees.iter().flat_map(|guarantee| &guarantee.scenarios) {
            for step in &scenario.steps {
                seen += 1;
                match collection.find(step) {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("{}: nothing stands behind {:?} {:?}", scenario.place, step.ty, step.value),
                    Err(error) => panic!("{}: {:?} is ambiguous: {error}", scenario.place, step.value),
                }
            }
        }
    }
    assert!(seen > 100, "only {seen} steps were looked at");
}

#[test]
fn every_function_stands_behind_a_phrase_of_some_feature() {
    let collection = World::collection();
    let mut used = BTreeSet::new();
    for document in documents() {
        for step in document.guarantees.iter().flat_map(|guarantee| &guarantee.scenarios).flat_map(|scenario| &scenario.steps) {
            if let Ok(Some((_, _, Some(location), _))) = collection.find(step) {
                used.insert((location.path, location.line));
            }
        }
    }
    let unused: Vec<String> = phrases()
        .into_iter()
        .filter(|phrase| {
            !used.iter().any(|(path, line)| Path::new(path) == phrase.place.file.as_path() && u64::from(*line) == phrase.place.line)
        })
        .map(|phrase| format!("{} {} at {}", phrase.keyword, phrase.expression, phrase.place))
        .collect();
    assert!(unused.is_empty(), "no feature uses {unused:#?}");
}

#[test]
fn every_guarantee_of_the_catalogue_is_promised_by_a_feature_or_listed_as_not_yet() {
    let (promised, not_yet) = (guarantees(), not_yet());
    for [id, document, promise] in catalogue() {
        match (promised.get(&id), not_yet.contains(&id)) {
            (Some(_), true) => panic!("{id} is promised and listed as not yet"),
            (None, false) => panic!("{id} ({document}) is neither promised nor listed as not yet"),
            (Some(guarantee), false) => assert_eq!(guarantee.promise, promise, "{id} reads otherwise in the catalogue"),
            (None, true) => {}
        }
    }
    let known: BTreeSet<String> = catalogue().into_iter().map(|[id, ..]| id).collect();
    let stray: Vec<&String> = promised
        .keys()
        .filter(|id| !known.contains(*id) && !id.starts_with("GEN-"))
        .chain(not_yet.iter().filter(|id| !known.contains(*id)))
        .collect();
    assert!(stray.is_empty(), "not in the catalogue: {stray:?}");
}

#[test]
fn every_promised_guarantee_has_a_mutant_and_every_mutant_a_scenario_that_can_kill_it() {
    let promised = guarantees();
    let mutated: BTreeSet<&str> = mutants::all().map(|mutant| mutant.guarantee).collect();
    let without: Vec<&String> = promised.keys().filter(|id| !mutated.contains(id.as_str())).collect();
    assert!(without.is_empty(), "no mutant proves that these can fail: {without:?}");
    for mutant in mutants::all() {
        let guarantee =
            promised.get(mutant.guarantee).unwrap_or_else(|| panic!("{} breaks {}, which nobody promises", mutant.name, mutant.guarantee));
        let step = |text: &str| text.contains(mutant.killer.step);
        assert!(
            guarantee.scenarios.iter().any(|scenario| scenario.steps.iter().any(|candidate| step(&candidate.value))),
            "no step of {} reads {:?}, so that nothing can kill {}",
            mutant.guarantee,
            mutant.killer.step,
            mutant.name
        );
    }
}

/// Phrases that touch everything on the same cluster.
const DISTURBING: &[&str] = &[
    "the node that runs Redis is lost",
    "the node that runs Redis is drained",
    "the whole cluster is stopped and started",
    "a cluster without a default storage class",
];

#[test]
fn what_disturbs_a_whole_cluster_is_tagged_and_nothing_else() {
    let mut seen = 0;
    for scenario in documents().into_iter().flat_map(|document| document.guarantees).flat_map(|guarantee| guarantee.scenarios) {
        let disturbs = scenario.steps.iter().any(|step| DISTURBING.contains(&step.value.as_str()));
        let tagged = scenario.tags.iter().any(|tag| tag == DISRUPTIVE);
        assert_eq!(disturbs, tagged, "{}: @{DISRUPTIVE} is for scenarios that disturb a whole cluster", scenario.place);
        seen += usize::from(tagged);
    }
    assert!(seen >= 4, "only {seen} scenarios disturb a cluster");
}

/// What may be given to somebody who shares a deployment: keys of his own, and what is but asked.
const HARMLESS: &[&str] = &["clients have written tenants to databases 0, 1 and 2", "users are kept apart"];

#[test]
fn what_shares_a_deployment_starts_from_the_same_manifests_and_does_nothing() {
    let mut seen = 0;
    for scenario in documents().into_iter().flat_map(|document| document.guarantees).flat_map(|guarantee| guarantee.scenarios) {
        if !scenario.tags.iter().any(|tag| tag == SHARED) {
            continue;
        }
        let first = scenario.steps.first().map(|step| step.value.as_str());
        assert_eq!(first, Some("Redis runs from the manifests"), "{}: others look at what this one starts", scenario.place);
        let is_harmless =
            |step: &Step| !matches!(step.ty, StepType::When) && (step.ty != StepType::Given || HARMLESS.contains(&step.value.as_str()));
        let does = scenario.steps.iter().skip(1).find(|step| !is_harmless(step));
        assert!(does.is_none(), "{}: {:?} changes what others look at", scenario.place, does.map(|step| &step.value));
        seen += 1;
    }
    assert!(seen >= 10, "only {seen} scenarios share a deployment");
}
