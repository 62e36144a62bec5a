//! What Redis has, held against what clients wrote, value by value.

use super::{
    Content, EntryId, Ledger, Write,
    agent::wire::{Fate, Found, Group, There, WriteKind},
};
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// What became of acknowledged writes. A value that a later acknowledged write replaced counts with that one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// Acknowledged and there.
    pub kept: usize,
    /// Acknowledged and gone.
    pub lost: usize,
    /// Acknowledged, and something else is there.
    pub changed: usize,
    /// There, though nobody sent it or Redis had refused it.
    pub phantom: usize,
    /// Fate unknown, and there.
    pub unknown_kept: usize,
    /// Fate unknown, and not there.
    pub unknown_lost: usize,
    /// Acknowledged strings, entries, groups and pending entries that were looked for.
    pub acknowledged: usize,
    /// The first few differences in words.
    pub differences: Vec<String>,
}

/// Differences that are told in words.
const TOLD: usize = 5;

impl Comparison {
    /// Compares; `found` must hold every key of the ledger.
    pub(super) fn of(ledger: &Ledger, found: &[Found]) -> Self {
        let found: BTreeMap<(u32, &str), &There> = found.iter().map(|found| ((found.db, found.key.as_str()), &found.there)).collect();
        let mut writes: BTreeMap<(u32, &str), Vec<&Write>> = BTreeMap::new();
        for write in ledger.writes() {
            writes.entry((write.db, write.key.as_str())).or_default().push(write);
        }
        let mut comparison = Self::default();
        for (key, writes) in &writes {
            let there = found.get(key).copied().unwrap_or(&There::Nothing);
            if writes.iter().all(|write| matches!(write.kind, WriteKind::Set { .. })) {
                comparison.string(key, writes, there);
            } else {
                comparison.stream(key, writes, there);
            }
        }
        for (key, there) in found {
            if !writes.contains_key(&key) && *there != There::Nothing {
                comparison.phantom += 1;
                comparison.tell(|| format!("{} in database {} was never sent", key.1, key.0));
            }
        }
        comparison
    }

