//! A container's root on disk: the directories and files of an image, and the list of what is mounted into it.
//!
//! Programs and libraries are this machine's, read-only; everything that the image brings or the container writes lies in a
//! tree of its own in the run directory, which goes with the container.

use super::{
    ContainerSpec,
    plan::{Bind, Plan},
};
use crate::target::image::skeleton::{self, below_root};
use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder, Permissions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, chown, symlink},
    path::{Path, PathBuf},
};

/// What container engines give: <https://docs.docker.com/engine/containers/run/#runtime-privilege-and-linux-capabilities>.
const CAPABILITIES: [&str; 14] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];
/// Where the programs of this machine are: a directory is mounted, a symbolic link repeated.
const MACHINE: [&str; 9] = ["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "nix", "gnu"];
/// What programs need of this machine's `/etc`.
const ETC: [&str; 9] =
    ["ld.so.cache", "ld.so.conf", "ld.so.conf.d", "ssl", "ca-certificates", "pki", "alternatives", "localtime", "services"];
/// What an image shows to root alone; a program that lies there on this machine is for every user of the container.
const CLOSED: &str = "root";
/// Where such a program goes instead.
const OPEN: &str = "opt";
/// Directories too common to be shown to a container because a program lies in them.
const TOO_COMMON: [&str; 12] = ["etc", "home", "root", "tmp", "var", "run", "dev", "proc", "sys", "data", "mnt", "srv"];

const HOSTS: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";

/// Lays out the root in `directory` and says how to enter it. Where this machine gives only a single user, everything is its own.
pub(super) fn build(spec: &ContainerSpec, directory: &Path, many_users: bool, cgroup: Option<&Path>) -> io::Result<Plan> {
    let tree = Tree { root: directory.join("root"), local: directory.join("local") };
    for path in [&tree.root, &tree.local] {
        make_directory(path, 0o755)?;
    }
    for (path, mode) in skeleton::DIRECTORIES {
        make_directory(&tree.root.join(path), mode)?;
    }
    symlink("../run", tree.root.join("var/run"))?;
    for name in ["bin", "sbin", "lib", "share", "etc"] {
        make_directory(&tree.local.join(name), 0o755)?;
    }
    let mut binds = machine(&tree)?;
    etc(&tree, spec, &mut binds)?;
    programs(&tree, spec, &mut binds)?;
    for (path, (mode, uid, gid)) in &spec.root.directories {
        let to = tree.place(path)?;
        make_directories(&to)?;
        fs::set_permissions(&to, Permissions::from_mode(*mode))?;
        if many_users {
            own(&to, *uid, *gid)?;
        }
        if spec.root.read_only {
            // The image declares it as a volume: a mount of its own, which a read-only root leaves alone.
            binds.push(Bind { source: to, target: below_root(path), read_only: false });
        }
    }
    for (path, (content, mode, uid, gid)) in &spec.root.files {
        let to = tree.place(path)?;
        write(&to, content, *mode)?;
        if many_users {
            own(&to, *uid, *gid)?;
        }
    }
    let volumes = spec
        .mounts
        .iter()
        .map(|mount| Bind { source: mount.source.clone(), target: below_root(&mount.target), read_only: mount.read_only })
        .collect();
    Ok(Plan {
        root: tree.root,
        read_only: spec.root.read_only,
        binds,
        volumes,
        command: spec.command.clone(),
        environment: spec.environment.clone(),
        directory: Path::new("/").join(&spec.directory),
        user: spec.user.clone(),
        set_groups: many_users,
        capabilities: capabilities(&spec.capabilities.0, &spec.capabilities.1),
        no_new_privileges: spec.no_new_privileges,
        cgroup: cgroup.map(Path::to_owned),
    })
}

/// Where things of the container lie on disk: `/usr/local` is ours, in a directory of its own.
struct Tree {
    root: PathBuf,
    local: PathBuf,
}

impl Tree {
    /// Where a path of the image is made.
    fn place(&self, path: &Path) -> io::Result<PathBuf> {
        let path = below_root(path);
        if let Ok(below) = path.strip_prefix("usr/local") {
            return Ok(self.local.join(below));
        }
        if MACHINE.iter().any(|name| path.starts_with(name)) {
            return Err(io::Error::new(
                io::ErrorKind::ReadOnlyFilesystem,
                format!("/{} would lie among this machine's own programs; /usr/local is the container's", path.display()),
            ));
        }
        let path = path.strip_prefix("var/run").map_or_else(|_| path.clone(), |below| Path::new("run").join(below));
        Ok(self.root.join(path))
    }
}

fn make_directory(path: &Path, mode: u32) -> io::Result<()> {
    DirBuilder::new().mode(mode).create(path)?;
    // The umask took its part.
    fs::set_permissions(path, Permissions::from_mode(mode))
}

/// Makes a directory and those above it that are missing, open to every user.
fn make_directories(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        make_directories(parent)?;
    }
    make_directory(path, 0o755)
}

