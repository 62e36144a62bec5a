//! Where a Redis is, and what it wants to hear before it answers.

use super::agent::wire::Address;
use std::{fmt, str::FromStr};

/// A text that is never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text, for the one who needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// Host, port, database and credentials of a Redis, as a client in a pod uses them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// A name that the pod's resolver knows, or an address.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The database number.
    pub db: u32,
    /// The ACL user.
    pub username: Option<String>,
    /// The password.
    pub password: Option<Secret>,
}

impl Default for Endpoint {
    fn default() -> Self {
        Self { host: "redis".into(), port: 6379, db: 0, username: None, password: None }
    }
}

/// A text that is no address of a Redis.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not of the form redis://[user:password@]host[:port][/database]: {0}")]
pub struct NotAnEndpoint(String);

impl FromStr for Endpoint {
    type Err = NotAnEndpoint;

    /// Errors never repeat the text: it may hold a password.
    fn from_str(text: &str) -> Result<Self, NotAnEndpoint> {
        let not = |why: &str| NotAnEndpoint(why.to_owned());
        let rest = text.trim().strip_prefix("redis://").ok_or_else(|| not("it does not begin with redis://"))?;
        let (credentials, rest) = rest.rsplit_once('@').map_or((None, rest), |(credentials, rest)| (Some(credentials), rest));
        let (authority, db) = rest.split_once('/').unwrap_or((rest, ""));
        let db = match db.trim_end_matches('/') {
            "" => 0,
            number => number.parse().map_err(|_| not("the database is no number"))?,
        };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| not("the port is no number"))?),
            None => (authority, 6379),
        };
        if host.is_empty() {
            return Err(not("it names no host"));
        }
        let (username, password) = match credentials.map(|credentials| credentials.split_once(':').unwrap_or((credentials, ""))) {
            None => (None, None),
            Some((user, password)) => {
                (Some(user).filter(|user| !user.is_empty()).map(ToOwned::to_owned), Some(password).filter(|password| !password.is_empty()))
            }
        };
        Ok(Self { host: host.into(), port, db, username, password: password.map(|password| Secret(password.to_owned())) })
    }
}

impl Endpoint {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_with_all_its_parts() {
        let endpoint: Endpoint = "redis://app:p:w@redis.mcp:6380/2".parse().expect("an address");
        assert_eq!((endpoint.host.as_str(), endpoint.port, endpoint.db), ("redis.mcp", 6380, 2));
        assert_eq!((endpoint.username.as_deref(), endpoint.password.as_ref().map(Secret::expose)), (Some("app"), Some("p:w")));
        assert_eq!("redis://redis:6379".parse::<Endpoint>().expect("an address"), Endpoint::default());
    }

    #[rstest::rstest]
    #[case("http://redis:6379")]
    #[case("redis://:6379")]
    #[case("redis://u:hidden@redis:port")]
    #[case("redis://redis/one")]
    fn what_is_no_address_is_refused_without_repeating_it(#[case] text: &str) {
        let error = text.parse::<Endpoint>().expect_err("no address").to_string();
        assert!(!error.contains("hidden"), "{error}");
    }

    #[test]
    fn a_password_is_not_shown() {
        let endpoint: Endpoint = "redis://:hidden@redis".parse().expect("an address");
        assert!(!format!("{endpoint:?}{:?}", endpoint.address()).contains("hidden"));
    }
}
