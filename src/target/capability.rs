//! What a target may or may not be able to do, each found by probing; it knows no target.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Something that a target can do here and now.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Capability {
    /// A container that outgrows its memory limit is killed by the kernel.
    MemoryLimit,
    /// Unsynced data can be dropped as at a loss of power.
    PowerLoss,
    /// Processes run under the uid that the manifest asks for.
    RunAsUser,
    /// A node can be stopped and started.
    NodeFaults,
    /// A storage class that can expand its volumes, with a resizer.
    VolumeExpansion,
    /// Storage classes can be made and taken away, the default among them.
    StorageClasses,
    /// Storage that follows the pod to another node.
    SharedStorage,
    /// New volumes can be made to belong to root, as a fresh block device's file system does.
    RootOwnedVolumes,
    /// A person can open a shell in a container from a terminal of this machine.
    Shell,
    /// A program stands for the image.
    Program(String),
    /// An object kind or field that the target does not implement, by name, with its place.
    Field(String),
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MemoryLimit => f.write_str("memory-limit"),
            Self::PowerLoss => f.write_str("power-loss"),
            Self::RunAsUser => f.write_str("run-as-user"),
            Self::NodeFaults => f.write_str("node-faults"),
            Self::VolumeExpansion => f.write_str("volume-expansion"),
            Self::StorageClasses => f.write_str("storage-classes"),
            Self::SharedStorage => f.write_str("shared-storage"),
            Self::RootOwnedVolumes => f.write_str("root-owned-volumes"),
            Self::Shell => f.write_str("shell"),
            Self::Program(image) => write!(f, "program for {image}"),
            Self::Field(field) => f.write_str(field),
        }
    }
}

/// The target cannot do it.
#[derive(Clone, Debug, thiserror::Error)]
#[error("this target lacks {capability}: {reason}")]
pub struct Unsupported {
    /// What.
    pub capability: Capability,
    /// Why not here, and how to get it.
    pub reason: String,
}
