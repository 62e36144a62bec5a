//! How long clients were without Redis, and what that cost: RTO and RPO from the writes' own records.

use super::{Comparison, Ledger, Loss, Write, agent::wire::Fate};
use serde::Serialize;
use std::{fmt, time::Duration};

/// A time in which Redis was not there for clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outage {
    /// When the first write was sent that was not acknowledged; nanoseconds since the epoch, by the agent's clock.
    pub began_unix_ns: u64,
    /// When the first later one was acknowledged: the end of the outage for the luckiest client.
    pub first_acknowledged_unix_ns: Option<u64>,
    /// When the first one was acknowledged that was sent after the last failure: the end for all clients.
    pub settled_unix_ns: Option<u64>,
    /// A write was acknowledged after the last failure.
    pub recovered: bool,
    /// Writes refused from the beginning on.
    pub refused: usize,
    /// Writes of unknown fate from the beginning on.
    pub unknown: usize,
    /// The first failure's text.
    pub reason: String,
    /// What the comparison found lost, which may be nothing; `None` before there was one.
    pub loss: Option<Loss>,
}

impl Outage {
    pub(super) fn of(ledger: &Ledger) -> Option<Self> {
        let mut writes: Vec<&Write> = ledger.writes.iter().collect();
        writes.sort_by_key(|write| write.sent_unix_ns);
        let first = *writes.iter().find(|write| write.is_missed())?;
        let last = writes.iter().rev().find(|write| write.is_missed())?.answered_unix_ns;
        // Sent after the failure was known: one that was on its way at the same time says nothing about recovery.
        let acknowledged_after = |time: u64| {
            let later = writes.iter().filter(|write| write.is_acknowledged() && write.sent_unix_ns >= time);
            later.map(|write| write.answered_unix_ns).min()
        };
        let missed = || writes.iter().filter(|write| write.is_missed());
        let settled = acknowledged_after(last);
        Some(Self {
            began_unix_ns: first.sent_unix_ns,
            first_acknowledged_unix_ns: acknowledged_after(first.answered_unix_ns),
            settled_unix_ns: settled,
            recovered: settled.is_some(),
            refused: missed().filter(|write| matches!(write.fate, Fate::Refused { .. })).count(),
            unknown: missed().filter(|write| write.is_unknown()).count(),
            reason: match &first.fate {
                Fate::Refused { reason } | Fate::Unknown { reason } => reason.clone(),
                Fate::Acknowledged => String::new(),
            },
            loss: None,
        })
    }

    /// With what was lost over it.
    #[must_use]
    pub fn with_loss(mut self, comparison: &Comparison) -> Self {
        self.loss = Some(comparison.loss.clone().unwrap_or_default());
        self
    }

    /// From the first failure until writes were acknowledged again for good; `None` while they are not.
    #[must_use]
    pub fn recovery_time(&self) -> Option<Duration> {
        self.settled_unix_ns.map(|settled| Duration::from_nanos(settled.saturating_sub(self.began_unix_ns)))
    }

    /// From the first acknowledged write that was lost until the outage began: zero where nothing was lost.
    #[must_use]
    pub fn recovery_point(&self) -> Duration {
        let lost = self.loss.as_ref().filter(|loss| loss.writes > 0);
        lost.map_or(Duration::ZERO, |loss| Duration::from_nanos(self.began_unix_ns.saturating_sub(loss.first_unix_ns)))
    }
}

