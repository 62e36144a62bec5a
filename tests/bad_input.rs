//! Manifests that cannot be used, or hardly: each ends soon, with the exit code of the design and a message that names place and remedy.

use rstest::rstest;
use serde_json::Value;
use std::{
    fs::{self, File},
    path::Path,
    process::{Command, Output},
    sync::LazyLock,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Longer than any of them takes on a loaded machine, shorter than any wait for a Redis that never comes.
const SOON: Duration = Duration::from_secs(50);

const NAMESPACE: &str = "apiVersion: v1\nkind: Namespace\nmetadata: {name: agentsmith}\n";
const REDIS: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: bus, namespace: agentsmith}
spec:
  selector: {matchLabels: {app: bus}}
  template:
    metadata: {labels: {app: bus}}
    spec:
      containers:
      - name: bus
        image: redis:7-alpine
";

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        fs::write(folder.path().join(name), text).expect("written");
    }
    folder
}

fn verify(evidence: &Path, arguments: &[&str]) -> Output {
    let began = Instant::now();
    let output = Command::new(env!("CARGO_BIN_EXE_redis-conformance"))
        .arg("verify")
        .args(arguments)
        .arg("--evidence")
        .arg(evidence)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("the program");
    assert!(began.elapsed() < SOON, "{arguments:?} took {:?}", began.elapsed());
    output
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Eleven levels of nine aliases each: thirty thousand million values.
static BOMB: LazyLock<String> = LazyLock::new(|| {
    let mut text = String::from("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bomb}\na0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        text.push_str(&format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 9].join(", ")));
    }
    text
});

/// A list in a list in a list.
static DEEP: LazyLock<String> = LazyLock::new(|| format!("a: {}", "[".repeat(100_000)));

#[rstest]
#[case::empty(&[], 3, &["holds no Kubernetes object; name the file or folder in which the manifests are"])]
#[case::prose(&[("notes.yaml", "this is no manifest\n")], 3, &["notes.yaml:1:1", "it has neither apiVersion nor kind"])]
#[case::not_yaml(&[("redis.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: [}\n")], 1, &["redis.yaml:3:"])]
#[case::bomb(&[("bomb.yaml", BOMB.as_str())], 1, &["bomb.yaml:", "more than 1000000 values", "aliases followed", "is it meant to be a manifest?"])]
#[case::deep(&[("deep.yaml", DEEP.as_str())], 1, &["deep.yaml:1:", "recursion limit exceeded"])]
#[case::kustomization(
    &[("kustomization.yaml", "resources: [redis.yaml, not-there.yaml]\n"), ("redis.yaml", NAMESPACE)],
    1,
    &["kustomization.yaml does not build", "not-there.yaml", "no such file or directory"]
)]
fn manifests_that_cannot_be_read_end_each_guarantee_with_the_reason(
    #[case] files: &[(&str, &str)],
    #[case] code: i32,
    #[case] expected: &[&str],
) {
    let guarantees = ["BUS-1", "BUS-2", "BUS-14"];
    let (tree, evidence) = (folder(files), folder(&[]));
    let path = tree.path().display().to_string();
    let mut arguments = vec!["agentsmith", "--manifests", &path, "--format", "json"];
    arguments.extend(guarantees.iter().flat_map(|guarantee| ["--guarantee", guarantee]));
    let output = verify(evidence.path(), &arguments);
    assert_eq!(output.status.code(), Some(code), "{}", text(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
    let judged = report["guarantees"].as_array().expect("guarantees");
    assert_eq!(judged.len(), guarantees.len());
    for scenario in judged.iter().flat_map(|guarantee| guarantee["scenarios"].as_array().expect("scenarios")) {
        let message = scenario["message"].as_str().unwrap_or_default();
        assert_eq!(scenario["outcome"], if code == 1 { "failed" } else { "broken" }, "{message}");
        for words in expected {
            assert!(message.contains(words), "{words:?} is not in {message:?}");
        }
        assert!(!scenario["manifests"].as_array().expect("places").is_empty(), "{scenario}");
    }
}

#[test]
fn a_file_of_100_mib_is_not_read() {
    let (tree, evidence) = (folder(&[]), folder(&[]));
    let file = tree.path().join("large.yaml");
    File::create(&file).and_then(|file| file.set_len(100 << 20)).expect("a sparse file");
    let output = verify(evidence.path(), &["agentsmith", "--manifests", &file.display().to_string(), "--guarantee", "BUS-2"]);
    assert_eq!(output.status.code(), Some(3));
    let told = text(&output.stdout);
    assert!(told.contains("large.yaml has more than 16 MiB"), "{told}");
}

#[test]
fn bytes_that_are_no_text_are_named_by_their_line() {
    let (tree, evidence) = (folder(&[]), folder(&[]));
    fs::write(tree.path().join("x.yaml"), b"apiVersion: v1\nkind: \xff\xfe\n").expect("written");
    let output = verify(evidence.path(), &["agentsmith", "--manifests", &tree.path().display().to_string(), "--guarantee", "BUS-2"]);
    assert_eq!(output.status.code(), Some(3));
    let told = text(&output.stdout);
    assert!(told.contains("x.yaml:2: not UTF-8 text: save the file as UTF-8"), "{told}");
}

#[rstest]
#[case::of_a_document(&["agentsmith", "--manifests", "no/such/path"])]
#[case::alone(&["no/such/path"])]
fn a_path_that_is_not_there_is_wrong_usage(#[case] arguments: &[&str]) {
    let evidence = folder(&[]);
    let output = verify(evidence.path(), arguments);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("no/such/path"), "{}", text(&output.stderr));
    assert!(output.stdout.is_empty());
}

#[test]
fn one_file_is_a_tree() {
    let evidence = folder(&[]);
    let file = "fixtures/trees/kind-list-right/all.json";
    let output = verify(evidence.path(), &["agentsmith", "--manifests", file, "--guarantee", "BUS-2"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
}

#[test]
fn an_object_of_an_unknown_kind_stops_what_runs_and_not_what_is_read() {
    let unknown = "apiVersion: example.com/v1\nkind: Flux\nmetadata: {name: capacitor, namespace: agentsmith}\n";
    let (tree, evidence) = (folder(&[("redis.yaml", REDIS), ("flux.yaml", unknown)]), folder(&[]));
    let path = tree.path().display().to_string();
    let output =
        verify(evidence.path(), &["agentsmith", "--manifests", &path, "--guarantee", "BUS-2", "--guarantee", "BUS-4", "--format", "json"]);
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
    let of = |id: &str| {
        let all = report["guarantees"].as_array().expect("guarantees");
        all.iter().find(|guarantee| guarantee["id"] == id).expect("tried")["scenarios"].clone()
    };
    assert_eq!(of("BUS-2")[0]["outcome"], "passed");
    assert_eq!(of("BUS-4")[0]["outcome"], "unsupported", "{}", of("BUS-4"));
    let told = of("BUS-4")[0].to_string();
    assert!(told.contains("Flux") && told.contains("flux.yaml:1:1"), "{told}");
}
