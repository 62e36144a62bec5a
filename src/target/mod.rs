//! Where manifests run: one trait whose verbs are the specification's; nobody outside asks which target it is.

mod capability;
#[cfg(test)]
pub(crate) mod fake;
pub mod image;
#[cfg(feature = "kube")]
pub mod kube;
pub mod local;
mod manner;

use crate::{
    manifest::{Object, ObjectKey, Place},
    wait::TimedOut,
};
use async_trait::async_trait;
pub use capability::{Capability, Unsupported};
pub use manner::Manner;
use serde_json::Value;
use std::{
    fmt,
    pin::Pin,
    time::{Duration, SystemTime},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
};

/// The annotation of the storage class that claims get which name none.
pub const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";

/// Why a target did not do as it was told.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The target lacks a capability.
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
    /// The object is refused as an API server would refuse it.
    #[error("{key} is refused at {place}: {reason}")]
    Refused {
        /// Which object.
        key: ObjectKey,
        /// Its file and line.
        place: Place,
        /// The API server's words.
        reason: String,
    },
    /// A budget keeps the pod from being evicted now.
    #[error("{pod} may not be evicted: {reason}")]
    Kept {
        /// Which pod.
        pod: ObjectKey,
        /// The API server's words.
        reason: String,
    },
    /// There is no such object, pod or container.
    #[error("there is no {0}")]
    Missing(String),
    /// Something did not happen in time.
    #[error(transparent)]
    TimedOut(#[from] TimedOut),
    /// The target itself does not work.
    #[error("{doing}")]
    Broken {
        /// What was being done.
        doing: String,
        /// What went wrong.
        #[source]
        cause: anyhow::Error,
    },
}

impl TargetError {
    /// Wraps a failure of the target itself.
    pub fn broken(doing: impl Into<String>, cause: impl Into<anyhow::Error>) -> Self {
        Self::Broken { doing: doing.into(), cause: cause.into() }
    }
}

/// A container of a pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerRef {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub pod: String,
    /// The container's name.
    pub container: String,
}

impl ContainerRef {
    /// The client pod's container in a namespace.
    #[must_use]
    pub fn of_client(namespace: &str) -> Self {
        Self { namespace: namespace.to_owned(), pod: "redis-conformance-client".to_owned(), container: "client".to_owned() }
    }
}

impl fmt::Display for ContainerRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}, container {}", self.namespace, self.pod, self.container)
    }
}

/// Which process a container is running: proof that a fault happened is a change of this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// The pod's UID.
    pub pod_uid: String,
    /// `restartCount` of the container.
    pub restarts: u32,
    /// When the process was started.
    pub started: SystemTime,
    /// It exists but does not run: every thread is stopped.
    pub frozen: bool,
}

/// What a command in a container answered.
#[derive(Clone, Debug)]
pub struct ExecOutput {
    /// The exit code; 128 + signal where a signal ended it.
    pub code: i32,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: Vec<u8>,
}

/// A program started in a container, with its input and output attached.
pub struct Attached {
    /// Its standard input; shut it down to end the program.
    pub stdin: Pin<Box<dyn AsyncWrite + Send>>,
    /// Its standard output.
    pub stdout: Pin<Box<dyn AsyncRead + Send>>,
}

/// How a container is ended from within its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kill {
    /// SIGTERM to the main process: it may save first.
    Term,
    /// SIGKILL: it cannot.
    Kill,
}

/// What `apply` came to.
#[derive(Clone, Debug, Default)]
pub struct Applied {
    /// Containers that are not started since nothing here stands for their image.
    pub without_program: Vec<WithoutProgram>,
    /// Containers for whose image a fixture of ours stands.
    pub fixtures: Vec<Fixture>,
    /// Objects and fields that this target does not carry out though it accepts them (a ServiceMonitor without its CRD); one sentence each.
    pub remarks: Vec<String>,
}

/// A container that a fixture program of ours stands in for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fixture {
    /// The object whose template has it.
    pub owner: ObjectKey,
    /// The fixture's name: `dispatcher`.
    pub program: String,
}

/// A container that cannot run here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WithoutProgram {
    /// The object whose template has it.
    pub owner: ObjectKey,
    /// The container's name.
    pub container: String,
    /// Its image.
    pub image: String,
}

/// One place where a manifest set runs: a cluster of its own, or namespaces of its own on a shared one.
///
/// Objects go in and come out as the API server's JSON, status included, so that steps read the same fields everywhere.
#[async_trait]
pub trait Target: Send + Sync {
    /// For the report only.
    fn name(&self) -> &'static str;

