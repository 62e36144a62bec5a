//! Every write that clients sent, with its fate and its times.

use super::{
    Outage,
    agent::wire::{Connected, Fate, WriteKind, Written},
};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// One write.
#[derive(Clone, Debug, Serialize)]
pub struct Write {
    /// Which writer sent it; a key belongs to one writer.
    pub writer: u32,
    /// The database.
    pub db: u32,
    /// The key.
    pub key: String,
    /// What it did.
    #[serde(flatten)]
    pub kind: WriteKind,
    /// What became of it.
    #[serde(flatten)]
    pub fate: Fate,
    /// Nanoseconds on the agent's clock.
    pub sent_ns: u64,
    /// When its fate was known.
    pub answered_ns: u64,
    /// The server's process, as it introduced itself.
    pub run_id: Option<String>,
}

/// A connection that shook hands.
#[derive(Clone, Debug, Serialize)]
pub struct Connection {
    /// The server's process.
    pub run_id: Option<String>,
    /// Its address.
    pub peer: String,
}

/// All writes of a scenario.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Ledger {
    writes: Vec<Write>,
    connections: BTreeMap<u64, Connection>,
}

impl Ledger {
    pub(super) fn connected(&mut self, connected: Connected) {
        self.connections.insert(connected.connection, Connection { run_id: connected.run_id, peer: connected.peer });
    }

    pub(super) fn written(&mut self, written: Written) {
        let run_id = written.connection.and_then(|number| self.connections.get(&number)?.run_id.clone());
        let Written { writer, db, key, kind, fate, sent_ns, answered_ns, .. } = written;
        self.writes.push(Write { writer, db, key, kind, fate, sent_ns, answered_ns, run_id });
    }

    /// Takes in the writes of another workload of the same client.
    pub fn extend(&mut self, other: Self) {
        self.writes.extend(other.writes);
        self.connections.extend(other.connections);
    }

    /// All writes, in the order in which their fates were known.
    #[must_use]
    pub fn writes(&self) -> &[Write] {
        &self.writes
    }

    /// How many were acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        self.writes.iter().filter(|write| write.fate == Fate::Acknowledged).count()
    }

    /// Every key that was written to, by database.
    #[must_use]
    pub fn keys(&self) -> BTreeMap<u32, BTreeSet<String>> {
        let mut keys: BTreeMap<u32, BTreeSet<String>> = BTreeMap::new();
        for write in &self.writes {
            keys.entry(write.db).or_default().insert(write.key.clone());
        }
        keys
    }

    /// Patterns that fit the keys of a database: what fits and was never sent is a phantom.
    #[must_use]
    pub fn patterns(&self, db: u32) -> Vec<String> {
        let stems: BTreeSet<&str> = self
            .writes
            .iter()
            .filter(|write| write.db == db)
            .map(|write| write.key.trim_end_matches(":stream").trim_end_matches(|letter: char| letter.is_ascii_digit()))
            .filter(|stem| !stem.is_empty())
            .collect();
        stems.into_iter().map(|stem| format!("{stem}*")).collect()
    }

    /// The gap in service that clients saw, if they saw one.
    #[must_use]
    pub fn outage(&self) -> Option<Outage> {
        Outage::of(self)
    }

    /// Servers that acknowledged writes in turns: a server that answers again after another one did was never gone.
    #[must_use]
    pub fn servers_at_once(&self) -> Vec<String> {
        let mut writes: Vec<&Write> = self.writes.iter().filter(|write| write.fate == Fate::Acknowledged && write.run_id.is_some()).collect();
        writes.sort_by_key(|write| write.answered_ns);
        let mut spans: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        for write in writes {
            let Some(run_id) = write.run_id.as_deref() else { continue };
            // A write was with its server from the time it was sent; its answer may reach us after another server's first.
            let span = spans.entry(run_id).or_insert((write.answered_ns, write.sent_ns));
            span.0 = span.0.min(write.answered_ns);
            span.1 = span.1.max(write.sent_ns);
        }
        let overlaps = |of: &str, (first, last): (u64, u64)| spans.iter().any(|(other, span)| *other != of && span.0 < last && first < span.1);
        spans.iter().filter(|(run_id, span)| overlaps(run_id, **span)).map(|(run_id, _)| (*run_id).to_owned()).collect()
    }

    /// One JSON object a line, for evidence.
    #[must_use]
    pub fn to_json_lines(&self) -> Vec<u8> {
        self.writes.iter().filter_map(|write| serde_json::to_string(write).ok()).fold(Vec::new(), |mut text, line| {
            text.extend_from_slice(line.as_bytes());
            text.push(b'\n');
            text
        })
    }
}
