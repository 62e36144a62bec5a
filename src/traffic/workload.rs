//! What clients are asked to write: a workload that goes on, or a load that fills.

use super::{
    Endpoint,
    agent::wire::{Limits, Pipeline, PlannedPlace, WritePlan},
};
use serde::Serialize;
use std::{ops::Range, time::Duration};

/// What a workload writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// `SET`.
    #[default]
    Strings,
    /// `XADD`, with a consumer group, deliveries and some acknowledgements.
    Streams,
    /// Both, in turns; a stream's key ends in `:stream`.
    Mixed,
}

impl Kind {
    pub(super) fn strings(self) -> bool {
        matches!(self, Self::Strings | Self::Mixed)
    }

    pub(super) fn streams(self) -> bool {
        matches!(self, Self::Streams | Self::Mixed)
    }
}

/// A database, and its keys with `{}` for the number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The database.
    pub db: u32,
    /// `mcp:postgres:tenant:{}`.
    pub key: String,
}

impl Place {
    /// Keys of this pattern in this database.
    #[must_use]
    pub fn new(db: u32, key: impl Into<String>) -> Self {
        Self { db, key: key.into() }
    }

    /// Whether the key could be one of this place: its pattern with a number in it, of a stream or not.
    pub(super) fn makes(&self, key: &str) -> bool {
        let key = key.strip_suffix(":stream").unwrap_or(key);
        match self.key.split_once("{}") {
            Some((before, after)) => key
                .strip_prefix(before)
                .and_then(|rest| rest.strip_suffix(after))
                .is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())),
            None => key == self.key,
        }
    }

    /// A glob that fits all keys of this place, and perhaps more.
    pub(super) fn glob(&self) -> String {
        let escaped = self.key.chars().fold(String::new(), |mut glob, letter| {
            if "*?[]\\^".contains(letter) {
                glob.push('\\');
            }
            glob.push(letter);
            glob
        });
        escaped.replace("{}", "*") + if escaped.contains("{}") { "" } else { "*" }
    }
}

/// Writes that go on until stopped, or until so many were sent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Workload {
    /// Taken in turns by each writer; at least one.
    pub places: Vec<Place>,
    /// What is written.
    pub kind: Kind,
    /// The value, `{}` being a token that is unique to the write.
    pub template: String,
    /// Values are filled up to this many bytes.
    pub value_bytes: usize,
    /// How many write side by side, each on its own connections; a key belongs to one of them.
    pub writers: u32,
    /// How many keys a place has, which are then written again and again; none is a new key for each write (and one stream a writer).
    pub keys: Option<u64>,
    /// So many writes in all; none is until stopped.
    pub count: Option<u64>,
    /// At most so many writes a second in all; none is as fast as answers come.
    pub per_second: Option<f64>,
    /// Time limits of each connection and answer.
    pub limits: Limits,
}

impl Default for Workload {
    /// Four writers of new strings, as fast as answers come, to no place yet.
    fn default() -> Self {
        Self {
            places: Vec::new(),
            kind: Kind::default(),
            template: "{}".into(),
            value_bytes: 0,
            writers: 4,
            keys: None,
            count: None,
            per_second: None,
            limits: Limits::default(),
        }
    }
}

impl Workload {
    /// Ends by itself after so many writes.
    #[must_use]
    pub fn count(mut self, count: u64) -> Self {
        self.count = Some(count);
        self
    }

    /// At most so many writes a second in all.
    #[must_use]
    pub fn per_second(mut self, rate: f64) -> Self {
        self.per_second = Some(rate);
        self
    }

    /// Writes so many keys a place again and again.
    #[must_use]
    pub fn keys(mut self, keys: u64) -> Self {
        self.keys = Some(keys);
        self
    }

    pub(super) fn plan(&self, endpoint: &Endpoint, seed: u64) -> WritePlan {
        WritePlan {
            address: endpoint.address(),
            places: self.places.iter().map(|place| PlannedPlace { db: place.db, key: place.key.clone() }).collect(),
            strings: self.kind.strings(),
            streams: self.kind.streams(),
            template: self.template.clone(),
            value_bytes: self.value_bytes,
            writers: self.writers.max(1),
            keys: self.keys.filter(|keys| *keys > 0),
            count: self.count,
            per_second: self.per_second,
            seed,
            limits: self.limits,
        }
    }
}

/// The same command over a range of numbers, many at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Load {
    /// The command; `{}` becomes the number, an argument `{value}` a value of [`Self::value_bytes`].
    pub args: Vec<String>,
    /// The numbers.
    pub numbers: Range<u64>,
    /// The length of values in bytes.
    pub value_bytes: usize,
    /// By so many bytes at most they are longer, each by its own number.
    pub value_spread: usize,
    /// How many connections share the range.
    pub connections: u32,
    /// How many commands are sent before the first reply is read.
    pub depth: u32,
    /// For the whole of it.
    pub within: Duration,
    /// Of each connection and each answer.
    pub limits: Limits,
}

impl Load {
    /// A command for each number; arguments may have `{}` and `{value}`.
    #[must_use]
    pub fn command(args: &[&str], numbers: Range<u64>) -> Self {
        let args = args.iter().map(|&arg| arg.to_owned()).collect();
        // An answer may take long while Redis evicts or rewrites its file on a busy machine.
        let limits = Limits::PATIENT;
        Self { args, numbers, value_bytes: 0, value_spread: 0, connections: 4, depth: 64, within: Duration::from_secs(300), limits }
    }

    /// `SET` of values so long to keys of this pattern.
    #[must_use]
    pub fn set(key: &str, numbers: Range<u64>, value_bytes: usize) -> Self {
        Self::command(&["SET", key, "{value}"], numbers).value(value_bytes)
    }

    /// The length of `{value}`.
    #[must_use]
    pub fn value(mut self, bytes: usize) -> Self {
        self.value_bytes = bytes;
        self
    }

    /// Values of many lengths, from that of [`Self::value`] to so many bytes more.
    #[must_use]
    pub fn spread(mut self, bytes: usize) -> Self {
        self.value_spread = bytes;
        self
    }

    pub(super) fn pipeline(&self, endpoint: &Endpoint, seed: u64) -> Pipeline {
        Pipeline {
            address: endpoint.address(),
            args: self.args.clone(),
            from: self.numbers.start,
            to: self.numbers.end,
            value_bytes: self.value_bytes,
            value_spread: self.value_spread,
            seed,
            connections: self.connections,
            depth: self.depth,
            limits: self.limits,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_knows_its_own_keys() {
        let place = Place::new(0, "mcp:postgres:tenant:{}");
        assert!(place.makes("mcp:postgres:tenant:12") && place.makes("mcp:postgres:tenant:12:stream"));
        assert!(!place.makes("mcp:postgres:tenant:fedfina") && !place.makes("mcp:postgres:tenant:") && !place.makes("mcp:minio:tenant:1"));
        assert_eq!(Place::new(0, "a[b]*{}").glob(), "a\\[b\\]\\**");
    }
}
