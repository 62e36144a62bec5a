//! The messages between a driver and its agent: one JSON object a line, both ways; nothing here does anything.
//!
//! Each request has an id. Every record that answers it bears that id, and the last one is `done`: a stream that ends without it was cut.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};
use std::{fmt, str::FromStr, time::Duration};

/// The version of these messages; agent and driver must agree.
pub(crate) const PROTOCOL: u32 = 1;

/// Longer contents are compared by digest.
const LONGEST_LITERAL: usize = 128;

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

/// What a write did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum WriteKind {
    /// `SET`.
    Set {
        /// The value.
        content: Content,
    },
    /// `XADD` with one field named `value`.
    Add {
        /// The field's value.
        content: Content,
        /// The id that the server gave.
        entry: Option<EntryId>,
    },
    /// `XGROUP CREATE … 0 MKSTREAM`.
    Group {
        /// The group's name.
        group: String,
    },
    /// `XREADGROUP … >`: it moves the group's last-delivered-id and makes entries pending.
    Deliver {
        /// The group's name.
        group: String,
        /// What was delivered.
        entries: Vec<EntryId>,
    },
    /// `XACK`.
    Acknowledge {
        /// The group's name.
        group: String,
        /// What is no longer pending.
        entries: Vec<EntryId>,
    },
}

/// What became of a write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fate", rename_all = "kebab-case")]
pub enum Fate {
    /// A well-formed reply that is no error.
    Acknowledged,
    /// Nothing was sent, or a well-formed error came back: it is not there.
    Refused {
        /// The error's text, or why there was no connection.
        reason: String,
    },
    /// Something was sent and no well-formed reply came back: it may be there or not.
    Unknown {
        /// What came instead.
        reason: String,
    },
}

/// What became of one command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// A well-formed reply.
    Value(Value),
    /// Nothing was sent, or a well-formed error came back.
    Refused(String),
    /// Something was sent and no well-formed reply came back.
    Unknown(String),
}

/// A reply of Redis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Value {
    /// No value: not the empty string.
    Nil,
    /// A number.
    Int(i64),
    /// A simple string such as `OK`.
    Status(String),
    /// A string.
    Bytes(Bytes),
    /// Several replies.
    Array(Vec<Value>),
    /// An error within an array.
    Error(String),
}

impl Value {
    /// The text of a status or a string.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Status(text) => Some(text.clone()),
            Self::Bytes(bytes) => Some(bytes.text()),
            Self::Nil | Self::Int(_) | Self::Array(_) | Self::Error(_) => None,
        }
    }

    /// The number.
    #[must_use]
    pub fn int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            Self::Nil | Self::Status(_) | Self::Bytes(_) | Self::Array(_) | Self::Error(_) => None,
        }
    }

    /// The replies of an array.
    #[must_use]
    pub fn array(&self) -> Option<&[Value]> {
        match self {
            Self::Array(values) => Some(values),
            Self::Nil | Self::Int(_) | Self::Status(_) | Self::Bytes(_) | Self::Error(_) => None,
        }
    }

    /// Neither nil, nor 0, nor an error.
    pub(crate) fn is_hit(&self) -> bool {
        !matches!(self, Self::Nil | Self::Int(0) | Self::Error(_))
    }
}

/// Bytes; on the wire a string where they are UTF-8, else `{"base64": …}`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(pub Vec<u8>);

impl Bytes {
    /// As text; what is not UTF-8 is replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }
}

impl From<&str> for Bytes {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text())
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum BytesOnWire {
    Text(String),
    Base64 { base64: String },
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match str::from_utf8(&self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => BytesOnWire::Base64 { base64: STANDARD.encode(&self.0) }.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match BytesOnWire::deserialize(deserializer)? {
            BytesOnWire::Text(text) => Ok(Self(text.into_bytes())),
            BytesOnWire::Base64 { base64 } => STANDARD.decode(base64).map(Self).map_err(de::Error::custom),
        }
    }
}

/// A value, or its digest where it is long: enough to say whether two are equal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Content {
    /// The value itself; the empty text is a value, not an absence.
    Literal(Bytes),
    /// SHA-256 in hexadecimal, and the length in bytes.
    Digest {
        /// The digest.
        sha256: String,
        /// The length.
        bytes: usize,
    },
}

impl Content {
    /// Of these bytes.
    #[must_use]
    pub fn of(value: &[u8]) -> Self {
        if value.len() <= LONGEST_LITERAL {
            return Self::Literal(Bytes(value.to_vec()));
        }
        let sha256 = Sha256::digest(value).iter().fold(String::with_capacity(64), |text, byte| text + &format!("{byte:02x}"));
        Self::Digest { sha256, bytes: value.len() }
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(bytes) => write!(f, "{bytes:?}"),
            Self::Digest { sha256, bytes } => write!(f, "{bytes} bytes with SHA-256 {sha256}"),
        }
    }
}

/// The id of a stream's entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId {
    /// Milliseconds since the epoch, by the server's clock.
    pub milliseconds: u64,
    /// The number within the millisecond.
    pub sequence: u64,
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.milliseconds, self.sequence)
    }
}

/// A text that is no stream id.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0:?} is not the id of a stream's entry")]
pub struct NotEntryId(pub String);

impl FromStr for EntryId {
    type Err = NotEntryId;

    fn from_str(text: &str) -> Result<Self, NotEntryId> {
        let not = || NotEntryId(text.to_owned());
        let (milliseconds, sequence) = text.split_once('-').ok_or_else(not)?;
        Ok(Self { milliseconds: milliseconds.parse().map_err(|_| not())?, sequence: sequence.parse().map_err(|_| not())? })
    }
}

impl Serialize for EntryId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EntryId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
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