    /// Whether the target can do this here and now; found by trying, not by the target's name. [`TargetError::Unsupported`] where it cannot,
    /// anything else where that could not be found out.
    async fn capability(&self, capability: Capability) -> Result<(), TargetError>;

    /// Server-side apply of all objects; controllers then do their part in the background.
    async fn apply(&self, objects: &[Object]) -> Result<Applied, TargetError>;

    /// The live object, status included.
    async fn get(&self, key: &ObjectKey) -> Result<Option<Value>, TargetError>;

    /// All live objects of a kind (`Pod`, `Event`, `EndpointSlice` …), in one namespace or in all.
    async fn list(&self, kind: &str, namespace: Option<&str>) -> Result<Vec<Value>, TargetError>;

    /// A counter that moves with every change of any live object: waits wake by it.
    fn changes(&self) -> watch::Receiver<u64>;

    /// Deletes an object as `kubectl delete` does; `grace` replaces the object's own grace period (0 is `--force`). Returns once the deletion is accepted.
    async fn delete(&self, key: &ObjectKey, grace: Option<Duration>) -> Result<(), TargetError>;

    /// Asks once for a pod's eviction; [`TargetError::Kept`] while a budget keeps it. Returns once the eviction is accepted.
    async fn evict(&self, pod: &ObjectKey) -> Result<(), TargetError>;

    /// A JSON merge patch, refused as an API server would refuse it.
    async fn patch(&self, key: &ObjectKey, patch: &Value) -> Result<Value, TargetError>;

    /// Runs a command in a container and waits for its end.
    async fn exec(&self, container: &ContainerRef, command: &[&str], stdin: &[u8]) -> Result<ExecOutput, TargetError>;

    /// Starts a command in a container and keeps its input and output.
    async fn attach(&self, container: &ContainerRef, command: &[&str]) -> Result<Attached, TargetError>;

    /// What the container wrote to standard output and error, of the running or of the previous instance.
    async fn logs(&self, container: &ContainerRef, previous: bool) -> Result<Vec<u8>, TargetError>;

    /// The container's main process as it is now.
    async fn process(&self, container: &ContainerRef) -> Result<Process, TargetError>;

    /// Sends the signal to the container's main process from its node.
    async fn kill(&self, container: &ContainerRef, how: Kill) -> Result<(), TargetError>;

    /// Stops every process of the container (SIGSTOP); its sockets stay open.
    async fn freeze(&self, container: &ContainerRef) -> Result<(), TargetError>;

    /// Lets a frozen container run on.
    async fn thaw(&self, container: &ContainerRef) -> Result<(), TargetError>;

    /// Takes a node's power: its processes are gone, the control plane notices by and by.
    async fn stop_node(&self, node: &str) -> Result<(), TargetError> {
        Err(no_node_faults(node).into())
    }

    /// Gives it back: its pods' containers are started anew from what the node's disks kept.
    async fn start_node(&self, node: &str) -> Result<(), TargetError> {
        Err(no_node_faults(node).into())
    }

    /// Stops everything at once, keeps only volumes, and starts again.
    async fn restart_everything(&self) -> Result<(), TargetError>;

    /// A client pod in the namespace, ready, whose container has this program at `/usr/local/bin/redis-conformance`; made at the first call.
    async fn client(&self, namespace: &str) -> Result<ContainerRef, TargetError>;

    /// The name under which a client pod here reaches what the manifests call by that host: namespaces may have other names.
    fn host(&self, name: &str) -> String {
        name.to_owned()
    }

    /// From now on the directories of new volumes belong to root and only root may write, as on a fresh block device.
    async fn new_volumes_belong_to_root(&self) -> Result<(), TargetError> {
        Err(Unsupported {
            capability: Capability::RootOwnedVolumes,
            reason: "its storage makes directories that everybody may write".into(),
        }
        .into())
    }

    /// The command line with which a person opens a shell in the running container, from a terminal outside of this program.
    async fn shell(&self, container: &ContainerRef) -> Result<String, TargetError> {
        let reason = format!("no terminal reaches {container} from outside");
        Err(Unsupported { capability: Capability::Shell, reason }.into())
    }

    /// Takes everything down and waits until it is gone.
    async fn down(&self) -> Result<(), TargetError>;
}

fn no_node_faults(node: &str) -> Unsupported {
    Unsupported { capability: Capability::NodeFaults, reason: format!("it has no power over node {node}") }
}
