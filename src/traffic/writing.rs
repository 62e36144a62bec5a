//! A workload that is going on: its progress while it runs, its ledger when it ends.

use super::{
    Client, Ledger, Planned, TrafficError, Workload, Write,
    agent::wire::{Connected, Fate, What, Written},
    link::Records,
};
use crate::wait::at_most;
use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, timeout_at},
};

/// What a busy machine may add when a writer ends.
const GRACE: Duration = Duration::from_secs(15);
/// A workload with a count may wait for a whole outage, but not for ever.
const LONGEST: Duration = Duration::from_secs(600);

/// How many writes have which fate so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Acknowledged writes.
    pub acknowledged: u64,
    /// Refused ones.
    pub refused: u64,
    /// Those of unknown fate.
    pub unknown: u64,
    /// The workload has ended.
    pub ended: bool,
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} acknowledged, {} refused, {} unknown", self.acknowledged, self.refused, self.unknown)?;
        if self.ended { f.write_str(", ended") } else { Ok(()) }
    }
}

/// A workload in the background. Dropped, its writers end with the agent.
pub struct Writing {
    client: Client,
    id: u64,
    limit: Duration,
    counted: bool,
    ledger: Arc<Mutex<Ledger>>,
    progress: watch::Receiver<Progress>,
    collector: JoinHandle<Result<(), TrafficError>>,
}

impl fmt::Debug for Writing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Writing({})", *self.progress.borrow())
    }
}

impl Writing {
    pub(super) fn start(client: Client, records: Records, workload: Workload, seed: u64) -> Self {
        let (id, limit, counted) = (records.id, workload.limits.exchange() * 2 + GRACE, workload.count.is_some());
        let zero = client.link.zero_unix_ns;
        let ledger = Ledger { writes: Vec::new(), workloads: vec![Planned { seed, workload, complete: false }] };
        let ledger = Arc::new(Mutex::new(ledger));
        let (sender, progress) = watch::channel(Progress::default());
        let collector = tokio::spawn(collect(records, zero, seed, Arc::clone(&ledger), sender));
        Self { client, id, limit, counted, ledger, progress, collector }
    }

    /// Moves with every write.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }

    /// Everything that has its fate so far.
    #[must_use]
    pub fn so_far(&self) -> Ledger {
        lock(&self.ledger).clone()
    }

    /// Waits until so many writes in all have been acknowledged.
    ///
    /// # Errors
    /// [`TrafficError::TooFew`] with what was seen last.
    pub async fn acknowledged(&self, wanted: u64, limit: Duration) -> Result<(), TrafficError> {
        let mut progress = self.progress.clone();
        let enough = progress.wait_for(|progress| progress.acknowledged >= wanted || progress.ended);
        let reached = match at_most(limit, &format!("{wanted} acknowledged writes"), enough).await {
            Some(Ok(progress)) => progress.acknowledged >= wanted,
            Some(Err(_)) | None => false,
        };
        if reached { Ok(()) } else { Err(TrafficError::TooFew { wanted, waited: limit, seen: self.progress.borrow().to_string() }) }
    }

    /// Waits until every writer has come through since its last failure; `false` where that does not happen in time.
    pub async fn settled(&self, limit: Duration) -> bool {
        let mut progress = self.progress.clone();
        let settled = async {
            while !lock(&self.ledger).is_settled() {
                if progress.borrow_and_update().ended || progress.changed().await.is_err() {
                    return lock(&self.ledger).is_settled();
                }
            }
            true
        };
        at_most(limit, "writes to come through again", settled).await.unwrap_or(false)
    }

    /// Ends the writers and waits for the fate of their last writes. Where the agent died the ledger has what came until then, and is
    /// not complete.
    ///
    /// # Errors
    /// The agent does not answer.
    pub async fn stop(mut self) -> Result<Ledger, TrafficError> {
        match self.client.stop(self.id).await {
            // What it wrote before it died is still worth a comparison.
            Ok(()) | Err(TrafficError::Ended { .. }) => {}
            Err(error) => return Err(error),
        }
        let limit = self.limit;
        self.end(limit).await
    }

    /// Waits until the workload has sent as many writes as it was to.
    ///
    /// # Errors
    /// It has no count, the agent died, or it is not through after ten minutes.
    pub async fn finished(mut self) -> Result<Ledger, TrafficError> {
        if !self.counted {
            return Err(TrafficError::Endless);
        }
        self.end(LONGEST).await
    }

    async fn end(&mut self, limit: Duration) -> Result<Ledger, TrafficError> {
        match timeout_at(Instant::now() + limit, &mut self.collector).await {
            Ok(Ok(Ok(()) | Err(TrafficError::Ended { .. }))) => Ok(self.so_far()),
            Ok(Ok(Err(error))) => Err(error),
            Ok(Err(error)) => Err(TrafficError::Ended { doing: "writing".into(), how: error.to_string() }),
            Err(_) => Err(TrafficError::Silent { doing: "ending the writers".into(), waited: limit }),
        }
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.collector.abort();
    }
}

async fn collect(
    mut records: Records,
    zero: u64,
    seed: u64,
    ledger: Arc<Mutex<Ledger>>,
    progress: watch::Sender<Progress>,
) -> Result<(), TrafficError> {
    let mut run_ids: HashMap<u64, Option<Arc<str>>> = HashMap::new();
    let ended = loop {
        match records.next().await {
            Ok(What::Connected(Connected { connection, run_id, .. })) => {
                run_ids.insert(connection, run_id.map(Arc::from));
            }
            Ok(What::Written(written)) => {
                let run_id = written.connection.and_then(|connection| run_ids.get(&connection).cloned().flatten());
                progress.send_modify(|progress| match &written.fate {
                    Fate::Acknowledged => progress.acknowledged += 1,
                    Fate::Refused { .. } => progress.refused += 1,
                    Fate::Unknown { .. } => progress.unknown += 1,
                });
                lock(&ledger).writes.push(write(written, zero, seed, run_id));
            }
            Ok(What::Done) => {
                for planned in &mut lock(&ledger).workloads {
                    planned.complete = true;
                }
                break Ok(());
            }
            Ok(other) => break Err(records.unexpected(&other)),
            Err(error) => break Err(error),
        }
    };
    progress.send_modify(|progress| progress.ended = true);
    ended
}

fn write(written: Written, zero: u64, seed: u64, run_id: Option<Arc<str>>) -> Write {
    let Written { write: number, writer, db, key, kind, fate, sent_ns, answered_ns, .. } = written;
    Write { seed, number, writer, db, key, kind, fate, sent_unix_ns: zero + sent_ns, answered_unix_ns: zero + answered_ns, run_id }
}

fn lock(ledger: &Mutex<Ledger>) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}
