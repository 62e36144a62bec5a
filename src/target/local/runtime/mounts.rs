//! The mounts of a container, made by its first process in its own mount namespace.

use super::plan::{Bind, Plan};
use nix::{
    fcntl::{OFlag, open},
    mount::{MntFlags, MsFlags, mount, umount2},
    sys::{
        stat::Mode,
        statvfs::{FsFlags, statvfs},
    },
    unistd::{chdir, pivot_root},
};
use std::{
    fs, io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::symlink,
    },
    path::{Path, PathBuf},
};

const NONE: Option<&str> = None;
/// As container engines have it.
const SHARED_MEMORY: &str = "mode=1777,size=65536k";
/// What of `/proc` changes the machine; identity-mapped root would otherwise pass its owner checks.
const PROC_READ_ONLY: [&str; 5] = ["sys", "bus", "fs", "irq", "sysrq-trigger"];
/// What of `/proc` shows the machine.
const PROC_MASKED: [&str; 5] = ["kcore", "keys", "timer_list", "sched_debug", "kmsg"];

fn doing<E: Into<io::Error>>(what: impl Into<String>) -> impl FnOnce(E) -> io::Error {
    let what = what.into();
    move |error| {
        let error = error.into();
        io::Error::new(error.kind(), format!("{what}: {error}"))
    }
}

/// Builds the container's view and makes it `/`. The caller is in a mount namespace of its own whose mounts are private.
pub(super) fn enter(plan: &Plan) -> io::Result<()> {
    let root = &plan.root;
    bind(root, root, false)?;
    for Bind { source, target, read_only } in &plan.binds {
        bind(source, &root.join(target), *read_only)?;
    }
    devices(&root.join("dev"))?;
    proc(&root.join("proc"))?;
    sys(&root.join("sys"))?;
    let sources: Vec<OwnedFd> = plan
        .volumes
        .iter()
        .map(|volume| {
            open(&volume.source, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())
                .map_err(doing(format!("opening the volume {}", volume.source.display())))
        })
        .collect::<io::Result<_>>()?;
    chdir(root).map_err(doing("entering the root"))?;
    // The old root lies over the new one until it is let go of; by then sources can still be named by their descriptors.
    pivot_root(".", ".").map_err(doing("changing the root"))?;
    for (volume, source) in plan.volumes.iter().zip(&sources) {
        let from = PathBuf::from(format!("/proc/self/fd/{}", source.as_raw_fd()));
        let target = Path::new("/").join(&volume.target);
        make_target(&target, &from)?;
        bind(&from, &target, volume.read_only)?;
    }
    drop(sources);
    umount2(".", MntFlags::MNT_DETACH).map_err(doing("letting go of the old root"))?;
    chdir("/").map_err(doing("entering /"))?;
    // As container engines do: a working directory that the image lacks is made.
    if let Err(error) = fs::create_dir_all(&plan.directory)
        && error.kind() != io::ErrorKind::AlreadyExists
    {
        return Err(doing(format!("making the working directory {}", plan.directory.display()))(error));
    }
    if plan.read_only {
        for path in ["/", "/usr/local"] {
            remount_read_only(Path::new(path))?;
        }
    }
    Ok(())
}

/// Binds with everything below (mounts of the machine are locked to each other), read-only where asked.
fn bind(source: &Path, target: &Path, read_only: bool) -> io::Result<()> {
    mount(Some(source), target, NONE, MsFlags::MS_BIND | MsFlags::MS_REC, NONE).map_err(doing(format!(
        "mounting {} at {}",
        source.display(),
        target.display()
    )))?;
    if read_only { remount_read_only(target) } else { Ok(()) }
}

/// A remount must repeat the flags that the machine has locked.
fn remount_read_only(target: &Path) -> io::Result<()> {
    let flags = statvfs(target).map_err(doing(format!("looking at {}", target.display())))?.flags();
    let mut wanted = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    for (has, keep) in [
        (FsFlags::ST_NOSUID, MsFlags::MS_NOSUID),
        (FsFlags::ST_NODEV, MsFlags::MS_NODEV),
        (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
        (FsFlags::ST_NOATIME, MsFlags::MS_NOATIME),
        (FsFlags::ST_NODIRATIME, MsFlags::MS_NODIRATIME),
        (FsFlags::ST_RELATIME, MsFlags::MS_RELATIME),
    ] {
        if flags.contains(has) {
            wanted |= keep;
        }
    }
    mount(NONE, target, NONE, wanted, NONE).map_err(doing(format!("making {} read-only", target.display())))
}

/// A missing mount point is made: a file for a file, else a directory.
fn make_target(target: &Path, source: &Path) -> io::Result<()> {
    if fs::metadata(source).map_err(doing("looking at a volume"))?.is_dir() {
        return fs::create_dir_all(target).map_err(doing(format!("making the mount point {}", target.display())));
    }
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent).map_err(doing(format!("making {}", parent.display())))?;
    }
    fs::File::options()
        .create(true)
        .append(true)
        .open(target)
        .map(drop)
        .map_err(doing(format!("making the mount point {}", target.display())))
}

fn devices(dev: &Path) -> io::Result<()> {
    let safe = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    mount(Some("tmpfs"), dev, Some("tmpfs"), MsFlags::MS_NOSUID | MsFlags::MS_STRICTATIME, Some("mode=755,size=65536k"))
        .map_err(doing("mounting /dev"))?;
    for name in ["null", "zero", "full", "random", "urandom", "tty"] {
        let target = dev.join(name);
        fs::File::create(&target).map_err(doing("making a device"))?;
        bind(&Path::new("/dev").join(name), &target, false)?;
    }
    for (name, to) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("ptmx", "pts/ptmx"),
    ] {
        symlink(to, dev.join(name)).map_err(doing("making a link in /dev"))?;
    }
    for name in ["pts", "shm"] {
        fs::create_dir(dev.join(name)).map_err(doing("making a directory in /dev"))?;
    }
    mount(Some("devpts"), &dev.join("pts"), Some("devpts"), safe, Some("newinstance,ptmxmode=0666,mode=620"))
        .map_err(doing("mounting /dev/pts"))?;
    mount(Some("shm"), &dev.join("shm"), Some("tmpfs"), safe | MsFlags::MS_NODEV, Some(SHARED_MEMORY)).map_err(doing("mounting /dev/shm"))
}

fn proc(proc: &Path) -> io::Result<()> {
    let safe = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), proc, Some("proc"), safe, NONE).map_err(doing("mounting /proc"))?;
    for name in PROC_READ_ONLY {
        let path = proc.join(name);
        if path.exists() {
            bind(&path, &path, true)?;
        }
    }
    for name in PROC_MASKED {
        let path = proc.join(name);
        if path.exists() {
            bind(Path::new("/dev/null"), &path, false)?;
        }
    }
    Ok(())
}

/// The container's own `/sys`; where the machine hides parts of its own, only that one can be shown.
fn sys(sys: &Path) -> io::Result<()> {
    let safe = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC | MsFlags::MS_RDONLY;
    match mount(Some("sysfs"), sys, Some("sysfs"), safe, NONE) {
        Err(nix::errno::Errno::EPERM) => bind(Path::new("/sys"), sys, true),
        other => other.map_err(doing("mounting /sys")),
    }
}
