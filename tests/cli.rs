//! The command line as a user meets it: arguments, streams, exit codes.

mod support;

use rstest::rstest;
use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};
use support::same_as_file;

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_redis-conformance"));
    command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null());
    command.env_remove("NO_COLOR").env("TERM", "xterm");
    command
}

fn run(arguments: &[&str]) -> Output {
    program(arguments).output().expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[rstest]
#[case::main(&["--help"], "main")]
#[case::verify(&["verify", "--help"], "verify")]
#[case::mutate(&["mutate", "--help"], "mutate")]
#[case::image(&["image", "--help"], "image")]
#[case::completions(&["completions", "--help"], "completions")]
fn help_is_as_checked_in(#[case] arguments: &[&str], #[case] name: &str) {
    let output = run(arguments);
    assert_eq!(output.status.code(), Some(0));
    same_as_file(&format!("tests/snapshots/{name}.help"), &text(&output.stdout));
}

#[rstest]
#[case::no_command(&[], "Usage")]
#[case::unknown_command(&["verfy"], "similar subcommand")]
#[case::nothing_to_verify(&["verify"], "say what to run: a system (mcp, agentsmith) or a path")]
#[case::unknown_system(&["verify", "agentsmiht"], "did you mean agentsmith?")]
#[cfg_attr(not(feature = "kind"), case::another_target(&["verify", "mcp", "--target", "kind"], "target kind comes with feature `kind`"))]
#[cfg_attr(
    feature = "kind",
    case::kept_in_a_namespace(
        &["verify", "mcp", "--target", "cluster", "--context", "a", "--namespace", "b", "--keep"],
        "'--namespace <NAME>' cannot be used with '--keep'"
    )
)]
#[case::unknown_target(&["verify", "mcp", "--target", "moon"], "there is no such target")]
#[case::unknown_format(&["verify", "mcp", "--report", "xunit=a.xml"], "there is no format xunit")]
#[case::report_without_file(&["verify", "mcp", "--report", "junit"], "junit=report.xml")]
#[case::report_with_empty_file(&["verify", "mcp", "--report", "junit="], "junit=FILE")]
#[case::no_jobs(&["verify", "mcp", "--jobs", "0"], "1..=256")]
#[case::no_repetitions(&["verify", "mcp", "--repeat", "0"], "1..=100000")]
#[case::tags(&["verify", "mcp", "--tags", "@a andd @b"], "for example")]
#[case::manifests_missing(&["verify", "mcp", "--manifests", "no/such/folder"], "no/such/folder, which does not exist")]
#[case::manifests_for_two(&["verify", "mcp", "agentsmith", "--manifests", "k8s"], "goes with one system")]
#[case::manifests_for_a_path(&["verify", "k8s/mcp", "--manifests", "k8s"], "leave one of them out")]
#[case::unknown_mutant(&["mutate", "mcp", "--mutant", "claim-of-2gi"], "did you mean claim-of-1gi")]
#[case::config_missing(&["verify", "mcp", "--config", "no/such.yaml"], "no/such.yaml cannot be read")]
#[case::image_without_output(&["image", "redis:7"], "--output <FILE>")]
#[case::color(&["doctor", "--color", "sometimes"], "--color")]
fn wrong_usage_is_told_with_what_to_do(#[case] arguments: &[&str], #[case] expected: &str) {
    let output = run(arguments);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains(expected), "{told}");
    assert!(output.stdout.is_empty(), "nothing goes to standard output");
}

#[test]
fn an_unknown_key_in_the_config_is_named_with_its_line() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("redis-conformance.yaml"), "systems:\n  shop:\n    features: .\n    manifest: .\n").expect("written");
    let output = program(&["verify", "shop"]).current_dir(folder.path()).output().expect("starts");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("redis-conformance.yaml:4:5"), "{}", text(&output.stderr));
}

#[rstest]
#[case(&["--help"])]
#[case(&["steps"])]
#[case(&["doctor"])]
#[case(&["completions", "bash"])]
#[case(&["man"])]
fn a_closed_pipe_is_no_error(#[case] arguments: &[&str]) {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = program(arguments).stdout(writer).stderr(Stdio::piped()).output().expect("starts");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(output.stderr.is_empty(), "{}", text(&output.stderr));
}

#[test]
fn colour_is_for_terminals_and_for_those_who_ask() {
    let escape = |output: &Output| output.stdout.contains(&0x1b);
    assert!(!escape(&run(&["steps"])), "a pipe gets none");
    assert!(escape(&run(&["steps", "--color", "always"])));
    assert!(!escape(&program(&["steps"]).env("NO_COLOR", "1").output().expect("starts")));
}

#[test]
fn every_phrase_is_listed_with_its_place() {
    let output = run(&["steps"]);
    let listed = text(&output.stdout);
    assert!(listed.lines().any(|line| line.starts_with("Given Redis runs from the manifests  src/steps/")), "{listed}");
}

