//! Writes on the wire: what each did, and what became of it.

use super::Content;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, str::FromStr};

/// What a write did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum WriteKind {
    /// `SET`.
    Set {
        /// The value.
        content: Content,
    },
    /// `XADD` with one field named `value`.
    Add {
        /// The field's value.
        content: Content,
        /// The id that the server gave.
        entry: Option<EntryId>,
    },
    /// `XGROUP CREATE … 0 MKSTREAM`.
    Group {
        /// The group's name.
        group: String,
    },
    /// `XREADGROUP … >`: it moves the group's last-delivered-id and makes entries pending.
    Deliver {
        /// The group's name.
        group: String,
        /// What was delivered.
        entries: Vec<EntryId>,
    },
    /// `XACK`.
    Acknowledge {
        /// The group's name.
        group: String,
        /// What is no longer pending.
        entries: Vec<EntryId>,
    },
}

/// What became of a write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fate", rename_all = "kebab-case")]
pub enum Fate {
    /// A well-formed reply that is no error.
    Acknowledged,
    /// Nothing was sent, or a well-formed error came back: it is not there.
    Refused {
        /// The error's text, or why there was no connection.
        reason: String,
    },
    /// Something was sent and no well-formed reply came back: it may be there or not.
    Unknown {
        /// What came instead.
        reason: String,
    },
}

/// The id of a stream's entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId {
    /// Milliseconds since the epoch, by the server's clock.
    pub milliseconds: u64,
    /// The number within the millisecond.
    pub sequence: u64,
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.milliseconds, self.sequence)
    }
}

/// A text that is no stream id.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0:?} is not the id of a stream's entry")]
pub struct NotEntryId(pub String);

impl FromStr for EntryId {
    type Err = NotEntryId;

    fn from_str(text: &str) -> Result<Self, NotEntryId> {
        let not = || NotEntryId(text.to_owned());
        let (milliseconds, sequence) = text.split_once('-').ok_or_else(not)?;
        Ok(Self { milliseconds: milliseconds.parse().map_err(|_| not())?, sequence: sequence.parse().map_err(|_| not())? })
    }
}

impl Serialize for EntryId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EntryId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}