impl fmt::Display for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.recovery_time() {
            Some(time) => write!(f, "RTO {} ms", time.as_millis())?,
            None => f.write_str("writes never came through again")?,
        }
        write!(f, " ({} refused, {} unknown; first: {})", self.refused, self.unknown, self.reason)?;
        match &self.loss {
            Some(loss) => write!(f, "; RPO {} ms, {} acknowledged writes lost", self.recovery_point().as_millis(), loss.writes),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::{Content, WriteKind};
    use rstest::rstest;

    fn refused(reason: &str) -> Fate {
        Fate::Refused { reason: reason.into() }
    }

    /// Sent and answered in milliseconds, and by whom.
    fn ledger(writes: &[(u64, u64, Fate, Option<&str>)]) -> Ledger {
        let write = |(number, (sent, answered, fate, run_id)): (usize, &(u64, u64, Fate, Option<&str>))| Write {
            seed: 1,
            number: number as u64,
            writer: 0,
            db: 0,
            key: format!("k:{number}"),
            kind: WriteKind::Set { content: Content::of(number.to_string().as_bytes()) },
            fate: fate.clone(),
            sent_unix_ns: sent * 1_000_000,
            answered_unix_ns: answered * 1_000_000,
            run_id: run_id.map(Into::into),
        };
        Ledger { writes: writes.iter().enumerate().map(write).collect(), workloads: Vec::new() }
    }

    #[test]
    fn it_is_settled_when_every_writer_has_come_through() {
        let mut writes = ledger(&[
            (0, 1, Fate::Acknowledged, None),
            (2, 3, refused("gone"), None),
            (2, 4, refused("gone"), None),
            (5, 6, Fate::Acknowledged, None),
            (7, 8, Fate::Acknowledged, None),
        ]);
        assert!(writes.is_settled());
        writes.writes[2].writer = 1;
        assert!(!writes.is_settled(), "the second writer still waits");
        writes.writes[4].writer = 1;
        assert!(writes.is_settled());
    }

    #[test]
    fn it_lasts_from_the_first_failure_sent_to_the_first_success_sent_after_the_last() {
        let unknown = Fate::Unknown { reason: "no answer".into() };
        let ledger = ledger(&[
            (0, 1, Fate::Acknowledged, None),
            (10, 110, unknown, None),
            // On its way together with the one that failed: no recovery.
            (11, 12, Fate::Acknowledged, None),
            (120, 130, Fate::Acknowledged, None),
            (140, 150, refused("connection refused"), None),
            (160, 170, Fate::Acknowledged, None),
        ]);
        let outage = ledger.outage().expect("an outage");
        assert_eq!(outage.recovery_time(), Some(Duration::from_millis(160)));
        assert_eq!(outage.first_acknowledged_unix_ns, Some(130_000_000));
        assert_eq!((outage.refused, outage.unknown, outage.recovered, outage.reason.as_str()), (1, 1, true, "no answer"));
    }

    #[test]
    fn without_a_later_success_it_has_no_end() {
        let outage = ledger(&[(0, 1, Fate::Acknowledged, None), (2, 3, refused("LOADING"), None)]).outage().expect("an outage");
        assert!(!outage.recovered && outage.recovery_time().is_none());
    }

    #[rstest]
    #[case("NOGROUP No such key")]
    #[case("BUSYGROUP Consumer Group name already exists")]
    #[case("0 of 2 entries were pending")]
    fn what_a_redis_at_work_says_of_a_group_is_no_outage(#[case] reason: &str) {
        assert_eq!(ledger(&[(0, 1, Fate::Acknowledged, None), (2, 3, refused(reason), None)]).outage(), None);
    }

    #[rstest]
    #[case::one_after_the_other(&[(0, "a"), (10, "a"), (20, "b"), (30, "b")], &[])]
    #[case::in_turns(&[(0, "a"), (10, "b"), (20, "a"), (30, "b")], &["a", "b"])]
    #[case::a_third_apart(&[(0, "a"), (10, "b"), (20, "a"), (30, "c")], &["a", "b"])]
    fn servers_that_acknowledge_in_turns_are_told(#[case] writes: &[(u64, &str)], #[case] expected: &[&str]) {
        let writes: Vec<_> = writes.iter().map(|(at, by)| (*at, at + 1, Fate::Acknowledged, Some(*by))).collect();
        assert_eq!(ledger(&writes).servers_at_once(), expected);
    }
}
