//! Runs one block under bash, with our `kubectl` first on its PATH.

use super::{
    blocks::Block,
    output::Bounded,
    server::{KubectlCall, Server, Trouble},
    wire::SOCKET,
};
use crate::{target::Target, wait::at_most};
use nix::{
    errno::Errno,
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt, io,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
    task::JoinSet,
    time::timeout,
};

/// Between SIGTERM and SIGKILL for a block that ran out of time, and for output that is still on its way.
const GRACE: Duration = Duration::from_secs(1);
/// A runbook that reaches another kubectl than ours, by its full path, must not find the user's own cluster.
const NO_CLUSTER: &str = "/dev/null";
/// Tells the block's own shell where to note the line that failed.
const FAILED_LINE: &str = "REDIS_CONFORMANCE_FAILED_LINE";

/// Why a block could not be run at all; a block that fails is no error.
#[derive(Debug, thiserror::Error)]
pub enum RunbookError {
    /// There is no bash.
    #[error("runbooks need bash, and none is on the PATH: install it")]
    NoBash(#[source] which::Error),
    /// The directory for the socket cannot be made.
    #[error("cannot prepare a runbook's directory in {}", room.display())]
    NoRoom {
        /// Where.
        room: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The shell cannot be started or followed.
    #[error("cannot run the block at {block} in {}", directory.display())]
    NoShell {
        /// Which block.
        block: String,
        /// Its working directory.
        directory: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

/// How a block ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// We ended it after this limit.
    OutOfTime(Duration),
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "ended with exit code {code}"),
            Self::Signal(signal) => write!(f, "ended by signal {signal}"),
            Self::OutOfTime(limit) => write!(f, "not done within {limit:.1?}"),
        }
    }
}

/// What came of a block.
#[derive(Clone, Debug)]
pub struct RunbookOutput {
    /// How it ended.
    pub ended: Ended,
    /// Its standard output; the middle of a long one is left out, and that is said in it.
    pub stdout: String,
    /// Its standard error, bounded as well.
    pub stderr: String,
    /// The line of the Markdown file whose command ended it.
    pub failed_line: Option<u64>,
    /// How long it took.
    pub took: Duration,
    /// Each call of `kubectl`, in the order of their ends.
    pub calls: Vec<KubectlCall>,
    /// What was changed in the block before it ran, one sentence each.
    pub edits: Vec<String>,
}

impl RunbookOutput {
    /// Whether the block did all it wanted.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.ended == Ended::Code(0)
    }

    /// All of it as text for the evidence: how it ended, what was changed, both streams, and each call of `kubectl`.
    #[must_use]
    pub fn transcript(&self) -> String {
        let lines = |title: &str, text: &str| if text.is_empty() { String::new() } else { format!("--- {title}\n{}\n", text.trim_end()) };
        let calls: Vec<_> = self.calls.iter().map(ToString::to_string).collect();
        let failed = self.failed_line.map_or_else(String::new, |line| format!(" at line {line}"));
        let end = format!("{}{failed} after {:.1?}\n", self.ended, self.took);
        let parts = [
            ("changed", self.edits.join("\n")),
            ("stdout", self.stdout.clone()),
            ("stderr", self.stderr.clone()),
            ("kubectl", calls.join("\n")),
        ];
        parts.iter().fold(end, |text, (title, part)| text + &lines(title, part))
    }

    /// The first call whose failure is not the runbook's fault.
    #[must_use]
    pub fn trouble(&self) -> Option<&Trouble> {
        self.calls.iter().find_map(|call| call.trouble.as_ref())
    }
}

/// Runs blocks.
#[derive(Clone, Debug)]
pub struct Runbook {
    room: PathBuf,
    program: PathBuf,
}

impl Runbook {
    /// Runs blocks with this very program as their `kubectl`; sockets are made in `room`, which should lie on a local file system.
    ///
    /// # Errors
    /// [`RunbookError::NoRoom`] where this program's path cannot be found.
    pub fn new(room: impl Into<PathBuf>) -> Result<Self, RunbookError> {
        let room = room.into();
        let program = std::env::current_exe().map_err(|cause| RunbookError::NoRoom { room: room.clone(), cause })?;
        Ok(Self { room, program })
    }

    /// Takes another program as `kubectl`.
    #[must_use]
    pub fn with_program(mut self, program: impl Into<PathBuf>) -> Self {
        self.program = program.into();
        self
    }

