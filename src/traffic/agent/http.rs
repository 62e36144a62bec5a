//! A small HTTP/1.1 client for what steps ask of servers in the cluster: one request a connection, no TLS, no redirects.

use super::wire::{Bytes, HttpCall, What};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// A longer answer is refused rather than kept in memory.
const LONGEST: usize = 16 * 1024 * 1024;

/// Makes the call; what went wrong is told as `failed`.
pub(super) async fn call(call: HttpCall) -> What {
    match exchange(&call).await {
        Ok(what) => what,
        Err(reason) => What::Failed { reason: format!("{} {}: {reason}", call.method, call.url) },
    }
}

async fn exchange(call: &HttpCall) -> Result<What, String> {
    let rest = call.url.strip_prefix("http://").ok_or("only http:// is spoken here")?;
    let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    let target = if authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
        authority.to_owned()
    } else {
        format!("{authority}:80")
    };
    let mut stream = within(call.limits.connect(), "connected", TcpStream::connect(&target)).await?;
    let mut request =
        format!("{} {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\nContent-Length: {}\r\n", call.method, call.body.0.len());
    for (name, value) in &call.headers {
        if name.contains(['\r', '\n', ':']) || value.contains(['\r', '\n']) {
            return Err(format!("the header {name:?} is malformed"));
        }
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    let mut request = request.into_bytes();
    request.extend_from_slice(&call.body.0);
    let mut answer = Vec::new();
    let limit = call.limits.answer();
    within(limit, "answered", async {
        stream.write_all(&request).await?;
        let mut stream = stream.take(LONGEST as u64 + 1);
        while !is_whole(&answer) && stream.read_buf(&mut answer).await? > 0 {}
        Ok(())
    })
    .await?;
    if answer.len() > LONGEST {
        return Err(format!("the answer is longer than {LONGEST} bytes"));
    }
    parse(&answer)
}

async fn within<T>(limit: Duration, what: &str, work: impl Future<Output = std::io::Result<T>>) -> Result<T, String> {
    match timeout(limit, work).await {
        Ok(done) => done.map_err(|error| format!("not {what}: {error}")),
        Err(_) => Err(format!("not {what} within {limit:?}")),
    }
}

/// A peer may keep the connection open although asked to close it.
fn is_whole(answer: &[u8]) -> bool {
    parse(answer).is_ok() && head(answer).is_some_and(|(head, _)| framing(head) != Framing::UntilClosed)
}

#[derive(PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunked,
    UntilClosed,
}

fn head(answer: &[u8]) -> Option<(&str, &[u8])> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    Some((str::from_utf8(&answer[..end]).ok()?, &answer[end + 4..]))
}

fn headers(head: &str) -> impl Iterator<Item = (&str, &str)> {
    head.split("\r\n").skip(1).filter_map(|line| line.split_once(':')).map(|(name, value)| (name.trim(), value.trim()))
}

fn framing(head: &str) -> Framing {
    let find = |wanted: &str| headers(head).find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value);
    if find("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        return Framing::Chunked;
    }
    find("content-length").and_then(|value| value.parse().ok()).map_or(Framing::UntilClosed, Framing::Length)
}

fn parse(answer: &[u8]) -> Result<What, String> {
    let start = || String::from_utf8_lossy(&answer[..answer.len().min(60)]).into_owned();
    let (head, rest) = head(answer).ok_or_else(|| format!("the answer is not HTTP, or was cut: {:?}", start()))?;
    let status = head.strip_prefix("HTTP/1.").and_then(|line| line.get(2..5)).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| format!("the answer has no HTTP status: {:?}", start()))?;
    let body = match framing(head) {
        Framing::Length(length) => rest.get(..length).ok_or("the answer was cut")?.to_vec(),
        Framing::Chunked => chunks(rest).ok_or("the answer was cut within its chunks")?,
        Framing::UntilClosed => rest.to_vec(),
    };
    let headers = headers(head).map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
    Ok(What::Http { status, headers, body: Bytes(body) })
}

fn chunks(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n")?;
        let size = str::from_utf8(&rest[..end]).ok()?.split(';').next()?.trim();
        let size = usize::from_str_radix(size, 16).ok()?;
        rest = &rest[end + 2..];
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size + 2..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::length("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, "hi")]
    #[case::until_closed("HTTP/1.0 404 Not Found\r\n\r\nno", 404, "no")]
    #[case::chunked("HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n1;x\r\n!\r\n0\r\n\r\n", 202, "hi!")]
    fn an_answer_is_read_whole(#[case] answer: &str, #[case] status: u16, #[case] body: &str) {
        match parse(answer.as_bytes()) {
            Ok(What::Http { status: got, body: Bytes(bytes), .. }) => assert_eq!((got, bytes), (status, body.as_bytes().to_vec())),
            other => panic!("{other:?}"),
        }
    }

    #[rstest]
    #[case("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi")]
    #[case("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n")]
    #[case("+PONG\r\n")]
    #[case("")]
    fn a_cut_or_foreign_answer_is_an_error(#[case] answer: &str) {
        assert!(parse(answer.as_bytes()).is_err());
    }
}
