//! Trees in other people's style: right ones hold, and each wrong one fails exactly the promises that it breaks.

use serde_json::Value;
use std::{
    collections::BTreeSet,
    path::Path,
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// How many trees are held against their document at once. They mostly wait for what their fields impose; four keep two cores busy and
/// leave the stores that are filled (256 MB each, three to a tree at most) room on a machine of 4 GB.
const AT_ONCE: usize = 4;
/// How many scenarios of each at once: together twice as many as one run takes by itself on two cores. With four times as many, probes of
/// Redis missed their time-outs, and what the machine could not do was told of the trees.
const JOBS: &str = "8";

/// One row of `fixtures/trees/expected.tsv`.
struct Expected {
    tree: String,
    document: String,
    fails: BTreeSet<String>,
}

fn expected() -> Vec<Expected> {
    let text =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/trees/expected.tsv")).expect("the expectations");
    let rows: Vec<Expected> = text
        .lines()
        .skip(1)
        .filter(|line| !line.is_empty())
        .map(|line| {
            let cells: Vec<&str> = line.split('\t').collect();
            let [tree, document, fails] = cells[..] else { panic!("a row needs three cells: {line:?}") };
            Expected {
                tree: tree.into(),
                document: document.into(),
                fails: fails.split(' ').filter(|id| *id != "-").map(ToOwned::to_owned).collect(),
            }
        })
        .collect();
    assert!(rows.len() >= 6, "the issue asks for right and wrong trees in three styles");
    rows
}

/// What differs from the expectation, one line each.
fn differences(row: &Expected) -> Vec<String> {
    let system = row.document.split('/').next().expect("a system");
    let tree = Path::new("fixtures/trees").join(&row.tree);
    let evidence = tempfile::tempdir().expect("a folder");
    let output = Command::new(env!("CARGO_BIN_EXE_redis-conformance"))
        .args(["verify", system, "--jobs", JOBS, "--format", "json", "--manifests"])
        .arg(&tree)
        .arg("--evidence")
        .arg(evidence.path())
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("the program");
    let report: Value = match serde_json::from_slice(&output.stdout) {
        Ok(report) => report,
        Err(error) => return vec![format!("no report ({error}): {}", String::from_utf8_lossy(&output.stderr))],
    };
    let list = |value: &Value, name: &str| value[name].as_array().cloned().unwrap_or_default();
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for guarantee in list(&report, "guarantees") {
        let id = guarantee["id"].as_str().expect("an id").to_owned();
        let is_expected = row.fails.contains(&id);
        let scenarios = list(&guarantee, "scenarios");
        if !is_expected && !scenarios.iter().any(|scenario| scenario["outcome"] == "passed") {
            wrong.push(format!("{id} is proven by no scenario and should hold"));
        }
        for scenario in scenarios {
            let told = format!("{id}, {}: {}", scenario["scenario"], scenario["message"]);
            match scenario["outcome"].as_str() {
                Some("passed" | "unsupported") => {}
                Some("failed") if is_expected => {
                    // Whoever has to mend it must be told where.
                    if list(&scenario, "manifests").is_empty() {
                        wrong.push(format!("fails without a place in the manifests: {told}"));
                    }
                }
                Some("failed") => wrong.push(format!("fails and should not: {told}")),
                other => wrong.push(format!("{other:?}: {told}")),
            }
        }
        if is_expected && guarantee["standing"] != "violated" {
            wrong.push(format!("{id} is {} and should be violated", guarantee["standing"]));
        }
        seen.insert(id);
    }
    wrong.extend(row.fails.difference(&seen).map(|id| format!("{id} was not tried")));
    if seen.is_empty() {
        wrong.push("nothing was tried".into());
    }
    let code = if row.fails.is_empty() { 0 } else { 1 };
    if output.status.code() != Some(code) {
        wrong.push(format!("exit code {:?} and not {code}", output.status.code()));
    }
    wrong.into_iter().map(|words| format!("{}: {words}", row.tree)).collect()
}

#[test]
fn each_tree_fails_exactly_the_promises_that_it_breaks() {
    let (rows, next, wrong) = (expected(), AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(row) = rows.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = differences(row);
                    wrong.lock().expect("no thread panicked").extend(found);
                }
            });
        }
    });
    let wrong = wrong.into_inner().expect("no thread panicked");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
