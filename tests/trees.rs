//! Trees in other people's style: right ones hold, and each wrong one fails exactly the promises that it breaks.

use serde_json::Value;
use std::{collections::BTreeSet, path::Path, process::Command};

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

/// The ids that failed and those that got no verdict, by the JSON report.
fn verify(row: &Expected) -> (BTreeSet<String>, Vec<String>) {
    let system = row.document.split('/').next().expect("a system");
    let tree = Path::new("fixtures/trees").join(&row.tree);
    let evidence = tempfile::tempdir().expect("a folder");
    let output = Command::new(env!("CARGO_BIN_EXE_redis-conformance"))
        .args(["verify", system, "--format", "json", "--manifests"])
        .arg(&tree)
        .arg("--evidence")
        .arg(evidence.path())
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("the program");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{} gives no report ({error}): {}", row.tree, String::from_utf8_lossy(&output.stderr));
    });
    let mut failed = BTreeSet::new();
    let mut undecided = Vec::new();
    for scenario in scenarios(&report) {
        let id = scenario["guarantee"].as_str().expect("an id").to_owned();
        match scenario["outcome"].as_str() {
            Some("passed") => {}
            Some("failed") => drop(failed.insert(id)),
            Some("unsupported") => {}
            other => undecided.push(format!("{id}: {other:?} {}", scenario["message"])),
        }
    }
    (failed, undecided)
}

fn scenarios(report: &Value) -> Vec<Value> {
    let scenarios =
        report.pointer("/verdict/scenarios").or_else(|| report.get("scenarios")).and_then(Value::as_array).cloned().unwrap_or_default();
    assert!(!scenarios.is_empty(), "the report has no scenario: {report}");
    scenarios
}

#[test]
fn each_tree_fails_exactly_the_promises_that_it_breaks() {
    let mut wrong = Vec::new();
    for row in expected() {
        let (failed, undecided) = verify(&row);
        if failed != row.fails {
            wrong.push(format!("{}: fails {failed:?}, expected {:?}", row.tree, row.fails));
        }
        wrong.extend(undecided.into_iter().map(|scenario| format!("{}: {scenario}", row.tree)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
