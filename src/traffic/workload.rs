//! What clients are asked to write.

use super::agent::wire::{Limits, Pipeline, PlannedPlace, WritePlan};
use super::Endpoint;
use std::ops::Range;

/// What kind of values are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// `SET`.
    #[default]
    Strings,
    /// `XADD` with groups, deliveries and acknowledgements, so that entries are pending at any time.
    Streams,
    /// Both in turn.
    Mixed,
}

/// A database, and the names of the keys in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The database number.
    pub db: u32,
    /// The key, with `{}` for the number.
    pub key: String,
}

impl Place {
    /// Keys of that form in that database.
    pub fn new(db: u32, key: impl Into<String>) -> Self {
        Self { db, key: key.into() }
    }
}

/// Writes whose fate matters one by one.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// Taken in turn.
    pub places: Vec<Place>,
    /// What is written.
    pub kind: Kind,
    /// Clients side by side.
    pub writers: u32,
    /// Ends after so many writes; `None` goes on until it is stopped.
    pub count: Option<u64>,
    /// Writes a second, of all writers; `None` as fast as answers come.
    pub per_second: Option<f64>,
    /// Bytes of a value.
    pub value_bytes: usize,
    /// Makes values of different workloads differ.
    pub seed: u64,
}

impl Default for Workload {
    fn default() -> Self {
        Self { places: Vec::new(), kind: Kind::Strings, writers: 4, count: None, per_second: None, value_bytes: 64, seed: 1 }
    }
}

impl Workload {
    /// Ends after so many writes.
    #[must_use]
    pub fn count(mut self, count: u64) -> Self {
        self.count = Some(count);
        self
    }

    /// Goes on until it is stopped, at that rate, over keys of its own.
    #[must_use]
    pub fn per_second(mut self, rate: f64) -> Self {
        self.per_second = Some(rate);
        self.seed += 1;
        for place in &mut self.places {
            place.key = place.key.replace("{}", "later-{}");
        }
        self
    }

    pub(super) fn plan(&self, endpoint: &Endpoint, limits: Limits) -> WritePlan {
        WritePlan {
            address: endpoint.address(),
            places: self.places.iter().map(|place| PlannedPlace { db: place.db, key: place.key.clone() }).collect(),
            strings: self.kind != Kind::Streams,
            streams: self.kind != Kind::Strings,
            template: "{value}".into(),
            value_bytes: self.value_bytes,
            writers: self.writers,
            keys: None,
            count: self.count,
            per_second: self.per_second,
            seed: self.seed,
            limits,
        }
    }
}

/// One command over a range of numbers, of which only the tally matters.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    words: Vec<String>,
    range: Range<u64>,
    value_bytes: usize,
}

impl Load {
    /// `{}` in a word becomes the number, `{value}` a value that belongs to it.
    #[must_use]
    pub fn command(words: &[&str], range: Range<u64>) -> Self {
        Self { words: words.iter().map(|word| (*word).to_owned()).collect(), range, value_bytes: 0 }
    }

    /// `SET` of values of that size.
    #[must_use]
    pub fn set(key: &str, range: Range<u64>, value_bytes: usize) -> Self {
        Self::command(&["SET", key, "{value}"], range).value(value_bytes)
    }

    /// Bytes of `{value}`.
    #[must_use]
    pub fn value(mut self, bytes: usize) -> Self {
        self.value_bytes = bytes;
        self
    }

    pub(super) fn pipeline(&self, endpoint: &Endpoint, limits: Limits) -> Pipeline {
        Pipeline {
            address: endpoint.address(),
            args: self.words.clone(),
            from: self.range.start,
            to: self.range.end,
            value_bytes: self.value_bytes,
            seed: 1,
            connections: 4,
            depth: 64,
            limits,
        }
    }
}