    /// Runs a block with `bash -euo pipefail` in a directory, ends all its processes at its end or after `limit`, and gives what came of it.
    ///
    /// When the future is dropped, its processes are ended too.
    ///
    /// # Errors
    /// [`RunbookError`] where it could not be run; that a block fails is an output.
    pub async fn run(
        &self,
        block: &Block,
        target: Arc<dyn Target>,
        directory: &Path,
        env: &BTreeMap<String, String>,
        limit: Duration,
    ) -> Result<RunbookOutput, RunbookError> {
        let bash = which::which("bash").map_err(RunbookError::NoBash)?;
        let no_room = |cause| RunbookError::NoRoom { room: self.room.clone(), cause };
        let no_shell = |cause| RunbookError::NoShell { block: block.place.to_string(), directory: directory.to_owned(), cause };
        let server = Server::start(target, &self.room, "runbook", &self.program).await.map_err(no_room)?;
        let failed_line = server.file("failed-line");
        let begun = Instant::now();
        let mut command = Command::new(bash);
        command.args(["-euo", "pipefail", "-c", &script(block)]).arg(&*block.place.file);
        command.env_remove("BASH_ENV").env("KUBECONFIG", NO_CLUSTER).envs(env).env("PATH", path_with(&server.bin()));
        command.env(SOCKET, server.socket()).env(FAILED_LINE, &failed_line).current_dir(directory);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).kill_on_drop(true);
        let mut child = command.spawn().map_err(no_shell)?;
        let group = Group::of(&child);
        let mut readers = JoinSet::new();
        let stdout = child.stdout.take().map(|stream| keep(&mut readers, stream));
        let stderr = child.stderr.take().map(|stream| keep(&mut readers, stream));
        let ended = wait(&mut child, &group, limit).await.map_err(no_shell)?;
        drop(group);
        // What has left the group may hold the streams open for ever; what it writes is not waited for.
        let _all_read = timeout(GRACE, async { while readers.join_next().await.is_some() {} }).await;
        let failed_line = tokio::fs::read_to_string(failed_line).await.ok().and_then(|line| line.trim().parse().ok());
        Ok(RunbookOutput {
            ended,
            stdout: text(stdout),
            stderr: text(stderr),
            failed_line: failed_line.filter(|_| ended != Ended::Code(0)),
            took: begun.elapsed(),
            calls: server.calls(),
            edits: block.edits.clone(),
        })
    }
}

/// The block, moved down so that bash counts the lines of the Markdown file; on the empty line before it a trap notes the line that fails.
fn script(block: &Block) -> String {
    let trap = format!("trap 'echo \"$LINENO\" > \"${FAILED_LINE}\"' ERR");
    let above = usize::try_from(block.place.line).unwrap_or(1).saturating_sub(2);
    format!("{}{trap}\n{}", "\n".repeat(above), block.text)
}

fn path_with(bin: &Path) -> OsString {
    let mut path = OsString::from(bin);
    if let Some(rest) = std::env::var_os("PATH") {
        path.push(":");
        path.push(rest);
    }
    path
}

/// The processes of a block; killed when dropped.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw))
    }

    fn signal(&self, signal: Signal) {
        let Some(group) = self.0 else { return };
        match killpg(group, signal) {
            // Nothing is left of it.
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => tracing::warn!(%group, %error, "a runbook's processes cannot be ended"),
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}

async fn wait(child: &mut Child, group: &Group, limit: Duration) -> io::Result<Ended> {
    if let Some(status) = at_most(limit, "the end of the runbook's block", child.wait()).await {
        return status.map(ended);
    }
    group.signal(Signal::SIGTERM);
    if timeout(GRACE, child.wait()).await.is_err() {
        group.signal(Signal::SIGKILL);
        child.wait().await?;
    }
    Ok(Ended::OutOfTime(limit))
}

fn ended(status: ExitStatus) -> Ended {
    match (status.code(), status.signal()) {
        (Some(code), _) => Ended::Code(code),
        (None, signal) => Ended::Signal(signal.unwrap_or_default()),
    }
}

type Kept = Arc<Mutex<Bounded>>;

/// Keeps what a stream brings, in a task.
fn keep(readers: &mut JoinSet<()>, mut stream: impl AsyncRead + Unpin + Send + 'static) -> Kept {
    let kept = Kept::default();
    let own = Arc::clone(&kept);
    readers.spawn(async move {
        let mut piece = vec![0; 16 * 1024];
        loop {
            match stream.read(&mut piece).await {
                Ok(0) => return,
                Ok(length) => own.lock().unwrap_or_else(PoisonError::into_inner).write(&piece[..length]),
                Err(error) => return tracing::warn!(%error, "a runbook's output broke off"),
            }
        }
    });
    kept
}

fn text(kept: Option<Kept>) -> String {
    kept.map(|kept| kept.lock().unwrap_or_else(PoisonError::into_inner).text()).unwrap_or_default()
}
