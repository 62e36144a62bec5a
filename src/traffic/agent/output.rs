//! Writes records to standard output from a thread of its own, in order, and at once when nothing else waits.

use super::wire::{Record, What};
use std::{
    io::{self, BufWriter, Write},
    thread::JoinHandle,
};
use tokio::sync::mpsc;

/// So many records may wait for a driver that does not read; then writers wait too, and memory stays bounded.
const BACKLOG: usize = 65_536;

/// The driver has closed its end.
pub(super) struct NobodyListens;

/// Where all records go.
pub(super) struct Output {
    records: mpsc::Sender<Record>,
}

/// Where the records of one request go.
#[derive(Clone)]
pub(super) struct Sink {
    id: u64,
    records: mpsc::Sender<Record>,
}

/// Starts the thread; it ends when every sender is gone, or with the first error.
pub(super) fn start() -> (Output, JoinHandle<io::Result<()>>) {
    let (records, waiting) = mpsc::channel(BACKLOG);
    (Output { records }, std::thread::spawn(move || print(waiting)))
}

fn print(mut waiting: mpsc::Receiver<Record>) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(64 * 1024, io::stdout().lock());
    while let Some(record) = waiting.blocking_recv() {
        serde_json::to_writer(&mut out, &record)?;
        out.write_all(b"\n")?;
        if waiting.is_empty() {
            out.flush()?;
        }
    }
    out.flush()
}

impl Output {
    pub(super) fn sink(&self, id: u64) -> Sink {
        Sink { id, records: self.records.clone() }
    }

    /// Waits until nobody listens any more.
    pub(super) async fn closed(&self) {
        self.records.closed().await;
    }
}

impl Sink {
    pub(super) async fn say(&self, what: What) -> Result<(), NobodyListens> {
        self.records.send(Record { id: self.id, what }).await.map_err(|_| NobodyListens)
    }
}
