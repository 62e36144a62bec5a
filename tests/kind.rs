//! The lane on kind: the same features on a real cluster, what a killed run leaves and how it is mended, and a cluster that is somebody's.
//!
//! Needs Docker and kind; where kind cannot pull its nodes' image, `REDIS_CONFORMANCE_NODE_IMAGE` names it.
#![cfg(feature = "kind")]

#[path = "support/report.rs"]
mod report;

use redis_conformance::wait::{Look, TimedOut, Until};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::Mutex,
    time::Duration,
};

/// A cluster for this test; gone with it, unless the test is killed.
struct Cluster {
    name: String,
    folder: tempfile::TempDir,
}

impl Cluster {
    fn make() -> Self {
        let cluster = Self { name: format!("conformance-test-{}", std::process::id()), folder: tempfile::tempdir().expect("a folder") };
        let mut create = Command::new("kind");
        create.args(["create", "cluster", "--wait", "180s", "--config", "ci/kind.yaml", "--name", &cluster.name]);
        create.arg("--kubeconfig").arg(cluster.kubeconfig());
        if let Ok(image) = std::env::var("REDIS_CONFORMANCE_NODE_IMAGE") {
            create.args(["--image", &image]);
        }
        succeeds(create.current_dir(env!("CARGO_MANIFEST_DIR")));
        cluster
    }

    fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// The program, as a user runs it in the checkout, with journals of its own.
    fn program(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_redis-conformance"));
        command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).env("XDG_STATE_HOME", self.state());
        command
    }

    /// A run on this cluster, and its report.
    fn verify(&self, arguments: &[&str]) -> (Option<i32>, Value) {
        let mut command = self.program(&["verify"]);
        command.args(arguments).args(["--format", "json", "--evidence"]).arg(self.folder.path().join("evidence"));
        let output = command.output().expect("the program");
        let words = String::from_utf8_lossy(&output.stderr);
        let report =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{arguments:?} gives no report ({error}): {words}"));
        (output.status.code(), report)
    }

    fn kubectl(&self, arguments: &[&str]) -> String {
        let output = succeeds(Command::new("kubectl").arg("--kubeconfig").arg(self.kubeconfig()).args(arguments));
        String::from_utf8(output.stdout).expect("text")
    }

    /// Everything of runs that is on the cluster.
    fn left(&self) -> String {
        self.kubectl(&["get", "namespaces,storageclasses,persistentvolumes", "--selector", "redis-conformance.io/run", "--output", "name"])
    }

    /// The nodes that Docker has stopped.
    fn stopped(&self) -> BTreeSet<String> {
        let filter = format!("label=io.x-k8s.kind.cluster={}", self.name);
        let output = succeeds(Command::new("docker").args([
            "ps",
            "--all",
            "--filter",
            &filter,
            "--filter",
            "status=exited",
            "--format",
            "{{.Names}}",
        ]));
        String::from_utf8_lossy(&output.stdout).lines().map(ToOwned::to_owned).collect()
    }

    fn journals(&self) -> usize {
        std::fs::read_dir(self.state().join("redis-conformance/journals")).map_or(0, Iterator::count)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if !Command::new("kind").args(["delete", "cluster", "--name", &self.name]).status().is_ok_and(|status| status.success()) {
            eprintln!("the cluster stays; remove it with: kind delete cluster --name {}", self.name);
        }
    }
}

