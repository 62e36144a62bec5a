//! Entering the node: outer process → keeper → node, each this same program under a hidden first argument.
//!
//! The node is PID 1 of a PID namespace with its own mounts and `/proc`, and the harness runs in it: whatever ends it, the
//! kernel ends everything that it started.

mod error;

use super::{
    id_map,
    keeper::{self, Orders as KeeperOrders},
    run_directory,
    runtime::{container, facts},
    status::{self, Inherited, Stage, Status},
};
pub use error::EnterError;
use error::explain;
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    sys::{
        prctl::set_pdeathsig,
        signal::{SigSet, Signal, kill},
    },
    unistd::Pid,
};
use std::{
    env,
    ffi::OsString,
    fs, io,
    io::Write,
    os::unix::process::{CommandExt, ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    sync::OnceLock,
};

fn start(doing: impl Into<String>) -> impl FnOnce(io::Error) -> EnterError {
    let doing = doing.into();
    move |cause| EnterError::Start { doing, cause }
}

/// The hidden first arguments of this program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Keeper,
    Node,
    Init,
    Exec,
    Probe,
}

impl Role {
    const ALL: [Self; 5] = [Self::Keeper, Self::Node, Self::Init, Self::Exec, Self::Probe];

    /// The argument.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Keeper => "__keeper",
            Self::Node => "__node",
            Self::Init => container::INIT,
            Self::Exec => container::EXEC,
            Self::Probe => facts::PROBE,
        }
    }
}

/// What the keeper tells the node.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct Orders {
    /// Where the status line goes.
    pub(super) status: i32,
    /// The keeper's PID, as the outer `/proc` has it.
    pub(super) keeper: u32,
    /// Its start time.
    pub(super) keeper_started: u64,
    /// The run directory.
    pub(super) directory: PathBuf,
    /// Why there is only a single user; empty if there are many.
    pub(super) single_user: String,
    /// The process that the user started, as the outer `/proc` has it.
    pub(super) outer: i32,
}

static NODE: OnceLock<Node> = OnceLock::new();

struct Node {
    orders: Orders,
    /// This process, as the outer `/proc` has it.
    outside: Option<i32>,
}

/// Plays the hidden role that the arguments name, if they name one; to be called first of all, before any thread exists.
/// `run` is what the node is for: it gets the arguments that were given to [`enter`].
#[must_use]
pub fn dispatch(run: fn(Vec<OsString>) -> ExitCode) -> Option<ExitCode> {
    let mut arguments = env::args_os().skip(1);
    let first = arguments.next()?;
    let role = Role::ALL.into_iter().find(|role| first == role.name())?;
    let orders = arguments.next().and_then(|text| text.into_string().ok()).unwrap_or_default();
    let rest: Vec<_> = arguments.collect();
    Some(match role {
        Role::Keeper => parsed(&orders, |orders| keeper::run(&orders, &rest)),
        Role::Node => parsed(&orders, |orders| be_node(orders, rest, run)),
        Role::Init => container::init(&orders),
        Role::Exec => container::exec(&orders),
        Role::Probe => facts::probe(&orders),
    })
}

fn parsed<T: serde::de::DeserializeOwned>(orders: &str, play: impl FnOnce(T) -> ExitCode) -> ExitCode {
    match serde_json::from_str(orders) {
        Ok(orders) => play(orders),
        Err(error) => {
            eprintln!("redis-conformance: this argument is for the program's own use ({error})");
            ExitCode::from(2)
        }
    }
}

/// Runs the function given to [`dispatch`] in a node, with these arguments, and gives its exit code.
///
/// Signals that ask to end (SIGINT, SIGTERM, SIGHUP) go to the node once; a second one kills it. To be called while this
/// process has a single thread.
///
/// # Errors
/// [`EnterError`] with the remedy when there can be no node here.
#[expect(clippy::needless_pass_by_value, reason = "they are the caller's own arguments, and it has no use for them afterwards")]
pub fn enter(arguments: Vec<OsString>) -> Result<ExitCode, EnterError> {
    if facts::nft().is_none() {
        return Err(EnterError::NoProgram { program: "nft", package: "nftables" });
    }
    through_keeper(&arguments, false)
}