fn write(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        make_directories(parent)?;
    }
    let mut file = fs::File::options().create(true).truncate(true).write(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.set_permissions(Permissions::from_mode(mode))
}

fn own(path: &Path, uid: u32, gid: u32) -> io::Result<()> {
    if uid == 0 && gid == 0 {
        return Ok(());
    }
    chown(path, Some(uid), Some(gid))
        .map_err(|error| io::Error::new(error.kind(), format!("giving {} to {uid}:{gid}: {error}", path.display())))
}

fn bind(source: impl Into<PathBuf>, target: impl Into<PathBuf>) -> Bind {
    Bind { source: source.into(), target: target.into(), read_only: true }
}

fn machine(tree: &Tree) -> io::Result<Vec<Bind>> {
    let mut binds = Vec::new();
    for name in MACHINE {
        let source = Path::new("/").join(name);
        let Ok(metadata) = fs::symlink_metadata(&source) else { continue };
        let target = tree.root.join(name);
        if metadata.is_symlink() {
            symlink(fs::read_link(&source)?, target)?;
        } else if metadata.is_dir() {
            if !target.exists() {
                make_directory(&target, 0o755)?;
            }
            if name == "usr" && !Path::new("/usr/local").is_dir() {
                // Nothing can be made in the machine's /usr, so its parts are put into one of ours.
                for entry in fs::read_dir("/usr")? {
                    let entry = entry?;
                    make_directory(&target.join(entry.file_name()), 0o755)?;
                    binds.push(bind(entry.path(), Path::new(name).join(entry.file_name())));
                }
                make_directory(&target.join("local"), 0o755)?;
            } else {
                binds.push(bind(source, name));
            }
        }
    }
    binds.push(Bind { source: tree.local.clone(), target: "usr/local".into(), read_only: false });
    // The machine's cache of libraries may name some of these.
    if Path::new("/usr/local/lib").is_dir() {
        binds.push(bind("/usr/local/lib", "usr/local/lib"));
    }
    Ok(binds)
}

fn etc(tree: &Tree, spec: &ContainerSpec, binds: &mut Vec<Bind>) -> io::Result<()> {
    let etc = tree.root.join("etc");
    for (name, content) in skeleton::ETC.into_iter().chain([("hosts", HOSTS)]) {
        if !spec.root.files.contains_key(&Path::new("/etc").join(name)) {
            write(&etc.join(name), content.as_bytes(), 0o644)?;
        }
    }
    for name in ETC {
        let source = Path::new("/etc").join(name);
        if spec.root.files.keys().any(|path| path.starts_with(&source)) {
            continue;
        }
        // A link (localtime) leads to what is in /usr.
        let Ok(metadata) = fs::metadata(&source) else { continue };
        if metadata.is_dir() {
            make_directory(&etc.join(name), 0o755)?;
        } else {
            write(&etc.join(name), b"", 0o644)?;
        }
        binds.push(bind(fs::canonicalize(source)?, Path::new("etc").join(name)));
    }
    Ok(())
}

