//! Drives the agent in a client pod: requests go in, records come out, each under its request's id.

use super::{
    Answer, Comparison, Endpoint, Ledger, Limits, Load, Tally, Workload, Writing,
    agent::wire::{Bytes, Found, HttpCall, Op, PROTOCOL, Record, Request, Wanted, What},
};
use crate::target::{Attached, ContainerRef, Target, TargetError};
use serde::Serialize;
use std::{
    collections::HashMap,
    fmt,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    sync::{Mutex as AsyncMutex, mpsc},
    task::JoinHandle,
    time::timeout,
};

/// Where this program lies in a client pod.
const PROGRAM: &str = "/usr/local/bin/redis-conformance";
/// The agent greets as soon as it runs.
const GREETING: Duration = Duration::from_secs(20);
/// The longest single request: a bulk load of hundreds of megabytes on two busy cores.
const LONGEST: Duration = Duration::from_secs(180);

/// The traffic itself did not work, so that nothing can be said of Redis.
#[derive(Debug, thiserror::Error)]
pub enum TrafficError {
    /// The target gave no client pod.
    #[error("no client pod is to be had")]
    Target(#[from] TargetError),
    /// The agent ended or was cut off.
    #[error("the client pod's agent ended in the middle of {0}")]
    Cut(String),
    /// It did not answer in time.
    #[error("the client pod's agent did not answer {what} within {limit:?}")]
    Silent {
        /// The request.
        what: String,
        /// The limit.
        limit: Duration,
    },
    /// It could not do what it was asked.
    #[error("the client pod's agent could not {what}: {reason}")]
    Failed {
        /// The request.
        what: String,
        /// Its words.
        reason: String,
    },
    /// It is another version of this program.
    #[error("the client pod's agent speaks version {0} of the protocol")]
    Protocol(u32),
    /// What it said is not a record.
    #[error("the client pod's agent said {line:?}")]
    Garbled {
        /// The line.
        line: String,
        /// Why it is none.
        #[source]
        cause: serde_json::Error,
    },
    /// Writes are held against Redis, and there is none of them.
    #[error("no write was acknowledged: an empty ledger proves nothing")]
    NothingAcknowledged,
}

/// An HTTP request to a server in the cluster.
#[derive(Clone, Debug, Default)]
pub struct HttpRequest {
    /// `GET`, `POST` …
    pub method: String,
    /// `http://host:port/path`.
    pub url: String,
    /// Sent as JSON where there is any.
    pub body: Vec<u8>,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct HttpAnswer {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

type Waiting = Arc<Mutex<HashMap<u64, mpsc::UnboundedSender<What>>>>;

/// A client pod with its agent.
pub struct Client {
    stdin: AsyncMutex<Pin<Box<dyn AsyncWrite + Send>>>,
    next: AtomicU64,
    waiting: Waiting,
    reader: JoinHandle<()>,
    limits: Limits,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("next", &self.next).finish_non_exhaustive()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Client {
    /// Starts the agent in the namespace's client pod.
    ///
    /// # Errors
    /// [`TrafficError`] when there is no such pod, or no agent greets.
    pub async fn attach(target: Arc<dyn Target>, namespace: &str) -> Result<Self, TrafficError> {
        let container: ContainerRef = target.client(namespace).await?;
        Self::over(target.attach(&container, &[PROGRAM, "__agent"]).await?).await
    }

    /// Drives an agent that is already running.
    ///
    /// # Errors
    /// [`TrafficError`] when it does not greet.
    pub async fn over(attached: Attached) -> Result<Self, TrafficError> {
        let waiting: Waiting = Arc::default();
        let (sender, mut greeting) = mpsc::unbounded_channel();
        lock(&waiting).insert(0, sender);
        let reader = tokio::spawn(read(attached.stdout, Arc::clone(&waiting)));
        let client = Self { stdin: AsyncMutex::new(attached.stdin), next: AtomicU64::new(1), waiting, reader, limits: Limits::default() };
        match timeout(GREETING, greeting.recv()).await {
            Err(_) => Err(TrafficError::Silent { what: "at its start".into(), limit: GREETING }),
            Ok(Some(What::Hello { protocol, .. })) if protocol == PROTOCOL => Ok(client),
            Ok(Some(What::Hello { protocol, .. })) => Err(TrafficError::Protocol(protocol)),
            Ok(_) => Err(TrafficError::Cut("its start".into())),
        }
    }

    /// One command on a connection of its own.
    ///
    /// # Errors
    /// [`TrafficError`] when the agent is gone; what Redis does is an answer.
    pub async fn command(&self, endpoint: &Endpoint, words: &[&str]) -> Result<Answer, TrafficError> {
        let args = words.iter().map(|word| Bytes::from(*word)).collect();
        let what = words.join(" ");
        match self.one(&what, Op::Command { address: endpoint.address(), args, limits: self.limits }).await? {
            What::Reply { answer, .. } => Ok(answer),
            other => Err(unforeseen(&what, &other)),
        }
    }

    /// One command over a range of numbers.
    ///
    /// # Errors
    /// [`TrafficError`] when the agent is gone.
    #[expect(clippy::needless_pass_by_value, reason = "a load is made for one call")]
    pub async fn load(&self, endpoint: &Endpoint, load: Load) -> Result<Tally, TrafficError> {
        // A batch of many large values takes longer than one answer.
        let limits = Limits { answer_ms: 20_000, ..self.limits };
        match self.one("load", Op::Pipeline(load.pipeline(endpoint, limits))).await? {
            What::Tally(tally) => Ok(tally),
            other => Err(unforeseen("load", &other)),
        }
    }

    /// Begins to write.
    ///
    /// # Errors
    /// [`TrafficError`] when the agent is gone.
    #[expect(clippy::needless_pass_by_value, reason = "a workload is made for one call")]
    pub async fn write(self: &Arc<Self>, endpoint: &Endpoint, workload: Workload) -> Result<Writing, TrafficError> {
        let (id, records) = self.ask(Op::Write(workload.plan(endpoint, self.limits))).await?;
        Ok(Writing::new(Arc::clone(self), id, records))
    }

    /// Holds connections whose replies, so many bytes of them, nobody reads.
    ///
    /// # Errors
    /// [`TrafficError`] when the agent is gone.
    pub async fn hold(self: &Arc<Self>, endpoint: &Endpoint, bytes: u64) -> Result<Holding, TrafficError> {
        let (id, mut records) = self.ask(Op::Hold { address: endpoint.address(), bytes, limits: self.limits }).await?;
        let record = next(&mut records, "hold", LONGEST).await?;
        match record {
            What::Holding { .. } => Ok(Holding { client: Arc::clone(self), id, records }),
            other => Err(unforeseen("hold", &other)),
        }
    }

    /// What Redis has now, held against the ledger.
    ///
    /// # Errors
    /// [`TrafficError`] when it cannot be read, or the ledger has no acknowledged write.
    pub async fn compare(&self, ledger: &Ledger, endpoint: &Endpoint) -> Result<Comparison, TrafficError> {
        if ledger.acknowledged() == 0 {
            return Err(TrafficError::NothingAcknowledged);
        }
        let databases = ledger
            .keys()
            .into_iter()
            .map(|(db, keys)| Wanted { db, keys: keys.into_iter().collect(), matching: ledger.patterns(db) })
            .collect();
        let limits = Limits { answer_ms: 20_000, ..self.limits };
        let what = "read back";
        let mut found: Vec<Found> = Vec::new();
        let (_, mut records) = self.ask(Op::ReadBack { address: endpoint.address(), databases, limits }).await?;
        loop {
            match next(&mut records, what, LONGEST).await? {
                What::Found(at_key) => found.push(at_key),
                What::Done => return Ok(Comparison::of(ledger, &found)),
                other => return Err(unforeseen(what, &other)),
            }
        }
    }

    /// One HTTP request; what kept it from being answered comes back in words.
    ///
    /// # Errors
    /// [`TrafficError`] when the agent is gone.
    pub async fn http(&self, request: &HttpRequest) -> Result<Result<HttpAnswer, String>, TrafficError> {
        let headers = if request.body.is_empty() { Vec::new() } else { vec![("Content-Type".into(), "application/json".into())] };
        let limits = Limits { answer_ms: 10_000, ..self.limits };
        let call = HttpCall { method: request.method.clone(), url: request.url.clone(), headers, body: Bytes(request.body.clone()), limits };
        match self.one("an HTTP request", Op::Http(call)).await {
            Ok(What::Http { status, body, .. }) => Ok(Ok(HttpAnswer { status, body: body.0 })),
            Ok(other) => Err(unforeseen("an HTTP request", &other)),
            Err(TrafficError::Failed { reason, .. }) => Ok(Err(reason)),
            Err(error) => Err(error),
        }
    }

    /// A request with one record and its end.
    async fn one(&self, what: &str, op: Op) -> Result<What, TrafficError> {
        let (_, mut records) = self.ask(op).await?;
        let record = next(&mut records, what, LONGEST).await?;
        match next(&mut records, what, LONGEST).await? {
            What::Done => Ok(record),
            other => Err(unforeseen(what, &other)),
        }
    }

    pub(super) async fn stop(&self, of: u64) -> Result<(), TrafficError> {
        let (_, mut records) = self.ask(Op::Stop { of }).await?;
        match next(&mut records, "stop", LONGEST).await? {
            What::Done => Ok(()),
            other => Err(unforeseen("stop", &other)),
        }
    }

    async fn ask(&self, op: Op) -> Result<(u64, mpsc::UnboundedReceiver<What>), TrafficError> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = mpsc::unbounded_channel();
        lock(&self.waiting).insert(id, sender);
        let mut line = to_line(&Request { id, op })?;
        line.push(b'\n');
        let mut stdin = self.stdin.lock().await;
        let sent = async {
            stdin.write_all(&line).await?;
            stdin.flush().await
        };
        sent.await.map_err(|error| TrafficError::Cut(format!("being asked: {error}")))?;
        Ok((id, receiver))
    }
}

fn to_line(request: &impl Serialize) -> Result<Vec<u8>, TrafficError> {
    serde_json::to_vec(request).map_err(|cause| TrafficError::Garbled { line: "a request".into(), cause })
}

/// Connections whose replies nobody reads.
#[derive(Debug)]
pub struct Holding {
    client: Arc<Client>,
    id: u64,
    records: mpsc::UnboundedReceiver<What>,
}

impl Holding {
    /// Closes them.
    ///
    /// # Errors
    /// [`TrafficError`] when the agent is gone.
    pub async fn release(mut self) -> Result<(), TrafficError> {
        self.client.stop(self.id).await?;
        match next(&mut self.records, "release", LONGEST).await? {
            What::Done => Ok(()),
            other => Err(unforeseen("release", &other)),
        }
    }
}

/// The next record of a request; its failure is an error.
pub(super) async fn next(records: &mut mpsc::UnboundedReceiver<What>, what: &str, limit: Duration) -> Result<What, TrafficError> {
    match timeout(limit, records.recv()).await {
        Err(_) => Err(TrafficError::Silent { what: what.to_owned(), limit }),
        Ok(None) => Err(TrafficError::Cut(what.to_owned())),
        Ok(Some(What::Failed { reason })) => Err(TrafficError::Failed { what: what.to_owned(), reason }),
        Ok(Some(record)) => Ok(record),
    }
}

pub(super) fn unforeseen(what: &str, record: &What) -> TrafficError {
    TrafficError::Failed { what: what.to_owned(), reason: format!("it answered {record:?}") }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Hands each record to the one who waits for it; at the end of the stream nobody waits any more.
async fn read(stdout: Pin<Box<dyn AsyncRead + Send>>, waiting: Waiting) {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let Ok(Record { id, what }) = serde_json::from_str::<Record>(&line) else {
            tracing::warn!(line, "the agent said something that is no record");
            break;
        };
        let done = matches!(what, What::Done);
        let mut all = lock(&waiting);
        if let Some(sender) = all.get(&id)
            && sender.send(what).is_err()
        {
            // Whoever asked has gone away with the rest of its scenario.
            all.remove(&id);
        }
        if done {
            all.remove(&id);
        }
    }
    lock(&waiting).clear();
}
