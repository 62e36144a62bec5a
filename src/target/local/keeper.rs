//! The keeper: it owns the user namespace and the run directory, starts the node, and clears up when node or outer process is gone.
//!
//! It stays outside the node's PID namespace, so that it lives on when everything within is killed.

use super::{
    node::{self, Role},
    run_directory::{self, RunDirectory},
    status::{self, Stage, Status},
};
use crate::wait::{Look, TimedOut, Until};
use nix::{
    sched::{CloneFlags, unshare},
    sys::{
        prctl::set_pdeathsig,
        signal::{SigSet, Signal, kill},
    },
    unistd::{Pid, getppid},
};
use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read},
    os::unix::{fs::DirBuilderExt, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, ExitStatus},
    time::Duration,
};

/// How long a node may take to start on a loaded machine.
const HEARING: Duration = Duration::from_secs(20);
/// The outer process is gone.
const ORPHANED: Signal = Signal::SIGUSR1;

/// What the outer process tells its keeper.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Orders {
    /// Where the status lines go.
    pub(super) status: i32,
    /// Where the word comes from that the id maps are written.
    pub(super) go: i32,
    /// The outer process.
    pub(super) outer: i32,
    /// Where run directories are made.
    pub(super) base: PathBuf,
    /// Only remove what killed keepers left.
    pub(super) sweep: bool,
}

/// Runs the keeper.
pub(super) fn run(orders: &Orders, arguments: &[OsString]) -> ExitCode {
    node::name_process(c"conform-keeper");
    let mut status = match status::open_inherited(orders.status, true, true) {
        Ok(status) => status,
        Err(error) => {
            eprintln!("redis-conformance: the keeper cannot report: {error}");
            return ExitCode::FAILURE;
        }
    };
    match keep(orders, arguments, &mut status) {
        Ok(code) => code,
        Err((stage, doing, error)) => {
            status::tell(&mut status, &Status::failed(stage, doing, &error));
            ExitCode::FAILURE
        }
    }
}

