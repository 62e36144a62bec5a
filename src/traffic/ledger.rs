//! Every write that clients sent, with its fate; it judges nothing but whether there is something to judge.

use super::{
    Outage, TrafficError, Workload,
    agent::wire::{Fate, WriteKind},
};
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// One write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Write {
    /// Of its workload: with the number it names the write.
    #[serde(serialize_with = "hexadecimal")]
    pub seed: u64,
    /// Of the write in its workload.
    pub number: u64,
    /// Who sent it.
    pub writer: u32,
    /// To which database.
    pub db: u32,
    /// To which key.
    pub key: String,
    /// What it did.
    #[serde(flatten)]
    pub kind: WriteKind,
    /// What became of it.
    #[serde(flatten)]
    pub fate: Fate,
    /// Nanoseconds since the epoch: the agent's monotonic clock, set by the wall clock at its start.
    pub sent_unix_ns: u64,
    /// The same clock.
    pub answered_unix_ns: u64,
    /// The server that the connection had shaken hands with.
    pub run_id: Option<Arc<str>>,
}

fn hexadecimal<S: serde::Serializer>(seed: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{seed:016x}"))
}

impl Write {
    /// It was acknowledged.
    #[must_use]
    pub fn is_acknowledged(&self) -> bool {
        self.fate == Fate::Acknowledged
    }

    /// Its fate is not known.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        matches!(self.fate, Fate::Unknown { .. })
    }

    /// Redis was not there for it. That a group is there already or no more, or that nothing was pending, is an answer of a Redis at work.
    pub(super) fn is_missed(&self) -> bool {
        match &self.fate {
            Fate::Acknowledged => false,
            Fate::Unknown { .. } => true,
            Fate::Refused { reason } => {
                let of_the_stream =
                    reason.starts_with("NOGROUP") || reason.starts_with("BUSYGROUP") || reason.ends_with("entries were pending");
                !of_the_stream
            }
        }
    }
}

/// What was to be written, and whether every fate is known.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Planned {
    /// Of all its writes.
    #[serde(serialize_with = "hexadecimal")]
    pub seed: u64,
    /// The workload.
    pub workload: Workload,
    /// The agent closed its stream in order. If not, it may have sent writes that are not in the ledger.
    pub complete: bool,
}

/// All writes of one or more workloads.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Ledger {
    /// In the order in which their fates became known.
    pub writes: Vec<Write>,
    /// What was to be written.
    pub workloads: Vec<Planned>,
}

impl Ledger {
    /// How many writes were acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        self.writes.iter().filter(|write| write.is_acknowledged()).count()
    }

    /// Adds the writes of another workload.
    pub fn extend(&mut self, other: Self) {
        self.writes.extend(other.writes);
        self.workloads.extend(other.workloads);
    }

    /// The time in which Redis was not there for clients, if there was one.
    #[must_use]
    pub fn outage(&self) -> Option<Outage> {
        Outage::of(self)
    }

    /// Whether every writer has come through since its last failure: until then an outage has no end that could be told.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        // A writer sends one write at a time: its last one was sent after all its failures were known.
        let last: BTreeMap<u32, &Write> = self.writes.iter().map(|write| (write.writer, write)).collect();
        last.values().all(|write| write.is_acknowledged())
    }

    /// How many servers acknowledged, of those that told their run id.
    #[must_use]
    pub fn servers(&self) -> usize {
        let ids = self.writes.iter().filter(|write| write.is_acknowledged()).filter_map(|write| write.run_id.as_deref());
        ids.collect::<BTreeSet<&str>>().len()
    }

    /// Run ids of servers that acknowledged in turns: one still took a write after another had begun to. None for servers that followed
    /// each other.
    #[must_use]
    pub fn servers_at_once(&self) -> Vec<String> {
        // First answer and last question of each server.
        let mut spans: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        for write in self.writes.iter().filter(|write| write.is_acknowledged()) {
            if let Some(run_id) = &write.run_id {
                let (first, last) = spans.entry(run_id).or_insert((write.answered_unix_ns, write.sent_unix_ns));
                *first = (*first).min(write.answered_unix_ns);
                *last = (*last).max(write.sent_unix_ns);
            }
        }
        let overlaps = |id: &str, first: u64, last: u64| {
            spans.iter().any(|(&other, &(other_first, other_last))| other != id && first < other_last && other_first < last)
        };
        spans.iter().filter(|&(&id, &(first, last))| overlaps(id, first, last)).map(|(&id, _)| id.to_owned()).collect()
    }

    /// One JSON object a line: the workloads, then every write.
    #[must_use]
    pub fn to_json_lines(&self) -> Vec<u8> {
        let mut lines = Vec::new();
        let workloads = self.workloads.iter().map(serde_json::to_vec);
        for line in workloads.chain(self.writes.iter().map(serde_json::to_vec)) {
            // Plain data with text keys always serialises; a line that did not would be missed, not invented.
            lines.extend(line.unwrap_or_else(|error| format!("{{\"error\":{:?}}}", error.to_string()).into_bytes()));
            lines.push(b'\n');
        }
        lines
    }

    /// Each database and kind that was to be written has an acknowledged write.
    ///
    /// # Errors
    /// [`TrafficError::ProvesNothing`] with the first that has none.
    pub fn proves_something(&self) -> Result<(), TrafficError> {
        let nothing = |what, db: u32| {
            let of_db = || self.writes.iter().filter(move |write| write.db == db);
            let example = of_db().find_map(|write| match &write.fate {
                Fate::Acknowledged => None,
                Fate::Refused { reason } | Fate::Unknown { reason } => Some(format!("the first was not: {reason}")),
            });
            TrafficError::ProvesNothing {
                what,
                db,
                sent: of_db().count(),
                example: example.unwrap_or_else(|| "none of the kind was sent".into()),
            }
        };
        if self.acknowledged() == 0 {
            return Err(nothing("write", self.writes.first().map_or(0, |write| write.db)));
        }
        for planned in &self.workloads {
            for db in planned.workload.places.iter().map(|place| place.db) {
                let has = |wanted: fn(&WriteKind) -> bool| {
                    self.writes
                        .iter()
                        .any(|write| write.seed == planned.seed && write.db == db && write.is_acknowledged() && wanted(&write.kind))
                };
                if planned.workload.kind.strings() && !has(|kind| matches!(kind, WriteKind::Set { .. })) {
                    return Err(nothing("string", db));
                }
                if planned.workload.kind.streams() && !has(|kind| matches!(kind, WriteKind::Add { .. })) {
                    return Err(nothing("stream entry", db));
                }
            }
        }
        Ok(())
    }
}
