//! The driver of one agent in a client pod: commands, loads, workloads, comparisons and HTTP, all through the pod's own network.

use super::{
    Comparison, Endpoint, Ledger, Load, TrafficError, Workload, Writing,
    agent::wire::{Answer, Bytes, HttpCall, Limits, Op, Tally, Value, Wanted, What},
    link::{Link, Records},
};
use crate::target::{Attached, Target};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

/// What a busy machine and a slow stream may add to any limit of the agent's own.
const GRACE: Duration = Duration::from_secs(10);

/// An agent in a client pod.
#[derive(Clone)]
pub struct Client {
    pub(super) link: Arc<Link>,
    /// Where it runs: hosts have names of its own there.
    target: Option<Arc<dyn Target>>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

/// What a server said to one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// What became of the command.
    pub answer: Answer,
    /// The server's own id, new with each start; `None` without a connection.
    pub run_id: Option<String>,
}

impl Reply {
    /// It is PONG.
    #[must_use]
    pub fn is_pong(&self) -> bool {
        self.text().as_deref() == Some("PONG")
    }

    /// The text of a status or a string.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        match &self.answer {
            Answer::Value(value) => value.text(),
            Answer::Refused(_) | Answer::Unknown(_) => None,
        }
    }

    /// The number.
    #[must_use]
    pub fn number(&self) -> Option<i64> {
        match &self.answer {
            Answer::Value(value) => value.int(),
            Answer::Refused(_) | Answer::Unknown(_) => None,
        }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.answer {
            Answer::Value(value) => write!(f, "{}", value.to_json()),
            Answer::Refused(reason) => write!(f, "refused: {reason}"),
            Answer::Unknown(reason) => write!(f, "no answer: {reason}"),
        }
    }
}

/// One HTTP/1.1 request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpRequest {
    /// `GET`.
    pub method: String,
    /// `http://name:port/path`; nothing but `http` is spoken.
    pub url: String,
    /// Beside Host, Content-Length and Connection, and `Content-Type: application/json` where there is a body.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// For the connection and for the whole answer.
    pub limits: Limits,
}

impl Default for HttpRequest {
    /// A GET of nothing, with ten seconds for the answer: longer than a server may wait for its Redis.
    fn default() -> Self {
        let limits = Limits::PATIENT;
        Self { method: "GET".into(), url: String::new(), headers: Vec::new(), body: Vec::new(), limits }
    }
}

/// An HTTP answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpAnswer {
    /// 200.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, whole.
    pub body: Vec<u8>,
}

/// A client that has asked for much and reads nothing of it, until it is released.
#[derive(Debug)]
pub struct Holding {
    client: Client,
    records: Records,
    /// Bytes of replies that Redis itself keeps for this client, beside what the kernel has taken.
    pub held: u64,
    /// Why it is less than was asked for: Redis closed the connection, or died.
    pub broke: Option<String>,
}

impl Client {
    /// Starts an agent in the client pod of a namespace.
    ///
    /// # Errors
    /// The target has no client pod, or the agent does not start.
    pub async fn attach(target: Arc<dyn Target>, namespace: &str) -> Result<Self, TrafficError> {
        let container = target.client(namespace).await?;
        let attached = target.attach(&container, &["/usr/local/bin/redis-conformance", "__agent"]).await?;
        Ok(Self { target: Some(target), ..Self::over(attached).await? })
    }

    /// Takes an agent that was started already.
    ///
    /// # Errors
    /// It does not greet, or speaks another version.
    pub async fn over(attached: Attached) -> Result<Self, TrafficError> {
        Ok(Self { link: Arc::new(Link::open(attached).await?), target: None })
    }

