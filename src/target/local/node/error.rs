//! Why a run could not enter its node, each with the remedy that fits what was refused here.

use super::super::status::Stage;
use std::{fs, io, path::Path};

/// Why the node could not be entered.
#[derive(Debug, thiserror::Error)]
pub enum EnterError {
    /// The kernel gives this user no namespaces.
    #[error("{what}\n{remedy}")]
    Forbidden {
        /// What was refused.
        what: String,
        /// How to get it.
        remedy: String,
    },
    /// There is no place for the run directory.
    #[error(
        "no directory for this run can be made: {0}\nSet TMPDIR or XDG_STATE_HOME to a directory on a disk that you can write, with space left."
    )]
    RunDirectory(String),
    /// A program is missing.
    #[error("{program} is not installed; it comes with the package {package} (Debian, Ubuntu: apt-get install {package})")]
    NoProgram {
        /// Its name.
        program: &'static str,
        /// The package that has it.
        package: &'static str,
    },
    /// Something that should always work did not.
    #[error("{doing}: {cause}")]
    Start {
        /// What was being done.
        doing: String,
        /// What went wrong.
        cause: io::Error,
    },
    /// The keeper was killed.
    #[error("the process that keeps this run was ended by signal {0}; what it left has been removed")]
    KeeperKilled(i32),
}

/// The remedy that fits what was refused here.
pub(super) fn explain(stage: Stage, errno: Option<i32>, message: String) -> EnterError {
    let refused = matches!(
        errno.map(nix::errno::Errno::from_raw),
        Some(nix::errno::Errno::EPERM | nix::errno::Errno::EACCES | nix::errno::Errno::ENOSPC)
    );
    match stage {
        Stage::RunDirectory => EnterError::RunDirectory(message),
        Stage::UserNamespace | Stage::PidNamespace | Stage::MountNamespace if refused => {
            EnterError::Forbidden { what: format!("this machine gives this user no namespaces ({message})"), remedy: namespaces_remedy() }
        }
        Stage::Proc if refused => EnterError::Forbidden {
            what: format!("a /proc of its own is refused ({message})"),
            remedy: "Inside Docker /proc is masked: start the container with --security-opt systempaths=unconfined \
                     --security-opt seccomp=unconfined --security-opt apparmor=unconfined."
                .into(),
        },
        _ => EnterError::Start { doing: "starting the node".into(), cause: io::Error::other(message) },
    }
}

fn namespaces_remedy() -> String {
    let sysctl = |name: &str| fs::read_to_string(Path::new("/proc/sys").join(name)).map(|value| value.trim().to_owned());
    let mut remedies = Vec::new();
    if sysctl("kernel/unprivileged_userns_clone").is_ok_and(|value| value == "0") {
        remedies.push("As root: sysctl -w kernel.unprivileged_userns_clone=1");
    }
    if sysctl("user/max_user_namespaces").is_ok_and(|value| value == "0") {
        remedies.push("As root: sysctl -w user.max_user_namespaces=15000");
    }
    if sysctl("kernel/apparmor_restrict_unprivileged_userns").is_ok_and(|value| value == "1") {
        remedies.push("AppArmor keeps ordinary users from it. As root: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0");
    }
    if remedies.is_empty() {
        remedies.push(
            "Inside Docker, start the container with --security-opt seccomp=unconfined --security-opt apparmor=unconfined \
             --security-opt systempaths=unconfined; elsewhere run as root.",
        );
    }
    remedies.join("\n")
}