type Failed = (Stage, &'static str, io::Error);

fn at<E: Into<io::Error>>(stage: Stage, doing: &'static str) -> impl FnOnce(E) -> Failed {
    move |error| (stage, doing, error.into())
}

fn keep(orders: &Orders, arguments: &[OsString], status: &mut File) -> Result<ExitCode, Failed> {
    let reason = enter_user_namespace(orders, status)?;
    let mut signals = SigSet::empty();
    for signal in [ORPHANED, Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT] {
        signals.add(signal);
    }
    signals.thread_set_mask().map_err(at(Stage::Start, "blocking signals"))?;
    set_pdeathsig(ORPHANED).map_err(at(Stage::Start, "asking for word of the outer process"))?;
    let (swept, failed) = run_directory::sweep(&orders.base);
    tracing::debug!(?swept, ?failed, "swept");
    if orders.sweep {
        return Ok(report_sweep(&swept, &failed));
    }
    let directory = RunDirectory::create(&orders.base).map_err(at(Stage::RunDirectory, "making the run directory"))?;
    let ended = run_node(orders, &reason, directory.path(), arguments, &signals);
    let removed = directory.remove().map_err(at(Stage::RunDirectory, "removing the run directory"));
    let code = ended?;
    removed?;
    Ok(ExitCode::from(code))
}

/// `Ok(reason)`: empty, or why there is only a single user.
fn enter_user_namespace(orders: &Orders, status: &mut File) -> Result<String, Failed> {
    let mut go = status::open_inherited(orders.go, false, false).map_err(at(Stage::Start, "opening the outer process's pipe"))?;
    unshare(CloneFlags::CLONE_NEWUSER).map_err(at(Stage::UserNamespace, "making a user namespace"))?;
    // After unshare, which may clear it; until there is something to clear up, dying is enough.
    set_pdeathsig(Signal::SIGKILL).map_err(at(Stage::Start, "asking to die with the outer process"))?;
    if getppid() != Pid::from_raw(orders.outer) {
        return Err((Stage::Start, "starting", io::Error::other("the outer process is gone")));
    }
    status::tell(status, &Status::Unshared);
    // Maps are written from outside; the word is the reason why they are small, if they are.
    let mut reason = String::new();
    go.read_to_string(&mut reason).map_err(at(Stage::Start, "reading the outer process's word"))?;
    match reason.strip_prefix("mapped:") {
        Some(reason) => Ok(reason.to_owned()),
        None => Err((Stage::Start, "starting", io::Error::other("the outer process is gone"))),
    }
}

fn run_node(orders: &Orders, reason: &str, directory: &Path, arguments: &[OsString], signals: &SigSet) -> Result<u8, Failed> {
    unshare(CloneFlags::CLONE_NEWPID).map_err(at(Stage::PidNamespace, "making a PID namespace"))?;
    let outer = Pid::from_raw(orders.outer);
    let orders = node::Orders {
        status: orders.status,
        keeper: std::process::id(),
        keeper_started: node::start_of(Path::new("/proc/self/stat")).map_err(at(Stage::Start, "reading /proc/self/stat"))?,
        directory: directory.to_owned(),
        single_user: reason.to_owned(),
        outer: orders.outer,
    };
    // Temporary files of the run are part of it, so that a kill leaves none.
    let temporary = directory.join("tmp");
    std::fs::DirBuilder::new().mode(0o700).create(&temporary).map_err(at(Stage::Start, "making a directory for temporary files"))?;
    let mut node = Command::new("/proc/self/exe")
        .env("TMPDIR", temporary)
        .arg(Role::Node.name())
        .arg(serde_json::to_string(&orders).map_err(|error| (Stage::Start, "writing orders", io::Error::other(error)))?)
        .args(arguments)
        .spawn()
        .map_err(at(Stage::PidNamespace, "starting the node"))?;
    // Asked for after the wish to hear of its death, so that a death in between is seen here.
    let outer_gone = getppid() != outer;
    watch(&mut node, signals, outer_gone).map_err(at(Stage::Start, "waiting for the node"))
}

/// Passes the first signal on and waits for the orderly end; a second one, or the outer process's death, kills everything.
fn watch(node: &mut Child, signals: &SigSet, outer_gone: bool) -> io::Result<u8> {
    let mut asked = false;
    if outer_gone {
        node.kill()?;
    }
    loop {
        if let Some(ended) = node.try_wait()? {
            return Ok(code(ended));
        }
        match signals.wait()? {
            Signal::SIGCHLD => {}
            ORPHANED => {
                node.kill()?;
                node.wait()?;
                return Ok(137);
            }
            _ if asked => {
                node.kill()?;
                node.wait()?;
                return Ok(130);
            }
            signal => {
                asked = true;
                let node = node::pid_of(node)?;
                heard(node, signal)?;
                kill(node, signal)?;
            }
        }
    }
}

/// Waits until the node has a handler for the signal: the kernel drops what the first process of a PID namespace does not handle, so
/// that a Ctrl-C while it starts would be lost.
fn heard(node: Pid, signal: Signal) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let status = Path::new("/proc").join(node.to_string()).join("status");
    let limit = Until::within(HEARING).every(Duration::from_millis(5));
    let met: Result<(), TimedOut> = runtime.block_on(limit.met(format!("the node to handle {signal}"), || async {
        // One that has ended hears nothing, and nothing is lost.
        let Ok(text) = std::fs::read_to_string(&status) else { return Ok(Look::Ready(())) };
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let caught = field("SigCgt:").and_then(|set| u64::from_str_radix(set, 16).ok()).unwrap_or(0);
        let ended = field("State:").is_some_and(|state| state.starts_with('Z'));
        Ok(if ended || caught >> (signal as i32 - 1) & 1 == 1 { Look::Ready(()) } else { Look::NotYet("it starts".into()) })
    }));
    if let Err(error) = met {
        tracing::debug!(%error, "the signal is sent anyway");
    }
    Ok(())
}

fn code(ended: ExitStatus) -> u8 {
    let code = ended.code().unwrap_or_else(|| 128 + ended.signal().unwrap_or(0));
    u8::try_from(code).unwrap_or(u8::MAX)
}

fn report_sweep(swept: &[PathBuf], failed: &[String]) -> ExitCode {
    for path in swept {
        println!("{}", path.display());
    }
    for failure in failed {
        eprintln!("{failure}");
    }
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
