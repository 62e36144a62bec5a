//! Keeps what was seen: one folder a scenario, bounded, cuts declared, secrets taken out at the one place where it is written.

mod clock;
mod diagnose;
mod folder;
mod recorded;
mod redact;
mod slug;
mod store;
mod writer;

pub use clock::{Clock, run_id};
pub use diagnose::diagnose;
pub use folder::Evidence;
pub use recorded::Recorded;
pub use redact::{REDACTED, Redactor};
pub use slug::slug;
use std::{io, path::PathBuf};
pub use store::Store;

/// Evidence cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// The folder cannot be made or written to.
    #[error("evidence cannot be written to {}; name another folder with --evidence DIR", path.display())]
    Unwritable {
        /// The folder or file.
        path: PathBuf,
        /// The system's words.
        #[source]
        cause: io::Error,
    },
    /// The disk has too little room to begin.
    #[error("{} has {free} MiB free, and a run may need {needed}; make room, or name a folder on another disk with --evidence DIR", path.display())]
    Full {
        /// The folder.
        path: PathBuf,
        /// Free space in MiB.
        free: u64,
        /// Wanted space in MiB.
        needed: u64,
    },
    /// Some of a scenario's evidence was lost.
    #[error("evidence was lost: {} could not be written", path.display())]
    Lost {
        /// The file.
        path: PathBuf,
        /// The system's words.
        #[source]
        cause: io::Error,
    },
}
