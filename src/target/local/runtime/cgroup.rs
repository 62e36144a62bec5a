//! Memory control groups, one for each container, below one for the run; v1 and v2.

use super::{
    super::{node, run_directory::CGROUPS},
    facts::{self, CgroupVersion},
};
use crate::wait::{Look, TimedOut, Until};
use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::OnceLock,
    time::Duration,
};

/// The group of this run.
#[derive(Debug)]
pub(super) struct Base {
    path: PathBuf,
    version: CgroupVersion,
}

/// The group of one container.
#[derive(Debug)]
pub(super) struct Cgroup {
    path: PathBuf,
    version: CgroupVersion,
}

/// The group of this run, made at the first call.
pub(super) fn base() -> Result<&'static Base, &'static str> {
    static BASE: OnceLock<Result<Base, String>> = OnceLock::new();
    BASE.get_or_init(make_base).as_ref().map_err(String::as_str)
}

impl Base {
    pub(super) fn version(&self) -> CgroupVersion {
        self.version
    }
}

/// Tries the groups that this process is in, the nearest first: with v2 only one without processes of its own can give memory on.
fn make_base() -> Result<Base, String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").map_err(|error| format!("/proc/self/mountinfo: {error}"))?;
    let own = fs::read_to_string("/proc/self/cgroup").map_err(|error| format!("/proc/self/cgroup: {error}"))?;
    let name = node::run_directory().file_name().unwrap_or_default().to_string_lossy();
    let mut refused = Vec::new();
    for (mount, group, version) in hierarchies(&mounts, &own) {
        let mut at = Some(group.as_path());
        while let Some(parent) = at.filter(|parent| parent.starts_with(&mount)) {
            let path = parent.join(format!("redis-conformance-{name}"));
            match try_base(&path, version) {
                Ok(()) => return Ok(Base { path, version }),
                Err(error) => refused.push(format!("{}: {error}", path.display())),
            }
            at = parent.parent();
        }
    }
    // The nearest is the one that somebody could give us.
    let why = refused.into_iter().next().unwrap_or_else(|| "no control group with the memory controller is mounted".into());
    Err(format!("{why}. Run as root, or where systemd delegates groups: systemd-run --user --scope"))
}

fn try_base(path: &Path, version: CgroupVersion) -> Result<(), String> {
    // Written before it is made, so that the keeper finds it whenever this process ends.
    let record =
        |text: &str| File::options().create(true).append(true).open(node::run_directory().join(CGROUPS))?.write_all(text.as_bytes());
    record(&format!("{}\n", path.display())).map_err(|error| format!("writing it down: {error}"))?;
    fs::create_dir(path).map_err(|error| error.to_string())?;
    let tried = || -> Result<(), String> {
        if version == CgroupVersion::V2 {
            fs::write(path.join("cgroup.subtree_control"), "+memory").map_err(|error| format!("passing memory on: {error}"))?;
        }
        let child = Cgroup { path: path.join("tried"), version };
        fs::create_dir(&child.path).map_err(|error| error.to_string())?;
        let result = child.limit(64 << 20).map_err(|error| format!("setting a limit: {error}")).and_then(|()| facts::can_join(&child.path));
        fs::remove_dir(&child.path).map_err(|error| error.to_string())?;
        result
    };
    tried().inspect_err(|_| {
        if let Err(error) = fs::remove_dir(path) {
            tracing::debug!(%error, path = %path.display(), "left to the keeper");
        }
    })
}

/// Mount point, own group and version of each hierarchy that has a memory controller.
fn hierarchies(mounts: &str, own: &str) -> Vec<(PathBuf, PathBuf, CgroupVersion)> {
    let mut found = Vec::new();
    for line in mounts.lines() {
        let Some((before, after)) = line.split_once(" - ") else { continue };
        let before: Vec<_> = before.split(' ').collect();
        let mut after = after.split(' ');
        let (kind, options) = (after.next().unwrap_or_default(), after.nth(1).unwrap_or_default());
        let (Some(root), Some(mount)) = (before.get(3), before.get(4)) else { continue };
        let version = match kind {
            "cgroup" if options.split(',').any(|option| option == "memory") => CgroupVersion::V1,
            "cgroup2" => CgroupVersion::V2,
            _ => continue,
        };
        let group = own.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':');
            let (number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
            let mine = if version == CgroupVersion::V1 { controllers.split(',').any(|name| name == "memory") } else { number == "0" };
            mine.then_some(path)
        });
        let Some(group) = group else { continue };
        let below = Path::new(group).strip_prefix(root).unwrap_or(Path::new(""));
        found.push((PathBuf::from(mount), Path::new(mount).join(below), version));
    }
    found
}

impl Cgroup {
    /// A group with this limit in bytes.
    pub(super) fn create(name: &str, limit: u64) -> io::Result<Self> {
        let base = base().map_err(io::Error::other)?;
        let group = Self { path: base.path.join(name), version: base.version };
        fs::create_dir(&group.path)?;
        group.limit(limit)?;
        Ok(group)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn limit(&self, bytes: u64) -> io::Result<()> {
        let set = |file: &str, value: &str| match fs::write(self.path.join(file), value) {
            // Swap is not counted, or there is none.
            Err(error) if file.contains("sw") && matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => {
                Ok(())
            }
            other => other,
        };
        match self.version {
            CgroupVersion::V1 => {
                set("memory.limit_in_bytes", &bytes.to_string())?;
                set("memory.memsw.limit_in_bytes", &bytes.to_string())
            }
            CgroupVersion::V2 => {
                set("memory.max", &bytes.to_string())?;
                set("memory.swap.max", "0")
            }
            CgroupVersion::None => Ok(()),
        }
    }

    /// Whether the kernel has killed one of its processes for memory.
    pub(super) fn killed(&self) -> bool {
        let file = if self.version == CgroupVersion::V1 { "memory.oom_control" } else { "memory.events" };
        fs::read_to_string(self.path.join(file))
            .is_ok_and(|text| text.lines().any(|line| line.strip_prefix("oom_kill ").is_some_and(|count| count.trim() != "0")))
    }

    /// Removes it; right after its last process the kernel may still call it busy.
    pub(super) async fn remove(&self) -> Result<(), TimedOut> {
        Until::within(Duration::from_secs(5))
            .every(Duration::from_millis(5))
            .met(format!("{} to be empty", self.path.display()), || async {
                Ok(match fs::remove_dir(&self.path) {
                    Ok(()) => Look::Ready(()),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Look::Ready(()),
                    Err(error) => Look::NotYet(error.to_string()),
                })
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_group_is_found_in_both_versions() {
        let v1 = hierarchies(
            "30 24 0:26 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n31 24 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n",
            "4:memory:/a/b\n1:cpu:/\n0::/\n",
        );
        assert_eq!(v1, [("/sys/fs/cgroup/memory".into(), "/sys/fs/cgroup/memory/a/b".into(), CgroupVersion::V1)]);
        let v2 = hierarchies("30 24 0:26 /docker/x /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "0::/docker/x/y\n");
        assert_eq!(v2, [("/sys/fs/cgroup".into(), "/sys/fs/cgroup/y".into(), CgroupVersion::V2)]);
    }
}