#[test]
fn evidence_that_cannot_be_written_ends_the_run_before_it_starts() {
    // Not even root makes folders there.
    let output = run(&["verify", "mcp", "--evidence", "/proc/evidence"]);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{told}");
    assert!(told.contains("/proc/evidence") && told.contains("--evidence DIR") && told.contains("because:"), "{told}");
}

#[test]
fn a_report_that_cannot_be_written_is_told_before_the_run() {
    let output = run(&["verify", "mcp", "--report", "junit=/proc/report.xml"]);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{told}");
    assert!(told.contains("/proc/report.xml cannot be written"), "{told}");
}

#[rstest]
#[case::nothing_stands_for_it("bitnami/redis:7.2", "image.tar", 4, "\"bitnami/redis:7.2\": /path/to/program")]
#[case::no_place("redis-conformance-client", "/proc/image.tar", 3, "/proc/image.tar cannot be written")]
#[case::no_name("redis-conformance-client@sha256:0123", "image.tar", 3, "leave it out")]
fn an_image_that_is_not_written_is_told_with_the_reason(
    #[case] reference: &str,
    #[case] file: &str,
    #[case] code: i32,
    #[case] expected: &str,
) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let output = program(&["image", reference, "--output", file]).current_dir(folder.path()).output().expect("starts");
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{told}");
    assert!(told.contains(expected), "{told}");
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0, "nothing is left");
}

#[test]
fn an_image_is_written_and_its_readers_are_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let output =
        program(&["image", "redis-conformance-client", "--output", "client.tar"]).current_dir(folder.path()).output().expect("starts");
    let told = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(told.starts_with("docker.io/library/redis-conformance-client:latest: client.tar, "), "{told}");
    assert!(told.contains("kind load image-archive client.tar"), "{told}");
    assert!(fs::metadata(folder.path().join("client.tar")).expect("written").len() > 1_000_000);
}

/// A guarantee that needs manifests only.
fn verify_manifests(folder: &Path, more: &[&str]) -> Command {
    let evidence = folder.join("evidence");
    let mut command = program(&["verify", "mcp", "--guarantee", "mcp-p1", "--evidence"]);
    command.arg(evidence).args(more);
    command
}

#[test]
fn json_on_standard_output_is_free_of_prose() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let output = verify_manifests(folder.path(), &["--format", "json"]).output().expect("starts");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON and nothing else");
    assert_eq!(report["schema"], 1);
    assert_eq!(report["exit"]["code"], 0);
    assert_eq!(report["guarantees"][0]["id"], "MCP-P1");
}

#[test]
fn reports_and_evidence_are_written_and_progress_has_no_escapes_without_a_terminal() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (junit, json) = (folder.path().join("r.xml"), folder.path().join("r.json"));
    let reports = [format!("junit={}", junit.display()), format!("json={}", json.display())];
    let output = verify_manifests(folder.path(), &["--report", &reports[0], "--report", &reports[1]]).output().expect("starts");
    let progress = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{progress}");
    assert!(progress.contains("✓ MCP-P1") && !progress.contains('\x1b'), "{progress}");
    assert!(text(&output.stdout).contains("conformant (exit 0): the one guarantee holds"), "{}", text(&output.stdout));
    assert!(fs::read_to_string(junit).expect("written").starts_with("<?xml"));
    assert!(fs::read_to_string(json).expect("written").contains("\"schema\": 1"));
    let latest = folder.path().join("evidence/latest");
    let scenarios: Vec<_> =
        fs::read_dir(latest).expect("the run's folder").filter_map(Result::ok).filter(|entry| entry.path().is_dir()).collect();
    assert!(!scenarios.is_empty());
    for scenario in scenarios {
        for file in ["manifest.json", "result.json", "timeline.jsonl"] {
            assert!(scenario.path().join(file).is_file(), "{} lacks {file}", scenario.path().display());
        }
    }
}

#[test]
fn a_reader_who_goes_away_does_not_change_the_exit_code() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = verify_manifests(folder.path(), &[]).stdout(writer).output().expect("starts");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

#[test]
fn a_run_that_runs_nothing_fails() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let output = verify_manifests(folder.path(), &["--tags", "@no-such-tag"]).output().expect("starts");
    assert_eq!(output.status.code(), Some(4), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("nothing was selected"), "{}", text(&output.stdout));
}

#[test]
fn an_unknown_guarantee_is_told_with_those_that_are_near() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let output = verify_manifests(folder.path(), &["--guarantee", "MCP-P99"]).output().expect("starts");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("mcp has no guarantee MCP-P99; did you mean"), "{}", text(&output.stderr));
}

#[test]
fn an_installed_program_knows_its_systems_anywhere() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let output = verify_manifests(folder.path(), &[]).current_dir(folder.path()).output().expect("starts");
    assert_eq!(output.status.code(), Some(0), "{}{}", text(&output.stdout), text(&output.stderr));
}

#[test]
fn two_runs_at_once_do_not_meet() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let children: Vec<_> = (0..2)
        .map(|_| verify_manifests(folder.path(), &[]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("starts"))
        .collect();
    for child in children {
        let output = child.wait_with_output().expect("ends");
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    }
}