    /// Whether the agent can be asked no more: its pod or the way to it is gone.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.link.has_ended()
    }

    /// The endpoint under the name that it has for this client.
    fn seen(&self, endpoint: &Endpoint) -> Endpoint {
        Endpoint { host: self.host(&endpoint.host), ..endpoint.clone() }
    }

    fn url(&self, url: &str) -> String {
        let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
        let end = rest.find([':', '/', '?']).unwrap_or(rest.len());
        format!("{scheme}://{}{}", self.host(&rest[..end]), &rest[end..])
    }

    fn host(&self, name: &str) -> String {
        self.target.as_ref().map_or_else(|| name.to_owned(), |target| target.host(name))
    }

    /// One command on a connection of its own, with as much time as a loaded machine may need.
    ///
    /// # Errors
    /// The agent is gone; what Redis says is never an error here.
    pub async fn command(&self, endpoint: &Endpoint, args: &[&str]) -> Result<Reply, TrafficError> {
        self.command_within(endpoint, args, Limits::PATIENT).await
    }

    /// The same with limits of its own.
    ///
    /// # Errors
    /// As [`Self::command`].
    pub async fn command_within(&self, endpoint: &Endpoint, args: &[&str], limits: Limits) -> Result<Reply, TrafficError> {
        let doing = format!("{} at {endpoint}", args.first().copied().unwrap_or_default());
        let op = Op::Command { address: self.seen(endpoint).address(), args: args.iter().map(|&arg| arg.into()).collect(), limits };
        let records = self.link.ask(doing, op).await?;
        match records.only(limits.exchange() + GRACE).await? {
            What::Reply { answer, run_id } => Ok(Reply { answer, run_id }),
            other => Err(unexpected("a command", &other)),
        }
    }

    /// The same command over a range of numbers, many at once.
    ///
    /// # Errors
    /// The agent is gone, or the load is not through within its limit.
    pub async fn load(&self, endpoint: &Endpoint, load: Load) -> Result<Tally, TrafficError> {
        let doing = format!("{} for {:?} at {endpoint}", load.args.first().map_or("", String::as_str), load.numbers);
        let records = self.link.ask(doing, Op::Pipeline(load.pipeline(&self.seen(endpoint), seed()))).await?;
        match records.only(load.within).await? {
            What::Tally(tally) => Ok(tally),
            other => Err(unexpected("a load", &other)),
        }
    }

    /// Starts a workload, which then goes on in the pod.
    ///
    /// # Errors
    /// The agent is gone, or the workload has no place.
    pub async fn write(&self, endpoint: &Endpoint, workload: Workload) -> Result<Writing, TrafficError> {
        if workload.places.is_empty() {
            return Err(TrafficError::Nowhere);
        }
        let seed = seed();
        let records = self.link.ask(format!("writing to {endpoint}"), Op::Write(workload.plan(&self.seen(endpoint), seed))).await?;
        Ok(Writing::start(self.clone(), records, workload, seed))
    }

    /// Reads back every key of the ledger and holds it against what was acknowledged. The endpoint's database is not used: the ledger's are.
    ///
    /// # Errors
    /// Redis cannot be read, or nothing was acknowledged, so that nothing is proved.
    pub async fn compare(&self, ledger: &Ledger, endpoint: &Endpoint) -> Result<Comparison, TrafficError> {
        ledger.proves_something()?;
        let mut databases: BTreeMap<u32, (BTreeSet<&str>, BTreeSet<String>)> = BTreeMap::new();
        for write in &ledger.writes {
            databases.entry(write.db).or_default().0.insert(&write.key);
        }
        for place in ledger.workloads.iter().flat_map(|planned| &planned.workload.places) {
            databases.entry(place.db).or_default().1.insert(place.glob());
        }
        let wanted = databases.into_iter().map(|(db, (keys, globs))| Wanted {
            db,
            keys: keys.into_iter().map(ToOwned::to_owned).collect(),
            matching: globs.into_iter().collect(),
        });
        let limits = Limits::PATIENT;
        let op = Op::ReadBack { address: self.seen(endpoint).address(), databases: wanted.collect(), limits };
        let mut records = self.link.ask(format!("reading back from {endpoint}"), op).await?;
        let mut found = Vec::new();
        loop {
            match records.within(limits.exchange() + GRACE).await? {
                What::Found(key) => found.push(key),
                What::Done => return Comparison::of(ledger, found),
                other => return Err(records.unexpected(&other)),
            }
        }
    }

    /// Asks for so many bytes of replies on one connection and reads none of them; returns when Redis keeps them.
    ///
    /// # Errors
    /// The agent is gone, or Redis refuses.
    pub async fn hold(&self, endpoint: &Endpoint, bytes: u64) -> Result<Holding, TrafficError> {
        let limits = Limits::PATIENT;
        let op = Op::Hold { address: self.seen(endpoint).address(), bytes, limits };
        let mut records = self.link.ask(format!("holding {bytes} bytes of replies of {endpoint}"), op).await?;
        match records.within(limits.exchange() * 10 + GRACE).await? {
            What::Held { bytes: held, broke } => Ok(Holding { client: self.clone(), records, held, broke }),
            other => Err(records.unexpected(&other)),
        }
    }

    /// One HTTP request; the inner error is why no whole answer came.
    ///
    /// # Errors
    /// The agent is gone.
    pub async fn http(&self, request: &HttpRequest) -> Result<Result<HttpAnswer, String>, TrafficError> {
        let mut headers = request.headers.clone();
        if !request.body.is_empty() && !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
            headers.push(("Content-Type".into(), "application/json".into()));
        }
        let HttpRequest { method, url, body, limits, .. } = request.clone();
        let doing = format!("{method} {url}");
        let url = self.url(&url);
        let records = self.link.ask(doing, Op::Http(HttpCall { method, url, headers, body: Bytes(body), limits })).await?;
        match records.only(limits.exchange() + GRACE).await {
            Ok(What::Http { status, headers, body }) => Ok(Ok(HttpAnswer { status, headers, body: body.0 })),
            Ok(other) => Err(unexpected("an HTTP request", &other)),
            Err(TrafficError::Agent { reason, .. }) => Ok(Err(reason)),
            Err(error) => Err(error),
        }
    }

    /// Ends another request of this agent.
    pub(super) async fn stop(&self, of: u64) -> Result<(), TrafficError> {
        let mut records = self.link.ask("stopping", Op::Stop { of }).await?;
        match records.within(GRACE).await? {
            What::Done => Ok(()),
            other => Err(records.unexpected(&other)),
        }
    }
}

impl Holding {
    /// Closes the connection.
    ///
    /// # Errors
    /// The agent is gone.
    pub async fn release(mut self) -> Result<(), TrafficError> {
        self.client.stop(self.records.id).await?;
        match self.records.within(GRACE).await? {
            What::Done => Ok(()),
            other => Err(self.records.unexpected(&other)),
        }
    }
}

/// A number that no other workload has, so that values tell whose they are.
fn seed() -> u64 {
    RandomState::new().hash_one(std::time::SystemTime::now())
}

fn unexpected(doing: &str, what: &What) -> TrafficError {
    TrafficError::Agent { doing: doing.into(), reason: format!("the agent sent {what:?}, which does not belong here") }
}

impl Value {
    /// As JSON: bytes that are not UTF-8 are replaced, an error within an array is `{"error": …}`.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Nil => serde_json::Value::Null,
            Self::Int(number) => (*number).into(),
            Self::Status(text) => text.as_str().into(),
            Self::Bytes(bytes) => bytes.text().into(),
            Self::Array(values) => values.iter().map(Self::to_json).collect(),
            Self::Error(text) => serde_json::json!({ "error": text }),
        }
    }
}
