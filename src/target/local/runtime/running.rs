//! A container's main process: starting it, waiting for it, signals, freezing, and what is left of it.

use super::{
    super::node,
    ContainerSpec, Exit,
    cgroup::Cgroup,
    container, log,
    namespace::Namespaces,
    plan::Refusal,
    processes::{self, FreezeError, ProcessInfo},
    root,
};
use nix::sys::signal::Signal;
use std::{
    fs, io,
    os::{fd::OwnedFd, unix::process::ExitStatusExt},
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};
use tokio::{
    io::AsyncReadExt,
    process::{Child, Command},
    sync::{RwLock, watch},
    task::JoinHandle,
};

/// How long the last output may take to be written after the container has ended.
const LAST_OUTPUT: Duration = Duration::from_secs(5);

/// Why a container was not started. The first three are the manifest's doing, as a kubelet says `RunContainerError`.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is no such program in the container; 127 in a shell.
    #[error("{0}")]
    NotFound(String),
    /// The program may not be run by this user; 126 in a shell.
    #[error("{0}")]
    NotPermitted(String),
    /// Something else in the specification cannot be had: a user that does not exist here, a file where a directory should be.
    #[error("{0}")]
    Impossible(String),
    /// Our own work failed.
    #[error("starting the container: {0}")]
    Failed(#[from] io::Error),
}

impl StartError {
    /// The exit code that stands in the container's status.
    #[must_use]
    pub fn code(&self) -> i32 {
        match self {
            Self::NotFound(_) => 127,
            Self::NotPermitted(_) => 126,
            Self::Impossible(_) | Self::Failed(_) => 128,
        }
    }
}

impl From<Refusal> for StartError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotFound(message) => Self::NotFound(message),
            Refusal::NotPermitted(message) => Self::NotPermitted(message),
            Refusal::Impossible(message) => Self::Impossible(message),
            Refusal::Failed(message) => Self::Failed(io::Error::other(message)),
        }
    }
}

/// A container's main process; clones are the same one.
#[derive(Clone, Debug)]
pub struct Running {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) pid: i32,
    pub(super) pid_namespace: String,
    pub(super) namespaces: Namespaces,
    pub(super) directory: PathBuf,
    pub(super) log: PathBuf,
    pub(super) joined: AtomicU64,
    /// Held by whoever starts a process in the container, and alone by who stops all of them: one that is stopped between fork and
    /// exec would never tell its parent that it has begun.
    pub(super) starting: RwLock<()>,
    started: SystemTime,
    start_ticks: u64,
    exit: watch::Receiver<Option<Exit>>,
    cgroup: Option<Arc<Cgroup>>,
}

/// Numbers the containers of this run.
static STARTED: AtomicU64 = AtomicU64::new(1);

/// Starts a container in a pod's namespaces.
pub(super) async fn start(namespaces: &Namespaces, spec: ContainerSpec) -> Result<Running, StartError> {
    let id = format!("{}-{}", STARTED.fetch_add(1, Ordering::Relaxed), safe(&spec.name));
    let directory = node::run_directory().join("containers").join(&id);
    let (log, name) = (spec.log.clone(), spec.name.clone());
    let prepared = {
        let directory = directory.clone();
        tokio::task::spawn_blocking(move || prepare(&spec, &id, &directory)).await.map_err(io::Error::other)?
    };
    let begun = match prepared {
        Ok(cgroup) => match begin(namespaces, &directory, &log).await {
            Ok(begun) => Ok((begun, cgroup)),
            Err(error) => Err((error, cgroup)),
        },
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => Err((StartError::Impossible(error.to_string()), None)),
        Err(error) => Err((error.into(), None)),
    };
    match begun {
        Ok((begun, cgroup)) => {
            tracing::debug!(container = name, pid = begun.pid, "started");
            let cgroup = cgroup.map(Arc::new);
            let exit = follow(begun.child, begun.pump, cgroup.clone());
            Ok(Running {
                inner: Arc::new(Inner {
                    pid: begun.pid,
                    pid_namespace: begun.pid_namespace,
                    namespaces: namespaces.clone(),
                    directory,
                    log,
                    joined: AtomicU64::new(0),
                    starting: RwLock::new(()),
                    started: begun.started,
                    start_ticks: begun.start_ticks,
                    exit,
                    cgroup,
                }),
            })
        }
        Err((error, cgroup)) => {
            clear(&directory, cgroup.as_ref()).await?;
            Err(error)
        }
    }
}

