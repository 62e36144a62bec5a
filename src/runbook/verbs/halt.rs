//! Why a call ended before its end, in the words and with the exit code of the real `kubectl`.

use crate::{target::TargetError, wait::TimedOut};

/// A call that did not succeed.
#[derive(Debug, thiserror::Error)]
pub(in crate::runbook) enum Halt {
    /// Said as it stands; exit code 1.
    #[error("{0}")]
    Says(String),
    /// The command in the container ended so.
    #[error("command terminated with exit code {0}")]
    Command(u8),
    /// Everything was said already; ends with this code.
    #[error("")]
    Silent(u8),
    /// We do not do this; the real `kubectl` might.
    #[error("error: {what} is not carried out by redis-conformance; {instead}")]
    NotCarriedOut {
        /// The verb or flag.
        what: String,
        /// What can be done.
        instead: String,
    },
    /// This machine lacks what the call needs; no fault of the runbook.
    #[error("error: {0}")]
    Here(String),
    /// The target did not do it.
    #[error("{}", words_of(.0))]
    Target(#[from] TargetError),
    /// A wait of a verb that has no words of its own for it.
    #[error("error: {0}")]
    TimedOut(#[from] TimedOut),
    /// The caller is gone; nobody hears what would be said.
    #[error("the caller is gone")]
    Unheard,
}

impl Halt {
    /// `error: …`, as `kubectl` says what it finds out by itself.
    pub(super) fn error(words: impl std::fmt::Display) -> Self {
        Self::Says(format!("error: {words}"))
    }

    /// `Error from server (NotFound): …`.
    pub(super) fn not_found(resource: &str, name: &str) -> Self {
        Self::Says(format!("Error from server (NotFound): {resource} \"{name}\" not found"))
    }

    /// The exit code.
    pub(in crate::runbook) fn code(&self) -> u8 {
        match self {
            Self::Command(code) | Self::Silent(code) => *code,
            _ => 1,
        }
    }
}

fn words_of(error: &TargetError) -> String {
    match error {
        TargetError::Missing(what) => format!("Error from server (NotFound): there is no {what}"),
        TargetError::Refused { reason, .. } => format!("Error from server (Invalid): {reason}"),
        TargetError::Kept { reason, .. } => format!("Error from server (TooManyRequests): {reason}"),
        TargetError::Unsupported(unsupported) => format!("error: {unsupported}"),
        TargetError::TimedOut(timed_out) => format!("error: {timed_out}"),
        TargetError::Broken { doing, cause } => format!("error: {doing}: {cause:#}"),
    }
}
