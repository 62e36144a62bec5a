//! Namespaces, networks and processes of the local target; it knows no Kubernetes object.
//!
//! The seam to `control`: [`Network`] (one a cluster), [`Sandbox`] (one a pod), [`Running`] (one a container).

mod cgroup;
pub(super) mod container;
pub(super) mod facts;
mod join;
mod link;
mod log;
mod mounts;
mod namespace;
mod network;
mod plan;
mod processes;
mod resolver;
mod root;
mod running;
mod sandbox;
mod services;
pub mod storage;

pub use facts::{CgroupVersion, Facts, facts};
pub use join::ExecError;
pub use network::Network;
pub use processes::{FreezeError, ProcessInfo};
pub use running::{Running, StartError};
pub use sandbox::Sandbox;
use std::{collections::BTreeMap, net::Ipv4Addr, path::PathBuf};

/// What the packet filter does for Services.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceRule {
    /// The ClusterIP.
    pub address: Option<Ipv4Addr>,
    /// The Service's port.
    pub port: u16,
    /// `true` for UDP.
    pub udp: bool,
    /// Ready endpoints; without any, connections are refused.
    pub endpoints: Vec<(Ipv4Addr, u16)>,
    /// `sessionAffinity: ClientIP`.
    pub client_affinity: bool,
}

/// Names that the resolver answers: fully qualified, lower case, without the last dot. A name with an empty list exists and has
/// no address (NODATA); one that is not here does not exist (NXDOMAIN), as a headless Service without endpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// A records.
    pub addresses: BTreeMap<String, Vec<Ipv4Addr>>,
    /// SRV records: name → (port, target).
    pub services: BTreeMap<String, Vec<(u16, String)>>,
    /// CNAME records of ExternalName Services.
    pub aliases: BTreeMap<String, String>,
}

/// What a container's file system begins with.
#[derive(Clone, Debug, Default)]
pub struct Root {
    /// Programs put into `/usr/local/bin`, name → path on this machine.
    pub programs: BTreeMap<String, PathBuf>,
    /// Files that the image brings, path → (content, mode, uid, gid).
    pub files: BTreeMap<PathBuf, (Vec<u8>, u32, u32, u32)>,
    /// Writable directories that the image brings, path → (mode, uid, gid); `/data` of redis.
    pub directories: BTreeMap<PathBuf, (u32, u32, u32)>,
    /// `securityContext.readOnlyRootFilesystem`.
    pub read_only: bool,
}

/// A directory or file of this machine that a container sees.
#[derive(Clone, Debug)]
pub struct Mount {
    /// On this machine.
    pub source: PathBuf,
    /// In the container.
    pub target: PathBuf,
    /// Mounted read-only.
    pub read_only: bool,
}

/// Everything that is needed to start a container's process.
#[derive(Clone, Debug)]
pub struct ContainerSpec {
    /// A name for logs and cgroups.
    pub name: String,
    /// Program and arguments; looked up in the container's PATH.
    pub command: Vec<String>,
    /// The whole environment.
    pub environment: Vec<(String, String)>,
    /// Working directory.
    pub directory: PathBuf,
    /// User, group and further groups of the process.
    pub user: (u32, u32, Vec<u32>),
    /// Capabilities that are taken away from the usual set of a container (`ALL` or names without `CAP_`), and those added.
    pub capabilities: (Vec<String>, Vec<String>),
    /// `allowPrivilegeEscalation: false`.
    pub no_new_privileges: bool,
    /// The root file system.
    pub root: Root,
    /// Volumes, in the order of their depth.
    pub mounts: Vec<Mount>,
    /// Memory limit in bytes, where memory limits can be had.
    pub memory: Option<u64>,
    /// Standard output and error are appended to this file.
    pub log: PathBuf,
}

/// How a container's main process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// The exit code; 128 + signal where a signal ended it.
    pub code: i32,
    /// The signal, if one ended it.
    pub signal: Option<i32>,
    /// The kernel killed it for memory.
    pub out_of_memory: bool,
}

#[cfg(test)]
impl ContainerSpec {
    /// A container of this command as root, without volumes.
    fn example(command: &[&str]) -> Self {
        Self {
            name: "example".into(),
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            environment: Vec::new(),
            directory: "/".into(),
            user: (0, 0, Vec::new()),
            capabilities: (Vec::new(), Vec::new()),
            no_new_privileges: false,
            root: Root::default(),
            mounts: Vec::new(),
            memory: None,
            log: "/dev/null".into(),
        }
    }
}
