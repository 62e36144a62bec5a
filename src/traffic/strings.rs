//! Judges the writes to one string: the last acknowledged one must be there, or a later one of unknown fate.

use super::{
    Write,
    agent::wire::{Content, There, WriteKind},
    comparison::Judge,
};

/// `writes` are all writes to the key in the order in which they were sent.
pub(super) fn judge(judge: &mut Judge, db: u32, key: &str, writes: &[&Write], there: &There) {
    let acknowledged: Vec<&Write> = writes.iter().copied().filter(|write| write.is_acknowledged()).collect();
    let content = match there {
        There::Nothing => None,
        There::String { content } => Some(content),
        There::Stream { .. } => return other_type(judge, db, key, writes, "stream"),
        There::Other { of_type } => return other_type(judge, db, key, writes, of_type),
    };
    // Values are unique, so that a value names its write.
    let there = content.and_then(|content| writes.iter().copied().find(|write| value(write) == Some(content)));
    for unknown in writes.iter().filter(|write| write.is_unknown()) {
        judge.unknown(there == Some(*unknown));
    }
    match (content, there) {
        (None, _) => {
            for write in acknowledged {
                judge.lost(write, format!("{} was acknowledged, the key is gone", told(write)));
            }
        }
        (Some(_), Some(there)) if there.is_acknowledged() || there.is_unknown() => {
            // What was sent before it has been overwritten; what was acknowledged after it has been rolled back.
            for write in acknowledged {
                if write.sent_unix_ns <= there.sent_unix_ns {
                    judge.kept();
                } else {
                    judge.lost(write, format!("{} was acknowledged, the earlier {} is there", told(write), told(there)));
                }
            }
        }
        (Some(content), there) => {
            let is_unrecorded = there.is_none() && judge.unrecorded(content);
            if is_unrecorded {
                judge.unknown(true);
            } else {
                let why = if there.is_some() { "was refused" } else { "was sent by no client" };
                judge.phantom(db, key, format!("{content} is there, and {why}"));
            }
            let (last, earlier) = match acknowledged.split_last() {
                Some((last, earlier)) => (Some(*last), earlier),
                None => (None, [].as_slice()),
            };
            earlier.iter().for_each(|_| judge.kept());
            match last {
                Some(_) if is_unrecorded => judge.kept(),
                Some(last) => judge.changed(last, format!("{} was acknowledged, {content} is there", told(last))),
                None => {}
            }
        }
    }
}

fn other_type(judge: &mut Judge, db: u32, key: &str, writes: &[&Write], of_type: &str) {
    judge.phantom(db, key, format!("a {of_type} is there, where only strings were written"));
    for write in writes {
        if write.is_acknowledged() {
            judge.changed(write, format!("{} was acknowledged, a {of_type} is there", told(write)));
        } else if write.is_unknown() {
            judge.unknown(false);
        }
    }
}

fn value(write: &Write) -> Option<&Content> {
    match &write.kind {
        WriteKind::Set { content } => Some(content),
        WriteKind::Add { .. } | WriteKind::Group { .. } | WriteKind::Deliver { .. } | WriteKind::Acknowledge { .. } => None,
    }
}

fn told(write: &Write) -> String {
    value(write).map_or_else(String::new, ToString::to_string)
}