fn safe(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' }).collect()
}

fn prepare(spec: &ContainerSpec, id: &str, directory: &Path) -> io::Result<Option<Cgroup>> {
    fs::create_dir_all(directory)?;
    let facts = super::facts();
    let cgroup = match spec.memory {
        Some(limit) if facts.memory_limit.is_ok() => Some(Cgroup::create(id, limit)?),
        _ => None,
    };
    if let Some(parent) = spec.log.parent() {
        fs::create_dir_all(parent)?;
    }
    let plan = root::build(spec, directory, facts.run_as_user.is_ok(), cgroup.as_ref().map(Cgroup::path))?;
    fs::write(directory.join("plan.json"), serde_json::to_vec(&plan)?)?;
    fs::create_dir_all(directory.join("joining"))?;
    Ok(cgroup)
}

struct Begun {
    child: Child,
    pid: i32,
    pid_namespace: String,
    started: SystemTime,
    start_ticks: u64,
    pump: JoinHandle<()>,
}

async fn begin(namespaces: &Namespaces, directory: &Path, log: &Path) -> Result<Begun, StartError> {
    let plan = directory.join("plan.json");
    let user = serde_json::from_slice::<super::plan::Plan>(&tokio::fs::read(&plan).await?).map_err(io::Error::other)?.user.0;
    let (output, writer) = io::pipe()?;
    // A program may open /dev/stdout anew, which asks for the right to.
    if super::facts().run_as_user.is_ok() {
        nix::unistd::fchown(&writer, Some(user.into()), None).map_err(io::Error::from)?;
    }
    let (mut child, started) = namespaces
        .inside(move || {
            // This thread's next child is PID 1 of the new PID namespace.
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWPID)?;
            let started = SystemTime::now();
            let child = Command::new("/proc/self/exe")
                .arg(container::INIT)
                .arg(plan)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::from(writer))
                .spawn()?;
            Ok((child, started))
        })
        .await?;
    let pump = log::pump(OwnedFd::from(output), log)?;
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).ok_or_else(|| io::Error::other("the process has no PID"))?;
    let mut answer = Vec::new();
    if let Some(mut stdout) = child.stdout.take() {
        // It is closed by exec, so that an empty answer means that the command runs.
        stdout.read_to_end(&mut answer).await?;
    }
    // Not reaped yet, so that it is there even if it has ended already.
    let process = processes::process(pid);
    let pid_namespace = processes::pid_namespace(pid);
    if !answer.is_empty() {
        child.wait().await?;
        pump.abort();
        return Err(serde_json::from_slice::<Refusal>(&answer).map_err(io::Error::other)?.into());
    }
    let start_ticks = process.ok_or_else(|| io::Error::other("the process is not in /proc"))?.start_ticks;
    Ok(Begun { child, pid, pid_namespace: pid_namespace.unwrap_or_default(), started, start_ticks, pump })
}

/// Waits for the end on a task of its own and keeps it for everybody who asks.
fn follow(mut child: Child, pump: JoinHandle<()>, cgroup: Option<Arc<Cgroup>>) -> watch::Receiver<Option<Exit>> {
    let (tell, exit) = watch::channel(None);
    tokio::spawn(async move {
        let status = child.wait().await.inspect_err(|error| tracing::error!(%error, "how a container's process ended cannot be learnt"));
        // Whoever asks after the end finds the whole log. Nobody writes any more: the kernel has ended the whole PID namespace.
        if tokio::time::timeout(LAST_OUTPUT, pump).await.is_err() {
            tracing::warn!("a container's last output was not written in time");
        }
        let signal = status.as_ref().ok().and_then(ExitStatusExt::signal);
        let code = status.ok().and_then(|status| status.code()).unwrap_or_else(|| 128 + signal.unwrap_or(0));
        let out_of_memory = signal == Some(Signal::SIGKILL as i32) && cgroup.is_some_and(|cgroup| cgroup.killed());
        // Nobody may be interested.
        let _ = tell.send(Some(Exit { code, signal, out_of_memory }));
    });
    exit
}

