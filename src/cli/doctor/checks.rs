//! The register of what `doctor` looks at.

use super::Need;
use nix::{sys::statvfs::statvfs, unistd::geteuid};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread::available_parallelism,
};

/// What a look gave.
pub(in crate::cli) enum Found {
    /// It is there: version, place.
    Yes(String),
    /// It is not, or does not work: why.
    No(String),
}

/// Everything that is looked at, what is required first.
pub(super) const NEEDS: &[Need] = &[
    Need {
        name: "redis-server",
        purpose: "the Redis that runs in the pods",
        required: true,
        remedy: "ci/bootstrap, or: apt-get install redis-server (and keep its service from starting)",
        look: || {
            program("redis-server", &["--version"], |words| {
                words.split_whitespace().find_map(|word| word.strip_prefix("v=")).map(Into::into)
            })
        },
    },
    Need {
        name: "redis-cli",
        purpose: "probes and runbooks of the manifests call it",
        required: true,
        remedy: "ci/bootstrap, or: apt-get install redis-tools",
        look: || program("redis-cli", &["--version"], |words| words.split_whitespace().nth(1).map(Into::into)),
    },
    Need {
        name: "kustomize",
        purpose: "renders kustomizations as kubectl apply -k does",
        required: true,
        remedy: "ci/bootstrap, or: https://kubernetes.io/docs/tasks/tools/ (kubectl 1.27 or later)",
        look: kustomize,
    },
    Need {
        name: "nft",
        purpose: "Services and network policies",
        required: true,
        remedy: "ci/bootstrap, or: apt-get install nftables",
        look: || program("nft", &["--version"], |words| words.split_whitespace().nth(1).map(Into::into)),
    },
    Need {
        name: "namespaces",
        purpose: "every pod lives in namespaces of its own",
        required: true,
        remedy: "sysctl -w kernel.unprivileged_userns_clone=1 user.max_user_namespaces=15000; on Ubuntu also kernel.apparmor_restrict_unprivileged_userns=0; in Docker: --security-opt seccomp=unconfined --security-opt systempaths=unconfined",
        look: namespaces,
    },
    Need {
        name: "many uids",
        purpose: "processes run under the uid that the manifest asks for (capability run-as-user)",
        required: false,
        remedy: "ci/bootstrap, or: apt-get install uidmap, and lines for you in /etc/subuid and /etc/subgid (usermod --add-subuids 100000-165535 --add-subgids 100000-165535 NAME)",
        look: uids,
    },
    Need {
        name: "memory limits",
        purpose: "a container that outgrows its limit is killed (capability memory-limit)",
        required: false,
        remedy: "run as root, or in a delegated cgroup: systemd-run --user --scope -p Delegate=yes redis-conformance verify …",
        look: memory_limits,
    },
    Need {
        name: "cores",
        purpose: "scenarios run beside each other",
        required: false,
        remedy: "two cores or more; with fewer use --jobs 2",
        look: || match available_parallelism() {
            Ok(cores) if cores.get() >= 2 => Found::Yes(cores.to_string()),
            Ok(cores) => Found::No(cores.to_string()),
            Err(error) => Found::No(error.to_string()),
        },
    },
    Need {
        name: "disk",
        purpose: "volumes of the pods and evidence",
        required: true,
        remedy: "make room, or name a folder on another disk: TMPDIR for volumes, --evidence for evidence",
        look: disk,
    },
];

/// Runs a program for its version; `None` from `version` means that it speaks in an unknown way, which is still there.
fn program(name: &str, arguments: &[&str], version: fn(&str) -> Option<String>) -> Found {
    match said(name, arguments) {
        Ok((path, words)) => Found::Yes(format!("{} at {}", version(&words).unwrap_or_else(|| "unknown version".into()), path.display())),
        Err(why) => Found::No(why),
    }
}

/// Where a program is and what it says; an error in words.
fn said(name: &str, arguments: &[&str]) -> Result<(PathBuf, String), String> {
    // The system's own folder, too, which an ordinary user's PATH often leaves out: that is where runs find it.
    let elsewhere =
        || ["/usr/sbin", "/sbin", "/usr/local/sbin"].into_iter().map(|folder| Path::new(folder).join(name)).find(|path| path.is_file());
    let path = which::which(name).ok().or_else(elsewhere).ok_or_else(|| format!("{name} is not in PATH"))?;
    let output = Command::new(&path)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{} does not start: {error}", path.display()))?;
    let words = String::from_utf8_lossy(if output.stdout.is_empty() { &output.stderr } else { &output.stdout }).trim().to_owned();
    if output.status.success() { Ok((path, words)) } else { Err(format!("{} fails: {words}", path.display())) }
}

fn kustomize() -> Found {
    let mut problems = Vec::new();
    for (name, arguments) in [("kubectl", &["version", "--client"][..]), ("kustomize", &["version"][..])] {
        match said(name, arguments) {
            Ok((path, words)) => match kustomize_version(&words) {
                Some((version, true)) => return Found::Yes(format!("{version} in {}", path.display())),
                Some((version, false)) => problems.push(format!("{} has kustomize {version}, older than 4.5", path.display())),
                None => problems.push(format!("{} names no kustomize version", path.display())),
            },
            Err(why) => problems.push(why),
        }
    }
    Found::No(problems.join("; "))
}