/// Each program is a link in `/usr/local/bin` to where it lies on this machine, so that it finds what lies beside it. One that this
/// machine keeps from other users is copied: in an image, programs are for everybody.
fn programs(tree: &Tree, spec: &ContainerSpec, binds: &mut Vec<Bind>) -> io::Result<()> {
    let bin = tree.local.join("bin");
    let mut copies: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
    for (name, path) in &spec.root.programs {
        let program =
            fs::canonicalize(path).map_err(|error| io::Error::new(error.kind(), format!("the program {}: {error}", path.display())))?;
        let at = bin.join(name);
        let beside = shown_with_its_directory(&program, spec);
        let seen = binds.iter().find(|bind| bind.read_only && program.starts_with(&bind.source) && !program.starts_with("/usr/local"));
        if !is_open(beside.as_ref().map(|shown| shown.directory.as_path()), &program)? {
            if let Some(copy) = copies.get(&program) {
                fs::hard_link(copy, &at)?;
            } else {
                fs::copy(&program, &at)?;
                fs::set_permissions(&at, Permissions::from_mode(0o755))?;
                copies.insert(program, at);
            }
        } else if let Some(bind) = seen {
            symlink(seen_at(&program, &bind.source, &bind.target)?, at)?;
        } else if let Some(Shown { directory, target }) = beside {
            make_directories(&tree.root.join(&target))?;
            symlink(seen_at(&program, &directory, &target)?, at)?;
            binds.push(bind(directory, target));
        } else {
            write(&at, b"", 0o755)?;
            binds.push(bind(program, Path::new("usr/local/bin").join(name)));
        }
    }
    Ok(())
}

/// Where a container sees a program that lies below `directory` on this machine, which it sees at `target`.
fn seen_at(program: &Path, directory: &Path, target: &Path) -> io::Result<PathBuf> {
    let below = program.strip_prefix(directory).map_err(io::Error::other)?;
    Ok(Path::new("/").join(target).join(below))
}

/// Whether every user may run a program and, if its directory is shown, get there from it.
fn is_open(directory: Option<&Path>, program: &Path) -> io::Result<bool> {
    let mode = |path: &Path| fs::metadata(path).map(|metadata| metadata.permissions().mode());
    if let Some(directory) = directory {
        for way in program.ancestors().skip(1).take_while(|way| way.starts_with(directory)) {
            if mode(way)? & 0o001 == 0 {
                return Ok(false);
            }
        }
    }
    Ok(mode(program)? & 0o005 == 0o005)
}

/// A directory of this machine that is shown to a container, and where.
#[derive(Debug, PartialEq, Eq)]
struct Shown {
    directory: PathBuf,
    target: PathBuf,
}

/// The directory that a program brings along: its own, or what is above its `bin`; none where that would show too much or hide
/// something of the container.
fn shown_with_its_directory(program: &Path, spec: &ContainerSpec) -> Option<Shown> {
    let directory = program.parent()?;
    let directory = if matches!(directory.file_name()?.to_str(), Some("bin" | "sbin")) { directory.parent()? } else { directory };
    let place = below_root(directory);
    let common = place.components().count() < 2 || place.starts_with("usr/local");
    let first = place.components().next()?.as_os_str().to_str()?;
    let own = TOO_COMMON.contains(&first) && place.components().count() < 3;
    let target = place.strip_prefix(CLOSED).map_or_else(|_| place.clone(), |below| Path::new(OPEN).join(below));
    let hides = |path: &Path| below_root(path).starts_with(&target) || target.starts_with(below_root(path));
    let taken = spec.root.directories.keys().any(|path| hides(path)) || spec.mounts.iter().any(|mount| hides(&mount.target));
    (!common && !own && !taken).then(|| Shown { directory: directory.to_owned(), target })
}

