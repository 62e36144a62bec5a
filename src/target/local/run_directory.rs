//! The directory of one run on disk, its lock, and the sweeping of those whose keeper was killed.
//!
//! A run directory is in use exactly as long as its `lock` is held: the kernel lets go of it when the keeper dies, however it dies.

use crate::wait::{Look, TimedOut, Until};
use nix::{
    fcntl::{Flock, FlockArg},
    sys::statfs::{self, TMPFS_MAGIC},
    unistd::Uid,
};
use std::{
    collections::BTreeSet,
    env, fs, io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    process,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The file in a run directory that names the control groups made for it, one a line.
pub(super) const CGROUPS: &str = "cgroups";

/// A run directory and the right to it.
pub(super) struct RunDirectory {
    path: PathBuf,
    lock: Flock<fs::File>,
}

/// Where run directories are made, the best first.
fn candidates() -> Vec<PathBuf> {
    let own = format!("redis-conformance-{}", Uid::effective());
    let mut all = Vec::new();
    if let Some(state) = env::var_os("XDG_STATE_HOME").filter(|value| !value.is_empty()) {
        all.push(Path::new(&state).join("redis-conformance"));
    }
    all.push(env::temp_dir().join(&own));
    all.push(Path::new("/var/tmp").join(&own));
    all.push(Path::new("/tmp").join(&own));
    let mut seen = BTreeSet::new();
    all.retain(|path| seen.insert(path.clone()));
    all
}

/// Makes sure of the directory under which runs have theirs: on a disk where there is one, since files of a tmpfs would
/// count as memory of the container that writes them.
///
/// # Errors
/// When none of the places can be written, with what each of them said.
pub(super) fn base() -> Result<PathBuf, String> {
    let mut refused = Vec::new();
    let mut usable = Vec::new();
    for path in candidates() {
        match own_directory(&path) {
            Ok(true) => return Ok(path),
            Ok(false) => usable.push(path),
            Err(error) => refused.push(format!("{}: {error}", path.display())),
        }
    }
    usable.into_iter().next().ok_or_else(|| refused.join("; "))
}

/// Makes the directory ours alone; `false` when it lies in memory.
fn own_directory(path: &Path) -> io::Result<bool> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let metadata = fs::symlink_metadata(path)?;
    if !metadata.is_dir() || metadata.uid() != Uid::effective().as_raw() {
        return Err(io::Error::other("belongs to somebody else"));
    }
    if nix::unistd::access(path, nix::unistd::AccessFlags::W_OK).is_err() {
        return Err(io::Error::from(io::ErrorKind::PermissionDenied));
    }
    Ok(statfs::statfs(path)?.filesystem_type() != TMPFS_MAGIC)
}

fn locked(path: &Path, how: FlockArg) -> io::Result<Option<Flock<fs::File>>> {
    let file = fs::File::options().create(true).truncate(false).write(true).open(path)?;
    match Flock::lock(file, how) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, nix::errno::Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, error)) => Err(error.into()),
    }
}

impl RunDirectory {
    /// Makes and locks a new one.
    pub(super) fn create(base: &Path) -> io::Result<Self> {
        // Nobody sweeps between the making of the directory and its lock.
        let _door = locked(&base.join("lock"), FlockArg::LockExclusive)?;
        let moment = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        let path = base.join(format!("run-{moment}-{}", process::id()));
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        let lock = locked(&path.join("lock"), FlockArg::LockExclusiveNonblock)?.ok_or_else(|| io::Error::other("locked by another run"))?;
        Ok(Self { path, lock })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it, and the control groups that it names.
    pub(super) fn remove(self) -> io::Result<()> {
        let removed = remove(&self.path);
        drop(self.lock);
        removed
    }
}

/// Run directories that no keeper holds.
pub(super) fn stale(base: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(base) else { return Vec::new() };
    let mut found: Vec<_> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("run-")))
        .filter(|path| matches!(locked(&path.join("lock"), FlockArg::LockExclusiveNonblock), Ok(Some(_))))
        .collect();
    found.sort();
    found
}

/// All places in which run directories of this user may lie.
pub(super) fn bases() -> Vec<PathBuf> {
    candidates().into_iter().filter(|path| path.is_dir()).collect()
}

/// Removes what killed keepers left; what was removed, and what could not be.
pub(super) fn sweep(base: &Path) -> (Vec<PathBuf>, Vec<String>) {
    let mut failed = Vec::new();
    let _door = match locked(&base.join("lock"), FlockArg::LockExclusive) {
        Ok(door) => door,
        Err(error) => return (Vec::new(), vec![format!("{}: {error}", base.display())]),
    };
    let swept = stale(base)
        .into_iter()
        .filter(|path| match remove(path) {
            Ok(()) => true,
            Err(error) => {
                failed.push(format!("{}: {error}", path.display()));
                false
            }
        })
        .collect();
    (swept, failed)
}

fn remove(path: &Path) -> io::Result<()> {
    let cgroups = fs::read_to_string(path.join(CGROUPS)).unwrap_or_default();
    for cgroup in cgroups.lines() {
        remove_cgroup(Path::new(cgroup))?;
    }
    fs::remove_dir_all(path)
}

/// Removes a control group with its children; right after its last process has ended, the kernel may still call it busy.
fn remove_cgroup(path: &Path) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let limit = Until::within(Duration::from_secs(5)).every(Duration::from_millis(5));
    let met: Result<(), TimedOut> = runtime.block_on(limit.met(format!("{} to be empty", path.display()), || async {
        Ok(match remove_groups(path) {
            Ok(()) => Look::Ready(()),
            Err(error) => Look::NotYet(error.to_string()),
        })
    }));
    met.map_err(io::Error::other)
}

fn remove_groups(path: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_groups(&entry.path())?;
        }
    }
    fs::remove_dir(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_stale_only_when_nobody_holds_it() -> Result<(), Box<dyn std::error::Error>> {
        let base = tempfile::tempdir()?;
        let held = RunDirectory::create(base.path())?;
        fs::create_dir(base.path().join("run-1-1"))?;
        fs::create_dir(base.path().join("something-else"))?;
        assert_eq!(stale(base.path()), [base.path().join("run-1-1")]);
        let (swept, failed) = sweep(base.path());
        assert_eq!(swept, [base.path().join("run-1-1")]);
        assert!(failed.is_empty(), "{failed:?}");
        let path = held.path().to_owned();
        assert!(path.is_dir());
        held.remove()?;
        assert!(!path.exists());
        Ok(())
    }
}
