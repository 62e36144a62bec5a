//! `verify --keep`: what did not hold can be looked at from outside until the user ends it, and then nothing of it is left.

use redis_conformance::wait::{Look, TimedOut, Until};
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};
use tempfile::TempDir;

/// More than a loaded machine needs to start a pod, and to end one.
const LIMIT: Duration = Duration::from_secs(60);

const MANIFESTS: &str = "
apiVersion: v1
kind: Service
metadata: { name: redis, namespace: shop }
spec: { selector: { app: redis }, ports: [{ port: 6379 }] }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: redis, namespace: shop }
spec:
  selector: { matchLabels: { app: redis } }
  template:
    metadata: { labels: { app: redis } }
    spec: { containers: [{ name: redis, image: 'redis:7-alpine', args: [redis-server, --maxmemory, 64mb] }] }
";

/// A user's own system, whose one scenario expects this of `maxmemory`.
fn shop(maxmemory: &str) -> TempDir {
    let folder = TempDir::new().expect("a temporary folder");
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("written");
    write("shop.yaml", MANIFESTS);
    write(
        "shop.feature",
        &format!(
            "Feature: The shop\n\n  @SHOP-1\n  Rule: Redis takes what the shop needs\n\n    Scenario: its memory\n      Given Redis runs from the manifests\n      Then Redis answers CONFIG GET \"maxmemory\" with \"{maxmemory}\"\n"
        ),
    );
    write("redis-conformance.yaml", "systems:\n  shop: { features: shop.feature, manifests: shop.yaml }\n");
    folder
}

/// A run that has printed everything, or still keeps something.
struct Kept {
    child: Child,
    /// What it printed until it began to wait, or until its end.
    told: Vec<String>,
    state: PathBuf,
}

impl Kept {
    fn run(folder: &Path, more: &[&str]) -> Self {
        let state = folder.join("state");
        let mut child = Command::new(env!("CARGO_BIN_EXE_redis-conformance"))
            .args(["verify", "shop", "--keep"])
            .args(more)
            .current_dir(folder)
            .env("XDG_STATE_HOME", &state)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut told = Vec::new();
        // Its streams stay open as long as it keeps something.
        for line in BufReader::new(child.stderr.take().expect("a pipe")).lines() {
            let line = line.expect("text");
            let last = line.contains("Ctrl-C ends them");
            told.push(line);
            if last {
                break;
            }
        }
        Self { child, told, state }
    }

    /// The command line that shows this.
    fn way(&self, shows: &str) -> &str {
        let line = self.told.iter().find_map(|line| line.trim_start().strip_prefix(shows));
        line.unwrap_or_else(|| panic!("{shows:?} is among the ways: {:#?}", self.told)).trim()
    }

    /// Ends the program by this signal.
    async fn end(&mut self, signal: &str) -> ExitStatus {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status().expect("kill runs");
        assert!(sent.success(), "it still runs");
        self.ended().await
    }

    async fn ended(&mut self) -> ExitStatus {
        let child = std::cell::RefCell::new(&mut self.child);
        let ended: Result<ExitStatus, TimedOut> = Until::within(LIMIT)
            .met("the program to end", || async {
                let ended = child.borrow_mut().try_wait().expect("it can be asked");
                Ok(ended.map_or_else(|| Look::NotYet("it runs".into()), Look::Ready))
            })
            .await;
        ended.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Nothing is left where runs have their directories: whoever has processes and files there has ended before.
    async fn nothing_is_left(&self) {
        let runs = self.state.join("redis-conformance");
        let gone: Result<(), TimedOut> = Until::within(LIMIT)
            .met("the run's directory to be gone", || async {
                let left: Vec<_> = fs::read_dir(&runs)
                    .expect("the directory of runs")
                    .map(|entry| entry.expect("an entry").file_name())
                    .filter(|name| name.to_string_lossy().starts_with("run-"))
                    .collect();
                Ok(if left.is_empty() { Look::Ready(()) } else { Look::NotYet(format!("{left:?}")) })
            })
            .await;
        gone.unwrap_or_else(|error| panic!("{error}"));
    }
}

/// Runs a line as it would be pasted into a terminal, somewhere else; what it prints.
fn paste(line: &str, input: &str) -> String {
    let mut shell = Command::new("sh")
        .args(["-c", line])
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a shell");
    shell.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("it reads");
    let output = shell.wait_with_output().expect("it ends");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{line}: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

#[tokio::test]
async fn what_failed_can_be_looked_at_until_it_is_ended() {
    let folder = shop("1");
    let mut kept = Kept::run(folder.path(), &["--report", "json=report.json"]);
    // The report and the evidence are there already.
    let report = fs::read_to_string(folder.path().join("report.json")).expect("a report");
    assert!(report.contains("\"violated\"") || report.contains("\"failed\""), "{report}");
    let scenario = folder.path().join(".redis-conformance/evidence/latest/SHOP-1-its-memory-1");
    assert!(scenario.join("result.json").is_file() && scenario.join("pod.json").is_file());
    let pods = paste(kept.way("all pods"), "");
    assert!(pods.contains("redis-") && pods.contains("Running"), "{pods}");
    assert!(paste(kept.way("the Redis pod and its events"), "").contains("Started"));
    assert!(paste(kept.way("its log"), "").contains("Ready to accept connections"));
    assert!(paste(kept.way("what Redis answers"), "").contains("maxmemory:67108864"));
    let shell = kept.way("a shell there, as root");
    if which::which("nsenter").is_ok() {
        let seen = paste(shell, "hostname; pwd; redis-cli ping\n");
        assert!(seen.starts_with("redis-") && seen.ends_with("\n/\nPONG\n"), "{seen}");
    } else {
        assert!(shell.contains("package util-linux"), "{shell}");
    }
    // SIGINT would be ignored where a shell has started these tests in the background.
    let ended = kept.end("-TERM").await;
    assert_eq!(ended.code(), Some(1), "the violation's exit code, whoever ends it and how: {:#?}", kept.told);
    kept.nothing_is_left().await;
}

#[tokio::test]
async fn nothing_is_left_of_what_is_kept_when_the_program_is_killed() {
    let folder = shop("1");
    let mut kept = Kept::run(folder.path(), &[]);
    assert!(paste(kept.way("what Redis answers"), "").contains("redis_version"));
    assert_eq!(kept.end("-KILL").await.code(), None);
    kept.nothing_is_left().await;
}

#[tokio::test]
async fn of_many_repetitions_one_stays() {
    let folder = shop("1");
    let mut kept = Kept::run(folder.path(), &["--repeat", "3", "--jobs", "2"]);
    let told = kept.told.join("\n");
    assert!(told.contains("1 scenario stays up") && told.contains("2 more did not hold and were taken down"), "{told}");
    assert_eq!(kept.end("-TERM").await.code(), Some(1), "{told}");
    kept.nothing_is_left().await;
}

#[tokio::test]
async fn what_holds_is_not_kept() {
    let folder = shop("67108864");
    let mut kept = Kept::run(folder.path(), &[]);
    assert_eq!(kept.ended().await.code(), Some(0), "{:#?}", kept.told);
    assert!(kept.told.iter().any(|line| line.contains("nothing is left running")), "{:#?}", kept.told);
    kept.nothing_is_left().await;
}
