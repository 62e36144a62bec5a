//! The features on the local target, and their mutants, by the program as a user runs it.

#[path = "support/report.rs"]
mod report;

use serde_json::Value;
use std::{
    process::Command,
    sync::{Mutex, PoisonError},
};

/// Runs the program in the checkout and reads its JSON.
fn run(arguments: &[&str]) -> (Option<i32>, Value) {
    let evidence = tempfile::tempdir().expect("a folder");
    let output = Command::new(env!("CARGO_BIN_EXE_redis-conformance"))
        .args(arguments)
        .args(["--format", "json", "--evidence"])
        .arg(evidence.path())
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("the program");
    let stderr = String::from_utf8_lossy(&output.stderr);
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{arguments:?} gives no report ({error}): {stderr}"));
    (output.status.code(), report)
}

/// One after the other: each fills the machine by itself.
static MACHINE: Mutex<()> = Mutex::new(());

#[test]
fn every_guarantee_of_the_single_redis_documents_holds_on_this_machine() {
    let _machine = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    let (code, report) = run(&["verify", "mcp", "agentsmith"]);
    let outcomes = report::outcomes(&report);
    for (guarantee, scenarios) in &outcomes {
        for (outcome, words) in scenarios {
            // A machine without memory limits or other users says so; nothing else may stand between a promise and its proof.
            assert!(outcome == "passed" || outcome == "unsupported", "{guarantee} {outcome}: {words}");
        }
        assert!(scenarios.iter().any(|(outcome, _)| outcome == "passed"), "{guarantee} is not proven at all here");
    }
    assert_eq!(code, Some(0));
    assert_eq!(outcomes.len(), 28, "13 of mcp/persistence-setup and 15 of agentsmith/message-bus: {:?}", outcomes.keys());
}

#[test]
fn an_overlay_with_a_password_is_held_to_the_document_like_the_rest() {
    let _machine = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    let chosen = ["MCP-P3", "MCP-P9", "MCP-P10", "MCP-P14"];
    let mut arguments = vec!["verify", "mcp", "--manifests", "k8s/mcp/overlays/password"];
    chosen.iter().for_each(|guarantee| arguments.extend(["--guarantee", guarantee]));
    let (code, report) = run(&arguments);
    let outcomes = report::outcomes(&report);
    assert_eq!(outcomes.keys().collect::<std::collections::BTreeSet<_>>(), chosen.map(ToOwned::to_owned).iter().collect());
    for (guarantee, scenarios) in &outcomes {
        assert!(scenarios.iter().all(|(outcome, _)| outcome == "passed"), "{guarantee}: {scenarios:?}");
    }
    assert_eq!(code, Some(0));
    assert!(!report.to_string().contains("replace-me-before-use"), "the report shows the password");
}

#[test]
fn no_mutant_survives() {
    let _machine = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    let (code, report) = run(&["mutate"]);
    let mutants = report["mutants"].as_array().expect("mutants");
    assert!(mutants.len() > 40, "only {} mutants were tried", mutants.len());
    for mutant in mutants {
        let fate = mutant["fate"].as_str();
        assert!(matches!(fate, Some("killed" | "undecided")), "{} of {}: {mutant}", mutant["mutant"], mutant["guarantee"]);
    }
    // What the machine cannot do leaves a few undecided; most must have been killed, or nothing is proved.
    let killed = mutants.iter().filter(|mutant| mutant["fate"] == "killed").count();
    assert!(killed * 4 >= mutants.len() * 3, "only {killed} of {} mutants were killed", mutants.len());
    assert_eq!(code, Some(0));
}