/// Removes the control group and moves the directory out of the way; the files themselves go in the background, since a disk may
/// take its time for each.
async fn clear(directory: &Path, cgroup: Option<&Cgroup>) -> io::Result<()> {
    if let Some(cgroup) = cgroup {
        cgroup.remove().await.map_err(io::Error::other)?;
    }
    let trash = node::run_directory().join("trash");
    tokio::fs::create_dir_all(&trash).await?;
    let Some(name) = directory.file_name() else { return Ok(()) };
    let doomed = trash.join(name);
    match tokio::fs::rename(directory, &doomed).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    }
    tokio::task::spawn_blocking(move || {
        if let Err(error) = fs::remove_dir_all(&doomed) {
            // The keeper removes the whole run directory, and says so if it cannot.
            tracing::warn!(%error, path = %doomed.display(), "left to the keeper");
        }
    });
    Ok(())
}

impl Running {
    /// The main process, as the node numbers it.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.inner.pid
    }

    /// When it was started.
    #[must_use]
    pub fn started(&self) -> SystemTime {
        self.inner.started
    }

    /// When it was started, in clock ticks since boot: no two processes of one PID share it.
    #[must_use]
    pub fn start_ticks(&self) -> u64 {
        self.inner.start_ticks
    }

    /// How it ended, if it has.
    #[must_use]
    pub fn exit(&self) -> Option<Exit> {
        *self.inner.exit.borrow()
    }

    /// Waits for the end; any number may wait, and ask again later.
    pub async fn wait(&self) -> Exit {
        let mut exit = self.inner.exit.clone();
        let ended = exit.wait_for(Option::is_some).await.ok().and_then(|exit| *exit);
        // The task that follows it ends only with the runtime, and then nobody is here to ask.
        ended.unwrap_or(Exit { code: 128, signal: None, out_of_memory: false })
    }

    /// Sends a signal to the main process, from the node; one that has ended is no error. As in a cluster, a main process that
    /// has no handler for it does not notice any signal but SIGKILL and SIGSTOP.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        if self.exit().is_some() {
            return Ok(());
        }
        processes::send(self.inner.pid, signal)
    }

    /// Stops every process of the container and sees each of them stopped. What is run in it later runs.
    ///
    /// # Errors
    /// [`FreezeError`].
    pub async fn freeze(&self) -> Result<(), FreezeError> {
        self.living()?;
        let _nobody_starts = self.inner.starting.write().await;
        processes::freeze(&self.inner.pid_namespace).await
    }

    /// Lets every process of the container run on.
    ///
    /// # Errors
    /// [`FreezeError`].
    pub async fn thaw(&self) -> Result<(), FreezeError> {
        self.living()?;
        processes::thaw(&self.inner.pid_namespace).await
    }

    /// Whether the main process is stopped.
    #[must_use]
    pub fn frozen(&self) -> bool {
        processes::process(self.inner.pid).is_some_and(|process| process.state == 'T' && process.start_ticks == self.inner.start_ticks)
    }

    /// The processes of the container.
    #[must_use]
    pub fn processes(&self) -> Vec<ProcessInfo> {
        if self.exit().is_some() { Vec::new() } else { processes::of_namespace(&self.inner.pid_namespace) }
    }

    fn living(&self) -> Result<(), FreezeError> {
        if self.exit().is_some() { Err(FreezeError::NotRunning) } else { Ok(()) }
    }

    /// Ends it if it still runs, and removes its root and control group; the log stays.
    ///
    /// # Errors
    /// When the disk or the kernel refuses.
    pub async fn remove(&self) -> io::Result<()> {
        self.signal(Signal::SIGKILL)?;
        self.wait().await;
        clear(&self.inner.directory, self.inner.cgroup.as_deref()).await
    }
}
