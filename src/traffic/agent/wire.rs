//! The messages between a driver and its agent: one JSON object a line, both ways; nothing here does anything.
//!
//! Each request has an id. Every record that answers it bears that id, and the last one is `done`: a stream that ends without it was cut.

mod reply;
mod write;

pub use reply::{Answer, Bytes, Content, Value};
use serde::{Deserialize, Serialize};
use std::{fmt, time::Duration};
pub use write::{EntryId, Fate, NotEntryId, WriteKind};

/// The version of these messages; agent and driver must agree.
pub(crate) const PROTOCOL: u32 = 1;

/// One line to the agent.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) id: u64,
    #[serde(flatten)]
    pub(crate) op: Op,
}

/// What the agent is asked to do.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case")]
pub(crate) enum Op {
    /// One command on a connection of its own: `reply`, `done`.
    Command { address: Address, args: Vec<Bytes>, limits: Limits },
    /// The same command over a range of numbers: `tally`, `done`.
    Pipeline(Pipeline),
    /// Writes until stopped or counted out: `connected` and `written` as they happen, `done`.
    Write(WritePlan),
    /// Ends a `write` or a `hold`: `done`, and the ended request's own `done` once it has said everything.
    Stop { of: u64 },
    /// What Redis has now: a `found` for each key, `done`.
    ReadBack { address: Address, databases: Vec<Wanted>, limits: Limits },
    /// Asks for replies and reads none: `held`, then `done` once stopped.
    Hold { address: Address, bytes: u64, limits: Limits },
    /// One HTTP/1.1 request: `http`, `done`.
    Http(HttpCall),
}

/// One line from the agent.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) id: u64,
    #[serde(flatten)]
    pub(crate) what: What,
}

/// What a record says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "kebab-case")]
pub(crate) enum What {
    /// The agent is there; its monotonic clock was zero at `wall_unix_ns`.
    Hello { protocol: u32, wall_unix_ns: u64 },
    /// What became of a command.
    Reply { answer: Answer, run_id: Option<String> },
    /// What became of a range of commands.
    Tally(Tally),
    /// A writer has a new connection, which has shaken hands.
    Connected(Connected),
    /// A write has its fate.
    Written(Written),
    /// What is at a key.
    Found(Found),
    /// So many bytes of replies are kept by the server; or why it is fewer.
    Held { bytes: u64, broke: Option<String> },
    /// An HTTP answer.
    Http { status: u16, headers: Vec<(String, String)>, body: Bytes },
    /// The request could not be carried out; `done` follows.
    Failed { reason: String },
    /// Nothing more will come for this id.
    Done,
}

/// Where a Redis is, with the credentials in clear: it goes over the agent's standard input only, never into evidence.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) db: u32,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<String>,
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}/{}", self.host, self.port, self.db)
    }
}

/// How long a connection may take, and how long one reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// For the look-up of the name, the connection and nothing else.
    pub connect_ms: u64,
    /// For the reply, from the first byte sent.
    pub answer_ms: u64,
}

impl Limits {
    /// For questions whose answer matters and whose time does not: a machine under load may hold a healthy Redis up for seconds.
    pub const PATIENT: Self = Self { connect_ms: 15_000, answer_ms: 30_000 };

    pub(crate) fn connect(self) -> Duration {
        Duration::from_millis(self.connect_ms)
    }

    pub(crate) fn answer(self) -> Duration {
        Duration::from_millis(self.answer_ms)
    }

    /// The longest that one exchange may take, handshake included.
    pub(crate) fn exchange(self) -> Duration {
        self.connect() + self.answer() * 2
    }
}

impl Default for Limits {
    /// One second each: longer than any healthy Redis on a loaded machine, shorter than any probe's period.
    fn default() -> Self {
        Self { connect_ms: 1000, answer_ms: 1000 }
    }
}

/// `{}` in an argument becomes the number, `{value}` a value of `value_bytes` that belongs to seed and number.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Pipeline {
    pub(crate) address: Address,
    pub(crate) args: Vec<String>,
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) value_bytes: usize,
    /// By so many bytes at most values are longer, each by its own number.
    pub(crate) value_spread: usize,
    pub(crate) seed: u64,
    pub(crate) connections: u32,
    pub(crate) depth: u32,
    pub(crate) limits: Limits,
}

/// What became of a range of commands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Well-formed replies that are no errors.
    pub acknowledged: u64,
    /// Refusals by text.
    pub refused: std::collections::BTreeMap<String, u64>,
    /// Commands whose fate is not known.
    pub unknown: u64,
    /// Why the first of them is not known.
    pub first_unknown: Option<String>,
    /// The numbers, as ranges with both ends in them and in order, whose reply was neither nil, nor 0, nor an error.
    pub hits: Vec<(u64, u64)>,
}

impl Tally {
    /// How many commands were refused.
    #[must_use]
    pub fn refusals(&self) -> u64 {
        self.refused.values().sum()
    }

    /// How many replies were neither nil, nor 0, nor an error.
    #[must_use]
    pub fn hit_count(&self) -> u64 {
        self.hits.iter().map(|(first, last)| last - first + 1).sum()
    }
}

/// A workload as the agent needs it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct WritePlan {
    pub(crate) address: Address,
    pub(crate) places: Vec<PlannedPlace>,
    pub(crate) strings: bool,
    pub(crate) streams: bool,
    pub(crate) template: String,
    pub(crate) value_bytes: usize,
    pub(crate) writers: u32,
    pub(crate) keys: Option<u64>,
    pub(crate) count: Option<u64>,
    pub(crate) per_second: Option<f64>,
    pub(crate) seed: u64,
    pub(crate) limits: Limits,
}

/// A database, and its keys with `{}` for the number.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PlannedPlace {
    pub(crate) db: u32,
    pub(crate) key: String,
}

/// A connection that has shaken hands.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Connected {
    pub(crate) connection: u64,
    pub(crate) peer: String,
    pub(crate) run_id: Option<String>,
    pub(crate) at_ns: u64,
}

/// One write with its fate.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Written {
    pub(crate) write: u64,
    pub(crate) writer: u32,
    pub(crate) db: u32,
    pub(crate) key: String,
    #[serde(flatten)]
    pub(crate) kind: WriteKind,
    #[serde(flatten)]
    pub(crate) fate: Fate,
    pub(crate) sent_ns: u64,
    pub(crate) answered_ns: u64,
    /// The connection it went over, if one was made.
    pub(crate) connection: Option<u64>,
}

/// The keys of a database that are wanted.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Wanted {
    pub(crate) db: u32,
    pub(crate) keys: Vec<String>,
    /// Glob patterns: keys that fit one and are not in `keys` are found too.
    pub(crate) matching: Vec<String>,
}

/// What is at a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Found {
    pub(crate) db: u32,
    pub(crate) key: String,
    #[serde(flatten)]
    pub(crate) there: There,
}

/// What is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "there", rename_all = "kebab-case")]
pub(crate) enum There {
    /// No such key.
    Nothing,
    /// A string.
    String { content: Content },
    /// A stream.
    Stream { entries: Vec<(EntryId, Content)>, groups: Vec<Group> },
    /// Something that no writer of ours makes.
    Other { of_type: String },
}

/// A consumer group as Redis tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) last_delivered: EntryId,
    pub(crate) pending: Vec<EntryId>,
}

/// One HTTP/1.1 request.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct HttpCall {
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
    pub(crate) limits: Limits,
}