    /// Everything acknowledged is there, and nothing else.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.kept > 0 && self.lost == 0 && self.changed == 0 && self.phantom == 0
    }

    fn tell(&mut self, words: impl FnOnce() -> String) {
        if self.differences.len() < TOLD {
            self.differences.push(words());
        }
    }

    fn string(&mut self, (db, key): &(u32, &str), writes: &[&Write], there: &There) {
        let value = |write: &Write| match &write.kind {
            WriteKind::Set { content } => Some(content.clone()),
            _ => None,
        };
        let last = writes.iter().rposition(|write| write.fate == Fate::Acknowledged);
        // What was sent after the last acknowledged write and not refused may be there as well.
        let perhaps: Vec<Content> = writes[last.map_or(0, |last| last + 1)..]
            .iter()
            .filter(|write| matches!(write.fate, Fate::Unknown { .. }))
            .filter_map(|write| value(write))
            .collect();
        let now = match there {
            There::Nothing => None,
            There::String { content } => Some(content),
            There::Stream { .. } | There::Other { .. } => {
                self.acknowledged += usize::from(last.is_some());
                self.changed += 1;
                self.tell(|| format!("{key} in database {db} is of another type"));
                return;
            }
        };
        let by_unknown = now.is_some_and(|now| perhaps.contains(now));
        if by_unknown {
            self.unknown_kept += 1;
        }
        self.unknown_lost += perhaps.len() - usize::from(by_unknown);
        let Some(wanted) = last.and_then(|last| value(writes[last])) else {
            if now.is_some() && !by_unknown {
                self.phantom += 1;
                self.tell(|| format!("{key} in database {db} was refused and is there"));
            }
            return;
        };
        self.acknowledged += 1;
        match now {
            Some(now) if *now == wanted || by_unknown => self.kept += 1,
            None => {
                self.lost += 1;
                self.tell(|| format!("{key} in database {db} is gone"));
            }
            Some(now) => {
                self.changed += 1;
                let now = now.clone();
                self.tell(|| format!("{key} in database {db} is {now} and was {wanted}"));
            }
        }
    }

    fn stream(&mut self, (db, key): &(u32, &str), writes: &[&Write], there: &There) {
        let (entries, groups): (&[(EntryId, Content)], &[Group]) = match there {
            There::Stream { entries, groups } => (entries, groups),
            There::Nothing => (&[], &[]),
            There::String { .. } | There::Other { .. } => {
                self.changed += 1;
                self.tell(|| format!("{key} in database {db} is of another type"));
                (&[], &[])
            }
        };
        self.entries(db, key, writes, entries);
        self.groups(db, key, writes, groups);
    }

    fn entries(&mut self, db: &u32, key: &str, writes: &[&Write], entries: &[(EntryId, Content)]) {
        let there: BTreeMap<EntryId, &Content> = entries.iter().map(|(id, content)| (*id, content)).collect();
        let mut known: BTreeSet<EntryId> = BTreeSet::new();
        let mut perhaps: Vec<&Content> = Vec::new();
        for write in writes {
            let WriteKind::Add { content, entry } = &write.kind else { continue };
            match (&write.fate, entry) {
                (Fate::Acknowledged, Some(id)) => {
                    self.acknowledged += 1;
                    known.insert(*id);
                    match there.get(id) {
                        Some(now) if *now == content => self.kept += 1,
                        Some(_) => {
                            self.changed += 1;
                            self.tell(|| format!("entry {id} of {key} in database {db} has another value"));
                        }
                        None => {
                            self.lost += 1;
                            self.tell(|| format!("entry {id} of {key} in database {db} is gone"));
                        }
                    }
                }
                (Fate::Unknown { .. }, _) => perhaps.push(content),
                _ => {}
            }
        }
        for (id, content) in entries.iter().filter(|(id, _)| !known.contains(id)) {
            if let Some(at) = perhaps.iter().position(|perhaps| *perhaps == content) {
                perhaps.swap_remove(at);
                self.unknown_kept += 1;
            } else {
                self.phantom += 1;
                self.tell(|| format!("entry {id} of {key} in database {db} was never acknowledged or sent"));
            }
        }
        self.unknown_lost += perhaps.len();
    }

    /// Groups with their last delivered entry, and what is pending in them.
    fn groups(&mut self, db: &u32, key: &str, writes: &[&Write], groups: &[Group]) {
        let mut wanted: BTreeMap<&str, (EntryId, BTreeSet<EntryId>, bool)> = BTreeMap::new();
        for write in writes {
            let acknowledged = write.fate == Fate::Acknowledged;
            let refused = matches!(write.fate, Fate::Refused { .. });
            match &write.kind {
                WriteKind::Group { group } if acknowledged => drop(wanted.entry(group).or_default()),
                WriteKind::Deliver { group, entries } if acknowledged => {
                    let state = wanted.entry(group).or_default();
                    state.0 = entries.iter().copied().chain([state.0]).max().unwrap_or_default();
                    state.1.extend(entries);
                }
                WriteKind::Acknowledge { group, entries } if acknowledged => {
                    let state = wanted.entry(group).or_default();
                    state.1.retain(|pending| !entries.contains(pending));
                }
                // Whether it was carried out is not known, so what is pending is not known to the entry.
                WriteKind::Deliver { group, .. } | WriteKind::Acknowledge { group, .. } if !refused => {
                    wanted.entry(group).or_default().2 = true;
                }
                _ => {}
            }
        }
        for (name, (last, pending, unsure)) in wanted {
            self.acknowledged += 1 + pending.len();
            let Some(group) = groups.iter().find(|group| group.name == name) else {
                self.lost += 1 + pending.len();
                self.tell(|| format!("group {name} of {key} in database {db} is gone"));
                continue;
            };
            if unsure || group.last_delivered >= last {
                self.kept += 1;
            } else {
                self.changed += 1;
                self.tell(|| format!("group {name} of {key} has delivered up to {} and had up to {last}", group.last_delivered));
            }
            let there: BTreeSet<EntryId> = group.pending.iter().copied().collect();
            let kept = pending.intersection(&there).count();
            self.kept += if unsure { pending.len() } else { kept };
            if !unsure && kept < pending.len() {
                self.lost += pending.len() - kept;
                self.tell(|| format!("{} pending entries of group {name} of {key} are gone", pending.len() - kept));
            }
            if !unsure && there.len() > kept {
                self.phantom += there.len() - kept;
                self.tell(|| format!("{} entries are pending in group {name} of {key} that were not", there.len() - kept));
            }
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "of {} acknowledged {} kept, {} lost, {} changed, {} phantom", self.acknowledged, self.kept, self.lost, self.changed, self.phantom)?;
        if self.unknown_kept + self.unknown_lost > 0 {
            write!(f, "; of unknown fate {} there, {} not", self.unknown_kept, self.unknown_lost)?;
        }
        if !self.differences.is_empty() {
            write!(f, " ({})", self.differences.join("; "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::agent::wire::Written;

    fn set(key: &str, value: &str, fate: Fate) -> Written {
        Written {
            write: 0,
            writer: 0,
            db: 0,
            key: key.into(),
            kind: WriteKind::Set { content: Content::of(value.as_bytes()) },
            fate,
            sent_ns: 0,
            answered_ns: 0,
            connection: None,
        }
    }

    fn ledger(writes: Vec<Written>) -> Ledger {
        let mut ledger = Ledger::default();
        writes.into_iter().for_each(|write| ledger.written(write));
        ledger
    }

    fn there(key: &str, value: &str) -> Found {
        Found { db: 0, key: key.into(), there: There::String { content: Content::of(value.as_bytes()) } }
    }

    #[rstest::rstest]
    #[case::kept(vec![set("a", "1", Fate::Acknowledged)], vec![there("a", "1")], (1, 0, 0, 0))]
    #[case::lost(vec![set("a", "1", Fate::Acknowledged)], vec![], (0, 1, 0, 0))]
    #[case::changed(vec![set("a", "1", Fate::Acknowledged)], vec![there("a", "2")], (0, 0, 1, 0))]
    #[case::an_empty_text_is_not_an_absence(vec![set("a", "", Fate::Acknowledged)], vec![], (0, 1, 0, 0))]
    #[case::refused_and_there(vec![set("a", "1", Fate::Refused { reason: "OOM".into() })], vec![there("a", "1")], (0, 0, 0, 1))]
    #[case::never_sent(vec![set("a", "1", Fate::Acknowledged)], vec![there("a", "1"), there("b", "1")], (1, 0, 0, 1))]
    #[case::the_last_acknowledged_wins(vec![set("a", "1", Fate::Acknowledged), set("a", "2", Fate::Acknowledged)], vec![there("a", "1")], (0, 0, 1, 0))]
    #[case::a_later_unknown_may_be_there(vec![set("a", "1", Fate::Acknowledged), set("a", "2", Fate::Unknown { reason: "cut".into() })], vec![there("a", "2")], (1, 0, 0, 0))]
    fn strings_are_compared_value_by_value(#[case] writes: Vec<Written>, #[case] found: Vec<Found>, #[case] expected: (usize, usize, usize, usize)) {
        let comparison = Comparison::of(&ledger(writes), &found);
        assert_eq!((comparison.kept, comparison.lost, comparison.changed, comparison.phantom), expected, "{comparison}");
        assert_eq!(comparison.is_whole(), expected == (1, 0, 0, 0));
    }

    #[test]
    fn a_stream_that_lost_its_group_is_not_whole() {
        let entry = EntryId { milliseconds: 1, sequence: 0 };
        let write = |kind: WriteKind| Written { kind, ..set("s", "", Fate::Acknowledged) };
        let content = Content::of(b"v");
        let writes = vec![
            write(WriteKind::Group { group: "g".into() }),
            write(WriteKind::Add { content: content.clone(), entry: Some(entry) }),
            write(WriteKind::Deliver { group: "g".into(), entries: vec![entry] }),
        ];
        let stream = |groups| Found { db: 0, key: "s".into(), there: There::Stream { entries: vec![(entry, content.clone())], groups } };
        let whole = Group { name: "g".into(), last_delivered: entry, pending: vec![entry] };
        assert!(Comparison::of(&ledger(writes.clone()), &[stream(vec![whole])]).is_whole());
        let without = Comparison::of(&ledger(writes), &[stream(vec![])]);
        assert_eq!((without.kept, without.lost), (1, 2), "{without}");
    }
}
