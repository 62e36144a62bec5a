//! The hidden roles `__init` and `__exec`: a fresh process of this program that becomes a container's, or joins one.
//!
//! `__init` is born as PID 1 of the container's PID namespace and in the pod's namespaces; it makes its mounts and becomes the command.

use super::{
    mounts,
    plan::{Joining, Plan, Refusal},
};
use caps::{CapSet, Capability};
use nix::{
    errno::Errno,
    fcntl::{FcntlArg, FdFlag, fcntl},
    sched::{CloneFlags, setns, unshare},
    sys::{
        prctl,
        signal::SigSet,
        stat::{Mode, umask},
    },
    unistd::{Gid, Uid, chdir, dup, dup2_stdin, dup2_stdout, setgroups, setresgid, setresuid, setsid},
};
use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

/// The hidden argument that starts a container.
pub(in crate::target::local) const INIT: &str = "__init";
/// The hidden argument that joins one.
pub(in crate::target::local) const EXEC: &str = "__exec";
/// Where a command is looked for when the environment does not say.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Becomes a container. Standard output is where a refusal goes, standard error is the container's log.
pub(in crate::target::local) fn init(plan: &str) -> ExitCode {
    let refusal = match start(Path::new(plan)) {
        Ok((mut answer, refusal)) => {
            tell(&mut answer, &refusal);
            refusal
        }
        Err(error) => {
            let refusal = Refusal::Failed(error.to_string());
            tell(&mut io::stdout(), &refusal);
            refusal
        }
    };
    ExitCode::from(code(&refusal))
}

/// Joins a container. Input and output are the command's own; a refusal goes to a file.
pub(in crate::target::local) fn exec(joining: &str) -> ExitCode {
    let read = || -> io::Result<(Joining, File)> {
        let joining: Joining = serde_json::from_slice(&fs::read(joining)?)?;
        let answer = File::create(&joining.answer)?;
        Ok((joining, answer))
    };
    match read() {
        Ok((joining, mut answer)) => {
            let refusal = join(&joining);
            tell(&mut answer, &refusal);
            ExitCode::from(code(&refusal))
        }
        Err(error) => {
            eprintln!("redis-conformance: cannot join the container: {error}");
            ExitCode::from(128)
        }
    }
}

fn tell(to: &mut impl Write, refusal: &Refusal) {
    // If nobody listens, the exit code still says it.
    if let Ok(line) = serde_json::to_string(refusal) {
        let _ = to.write_all(line.as_bytes());
        let _ = to.flush();
    }
}

fn code(refusal: &Refusal) -> u8 {
    match refusal {
        Refusal::NotFound(_) => 127,
        Refusal::NotPermitted(_) => 126,
        Refusal::Impossible(_) | Refusal::Failed(_) => 128,
    }
}

fn start(plan: &Path) -> io::Result<(File, Refusal)> {
    let plan: Plan = serde_json::from_slice(&fs::read(plan)?)?;
    // What is made here is seen in the container, whoever it was that started us.
    umask(Mode::from_bits_truncate(0o022));
    let answer = dup(io::stdout())?;
    fcntl(&answer, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    dup2_stdin(File::open("/dev/null")?)?;
    dup2_stdout(io::stderr())?;
    join_cgroup(&plan)?;
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWCGROUP)?;
    let refusal = match mounts::enter(&plan) {
        Ok(()) => become_command(&plan, &plan.command, &[]),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotADirectory | io::ErrorKind::ReadOnlyFilesystem) => {
            Refusal::Impossible(error.to_string())
        }
        Err(error) => Refusal::Failed(error.to_string()),
    };
    Ok((answer.into(), refusal))
}

fn join(joining: &Joining) -> Refusal {
    let prepared = || -> io::Result<Plan> {
        let plan: Plan = serde_json::from_slice(&fs::read(&joining.plan)?)?;
        let mounts = File::open(format!("/proc/{}/ns/mnt", joining.pid))?;
        join_cgroup(&plan)?;
        setns(mounts, CloneFlags::CLONE_NEWNS)?;
        Ok(plan)
    };
    match prepared() {
        Ok(plan) => become_command(&plan, &joining.command, &joining.environment),
        Err(error) => Refusal::Failed(error.to_string()),
    }
}

fn join_cgroup(plan: &Plan) -> io::Result<()> {
    match &plan.cgroup {
        Some(cgroup) => fs::write(cgroup.join("cgroup.procs"), "0")
            .map_err(|error| io::Error::new(error.kind(), format!("joining {}: {error}", cgroup.display()))),
        None => Ok(()),
    }
}

