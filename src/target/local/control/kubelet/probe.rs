//! One look of a probe at a container, with Kubernetes' own meaning of success.

use super::super::{
    super::runtime::{ExecError, Network, Running},
    json::{list, number, text},
};
use serde_json::Value;
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{error::Elapsed, timeout},
};

/// What a probe found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It is well.
    Success,
    /// It is not; what was seen.
    Failure(String),
    /// The look itself did not work; it counts neither way.
    Unknown(String),
}

/// The numbers of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rhythm {
    pub(super) delay: Duration,
    pub(super) period: Duration,
    pub(super) timeout: Duration,
    pub(super) successes: u32,
    pub(super) failures: u32,
}

impl Rhythm {
    /// From the probe's fields.
    pub(super) fn of(probe: &Value) -> Self {
        let field = |name: &str, default: u32| {
            number(probe, &format!("/{name}")).and_then(|value| u32::try_from(value).ok()).filter(|value| *value > 0).unwrap_or(default)
        };
        let seconds = |name: &str, default: u32| Duration::from_secs(field(name, default).into());
        Self {
            delay: seconds("initialDelaySeconds", 0),
            period: seconds("periodSeconds", 10),
            timeout: seconds("timeoutSeconds", 1),
            successes: field("successThreshold", 1),
            failures: field("failureThreshold", 3),
        }
    }
}

/// Results in a row.
#[derive(Debug, Default)]
pub(super) struct Row {
    last: Option<bool>,
    length: u32,
}

impl Row {
    /// Takes a result; the verdict when its threshold is reached.
    pub(super) fn add(&mut self, success: bool, rhythm: Rhythm) -> Option<bool> {
        self.length = if self.last == Some(success) { self.length + 1 } else { 1 };
        self.last = Some(success);
        let needed = if success { rhythm.successes } else { rhythm.failures };
        (self.length >= needed).then_some(success)
    }
}

/// Looks once.
pub(super) async fn look(
    probe: &Value,
    container: &Value,
    network: &Network,
    address: std::net::Ipv4Addr,
    running: &Running,
    limit: Duration,
) -> Found {
    if !probe["exec"].is_null() {
        return exec(probe, running, limit).await;
    }
    let (kind, is_http) = if probe["httpGet"].is_null() { ("tcpSocket", false) } else { ("httpGet", true) };
    let handler = &probe[kind];
    let Some(port) = port(container, &handler["port"]) else { return Found::Unknown(format!("couldn't find port: {}", handler["port"])) };
    let host = Some(text(handler, "/host")).filter(|host| !host.is_empty());
    let to = match host.map(str::parse) {
        None => SocketAddr::from((address, port)),
        Some(Ok(ip)) => SocketAddr::new(ip, port),
        Some(Err(_)) => return Found::Failure(format!("dial tcp: lookup {}: no such host", host.unwrap_or_default())),
    };
    if is_http { http(handler, network, to, limit).await } else { tcp(network, to, limit).await }
}

fn port(container: &Value, port: &Value) -> Option<u16> {
    match port {
        Value::Number(number) => u16::try_from(number.as_u64()?).ok(),
        Value::String(name) => {
            let named = list(container, "/ports").iter().find(|port| text(port, "/name") == name);
            named.and_then(|port| number(port, "/containerPort")).and_then(|port| u16::try_from(port).ok()).or_else(|| name.parse().ok())
        }
        _ => None,
    }
}

async fn exec(probe: &Value, running: &Running, limit: Duration) -> Found {
    let command: Vec<String> = list(probe, "/exec/command").iter().map(|word| word.as_str().unwrap_or_default().to_owned()).collect();
    match running.exec(&command, &[], &[], Some(limit)).await {
        Ok(output) if output.code == 0 => Found::Success,
        Ok(output) => {
            let told = [output.stdout, output.stderr].concat();
            Found::Failure(String::from_utf8_lossy(&told[..told.len().min(10 << 10)]).into_owned())
        }
        Err(ExecError::TimedOut { .. }) => {
            Found::Failure(format!("command timed out: {:?} timed out after {}s", command.join(" "), limit.as_secs()))
        }
        // The engine could not start it: Kubernetes takes that for no answer at all.
        Err(error) => {
            Found::Unknown(format!("failed to exec in container: failed to start exec: OCI runtime exec failed: exec failed: {error}"))
        }
    }
}

