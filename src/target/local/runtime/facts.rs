//! What this machine lets us do, found by trying once.

use super::{super::node, cgroup};
use std::{
    fs,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    sync::OnceLock,
};

/// The hidden argument of a process that only tries to join a control group.
pub(in crate::target::local) const PROBE: &str = "__probe";

/// What can be had here; each `Err` says why not, and how to get it.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Processes run under the user and group that they ask for.
    pub run_as_user: Result<(), String>,
    /// A container that outgrows its limit is killed.
    pub memory_limit: Result<(), String>,
    /// How control groups are had.
    pub cgroup: CgroupVersion,
}

/// Which control groups limit memory here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CgroupVersion {
    /// The memory controller is a hierarchy of its own.
    V1,
    /// One hierarchy for all.
    V2,
    /// None that we may use.
    None,
}

/// What can be had here; tried at the first call, within some milliseconds. Only in the node.
#[must_use]
pub fn facts() -> &'static Facts {
    static FACTS: OnceLock<Facts> = OnceLock::new();
    FACTS.get_or_init(|| {
        let base = cgroup::base();
        Facts {
            run_as_user: try_user(),
            cgroup: base.map_or(CgroupVersion::None, cgroup::Base::version),
            memory_limit: base.map(|_| ()).map_err(str::to_owned),
        }
    })
}

fn try_user() -> Result<(), String> {
    if let Some(reason) = node::single_user() {
        return Err(format!("this user can use only its own id here: {reason}"));
    }
    let file = node::run_directory().join("tried-user");
    let tried = fs::write(&file, "").and_then(|()| chown(&file, Some(999), Some(1000)));
    let removed = fs::remove_file(&file);
    tried.and(removed).map_err(|error| format!("a file cannot be given to user 999: {error}"))
}

/// Whether a process of ours may join the control group.
pub(super) fn can_join(cgroup: &Path) -> Result<(), String> {
    let output = Command::new("/proc/self/exe")
        .arg(PROBE)
        .arg(cgroup)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("starting a process to try: {error}"))?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()) }
}

/// The process that tries.
pub(in crate::target::local) fn probe(cgroup: &str) -> ExitCode {
    match fs::write(Path::new(cgroup).join("cgroup.procs"), "0") {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The program `nft`, which ordinary users often do not have in their PATH.
pub(in crate::target::local) fn nft() -> Option<&'static Path> {
    static NFT: OnceLock<Option<PathBuf>> = OnceLock::new();
    NFT.get_or_init(|| {
        let elsewhere = ["/usr/sbin/nft", "/sbin/nft", "/usr/local/sbin/nft"].map(PathBuf::from);
        which::which("nft").ok().or_else(|| elsewhere.into_iter().find(|path| path.is_file()))
    })
    .as_deref()
}