/// Removes what killed runs left, and gives the removed directories.
///
/// # Errors
/// [`EnterError`] when there can be no user namespace, within which alone files of other users can be removed.
pub fn sweep_stale() -> Result<Vec<PathBuf>, EnterError> {
    let stale = list_stale();
    if !stale.is_empty() {
        through_keeper(&[], true)?;
    }
    Ok(stale.into_iter().filter(|path| !path.exists()).collect())
}

/// Run directories whose keeper is gone.
#[must_use]
pub fn list_stale() -> Vec<PathBuf> {
    run_directory::bases().iter().flat_map(|base| run_directory::stale(base)).collect()
}

/// The directory of this run, on disk; it is gone after the run.
///
/// # Panics
/// Outside the node.
#[must_use]
pub fn run_directory() -> &'static Path {
    #[expect(clippy::expect_used, reason = "only the node has sandboxes, and everything that asks has one")]
    &NODE.get().expect("this is the node").orders.directory
}

/// Why processes have only a single user to run under, if so.
pub(super) fn single_user() -> Option<&'static str> {
    NODE.get().map(|node| node.orders.single_user.as_str()).filter(|reason| !reason.is_empty())
}

/// The number of the process that the user started, for `kill` in a terminal.
#[must_use]
pub fn started_by_user() -> Option<i32> {
    NODE.get().map(|node| node.orders.outer)
}

/// The number of the node for programs outside of it.
pub(super) fn outside() -> Option<i32> {
    NODE.get().and_then(|node| node.outside)
}

/// Whether this process is the node.
#[must_use]
pub fn inside() -> bool {
    NODE.get().is_some()
}

fn through_keeper(arguments: &[OsString], sweep: bool) -> Result<ExitCode, EnterError> {
    let bases = if sweep { run_directory::bases() } else { vec![run_directory::base().map_err(EnterError::RunDirectory)?] };
    let signals = ending_signals();
    let before =
        signals.thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_BLOCK).map_err(|error| start("blocking signals")(error.into()))?;
    let mut code = Ok(ExitCode::SUCCESS);
    for base in bases {
        code = with_keeper(arguments, base, sweep, &signals);
        if code.is_err() {
            break;
        }
    }
    before.thread_set_mask().map_err(|error| start("restoring signals")(error.into()))?;
    code
}

fn with_keeper(arguments: &[OsString], base: PathBuf, sweep: bool, signals: &SigSet) -> Result<ExitCode, EnterError> {
    let status = Inherited::written().map_err(start("making a pipe"))?;
    let go = Inherited::read().map_err(start("making a pipe"))?;
    let outer = Pid::this().as_raw();
    let orders = KeeperOrders { status: status.number(), go: go.number(), outer, base, sweep };
    let mut command = Command::new("/proc/self/exe");
    command.arg(Role::Keeper.name()).arg(serde_json::to_string(&orders).map_err(|error| start("writing orders")(error.into()))?);
    // A process group of its own: what the terminal sends to ours reaches the node once, through us.
    command.args(arguments).process_group(0);
    if sweep {
        command.stdout(Stdio::null());
    }
    let mut keeper = command.spawn().map_err(start("starting the keeper"))?;
    let (mut status, mut go) = (status.started(), go.started());
    let mut failure = None;
    while let Some(line) = status::hear(&mut status).map_err(start("hearing from the keeper"))? {
        match line {
            Status::Unshared => match id_map::write(pid_of(&keeper).map_err(start("naming the keeper"))?) {
                Ok(reason) => {
                    let word = format!("mapped:{}", reason.unwrap_or_default());
                    go.write_all(word.as_bytes()).map_err(start("speaking to the keeper"))?;
                    // It reads to the end.
                    go = fs::File::open("/dev/null").map_err(start("opening /dev/null"))?;
                }
                Err(error) => {
                    failure = Some(explain(Stage::UserNamespace, error.raw_os_error(), format!("writing the id maps: {error}")));
                    break;
                }
            },
            Status::Running => break,
            Status::Failed { stage, errno, message } => {
                failure = Some(explain(stage, errno, message));
                break;
            }
        }
    }
    drop(go);
    let ended = watch(&mut keeper, signals).map_err(start("waiting for the keeper"))?;
    if let Some(failure) = failure {
        return Err(failure);
    }
    // A failure after `Running` is said too: clearing up went wrong.
    if let Ok(Some(Status::Failed { stage, errno, message })) = status::hear(&mut status) {
        return Err(explain(stage, errno, message));
    }
    match (ended.code(), ended.signal()) {
        (Some(code), _) => Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))),
        (None, Some(signal)) if !sweep => {
            through_keeper(&[], true)?;
            Err(EnterError::KeeperKilled(signal))
        }
        (None, signal) => Err(EnterError::KeeperKilled(signal.unwrap_or(0))),
    }
}