/// The kustomize version in the words of `kubectl version --client` or `kustomize version`, and whether it is new enough to name origins.
fn kustomize_version(words: &str) -> Option<(String, bool)> {
    let line = words
        .lines()
        .find(|line| line.starts_with("Kustomize Version"))
        .or_else(|| words.lines().next().filter(|line| line.contains('v')))?;
    let version = line.rsplit([' ', '/', ':']).find_map(|word| word.trim_matches(['{', '}']).strip_prefix('v'))?;
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
    let new_enough = (numbers.next()?, numbers.next()?) >= (4, 5);
    Some((version.to_owned(), new_enough))
}

/// Tries what a run needs, in a process that ends at once.
fn namespaces() -> Found {
    let arguments = ["--user", "--map-root-user", "--mount", "--net", "--uts", "--ipc", "--pid", "--fork", "--mount-proc", "true"];
    match said("unshare", &arguments) {
        Ok(_) => Found::Yes("user, mount, network, uts, ipc and pid can be made, and a new /proc mounted".into()),
        Err(why) => Found::No(why),
    }
}

fn uids() -> Found {
    if geteuid().is_root() {
        return Found::Yes("root".into());
    }
    let missing: Vec<&str> = ["newuidmap", "newgidmap"].into_iter().filter(|name| which::which(name).is_err()).collect();
    if !missing.is_empty() {
        return Found::No(format!("{} is not in PATH", missing.join(" and ")));
    }
    let uid = geteuid().to_string();
    let name = nix::unistd::User::from_uid(geteuid()).ok().flatten().map(|user| user.name).unwrap_or_default();
    for file in ["/etc/subuid", "/etc/subgid"] {
        let lines = fs::read_to_string(file).unwrap_or_default();
        if !lines.lines().any(|line| line.split(':').next().is_some_and(|owner| owner == name || owner == uid)) {
            return Found::No(format!("{file} has no line for {name}"));
        }
    }
    Found::Yes("newuidmap, with a range in /etc/subuid".into())
}

/// Makes and removes a group, as a run would.
fn memory_limits() -> Found {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let of = |controller: &str| {
        groups.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':');
            let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
            controllers.split(',').any(|known| known == controller).then(|| path.trim_start_matches('/').to_owned())
        })
    };
    let (root, path) = match (of("memory"), of("")) {
        (Some(path), _) => (Path::new("/sys/fs/cgroup/memory"), path),
        (None, Some(path)) => (Path::new("/sys/fs/cgroup"), path),
        (None, None) => return Found::No("this process is in no cgroup".into()),
    };
    let here = if root.join(&path).is_dir() { root.join(&path) } else { root.to_path_buf() };
    let group = here.join(format!("redis-conformance-doctor-{}", std::process::id()));
    if let Err(error) = fs::create_dir(&group) {
        return Found::No(format!("no group can be made in {}: {error}", here.display()));
    }
    let usable = ["memory.limit_in_bytes", "memory.max"].iter().any(|file| group.join(file).exists());
    if let Err(error) = fs::remove_dir(&group) {
        return Found::No(format!("{} cannot be removed: {error}", group.display()));
    }
    if usable {
        Found::Yes(format!("groups in {}", here.display()))
    } else {
        Found::No(format!("{} does not delegate memory", here.display()))
    }
}

fn disk() -> Found {
    let free = |path: &Path| {
        let status = statvfs(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok::<u64, String>(status.blocks_available().saturating_mul(status.fragment_size()) >> 20)
    };
    let temporary = std::env::temp_dir();
    match (free(&temporary), free(Path::new("."))) {
        (Ok(volumes), Ok(evidence)) if volumes >= 512 && evidence >= 64 => {
            Found::Yes(format!("{volumes} MiB in {}, {evidence} MiB here", temporary.display()))
        }
        (Ok(volumes), Ok(evidence)) => {
            Found::No(format!("{volumes} MiB in {} (512 wanted), {evidence} MiB here (64 wanted)", temporary.display()))
        }
        (Err(why), _) | (_, Err(why)) => Found::No(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::kubectl("Client Version: v1.34.1\nKustomize Version: v5.7.1", Some(("5.7.1", true)))]
    #[case::old_kubectl("Client Version: version.Info{Major:\"1\", GitVersion:\"v1.20.5\"}", None)]
    #[case::old_kustomize("{Version:kustomize/v4.4.1 GitCommit:x}", None)]
    #[case::kustomize("v5.5.0", Some(("5.5.0", true)))]
    #[case::older("v4.4.1", Some(("4.4.1", false)))]
    fn kustomize_tells_its_version(#[case] words: &str, #[case] expected: Option<(&str, bool)>) {
        let version = kustomize_version(words);
        // What is too odd to read must at least not be taken for new enough.
        match expected {
            Some((number, new_enough)) => assert_eq!(version, Some((number.to_owned(), new_enough))),
            None => assert!(version.is_none_or(|(_, new_enough)| !new_enough)),
        }
    }
}
