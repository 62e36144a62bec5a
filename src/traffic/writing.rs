//! Writers at work: their records are collected as they come.

use super::{
    Client, Ledger, TrafficError,
    agent::wire::{Fate, What},
    client::{next, unforeseen},
};
use crate::wait::{Look, TimedOut, Until};
use std::{
    sync::{Arc, atomic::AtomicU64, atomic::Ordering},
    time::Duration,
};
use tokio::{sync::mpsc, task::JoinHandle};

/// The longest pause between two records of a writer: a write that times out is the slowest.
const SILENCE: Duration = Duration::from_secs(60);

/// Writers at work.
#[derive(Debug)]
pub struct Writing {
    client: Arc<Client>,
    id: u64,
    acknowledged: Arc<AtomicU64>,
    collected: JoinHandle<Result<Ledger, TrafficError>>,
}

impl Writing {
    pub(super) fn new(client: Arc<Client>, id: u64, mut records: mpsc::UnboundedReceiver<What>) -> Self {
        let acknowledged = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&acknowledged);
        let collected = tokio::spawn(async move {
            let mut ledger = Ledger::default();
            loop {
                match next(&mut records, "write", SILENCE).await? {
                    What::Connected(connected) => ledger.connected(connected),
                    What::Written(written) => {
                        if written.fate == Fate::Acknowledged {
                            count.fetch_add(1, Ordering::Relaxed);
                        }
                        ledger.written(written);
                    }
                    What::Done => return Ok(ledger),
                    other => return Err(unforeseen("write", &other)),
                }
            }
        });
        Self { client, id, acknowledged, collected }
    }

    /// Waits until so many writes have been acknowledged.
    ///
    /// # Errors
    /// [`TimedOut`] when they are not within `limit`.
    pub async fn acknowledged(&self, count: u64, limit: Duration) -> Result<(), TimedOut> {
        Until::within(limit)
            .met(format!("{count} acknowledged writes"), || async {
                let now = self.acknowledged.load(Ordering::Relaxed);
                Ok(if now >= count { Look::Ready(()) } else { Look::NotYet(format!("{now}")) })
            })
            .await
    }

    /// Waits for the end of a workload that counts its writes.
    ///
    /// # Errors
    /// [`TrafficError`] when the agent is gone.
    pub async fn finished(self) -> Result<Ledger, TrafficError> {
        self.collected.await.map_err(|panic| TrafficError::Cut(format!("collecting records: {panic}")))?
    }

    /// Ends the writers once the fate of every write is known.
    ///
    /// # Errors
    /// [`TrafficError`] when the agent is gone.
    pub async fn stop(self) -> Result<Ledger, TrafficError> {
        self.client.stop(self.id).await?;
        self.finished().await
    }
}
