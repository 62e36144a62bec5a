//! The gap in service that clients saw around a fault.

use super::{
    Ledger,
    agent::wire::Fate,
};
use serde::Serialize;
use std::{fmt, time::Duration};

/// From the first write that was not acknowledged to the first one that was again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outage {
    /// How long no write came through.
    pub lasted: Duration,
    /// A write came through again before the writers ended.
    pub recovered: bool,
    /// Writes that were refused meanwhile.
    pub refused: usize,
    /// Writes whose fate is not known.
    pub unknown: usize,
}

impl Outage {
    /// The longest time without an acknowledgement that a failed write lies in; `None` where every write was acknowledged.
    pub(super) fn of(ledger: &Ledger) -> Option<Self> {
        let mut writes: Vec<_> = ledger.writes().iter().collect();
        writes.sort_by_key(|write| write.answered_ns);
        let first = writes.iter().position(|write| write.fate != Fate::Acknowledged)?;
        let from = writes[first].sent_ns;
        // A writer whose connection still worked may be answered a moment later: the outage begins with the last answer before the gap.
        let failed = writes.iter().rposition(|write| write.fate != Fate::Acknowledged)?;
        let back = writes[failed..].iter().find(|write| write.fate == Fate::Acknowledged);
        let until = back.map_or_else(|| writes.last().map_or(from, |last| last.answered_ns), |write| write.answered_ns);
        let count = |wanted: fn(&Fate) -> bool| writes.iter().filter(|write| wanted(&write.fate)).count();
        Some(Self {
            lasted: Duration::from_nanos(until.saturating_sub(from)),
            recovered: back.is_some(),
            refused: count(|fate| matches!(fate, Fate::Refused { .. })),
            unknown: count(|fate| matches!(fate, Fate::Unknown { .. })),
        })
    }
}

impl fmt::Display for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = if self.recovered { "" } else { ", and not back" };
        write!(f, "RTO {} ms{end}: {} writes refused, {} unknown", self.lasted.as_millis(), self.refused, self.unknown)
    }
}
