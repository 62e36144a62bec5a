//! Why traffic could not be sent, or says nothing: the harness' trouble, never Redis' answer.

use crate::target::TargetError;
use std::time::Duration;

/// What went wrong with clients.
#[derive(Debug, thiserror::Error)]
pub enum TrafficError {
    /// The target gave no client pod.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The agent is gone, or its stream was cut.
    #[error("{doing}: the agent in the client pod has ended ({how}); see the client pod's state and log")]
    Ended {
        /// What was being done.
        doing: String,
        /// What the last of it was.
        how: String,
    },
    /// The agent does not answer.
    #[error("{doing}: the agent in the client pod said nothing more for {waited:?}; is its node frozen?")]
    Silent {
        /// What was being done.
        doing: String,
        /// How long.
        waited: Duration,
    },
    /// The agent could not do it.
    #[error("{doing}: {reason}")]
    Agent {
        /// What was being done.
        doing: String,
        /// The agent's words.
        reason: String,
    },
    /// The other end speaks other messages.
    #[error("the agent speaks version {theirs} of the messages, this program version {ours}: build both from the same source")]
    Version {
        /// What this program speaks.
        ours: u32,
        /// What the agent speaks.
        theirs: u32,
    },
    /// No write was acknowledged where some were wanted, so that a comparison would prove nothing.
    #[error("no {what} was acknowledged in database {db} ({sent} sent), so that a comparison proves nothing; {example}")]
    ProvesNothing {
        /// `write`, `string` or `stream entry`.
        what: &'static str,
        /// Which database.
        db: u32,
        /// How many were sent.
        sent: usize,
        /// Why the first of them was not.
        example: String,
    },
    /// A key of the ledger was not read back.
    #[error("database {db} was read back without the key {key:?}: no comparison is possible")]
    NotRead {
        /// Which database.
        db: u32,
        /// Which key.
        key: String,
    },
    /// The workload has no end of its own.
    #[error("the workload has no count, so that it never finishes: stop it")]
    Endless,
    /// The workload writes nowhere.
    #[error("the workload names no place to write to")]
    Nowhere,
    /// Too few writes were acknowledged in time.
    #[error("waited {waited:?} for {wanted} acknowledged writes; last saw: {seen}")]
    TooFew {
        /// How many were wanted.
        wanted: u64,
        /// How long.
        waited: Duration,
        /// The counts at the end.
        seen: String,
    },
}
