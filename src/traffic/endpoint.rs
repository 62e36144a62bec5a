//! Where a Redis is and as whom one speaks to it; the password is never printed.

use super::agent::wire::Address;
use redis::{ConnectionAddr, IntoConnectionInfo};
use serde::{Serialize, Serializer};
use std::{fmt, str::FromStr};

/// Something that no output of ours shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The value itself, for the one place that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(value: String) -> Self {
        Self(value)
    }
}

impl From<&str> for Secret {
    fn from(value: &str) -> Self {
        Self(value.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}

/// A Redis as a client names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Endpoint {
    /// A name or an address; looked up anew at each connection.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The ACL user; none is `default`.
    pub username: Option<String>,
    /// The password; none is no AUTH at all.
    pub password: Option<Secret>,
    /// The database.
    pub db: u32,
}

impl Default for Endpoint {
    /// `redis:6379`, database 0, no password.
    fn default() -> Self {
        Self { host: "redis".into(), port: 6379, username: None, password: None, db: 0 }
    }
}

impl Endpoint {
    /// Without credentials, database 0.
    #[must_use]
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port, ..Self::default() }
    }

    /// The same server, another database.
    #[must_use]
    pub fn database(mut self, db: u32) -> Self {
        self.db = db;
        self
    }

    pub(super) fn address(&self) -> Address {
        Address {
            host: self.host.clone(),
            port: self.port,
            db: self.db,
            username: self.username.clone(),
            password: self.password.as_ref().map(|password| password.expose().to_owned()),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}/{}", self.host, self.port, self.db)
    }
}

/// A text that is no address of a Redis; the text itself is not repeated, since it may hold a password.
#[derive(Clone, Debug, thiserror::Error)]
#[error("not an address of the form redis://user:password@host:port/db: {0}")]
pub struct NotAnEndpoint(String);

impl FromStr for Endpoint {
    type Err = NotAnEndpoint;

    fn from_str(text: &str) -> Result<Self, NotAnEndpoint> {
        let not = |why: &str| NotAnEndpoint(why.to_owned());
        let info = text.trim().into_connection_info().map_err(|error| not(error.detail().unwrap_or("it does not parse")))?;
        let ConnectionAddr::Tcp(host, port) = info.addr() else { return Err(not("only redis:// is spoken here, without TLS and sockets")) };
        let redis = info.redis_settings();
        Ok(Self {
            host: host.clone(),
            port: *port,
            username: redis.username().map(ToOwned::to_owned),
            password: redis.password().map(Secret::from),
            db: u32::try_from(redis.db()).map_err(|_| not("the database is no number in range"))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("redis://redis:6379", Endpoint::default())]
    #[case("redis://redis", Endpoint::default())]
    #[case("redis://10.0.0.1:7000/2", Endpoint::new("10.0.0.1", 7000).database(2))]
    #[case("redis://:p%2F%2B%3D@redis:6379", Endpoint { password: Some("p/+=".into()), ..Endpoint::default() })]
    #[case("redis://ann:pw@redis/1", Endpoint { username: Some("ann".into()), password: Some("pw".into()), db: 1, ..Endpoint::default() })]
    fn an_address_is_read(#[case] text: &str, #[case] expected: Endpoint) {
        assert_eq!(text.parse::<Endpoint>().expect("an address"), expected);
    }

    #[rstest]
    #[case("redis:6379")]
    #[case("http://redis:6379")]
    #[case("unix:///tmp/redis.sock")]
    #[case("redis://:s3cret@redis:6379/none")]
    #[case("")]
    fn anything_else_is_refused_without_repeating_it(#[case] text: &str) {
        let error = text.parse::<Endpoint>().expect_err("no address");
        assert!(!format!("{error} {error:?}").contains("s3cret"));
    }

    #[test]
    fn a_password_is_printed_nowhere() {
        let endpoint = Endpoint { password: Some("s3cret".into()), ..Endpoint::default() };
        let json = serde_json::to_string(&endpoint).expect("JSON");
        assert!(!format!("{endpoint:?} {endpoint} {:?} {json}", endpoint.address()).contains("s3cret"));
    }
}
