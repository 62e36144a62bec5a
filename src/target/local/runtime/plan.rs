//! What the node tells a container's first process, and how that one answers; both are files of the container's directory.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Something of this machine, or of the container's directory, that is put into the new root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Bind {
    /// On this machine.
    pub(super) source: PathBuf,
    /// Within the root, without the first slash.
    pub(super) target: PathBuf,
    /// Nothing can be written through it.
    pub(super) read_only: bool,
}

/// Everything that a container's process needs to know to become itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Plan {
    /// The tree that becomes `/`.
    pub(super) root: PathBuf,
    /// `/` is read-only in the end.
    pub(super) read_only: bool,
    /// What is put into it first, in this order.
    pub(super) binds: Vec<Bind>,
    /// Volumes, put in from within the new root, so that their targets' symbolic links lead nowhere else.
    pub(super) volumes: Vec<Bind>,
    /// Program and arguments.
    pub(super) command: Vec<String>,
    /// The whole environment.
    pub(super) environment: Vec<(String, String)>,
    /// Working directory.
    pub(super) directory: PathBuf,
    /// User, group, further groups.
    pub(super) user: (u32, u32, Vec<u32>),
    /// Groups cannot be set where there is only a single user.
    pub(super) set_groups: bool,
    /// Names of the capabilities that it may have at most.
    pub(super) capabilities: Vec<String>,
    /// `no_new_privs`.
    pub(super) no_new_privileges: bool,
    /// Its control group, if it has one.
    pub(super) cgroup: Option<PathBuf>,
}

/// What a process that joins a container runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Joining {
    /// The container's plan.
    pub(super) plan: PathBuf,
    /// The container's first process, as the node numbers it.
    pub(super) pid: i32,
    /// Program and arguments.
    pub(super) command: Vec<String>,
    /// What is added to the environment.
    pub(super) environment: Vec<(String, String)>,
    /// Where the reason goes if it cannot start.
    pub(super) answer: PathBuf,
}

/// Why the process did not become the command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Refusal {
    /// There is no such program.
    NotFound(String),
    /// There is, but this user may not run it.
    NotPermitted(String),
    /// The manifest asks for something that cannot be had: a user that does not exist here, a file where a directory should be.
    Impossible(String),
    /// Our own work failed.
    Failed(String),
}