async fn tcp(network: &Network, to: SocketAddr, limit: Duration) -> Found {
    match timeout(limit, network.dial(to)).await {
        Ok(Ok(_)) => Found::Success,
        Ok(Err(error)) => Found::Failure(format!("dial tcp {to}: connect: {error}")),
        Err(_) => Found::Failure(format!("dial tcp {to}: i/o timeout")),
    }
}

async fn http(handler: &Value, network: &Network, to: SocketAddr, limit: Duration) -> Found {
    let path = match text(handler, "/path") {
        "" => "/".to_owned(),
        path if path.starts_with('/') => path.to_owned(),
        path => format!("/{path}"),
    };
    let mut headers: Vec<(String, String)> =
        list(handler, "/httpHeaders").iter().map(|header| (text(header, "/name").to_owned(), text(header, "/value").to_owned())).collect();
    for (name, value) in [("Host", to.to_string()), ("User-Agent", "kube-probe/1.34".to_owned()), ("Accept", "*/*".to_owned())] {
        if !headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) {
            headers.push((name.to_owned(), value));
        }
    }
    let mut path = path;
    let ask = async {
        // As many redirections as the kubelet follows.
        for _ in 0..10 {
            let (code, location, body) = get(network.dial(to).await?, &path, &headers).await?;
            match location {
                Some(location) if (300..400).contains(&code) => match location.strip_prefix('/') {
                    Some(below) => path = format!("/{below}"),
                    None => return std::io::Result::Ok((code, body)),
                },
                _ => return Ok((code, body)),
            }
        }
        std::io::Result::Ok((310, "stopped after 10 redirects".to_owned()))
    };
    let url = format!("http://{to}{}", text(handler, "/path"));
    match timeout(limit, ask).await {
        Ok(Ok((code, _))) if (200..400).contains(&code) => Found::Success,
        Ok(Ok((code, _))) => Found::Failure(format!("HTTP probe failed with statuscode: {code}")),
        Ok(Err(error)) => Found::Failure(format!("Get {url:?}: {error}")),
        Err(Elapsed { .. }) => {
            Found::Failure(format!("Get {url:?}: context deadline exceeded (Client.Timeout exceeded while awaiting headers)"))
        }
    }
}

async fn get(mut stream: TcpStream, path: &str, headers: &[(String, String)]) -> std::io::Result<(u16, Option<String>, String)> {
    let mut request = format!("GET {path} HTTP/1.1\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    // The head is enough; the body of a health check says nothing that counts.
    while !answer.windows(4).any(|end| end == b"\r\n\r\n") && answer.len() < 64 << 10 {
        if stream.read_buf(&mut answer).await? == 0 {
            break;
        }
    }
    let text = String::from_utf8_lossy(&answer).into_owned();
    let malformed = || std::io::Error::other(format!("malformed HTTP response {:?}", text.lines().next().unwrap_or_default()));
    let line = text.lines().next().filter(|line| line.starts_with("HTTP/")).ok_or_else(malformed)?;
    let code = line.split_whitespace().nth(1).and_then(|code| code.parse().ok()).ok_or_else(malformed)?;
    let location = text.lines().find_map(|line| {
        line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("location")).map(|(_, value)| value.trim().to_owned())
    });
    Ok((code, location, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    #[test]
    fn a_verdict_needs_its_threshold_in_a_row() {
        let rhythm = Rhythm::of(&json!({ "failureThreshold": 2, "successThreshold": 1 }));
        let mut row = Row::default();
        let verdicts: Vec<_> = [false, true, false, false, false].into_iter().map(|success| row.add(success, rhythm)).collect();
        assert_eq!(verdicts, [None, Some(true), None, Some(false), Some(false)]);
    }

    #[rstest]
    #[case(json!(6379), Some(6379))]
    #[case(json!("redis"), Some(6380))]
    #[case(json!("none"), None)]
    fn a_port_may_be_named(#[case] given: Value, #[case] expected: Option<u16>) {
        assert_eq!(port(&json!({ "ports": [{ "name": "redis", "containerPort": 6380 }] }), &given), expected);
    }

    #[test]
    fn a_probe_has_the_defaults_of_kubernetes() {
        let rhythm = Rhythm::of(&json!({}));
        assert_eq!((rhythm.delay.as_secs(), rhythm.period.as_secs(), rhythm.timeout.as_secs(), rhythm.failures), (0, 10, 1, 3));
    }
}
