//! Why a command could not do its work, with the exit code that this makes.

use crate::{config::ConfigError, evidence::EvidenceError, verdict::Exit};

/// A command failed before it had a verdict.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) exit: Exit,
    pub(super) error: anyhow::Error,
}

impl Problem {
    /// The user asked for something that there is not; the message says what there is.
    pub(super) fn usage(message: impl std::fmt::Display) -> Self {
        Self { exit: Exit::Usage, error: anyhow::anyhow!("{message}") }
    }

    /// The message and every cause, one a line.
    pub(super) fn told(&self) -> String {
        let mut text = format!("error: {}", self.error);
        for cause in self.error.chain().skip(1) {
            text.push_str(&format!("\n  because: {}", cause.to_string().replace('\n', "\n    ")));
        }
        text
    }
}

impl From<anyhow::Error> for Problem {
    fn from(error: anyhow::Error) -> Self {
        Self { exit: Exit::Unusable, error }
    }
}

impl From<ConfigError> for Problem {
    fn from(error: ConfigError) -> Self {
        Self { exit: Exit::Usage, error: error.into() }
    }
}

impl From<EvidenceError> for Problem {
    fn from(error: EvidenceError) -> Self {
        Self { exit: Exit::Unusable, error: error.into() }
    }
}
