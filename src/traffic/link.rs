//! The line to one agent: requests go in, and the records of each come out by its id.

use super::{
    TrafficError,
    agent::wire::{Op, PROTOCOL, Record, Request, What},
};
use crate::{target::Attached, wait::at_most};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    sync::mpsc,
    task::JoinHandle,
    time::timeout,
};

/// An agent starts in milliseconds; a loaded machine may need seconds.
const START: Duration = Duration::from_secs(20);

/// An attached agent; it ends when this is dropped.
pub(super) struct Link {
    stdin: tokio::sync::Mutex<std::pin::Pin<Box<dyn AsyncWrite + Send>>>,
    routes: Arc<Mutex<Routes>>,
    next: AtomicU64,
    reader: JoinHandle<()>,
    /// The wall clock at the zero of the agent's clock.
    pub(super) zero_unix_ns: u64,
}

#[derive(Debug, Default)]
struct Routes {
    open: HashMap<u64, mpsc::UnboundedSender<What>>,
    ended: Option<String>,
}

/// The records of one request.
#[derive(Debug)]
pub(super) struct Records {
    pub(super) id: u64,
    doing: String,
    receiver: mpsc::UnboundedReceiver<What>,
    routes: Arc<Mutex<Routes>>,
}

impl Link {
    /// Waits for the agent's first word.
    pub(super) async fn open(attached: Attached) -> Result<Self, TrafficError> {
        let routes = Arc::new(Mutex::new(Routes::default()));
        let (sender, receiver) = mpsc::unbounded_channel();
        lock(&routes).open.insert(0, sender);
        let reader = tokio::spawn(read(BufReader::with_capacity(64 * 1024, attached.stdout), Arc::clone(&routes)));
        let mut records = Records { id: 0, doing: "attaching to the client pod".into(), receiver, routes: Arc::clone(&routes) };
        let stdin = tokio::sync::Mutex::new(attached.stdin);
        let mut link = Self { stdin, routes, next: AtomicU64::new(1), reader, zero_unix_ns: 0 };
        match records.within(START).await? {
            What::Hello { protocol: PROTOCOL, wall_unix_ns } => link.zero_unix_ns = wall_unix_ns,
            What::Hello { protocol, .. } => return Err(TrafficError::Version { ours: PROTOCOL, theirs: protocol }),
            other => return Err(records.unexpected(&other)),
        }
        Ok(link)
    }

    /// Whether nothing can be asked any more.
    pub(super) fn has_ended(&self) -> bool {
        lock(&self.routes).ended.is_some()
    }

    /// Sends a request.
    pub(super) async fn ask(&self, doing: impl Into<String>, op: Op) -> Result<Records, TrafficError> {
        let doing = doing.into();
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = mpsc::unbounded_channel();
        let ended = |how: String| TrafficError::Ended { doing: doing.clone(), how };
        {
            let mut routes = lock(&self.routes);
            if let Some(how) = &routes.ended {
                return Err(ended(how.clone()));
            }
            routes.open.insert(id, sender);
        }
        let mut line = serde_json::to_vec(&Request { id, op }).map_err(|error| ended(error.to_string()))?;
        line.push(b'\n');
        let mut stdin = self.stdin.lock().await;
        let written = async {
            stdin.write_all(&line).await?;
            stdin.flush().await
        };
        match timeout(START, written).await {
            Ok(written) => written.map_err(|error| ended(format!("it takes no requests: {error}")))?,
            Err(_) => return Err(TrafficError::Silent { doing, waited: START }),
        }
        Ok(Records { id, doing, receiver, routes: Arc::clone(&self.routes) })
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Records {
    /// The next record, whenever it comes; an error where the agent has ended before `done`.
    pub(super) async fn next(&mut self) -> Result<What, TrafficError> {
        match self.receiver.recv().await {
            Some(What::Failed { reason }) => Err(TrafficError::Agent { doing: self.doing.clone(), reason }),
            Some(what) => Ok(what),
            None => {
                let how = lock(&self.routes).ended.clone().unwrap_or_else(|| "its stream was cut".into());
                Err(TrafficError::Ended { doing: self.doing.clone(), how })
            }
        }
    }

    /// The next record, which must come within the limit.
    pub(super) async fn within(&mut self, limit: Duration) -> Result<What, TrafficError> {
        let what = format!("the answer to {}", self.doing);
        match at_most(limit, &what, self.next()).await {
            Some(next) => next,
            None => Err(TrafficError::Silent { doing: self.doing.clone(), waited: limit }),
        }
    }

    /// The one record of a request that has one, after its `done`.
    pub(super) async fn only(mut self, limit: Duration) -> Result<What, TrafficError> {
        let what = self.within(limit).await?;
        match self.within(limit).await? {
            What::Done => Ok(what),
            other => Err(self.unexpected(&other)),
        }
    }

    pub(super) fn unexpected(&self, what: &What) -> TrafficError {
        TrafficError::Agent { doing: self.doing.clone(), reason: format!("the agent sent {what:?}, which does not belong here") }
    }
}

impl Drop for Records {
    fn drop(&mut self) {
        lock(&self.routes).open.remove(&self.id);
    }
}

async fn read(mut lines: BufReader<std::pin::Pin<Box<dyn tokio::io::AsyncRead + Send>>>, routes: Arc<Mutex<Routes>>) {
    let mut line = Vec::new();
    let how = loop {
        line.clear();
        match lines.read_until(b'\n', &mut line).await {
            Ok(0) => break "its output ended".to_owned(),
            Ok(_) if line.last() != Some(&b'\n') => break "its output was cut within a line".to_owned(),
            Ok(_) => {}
            Err(error) => break format!("its output cannot be read: {error}"),
        }
        let Record { id, what } = match serde_json::from_slice(&line) {
            Ok(record) => record,
            Err(error) => {
                let start = String::from_utf8_lossy(&line[..line.len().min(120)]).into_owned();
                break format!("it sent something that is no record: {error}: {start:?}");
            }
        };
        let mut routes = lock(&routes);
        let done = matches!(what, What::Done);
        // Records of a request that nobody waits for any more are dropped.
        if let Some(route) = routes.open.get(&id) {
            let _ = route.send(what);
        }
        if done {
            routes.open.remove(&id);
        }
    };
    let mut routes = lock(&routes);
    routes.ended = Some(how);
    routes.open.clear();
}

fn lock(routes: &Mutex<Routes>) -> MutexGuard<'_, Routes> {
    routes.lock().unwrap_or_else(PoisonError::into_inner)
}