/// Passes each signal on to the keeper, which knows which is the second.
fn watch(keeper: &mut Child, signals: &SigSet) -> io::Result<std::process::ExitStatus> {
    loop {
        if let Some(ended) = keeper.try_wait()? {
            return Ok(ended);
        }
        match signals.wait()? {
            Signal::SIGCHLD => {}
            signal => kill(pid_of(keeper)?, signal)?,
        }
    }
}

/// SIGCHLD, and the signals that ask to end, but those that we were started to ignore (`nohup`, a shell's background).
fn ending_signals() -> SigSet {
    let ignored = fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|text| u64::from_str_radix(text.lines().find_map(|line| line.strip_prefix("SigIgn:"))?.trim(), 16).ok())
        .unwrap_or(0);
    let mut set = SigSet::empty();
    set.add(Signal::SIGCHLD);
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        if ignored >> (signal as i32 - 1) & 1 == 0 {
            set.add(signal);
        }
    }
    set
}

/// Names this process in `ps` and `top`, where it would be "exe".
pub(super) fn name_process(name: &std::ffi::CStr) {
    if let Err(error) = nix::sys::prctl::set_name(name) {
        tracing::debug!(%error, "the process keeps its name");
    }
}

fn be_node(orders: Orders, arguments: Vec<OsString>, run: fn(Vec<OsString>) -> ExitCode) -> ExitCode {
    name_process(c"conform-node");
    let mut status = match status::open_inherited(orders.status, true, false) {
        Ok(status) => status,
        Err(error) => {
            eprintln!("redis-conformance: the node cannot report: {error}");
            return ExitCode::FAILURE;
        }
    };
    // This /proc is still the outer one, in which the link has our number there.
    let outside = fs::read_link("/proc/self").ok().and_then(|number| number.to_str()?.parse().ok());
    if let Err((stage, doing, error)) = settle(&orders) {
        status::tell(&mut status, &Status::failed(stage, doing, &error));
        return ExitCode::FAILURE;
    }
    // dispatch runs once a process.
    let _ = NODE.set(Node { orders, outside });
    status::tell(&mut status, &Status::Running);
    drop(status);
    run(arguments)
}

fn settle(orders: &Orders) -> Result<(), (Stage, &'static str, io::Error)> {
    set_pdeathsig(Signal::SIGKILL).map_err(|error| (Stage::Start, "asking to die with the keeper", error.into()))?;
    // The keeper may have died before it was asked; this /proc is still the outer one.
    let keeper = Path::new("/proc").join(orders.keeper.to_string()).join("stat");
    if start_of(&keeper).ok() != Some(orders.keeper_started) {
        return Err((Stage::Start, "starting the node", io::Error::other("the keeper is gone")));
    }
    SigSet::empty().thread_set_mask().map_err(|error| (Stage::Start, "unblocking signals", error.into()))?;
    unshare(CloneFlags::CLONE_NEWNS).map_err(|error| (Stage::MountNamespace, "making a mount namespace", error.into()))?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .map_err(|error| (Stage::MountNamespace, "making mounts private", error.into()))?;
    mount(Some("proc"), "/proc", Some("proc"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC, None::<&str>)
        .map_err(|error| (Stage::Proc, "mounting /proc", error.into()))
}

/// The start time in a `stat` file of `/proc`, in ticks since boot; a zombie has none.
pub(in crate::target) fn start_of(stat: &Path) -> io::Result<u64> {
    let text = fs::read_to_string(stat)?;
    // The program's name stands in parentheses and may hold anything.
    let fields: Vec<_> = text.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect()).unwrap_or_default();
    match fields[..] {
        ["Z" | "X", ..] => Err(io::Error::other("it has ended")),
        _ => fields
            .get(19)
            .and_then(|ticks| ticks.parse().ok())
            .ok_or_else(|| io::Error::other(format!("{} is not understood", stat.display()))),
    }
}

/// A child's PID as the type that signals take.
pub(super) fn pid_of(child: &Child) -> io::Result<Pid> {
    i32::try_from(child.id()).map(Pid::from_raw).map_err(io::Error::other)
}
