//! Who uses Redis: containers whose environment, files or words name one of its Services.

use super::{ServicePort, environment::Variable, mounted::File};
use crate::manifest::{Container, ObjectKey, Place};

/// One way in which a container names a Service of Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The Service.
    pub service: ObjectKey,
    /// As it is written, without scheme, port and password.
    pub host: String,
    /// The port, where it is written with the host or beside it (`REDIS_PORT`).
    pub port: Option<u16>,
    /// The database's number, where it is written in the URL or beside it (`REDIS_DB`).
    pub database: Option<u32>,
    /// The variable that holds it; empty where a file or the command line does.
    pub variable: String,
    /// Where it is written.
    pub place: Place,
}

/// All ways in which a container names one of these Services.
pub(super) fn addresses(container: &Container<'_>, environment: &[Variable], files: &[File], services: &[ServicePort]) -> Vec<Address> {
    let from = container.workload.object.namespace();
    let mut found: Vec<Address> = Vec::new();
    let mut put = |address: Address| {
        if !found.iter().any(|other| {
            (&other.service, &other.host, &other.variable, other.port) == (&address.service, &address.host, &address.variable, address.port)
        }) {
            found.push(address);
        }
    };
    for variable in environment {
        let Some(value) = &variable.value else { continue };
        for named in named(value, is_host_variable(&variable.name)) {
            let Some(service) = services.iter().find(|service| leads_to(&named.host, service, from)) else { continue };
            let sibling = |words: &[&str]| {
                let prefix = prefix(&variable.name);
                let same = |name: &str| words.iter().any(|word| name == format!("{prefix}{word}"));
                environment.iter().find(|other| same(&other.name)).and_then(|other| other.value.clone())
            };
            let port = named.port.or_else(|| sibling(&["PORT"]).and_then(|port| port.trim().parse().ok()));
            let database = named
                .database
                .or_else(|| sibling(&["DB", "DATABASE", "DB_INDEX", "DB_NUMBER"]).and_then(|number| number.trim().parse().ok()));
            put(Address {
                service: service.key.clone(),
                host: named.host,
                port,
                database,
                variable: variable.name.clone(),
                place: variable.place.clone(),
            });
        }
    }
    let owner = container.workload.object;
    let words = ["command", "args"].into_iter().flat_map(|field| container.items(field));
    let words = words.filter_map(|(at, word)| Some((word.as_str()?.to_owned(), owner.place_of(&at))));
    let texts = files.iter().flat_map(|file| {
        let line = |number: u64| Place { line: file.place.line + number, ..file.place.clone() };
        file.content.lines().zip(1..).map(move |(text, number)| (text.to_owned(), line(number))).collect::<Vec<_>>()
    });
    for (text, place) in words.chain(texts) {
        for named in named(&text, false) {
            if let Some(service) = services.iter().find(|service| leads_to(&named.host, service, from)) {
                put(Address {
                    service: service.key.clone(),
                    host: named.host,
                    port: named.port,
                    database: named.database,
                    variable: String::new(),
                    place: place.clone(),
                });
            }
        }
    }
    found
}

/// `REDIS_HOST` holds a bare name, `CACHE_DRIVER` does not.
fn is_host_variable(name: &str) -> bool {
    let name = name.to_uppercase();
    ["HOST", "ADDR", "URL", "URI", "SERVER", "ENDPOINT", "NODE", "DSN", "CONNECTION", "SENTINEL", "SERVICE", "MASTER"]
        .iter()
        .any(|word| name.contains(word))
        || name == "REDIS"
}

/// `REDIS_` for `REDIS_HOST`.
fn prefix(name: &str) -> &str {
    name.rfind('_').map_or("", |at| &name[..=at])
}

struct Named {
    host: String,
    port: Option<u16>,
    database: Option<u32>,
}

/// Every host that a text names: with a scheme, with a port, with dots, or, where `bare` words are hosts, alone.
fn named(text: &str, bare: bool) -> Vec<Named> {
    let mut found = Vec::new();
    for word in text.split(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '"' | '\'' | '=' | '(' | ')' | '[' | ']' | '{' | '}')) {
        let has_scheme = word.contains("://");
        let rest = word.split_once("://").map_or(word, |(_, rest)| rest);
        let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
        let (authority, path) = rest.split_once(['/', '?']).unwrap_or((rest, ""));
        let (host, port) = authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
        let is_name = !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
        let port_number = port.and_then(|port| port.parse().ok());
        // `name: redis` in YAML ends with a colon but has no port.
        if is_name && (has_scheme || port_number.is_some() || (host.contains('.') && port.is_none()) || (bare && port.is_none())) {
            found.push(Named { host: host.to_owned(), port: port_number, database: path.parse().ok() });
        }
    }
    found
}

/// Whether a name leads to a Service, from a namespace: `redis`, `redis.ns`, `redis.ns.svc.cluster.local`, `redis-0.redis.ns.svc`.
fn leads_to(host: &str, service: &ServicePort, from: &str) -> bool {
    let host = host.trim_end_matches('.');
    let host = host.strip_suffix(".cluster.local").unwrap_or(host);
    let host = host.strip_suffix(".svc").unwrap_or(host);
    let (name, namespace) = (service.key.name.as_str(), service.key.namespace.as_str());
    let parts: Vec<&str> = host.split('.').collect();
    match parts.as_slice() {
        [one] => *one == name && from == namespace,
        [first, second] => (*first == name && *second == namespace) || (service.headless && *second == name && from == namespace),
        [_, second, third] => service.headless && *second == name && *third == namespace,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("redis", "a", true)]
    #[case("redis", "b", false)]
    #[case("redis.a", "b", true)]
    #[case("redis.a.svc", "b", true)]
    #[case("redis.a.svc.cluster.local.", "b", true)]
    #[case("redis-0.redis", "a", true)]
    #[case("redis-0.redis.a.svc.cluster.local", "b", true)]
    #[case("redis.b", "a", false)]
    #[case("xredis", "a", false)]
    fn a_name_leads_to_a_service_from_a_namespace(#[case] host: &str, #[case] from: &str, #[case] leads: bool) {
        let key = ObjectKey { kind: "Service".to_owned(), namespace: "a".to_owned(), name: "redis".to_owned() };
        let service = ServicePort { key, port: 6379, headless: true, kind: "ClusterIP".to_owned(), pointer: String::new() };
        assert_eq!(leads_to(host, &service, from), leads);
    }

    #[rstest]
    #[case("redis://:pw@redis:6379/2", false, vec![("redis", Some(6379), Some(2))])]
    #[case("redis-0.h:6379,redis-1.h:6379,abortConnect=false", false, vec![("redis-0.h", Some(6379), None), ("redis-1.h", Some(6379), None)])]
    #[case("redis", true, vec![("redis", None, None)])]
    #[case("redis", false, vec![])]
    #[case("tcp://redis:$PORT", false, vec![("redis", None, None)])]
    #[case("redis-cli -h redis.a.svc ping", false, vec![("redis.a.svc", None, None)])]
    #[case("name: redis", false, vec![])]
    fn hosts_are_found_in_texts(#[case] text: &str, #[case] bare: bool, #[case] hosts: Vec<(&str, Option<u16>, Option<u32>)>) {
        let found = named(text, bare);
        let seen: Vec<_> = found.iter().map(|named| (named.host.as_str(), named.port, named.database)).collect();
        assert_eq!(seen, hosts);
    }
}
