//! Replies on the wire: what Redis said, byte for byte, or the digest of what is long.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};
use std::fmt;

/// Longer contents are compared by digest.
const LONGEST_LITERAL: usize = 128;

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
