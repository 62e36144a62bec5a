//! Judges the writes to one stream: entries with ids and order, groups with what they delivered, and what is pending.

use super::{
    Write,
    agent::wire::{Content, EntryId, Fate, Group, There, WriteKind},
    comparison::Judge,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// `writes` are all writes to the key in the order in which they were sent.
pub(super) fn judge(judge: &mut Judge, db: u32, key: &str, writes: &[&Write], there: &There) {
    match there {
        There::Stream { entries, groups } => {
            let stream = Stream {
                db,
                key,
                writes,
                contents: entries.iter().map(|(id, content)| (*id, content)).collect(),
                groups: groups.iter().map(|group| (group.name.as_str(), group)).collect(),
            };
            stream.entries(judge);
            stream.groups(judge);
        }
        There::Nothing => gone(judge, writes, "the stream is gone"),
        There::String { .. } => {
            judge.phantom(db, key, "a string is there, where a stream was written".into());
            gone(judge, writes, "a string is there");
        }
        There::Other { of_type } => {
            judge.phantom(db, key, format!("a {of_type} is there, where a stream was written"));
            gone(judge, writes, "something else is there");
        }
    }
}

fn gone(judge: &mut Judge, writes: &[&Write], how: &str) {
    for write in writes {
        match &write.fate {
            Fate::Acknowledged => judge.lost(write, format!("{} was acknowledged, {how}", told(&write.kind))),
            Fate::Unknown { .. } => judge.unknown(false),
            Fate::Refused { .. } => {}
        }
    }
}

struct Stream<'a> {
    db: u32,
    key: &'a str,
    writes: &'a [&'a Write],
    contents: BTreeMap<EntryId, &'a Content>,
    groups: BTreeMap<&'a str, &'a Group>,
}