/// The usual set, less what is dropped, and what is added; names with or without `CAP_`, `ALL` for all.
fn capabilities(drop: &[String], add: &[String]) -> Vec<String> {
    let plain = |name: &String| {
        let name = name.to_ascii_uppercase();
        name.strip_prefix("CAP_").map_or(name.clone(), str::to_owned)
    };
    let (drop, add): (Vec<_>, Vec<_>) = (drop.iter().map(plain).collect(), add.iter().map(plain).collect());
    let all = |names: &[String]| names.iter().any(|name| name == "ALL");
    let mut kept: Vec<String> = if all(&add) {
        caps::all().iter().map(|capability| capability.to_string().trim_start_matches("CAP_").to_owned()).collect()
    } else if all(&drop) {
        Vec::new()
    } else {
        CAPABILITIES.map(str::to_owned).into()
    };
    kept.retain(|name| !drop.contains(name));
    kept.extend(add.into_iter().filter(|name| name != "ALL"));
    kept.sort();
    kept.dedup();
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[rstest]
    #[case(&[], &[], 14)]
    #[case(&["ALL"], &[], 0)]
    #[case(&["all"], &["NET_BIND_SERVICE"], 1)]
    #[case(&["CAP_CHOWN"], &[], 13)]
    #[case(&[], &["SYS_ADMIN", "CAP_CHOWN"], 15)]
    fn capabilities_are_the_usual_ones_changed(#[case] drop: &[&str], #[case] add: &[&str], #[case] count: usize) {
        assert_eq!(capabilities(&strings(drop), &strings(add)).len(), count);
    }

    #[rstest]
    #[case("/opt/tools/bin/redis-server", Some(("/opt/tools", "opt/tools")))]
    #[case("/work/project/target/debug/program", Some(("/work/project/target/debug", "work/project/target/debug")))]
    #[case("/root/tools/redis/bin/program", Some(("/root/tools/redis", "opt/tools/redis")))]
    #[case("/root/.cargo/bin/program", None)]
    #[case("/root/.cache/target/debug/program", Some(("/root/.cache/target/debug", "opt/.cache/target/debug")))]
    #[case("/tmp/program", None)]
    #[case("/usr/local/bin/program", None)]
    #[case("/home/ann/program", None)]
    #[case("/program", None)]
    fn a_program_brings_its_directory_unless_that_shows_too_much(#[case] program: &str, #[case] expected: Option<(&str, &str)>) {
        let spec = ContainerSpec::example(&["true"]);
        let expected = expected.map(|(directory, target)| Shown { directory: directory.into(), target: target.into() });
        assert_eq!(shown_with_its_directory(Path::new(program), &spec), expected);
    }

    #[rstest]
    #[case(0o755, 0o755, true)]
    #[case(0o700, 0o755, false)]
    #[case(0o755, 0o700, false)]
    #[case(0o711, 0o755, true)]
    #[case(0o755, 0o711, false)]
    fn a_program_is_open_when_every_user_can_get_there_and_read_and_run_it(
        #[case] directory: u32,
        #[case] program: u32,
        #[case] open: bool,
    ) -> io::Result<()> {
        let root = tempfile::tempdir()?;
        let (prefix, bin) = (root.path().join("prefix"), root.path().join("prefix/bin"));
        fs::create_dir_all(&bin)?;
        fs::write(bin.join("program"), "")?;
        fs::set_permissions(bin.join("program"), Permissions::from_mode(program))?;
        fs::set_permissions(&bin, Permissions::from_mode(0o755))?;
        fs::set_permissions(&prefix, Permissions::from_mode(directory))?;
        let (shown, alone) = (is_open(Some(&prefix), &bin.join("program"))?, is_open(None, &bin.join("program"))?);
        assert_eq!((shown, alone), (open, program == 0o755));
        Ok(())
    }
}