/// Takes on user, rights and environment and becomes the command; it returns only when that failed.
fn become_command(plan: &Plan, command: &[String], environment: &[(String, String)]) -> Refusal {
    if let Err(refusal) = take_on(plan) {
        return refusal;
    }
    let mut variables = plan.environment.clone();
    variables.extend_from_slice(environment);
    if !variables.iter().any(|(name, _)| name == "HOME") {
        variables.push(("HOME".into(), home(plan.user.0)));
    }
    let path = variables.iter().rev().find(|(name, _)| name == "PATH").map_or(DEFAULT_PATH, |(_, value)| value.as_str());
    let Some((name, arguments)) = command.split_first() else {
        return Refusal::Impossible("no command is given".into());
    };
    let program = match find(name, path) {
        Ok(program) => program,
        Err(refusal) => return refusal,
    };
    let error = Command::new(program).arg0(name).args(arguments).env_clear().envs(variables).exec();
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOENT) => Refusal::NotFound(format!("exec: \"{name}\": no such file or directory")),
        Some(Errno::EACCES | Errno::EPERM) => Refusal::NotPermitted(format!("exec: \"{name}\": permission denied")),
        Some(Errno::ENOEXEC) => Refusal::Impossible(format!("exec \"{name}\": exec format error")),
        _ => Refusal::Failed(format!("exec \"{name}\": {error}")),
    }
}

fn take_on(plan: &Plan) -> Result<(), Refusal> {
    let failed = |doing: &'static str| move |error: Errno| Refusal::Failed(format!("{doing}: {error}"));
    SigSet::empty().thread_set_mask().map_err(failed("unblocking signals"))?;
    umask(Mode::from_bits_truncate(0o022));
    setsid().map_err(failed("starting a session"))?;
    chdir(&plan.directory).map_err(|error| match error {
        Errno::ENOTDIR | Errno::EACCES | Errno::ENOENT => {
            Refusal::Impossible(format!("chdir to \"{}\": {error}", plan.directory.display()))
        }
        _ => Refusal::Failed(format!("chdir to \"{}\": {error}", plan.directory.display())),
    })?;
    let (uid, gid, ref groups) = plan.user;
    let impossible = |what: &str, error: Errno| match error {
        Errno::EINVAL => Refusal::Impossible(format!("{what} does not exist on this machine: {error}")),
        _ => Refusal::Failed(format!("becoming {what}: {error}")),
    };
    if plan.set_groups {
        let groups: Vec<_> = groups.iter().copied().map(Gid::from_raw).collect();
        setgroups(&groups).map_err(|error| impossible(&format!("one of the groups {groups:?}"), error))?;
    }
    let (group, user) = (Gid::from_raw(gid), Uid::from_raw(uid));
    setresgid(group, group, group).map_err(|error| impossible(&format!("group {gid}"), error))?;
    bound(&plan.capabilities).map_err(|error| Refusal::Failed(format!("giving up capabilities: {error}")))?;
    setresuid(user, user, user).map_err(|error| impossible(&format!("user {uid}"), error))?;
    if plan.no_new_privileges {
        prctl::set_no_new_privs().map_err(failed("giving up new privileges"))?;
    }
    Ok(())
}

/// Keeps only these in the bounding set: root has them after exec, every other user has none.
fn bound(keep: &[String]) -> Result<(), caps::errors::CapsError> {
    let keep: Vec<Capability> = keep.iter().filter_map(|name| format!("CAP_{name}").parse().ok()).collect();
    for capability in caps::runtime::thread_all_supported() {
        if !keep.contains(&capability) {
            caps::drop(None, CapSet::Bounding, capability)?;
        }
    }
    caps::clear(None, CapSet::Inheritable)
}

fn home(uid: u32) -> String {
    let uid = uid.to_string();
    fs::read_to_string("/etc/passwd")
        .unwrap_or_default()
        .lines()
        .find_map(|line| {
            let fields: Vec<_> = line.split(':').collect();
            (fields.get(2) == Some(&uid.as_str())).then(|| fields.get(5).map_or_else(|| "/".to_owned(), |home| (*home).to_owned()))
        })
        .unwrap_or_else(|| "/".into())
}

fn find(name: &str, path: &str) -> Result<PathBuf, Refusal> {
    if name.contains('/') {
        return Ok(PathBuf::from(name));
    }
    let mut forbidden = false;
    for directory in path.split(':').filter(|directory| !directory.is_empty()) {
        let candidate = Path::new(directory).join(name);
        match fs::metadata(&candidate) {
            Ok(metadata) if metadata.is_file() && metadata.permissions().mode() & 0o111 != 0 => return Ok(candidate),
            Ok(metadata) if metadata.is_file() => forbidden = true,
            _ => {}
        }
    }
    if forbidden {
        return Err(Refusal::NotPermitted(format!("exec: \"{name}\": permission denied")));
    }
    Err(Refusal::NotFound(format!("exec: \"{name}\": executable file not found in $PATH")))
}