impl Stream<'_> {
    fn entries(&self, judge: &mut Judge) {
        let mut accounted: BTreeSet<EntryId> = BTreeSet::new();
        let mut last = EntryId::default();
        for write in self.writes {
            let WriteKind::Add { content, entry: Some(id) } = &write.kind else { continue };
            accounted.insert(*id);
            match self.contents.get(id) {
                None => judge.lost(write, format!("entry {id} was acknowledged and is not there")),
                Some(there) if *there != content => judge.changed(write, format!("entry {id} was {content}, {there} is there")),
                Some(_) if *id <= last => judge.changed(write, format!("entry {id} was acknowledged after {last} and stands before it")),
                Some(_) => judge.kept(),
            }
            last = last.max(*id);
        }
        // Entries without an acknowledged id belong to writes of unknown fate, once each, or to nobody.
        let mut unknown: HashMap<&Content, bool> = HashMap::new();
        for write in self.writes.iter().filter(|write| write.is_unknown()) {
            if let WriteKind::Add { content, .. } = &write.kind {
                unknown.insert(content, false);
            }
        }
        for (id, content) in self.contents.iter().filter(|(id, _)| !accounted.contains(id)) {
            match unknown.get_mut(content) {
                Some(seen) if !*seen => *seen = true,
                Some(_) => judge.phantom(self.db, self.key, format!("entry {id} is there a second time")),
                None if judge.unrecorded(content) => judge.unknown(true),
                None => judge.phantom(self.db, self.key, format!("entry {id} with {content} is there, and no client was told that it is")),
            }
        }
        for seen in unknown.into_values() {
            judge.unknown(seen);
        }
    }

    fn groups(&self, judge: &mut Judge) {
        let mut names: BTreeSet<&str> = BTreeSet::new();
        let mut lists: BTreeMap<&str, Lists> = BTreeMap::new();
        for write in self.writes {
            let (WriteKind::Group { group } | WriteKind::Deliver { group, .. } | WriteKind::Acknowledge { group, .. }) = &write.kind else {
                continue;
            };
            lists.entry(group).or_default().learn(write);
            if !matches!(write.fate, Fate::Refused { .. }) && matches!(write.kind, WriteKind::Group { .. }) {
                names.insert(group);
            }
        }
        for (name, lists) in &lists {
            let group = self.groups.get(name).copied();
            for write in &lists.writes {
                self.group_write(judge, write, group, lists);
            }
            for id in group.into_iter().flat_map(|group| &group.pending) {
                if !lists.delivered.contains(id) && !lists.has_unknown_delivery && !judge.is_incomplete(self.writes) {
                    judge.phantom(self.db, self.key, format!("entry {id} is pending in group {name}, and was delivered to nobody"));
                }
            }
        }
        for name in self.groups.keys().filter(|name| !names.contains(*name)) {
            if !judge.is_incomplete(self.writes) {
                judge.phantom(self.db, self.key, format!("group {name} is there, and no client made it"));
            }
        }
    }

    fn group_write(&self, judge: &mut Judge, write: &Write, group: Option<&Group>, lists: &Lists) {
        let fault = match (&write.kind, group) {
            (_, None) => Some("the group is gone".to_owned()),
            (WriteKind::Deliver { entries, .. }, Some(group)) => {
                // A writer acknowledges a delivery before it asks for the next: only the last may have been, by an agent that then died.
                let may_be_settled = judge.is_incomplete(&[write]) && lists.last_delivery == Some((write.seed, write.number));
                self.not_delivered(entries, group, lists, may_be_settled)
            }
            (WriteKind::Acknowledge { entries, .. }, Some(group)) => {
                let undone = entries.iter().find(|id| group.pending.contains(id)).map(|id| format!("entry {id} is pending again"));
                undone.or_else(|| self.missing(entries))
            }
            (WriteKind::Group { .. } | WriteKind::Set { .. } | WriteKind::Add { .. }, Some(_)) => None,
        };
        match (&write.fate, fault) {
            (Fate::Refused { .. }, _) => {}
            // Nothing tells a delivery that never was from one whose answer was lost: count it by the group alone.
            (Fate::Unknown { .. }, fault) => judge.unknown(fault.is_none() && !matches!(write.kind, WriteKind::Deliver { .. })),
            (Fate::Acknowledged, None) => judge.kept(),
            (Fate::Acknowledged, Some(fault)) => judge.lost(write, format!("{} was acknowledged, {fault}", told(&write.kind))),
        }
    }

    fn not_delivered(&self, entries: &[EntryId], group: &Group, lists: &Lists, may_be_settled: bool) -> Option<String> {
        let last = entries.iter().max()?;
        if group.last_delivered < *last {
            return Some(format!("the group's last delivered entry is {}", group.last_delivered));
        }
        let not_pending = |id: &&EntryId| !may_be_settled && !lists.settled.contains(id) && !group.pending.contains(id);
        self.missing(entries).or_else(|| entries.iter().find(not_pending).map(|id| format!("entry {id} is not pending")))
    }

    /// Nothing is ever deleted from a stream, so what was delivered must be there.
    fn missing(&self, entries: &[EntryId]) -> Option<String> {
        entries.iter().find(|id| !self.contents.contains_key(id)).map(|id| format!("entry {id} is gone"))
    }
}

/// What the ledger knows of one group.
#[derive(Default)]
struct Lists<'a> {
    writes: Vec<&'a Write>,
    delivered: BTreeSet<EntryId>,
    /// Acknowledged by the consumer, surely or perhaps.
    settled: BTreeSet<EntryId>,
    has_unknown_delivery: bool,
    /// Seed and number of the last acknowledged delivery.
    last_delivery: Option<(u64, u64)>,
}

impl<'a> Lists<'a> {
    fn learn(&mut self, write: &'a Write) {
        self.writes.push(write);
        match (&write.kind, &write.fate) {
            (WriteKind::Deliver { entries, .. }, Fate::Acknowledged) => {
                self.delivered.extend(entries);
                self.last_delivery = Some((write.seed, write.number));
            }
            (WriteKind::Deliver { .. }, Fate::Unknown { .. }) => self.has_unknown_delivery = true,
            (WriteKind::Acknowledge { entries, .. }, Fate::Acknowledged | Fate::Unknown { .. }) => self.settled.extend(entries),
            _ => {}
        }
    }
}

fn told(kind: &WriteKind) -> String {
    let listed = |entries: &[EntryId]| entries.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match kind {
        WriteKind::Set { content } => content.to_string(),
        WriteKind::Add { content, entry } => format!("entry {} with {content}", entry.unwrap_or_default()),
        WriteKind::Group { group } => format!("group {group}"),
        WriteKind::Deliver { group, entries } => format!("the delivery of {} to group {group}", listed(entries)),
        WriteKind::Acknowledge { group, entries } => format!("group {group}'s acknowledgement of {}", listed(entries)),
    }
}
