//! Holds a ledger against what Redis has: each acknowledged write is kept, lost or changed, and nothing may be there that nobody sent.

use super::{
    Ledger, TrafficError, Write,
    agent::{
        value,
        wire::{Content, Found, There, WriteKind},
    },
    streams, strings,
};
use serde::Serialize;
use std::{
    collections::{BTreeMap, HashSet},
    fmt,
};

/// So many differences are told one by one; the counts are always whole.
const TOLD: usize = 20;

/// What became of the writes of a ledger. Every acknowledged write is exactly one of kept, lost and changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// Acknowledged writes.
    pub acknowledged: usize,
    /// There, or overwritten by a later write of ours that is there.
    pub kept: usize,
    /// Not there: the key, the entry or the group's state is absent or older.
    pub lost: usize,
    /// Something else is there.
    pub changed: usize,
    /// Values that no client sent, or that were refused.
    pub phantom: usize,
    /// Writes of unknown fate that are there.
    pub unknown_kept: usize,
    /// Writes of unknown fate that are not there: never carried out, overwritten or lost, which nobody can tell.
    pub unknown_lost: usize,
    /// The acknowledged writes that were lost, as a span of time.
    pub loss: Option<Loss>,
    /// The first of them.
    pub differences: Vec<Difference>,
}

/// Acknowledged writes that were lost or changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Loss {
    /// How many.
    pub writes: usize,
    /// When the first of them was acknowledged; nanoseconds since the epoch.
    pub first_unix_ns: u64,
    /// When the last of them was.
    pub last_unix_ns: u64,
}

/// One write or value that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// `lost`, `changed` or `phantom`.
    pub what: &'static str,
    /// The database.
    pub db: u32,
    /// The key.
    pub key: String,
    /// The write, where it was ours.
    pub write: Option<u64>,
    /// What was acknowledged and what is there.
    pub detail: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in database {}, key {}: {}", self.what, self.db, self.key, self.detail)
    }
}

impl Comparison {
    /// Pure: what was found for the keys of the ledger, and for keys that fit its patterns.
    pub(super) fn of(ledger: &Ledger, found: Vec<Found>) -> Result<Self, TrafficError> {
        ledger.proves_something()?;
        let mut there: BTreeMap<(u32, String), There> = found.into_iter().map(|found| ((found.db, found.key), found.there)).collect();
        let mut keys: BTreeMap<(u32, &str), Vec<&Write>> = BTreeMap::new();
        for write in &ledger.writes {
            keys.entry((write.db, &write.key)).or_default().push(write);
        }
        let mut judge =
            Judge { result: Self { acknowledged: ledger.acknowledged(), ..Self::default() }, unrecorded: Unrecorded::of(ledger) };
        for ((db, key), mut writes) in keys {
            let there = there.remove(&(db, key.to_owned())).ok_or_else(|| TrafficError::NotRead { db, key: key.to_owned() })?;
            // A key has one writer at a time, so that the order of sending is the order of the writes.
            writes.sort_by_key(|write| write.sent_unix_ns);
            if writes.iter().any(|write| matches!(write.kind, WriteKind::Set { .. })) {
                strings::judge(&mut judge, db, key, &writes, &there);
            } else {
                streams::judge(&mut judge, db, key, &writes, &there);
            }
        }
        let of_ours = |db: u32, key: &str| {
            let mut places = ledger.workloads.iter().flat_map(|planned| &planned.workload.places);
            places.any(|place| place.db == db && place.makes(key))
        };
        for ((db, key), there) in there {
            if of_ours(db, &key) {
                judge.stranger(db, &key, &there);
            }
        }
        Ok(judge.result)
    }

