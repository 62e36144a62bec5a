//! Whole blocks: how they end, and that nothing of them stays.

use super::{Lab, fake::Fake};
use redis_conformance::{
    runbook::{Document, Ended, Trouble},
    wait::{Look, TimedOut, Until},
};
use std::{fs, path::Path, process::Stdio, sync::Arc, time::Duration};

const SECONDS: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_block_that_fails_names_its_line_in_the_document() {
    let lab = Lab::new();
    let output = lab.within(SECONDS, "echo one\nfalse\necho two").await;
    assert_eq!((output.ended, output.failed_line, output.stdout.as_str()), (Ended::Code(1), Some(5), "one\n"));
    let output = lab.within(SECONDS, "echo \"$UNSET\"").await;
    assert!(output.stderr.starts_with("test.md: line 4: UNSET: unbound variable"), "{}", output.stderr);
    let output = lab.within(SECONDS, "false | true").await;
    assert_eq!(output.ended, Ended::Code(1));
}

#[tokio::test]
async fn calls_of_kubectl_are_kept_with_their_ends() {
    let lab = Lab::new();
    let output = lab.within(SECONDS, "kubectl get pods -n mcp\nkubectl get pod none -n mcp || true").await;
    assert!(output.succeeded());
    let calls: Vec<_> = output.calls.iter().map(|call| (call.argv.join(" "), call.code, call.stderr.as_str())).collect();
    let words = "Error from server (NotFound): pods \"none\" not found\n";
    let transcript = output.transcript();
    assert!(
        transcript.starts_with("ended with exit code 0 after ") && transcript.contains("--- kubectl\nkubectl get pods -n mcp → 0 after "),
        "{transcript}"
    );
    assert_eq!(calls, [(String::from("get pods -n mcp"), Some(0), ""), (String::from("get pod none -n mcp"), Some(1), words)]);
}

#[tokio::test]
async fn a_block_out_of_time_is_ended_with_all_its_processes() {
    let lab = Lab::new();
    let script = "trap '' TERM\nsleep 300 &\necho $! > child\nkubectl wait --for=delete pod/redis-0 -n aikernel --timeout=300s";
    let output = lab.within(Duration::from_millis(700), script).await;
    assert_eq!(output.ended, Ended::OutOfTime(Duration::from_millis(700)));
    assert!(output.took < Duration::from_secs(10));
    is_gone(&lab.path().join("child")).await;
}

#[tokio::test]
async fn what_a_block_leaves_running_in_the_background_is_ended() {
    let lab = Lab::new();
    let output = lab.within(SECONDS, "sleep 300 &\necho $! > child").await;
    assert!(output.succeeded() && output.took < Duration::from_secs(5), "{output:?}");
    is_gone(&lab.path().join("child")).await;
}

#[tokio::test]
async fn a_dropped_run_leaves_no_process_and_no_directory() {
    let lab = Lab::new();
    let run = tokio::time::timeout(Duration::from_millis(500), lab.within(SECONDS, "echo $$ > child\nsleep 300"));
    assert!(run.await.is_err());
    is_gone(&lab.path().join("child")).await;
    assert_eq!(fs::read_dir(lab.path().join("room")).expect("the room").count(), 0);
}

/// Waits until the process that a file names has ended; a zombie has.
async fn is_gone(file: &Path) {
    let pid = fs::read_to_string(file).expect("it was begun");
    let look = || async {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
        Ok::<_, TimedOut>(if stat.is_empty() || stat.contains(") Z ") { Look::Ready(()) } else { Look::NotYet(stat) })
    };
    Until::within(Duration::from_secs(5)).met("the process to be gone", look).await.expect("it is ended");
}

#[tokio::test]
async fn sockets_in_deep_directories_are_reached() {
    let mut lab = Lab::new();
    let deep = lab.path().join("deep/".repeat(40));
    fs::create_dir_all(&deep).expect("folders");
    lab.directory = tempfile::TempDir::new_in(&deep).expect("a directory");
    assert_eq!(lab.out("kubectl get deploy -n mcp -o name").await, "deployment.apps/redis\n");
}

#[tokio::test]
async fn a_step_left_out_is_said_in_the_output() {
    let lab = Lab::new();
    let text = "```bash\n# runbook: two\necho one\necho two\n```\n";
    let document = Document::parse(text, Path::new("two.md"));
    let block = document.block("two").expect("it is there").skip_line("says two", |line| line.contains("two") && !line.contains('#'));
    let output = lab.block(&block.expect("one line"), SECONDS).await;
    assert_eq!((output.stdout.as_str(), output.edits.as_slice()), ("one\n", &["two.md:4: left out: echo two".to_owned()][..]));
}

#[tokio::test]
async fn many_calls_at_once_do_not_meet() {
    let lab = Lab::new();
    let script = "for i in $(seq 20); do kubectl exec -n mcp deploy/redis -- echo \"$i\" > \"out-$i\" & done; wait\nfor i in $(seq 20); do test \"$(cat \"out-$i\")\" = \"$i\"; done";
    lab.out(script).await;
}

#[tokio::test]
async fn outside_a_runbook_our_kubectl_says_what_it_is() {
    let lab = Lab::new();
    let output = lab.within(SECONDS, "env -u REDIS_CONFORMANCE_KUBECTL kubectl get pods").await;
    assert_eq!(output.ended, Ended::Code(1));
    assert!(output.stderr.contains("this kubectl is redis-conformance"), "{}", output.stderr);
}

#[tokio::test]
async fn every_command_of_our_own_runbooks_is_mapped() {
    let systems = Path::new(env!("CARGO_MANIFEST_DIR")).join("k8s");
    let mut tried = 0;
    for system in fs::read_dir(&systems).expect("k8s").map(|entry| entry.expect("a system").path()) {
        let Ok(document) = Document::read(&system.join("README.md")) else { continue };
        for block in document.blocks.iter().filter(|block| block.id.is_some()) {
            let mut lab = Lab::new();
            lab.fake = Arc::new(Fake::without_commands());
            copy(&systems, lab.path()).await;
            // What a fake cannot say may end a block early; here each of its commands is to be tried.
            let mut all = block.clone();
            all.text.insert_str(0, "set +e; ");
            let output = lab.block(&all, SECONDS).await;
            let refused: Vec<_> = output.calls.iter().filter(|call| matches!(call.trouble, Some(Trouble::NotCarriedOut(_)))).collect();
            assert!(refused.is_empty(), "{}: {refused:?}", block.place);
            assert!(!output.calls.is_empty() && !matches!(output.ended, Ended::OutOfTime(_)), "{}: {output:?}", block.place);
            tried += output.calls.len();
        }
    }
    assert!(tried > 50, "only {tried} calls were tried");
}

async fn copy(folder: &Path, into: &Path) {
    let copied = tokio::process::Command::new("cp").arg("-r").arg(folder).arg(into).stdin(Stdio::null()).status().await;
    assert!(copied.expect("cp").success());
}
