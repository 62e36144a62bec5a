//! Running commands in a container that is there: its namespaces, user, rights and environment, as `kubectl exec`.

use super::{
    container,
    plan::{Joining, Refusal},
    processes::{self, FreezeError},
    running::Running,
};
use crate::target::{Attached, ExecOutput};
use nix::sched::{CloneFlags, setns};
use std::{
    fs::{self, File},
    io,
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    process::Stdio,
    sync::atomic::Ordering,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
};

/// What a command that has ended may leave holding its output; then the output is cut.
const LINGER: Duration = Duration::from_secs(2);

/// Why a command was not run to its end.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// There is no such program in the container; 127 in a shell.
    #[error("{0}")]
    NotFound(String),
    /// The program may not be run by this user; 126 in a shell.
    #[error("{0}")]
    NotPermitted(String),
    /// The container has ended.
    #[error("the container is not running")]
    NotRunning,
    /// It took too long and was ended with everything it had started.
    #[error("the command did not end within {after:?}")]
    TimedOut {
        /// The limit.
        after: Duration,
    },
    /// Our own work failed.
    #[error("running a command in the container: {0}")]
    Failed(#[from] io::Error),
}

impl From<FreezeError> for ExecError {
    fn from(error: FreezeError) -> Self {
        Self::Failed(io::Error::other(error))
    }
}

struct Joined {
    child: Child,
    answer: PathBuf,
    orders: PathBuf,
}

impl Drop for Joined {
    fn drop(&mut self) {
        for path in [&self.orders, &self.answer] {
            if let Err(error) = fs::remove_file(path) {
                // It goes with the container, at the latest.
                tracing::trace!(%error, path = %path.display(), "left until the container is removed");
            }
        }
    }
}

impl Joined {
    /// Why it did not start, if it did not.
    fn refusal(&self) -> Option<Refusal> {
        serde_json::from_slice(&fs::read(&self.answer).ok()?).ok()
    }
}

impl Running {
    async fn join(&self, command: &[String], environment: &[(String, String)], input: Stdio, errors: Stdio) -> Result<Joined, ExecError> {
        if self.exit().is_some() {
            return Err(ExecError::NotRunning);
        }
        let _starting = self.inner.starting.read().await;
        let number = self.inner.joined.fetch_add(1, Ordering::Relaxed);
        let base = self.inner.directory.join("joining").join(number.to_string());
        let (orders, answer) = (base.with_extension("json"), base.with_extension("answer"));
        let joining = Joining {
            plan: self.inner.directory.join("plan.json"),
            pid: self.inner.pid,
            command: command.to_vec(),
            environment: environment.to_vec(),
            answer: answer.clone(),
        };
        let (pid, to) = (self.inner.pid, orders.clone());
        let spawned = self
            .inner
            .namespaces
            .inside(move || {
                fs::write(&to, serde_json::to_vec(&joining)?)?;
                setns(File::open(format!("/proc/{pid}/ns/cgroup"))?, CloneFlags::CLONE_NEWCGROUP)?;
                setns(File::open(format!("/proc/{pid}/ns/pid"))?, CloneFlags::CLONE_NEWPID)?;
                // When whoever asked is gone, nobody waits for it any more.
                Command::new("/proc/self/exe")
                    .arg(container::EXEC)
                    .arg(to)
                    .stdin(input)
                    .stdout(Stdio::piped())
                    .stderr(errors)
                    .kill_on_drop(true)
                    .spawn()
            })
            .await;
        match spawned {
            Ok(child) => Ok(Joined { child, answer, orders }),
            // Its namespaces go when it goes.
            Err(_) if processes::process(self.inner.pid).is_none_or(|process| process.state == 'Z') => Err(ExecError::NotRunning),
            Err(error) => Err(error.into()),
        }
    }

    /// Runs a command and waits for its end, or for `timeout`, after which it is killed with everything it has started.
    ///
    /// # Errors
    /// [`ExecError`]; a command that ran and failed is an [`ExecOutput`] with its code.
    pub async fn exec(
        &self,
        command: &[String],
        environment: &[(String, String)],
        stdin: &[u8],
        timeout: Option<Duration>,
    ) -> Result<ExecOutput, ExecError> {
        let input = if stdin.is_empty() { Stdio::null() } else { Stdio::piped() };
        let mut joined = self.join(command, environment, input, Stdio::piped()).await?;
        let pid = joined.child.id().and_then(|pid| i32::try_from(pid).ok());
        let output = match timeout {
            None => finish(&mut joined.child, stdin).await?,
            Some(after) => match tokio::time::timeout(after, finish(&mut joined.child, stdin)).await {
                Ok(output) => output?,
                Err(_) => {
                    if let Some(pid) = pid {
                        processes::kill_tree(&self.inner.pid_namespace, pid).await?;
                    }
                    joined.child.wait().await?;
                    return Err(ExecError::TimedOut { after });
                }
            },
        };
        match joined.refusal() {
            None => Ok(output),
            Some(Refusal::NotFound(message)) => Err(ExecError::NotFound(message)),
            Some(Refusal::NotPermitted(message)) => Err(ExecError::NotPermitted(message)),
            Some(_) if self.exit().is_some() || processes::process(self.inner.pid).is_none_or(|process| process.state == 'Z') => {
                Err(ExecError::NotRunning)
            }
            Some(Refusal::Impossible(message) | Refusal::Failed(message)) => Err(ExecError::Failed(io::Error::other(message))),
        }
    }

    /// Starts a command whose input and output stay open; what it says on standard error goes to the container's log.
    ///
    /// # Errors
    /// [`ExecError::NotRunning`] or [`ExecError::Failed`]; a command that cannot be started ends its output at once.
    pub async fn attach(&self, command: &[String]) -> Result<Attached, ExecError> {
        let log = File::options().create(true).append(true).open(&self.inner.log)?;
        let mut joined = self.join(command, &[], Stdio::piped(), Stdio::from(log)).await?;
        let missing = || ExecError::Failed(io::Error::other("the command has no pipes"));
        let stdin = joined.child.stdin.take().ok_or_else(missing)?;
        let stdout = joined.child.stdout.take().ok_or_else(missing)?;
        tokio::spawn(async move {
            let ended = joined.child.wait().await;
            tracing::debug!(?ended, refusal = ?joined.refusal(), "an attached command has ended");
        });
        Ok(Attached { stdin: Box::pin(stdin), stdout: Box::pin(stdout) })
    }
}

async fn finish(child: &mut Child, stdin: &[u8]) -> io::Result<ExecOutput> {
    let (input, output, errors) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let feed = async {
        if let Some(mut input) = input
            && let Err(error) = input.write_all(stdin).await
        {
            // It need not read what it is given.
            tracing::trace!(%error, "a command did not read its input");
        }
    };
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let mut reading = Box::pin(async { tokio::join!(feed, collect(output, &mut stdout), collect(errors, &mut stderr)) });
    let status = tokio::select! {
        read = &mut reading => {
            read.1.and(read.2)?;
            drop(reading);
            child.wait().await?
        }
        status = child.wait() => {
            // What it left behind may hold the pipes open for good.
            match tokio::time::timeout(LINGER, &mut reading).await {
                Ok(read) => read.1.and(read.2)?,
                Err(_) => tracing::debug!("a command left its output open"),
            }
            drop(reading);
            status?
        }
    };
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    Ok(ExecOutput { code, stdout, stderr })
}

async fn collect(from: Option<impl AsyncRead + Unpin>, into: &mut Vec<u8>) -> io::Result<()> {
    match from {
        Some(mut from) => from.read_to_end(into).await.map(drop),
        None => Ok(()),
    }
}