    /// Every acknowledged write is there, and nothing that should not be.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.acknowledged > 0 && self.lost == 0 && self.changed == 0 && self.phantom == 0
    }

    /// Nothing of what was acknowledged is there, not even changed.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.acknowledged > 0 && self.lost == self.acknowledged && self.phantom == 0
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "of {} acknowledged writes {} are kept, {} lost, {} changed", self.acknowledged, self.kept, self.lost, self.changed)?;
        if self.phantom > 0 {
            write!(f, "; {} values that no client wrote", self.phantom)?;
        }
        if self.unknown_kept + self.unknown_lost > 0 {
            write!(f, "; of {} of unknown fate {} are there", self.unknown_kept + self.unknown_lost, self.unknown_kept)?;
        }
        match self.differences.first() {
            Some(first) => write!(f, "; first: {first}"),
            None => Ok(()),
        }
    }
}

/// The comparison as it grows.
pub(super) struct Judge {
    pub(super) result: Comparison,
    unrecorded: Unrecorded,
}

impl Judge {
    pub(super) fn kept(&mut self) {
        self.result.kept += 1;
    }

    pub(super) fn lost(&mut self, write: &Write, detail: String) {
        self.result.lost += 1;
        self.miss(write);
        self.tell("lost", write.db, &write.key, Some(write.number), detail);
    }

    pub(super) fn changed(&mut self, write: &Write, detail: String) {
        self.result.changed += 1;
        self.miss(write);
        self.tell("changed", write.db, &write.key, Some(write.number), detail);
    }

    pub(super) fn phantom(&mut self, db: u32, key: &str, detail: String) {
        self.result.phantom += 1;
        self.tell("phantom", db, key, None, detail);
    }

    pub(super) fn unknown(&mut self, there: bool) {
        if there { self.result.unknown_kept += 1 } else { self.result.unknown_lost += 1 }
    }

    /// A value that is in no record of the ledger: sent by an agent that died before it could tell, or by nobody.
    pub(super) fn unrecorded(&self, content: &Content) -> bool {
        self.unrecorded.may_have_sent(content)
    }

    /// The agent of one of these writes died before it could tell everything.
    pub(super) fn is_incomplete(&self, writes: &[&Write]) -> bool {
        writes.iter().any(|write| self.unrecorded.seeds.contains(&write.seed))
    }

    fn stranger(&mut self, db: u32, key: &str, there: &There) {
        match there {
            There::Nothing => {}
            There::String { content } if self.unrecorded(content) => self.unknown(true),
            There::String { content } => self.phantom(db, key, format!("{content} is there, and no write of ours was to this key")),
            There::Stream { entries, .. } => {
                for (id, content) in entries {
                    if self.unrecorded(content) {
                        self.unknown(true);
                    } else {
                        self.phantom(db, key, format!("entry {id} is there, and no write of ours was to this stream"));
                    }
                }
            }
            There::Other { of_type } => self.phantom(db, key, format!("a {of_type} is there, and no write of ours was to this key")),
        }
    }

    fn miss(&mut self, write: &Write) {
        let at = write.answered_unix_ns;
        let loss = self.result.loss.get_or_insert(Loss { writes: 0, first_unix_ns: at, last_unix_ns: at });
        loss.writes += 1;
        loss.first_unix_ns = loss.first_unix_ns.min(at);
        loss.last_unix_ns = loss.last_unix_ns.max(at);
    }

    fn tell(&mut self, what: &'static str, db: u32, key: &str, write: Option<u64>, detail: String) {
        if self.result.differences.len() < TOLD {
            self.result.differences.push(Difference { what, db, key: key.to_owned(), write, detail });
        }
    }
}

/// Workloads whose agent died: what they may have sent beside the ledger.
struct Unrecorded {
    seeds: Vec<u64>,
    recorded: HashSet<(u64, u64)>,
}

impl Unrecorded {
    fn of(ledger: &Ledger) -> Self {
        let seeds = ledger.workloads.iter().filter(|planned| !planned.complete).map(|planned| planned.seed).collect();
        Self { seeds, recorded: ledger.writes.iter().map(|write| (write.seed, write.number)).collect() }
    }

    fn may_have_sent(&self, content: &Content) -> bool {
        let Content::Literal(bytes) = content else { return false };
        let text = bytes.text();
        self.seeds.iter().any(|&seed| value::number_in(&text, seed).is_some_and(|number| !self.recorded.contains(&(seed, number))))
    }
}