fn succeeds(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
    assert!(output.status.success(), "{command:?} fails: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Waits for something that another program does.
fn until(limit: Duration, what: &str, holds: impl Fn() -> bool) {
    let look = || async { Ok::<_, TimedOut>(if holds() { Look::Ready(()) } else { Look::NotYet("not yet".into()) }) };
    let waiting = Until::within(limit).every(Duration::from_millis(200)).met(what, look);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(waiting).expect("in time");
}

#[test]
fn the_documents_hold_on_kind_and_nothing_is_left() {
    let cluster = Cluster::make();
    documents_hold(&cluster);
    a_killed_run_is_mended(&cluster);
    a_cluster_that_is_somebodys_is_used_with_the_rights_that_we_ask_for(&cluster);
}

fn documents_hold(cluster: &Cluster) {
    let (code, report) = cluster.verify(&["mcp", "agentsmith", "--target", "kind", "--cluster-name", &cluster.name]);
    let outcomes = report::outcomes(&report);
    for (guarantee, scenarios) in &outcomes {
        for (outcome, words) in scenarios {
            // Storage whose volumes belong to root is what kind has not.
            let is_known = outcome == "unsupported" && words.contains("root");
            assert!(outcome == "passed" || is_known, "{guarantee} {outcome}: {words}");
        }
        assert!(scenarios.iter().any(|(outcome, _)| outcome == "passed"), "{guarantee} is not proven at all on kind");
    }
    assert_eq!(code, Some(0));
    assert_eq!(outcomes.len(), 28, "{:?}", outcomes.keys());
    assert_eq!(report["run"]["target"], "kind");
    assert_eq!((cluster.left().as_str(), cluster.journals()), ("", 0));
}

/// SIGKILL while a node is without power.
fn a_killed_run_is_mended(cluster: &Cluster) {
    let run: Child = cluster
        .program(&["verify", "mcp", "--guarantee", "MCP-P5", "--target", "kind", "--cluster-name", &cluster.name, "--evidence"])
        .arg(cluster.folder.path().join("evidence"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program");
    let run = Mutex::new(run);
    until(Duration::from_secs(240), "a node is without power", || {
        assert!(run.lock().expect("free").try_wait().expect("a child").is_none(), "the run has ended without taking a node's power");
        !cluster.stopped().is_empty()
    });
    // A second run beside the first one mends nothing of it.
    let beside = cluster.program(&["clean"]).output().expect("the program");
    assert_eq!(String::from_utf8_lossy(&beside.stdout), "nothing was left behind\n");
    assert!(!cluster.stopped().is_empty(), "clean has disturbed a living run");
    let mut run = run.into_inner().expect("free");
    run.kill().expect("killed");
    run.wait().expect("ended");
    assert_eq!(cluster.journals(), 1);
    let clean = cluster.program(&["clean"]).output().expect("the program");
    let words = String::from_utf8_lossy(&clean.stdout);
    assert!(clean.status.success() && words.contains("is started again"), "{words}{}", String::from_utf8_lossy(&clean.stderr));
    assert_eq!((cluster.stopped().len(), cluster.journals()), (0, 0), "{words}");
    until(Duration::from_secs(240), "the killed run's objects go", || cluster.left().is_empty());
}

/// A service account with the rights of docs/cluster-role.yaml and no others; the cluster's own audit is not at hand, its objects are.
fn a_cluster_that_is_somebodys_is_used_with_the_rights_that_we_ask_for(cluster: &Cluster) {
    let role = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/cluster-role.yaml");
    cluster.kubectl(&["apply", "--filename", role.to_str().expect("text")]);
    cluster.kubectl(&["create", "serviceaccount", "tester", "--namespace", "default"]);
    let token = cluster.kubectl(&["create", "token", "tester", "--namespace", "default", "--duration", "2h"]);
    let mut config = cluster.kubectl(&["config", "view", "--raw", "--minify", "--output", "json"]);
    let mut parsed: Value = serde_json::from_str(&config).expect("a kubeconfig");
    parsed["users"][0]["user"] = serde_json::json!({ "token": token.trim() });
    config = parsed.to_string();
    let theirs = cluster.folder.path().join("theirs");
    std::fs::write(&theirs, config).expect("written");
    let (theirs, context) = (theirs.to_str().expect("text").to_owned(), format!("kind-{}", cluster.name));
    let arguments =
        ["mcp", "--guarantee", "MCP-P4", "--guarantee", "MCP-P6", "--target", "cluster", "--context", &context, "--kubeconfig", &theirs];
    // Without the rights each one is told, before anything is made.
    let refused = cluster.program(&["verify"]).args(arguments).output().expect("the program");
    let words = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(3), "{words}");
    assert!(words.contains("create namespaces") && words.contains("get pods/exec"), "{words}");
    assert_eq!(cluster.left(), "");
    cluster.kubectl(&[
        "create",
        "clusterrolebinding",
        "tester",
        "--clusterrole",
        "redis-conformance",
        "--serviceaccount",
        "default:tester",
    ]);
    let before = cluster.kubectl(&["get", "nodes,storageclasses,clusterroles", "--output", "name"]);
    let (code, report) = cluster.verify(&arguments);
    for (guarantee, scenarios) in &report::outcomes(&report) {
        // A container of somebody's node is not ours to kill.
        let fits = |(outcome, words): &(String, String)| {
            outcome == "passed" || (outcome == "unsupported" && words.contains("restart of the container"))
        };
        assert!(scenarios.iter().all(fits), "{guarantee}: {scenarios:?}");
    }
    assert_eq!(code, Some(0));
    assert_eq!(cluster.left(), "");
    assert_eq!(cluster.kubectl(&["get", "nodes,storageclasses,clusterroles", "--output", "name"]), before);
}
