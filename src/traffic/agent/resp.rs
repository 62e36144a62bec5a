//! Reads and writes RESP 2 strictly: what is not exactly a reply is garbage, since it may come from somebody who is not Redis.
//!
//! The parser of the `redis` crate is too kind for this: it trims numbers, takes any negative length for nil, and allocates what a peer announces.

use super::wire::{Bytes, Value};

/// A reply nests no deeper than this: XPENDING and XRANGE need four.
const DEEPEST: usize = 8;
/// Redis' own limit of a string.
const LONGEST_STRING: usize = 512 * 1024 * 1024;
/// Longer arrays are never asked for.
const LONGEST_ARRAY: usize = 1024 * 1024;
/// Status and error lines are short.
const LONGEST_LINE: usize = 64 * 1024;

/// The bytes are not RESP; the text says what they are.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Garbage(pub(super) String);

/// A reply and how many bytes it took; `None` where it has not come whole.
pub(super) type Parsed = Result<Option<(Value, usize)>, Garbage>;

/// Encodes a command.
pub(super) fn encode<A: AsRef<[u8]>>(args: &[A], into: &mut Vec<u8>) {
    into.extend_from_slice(format!("*{}\r\n", args.len()).as_bytes());
    for arg in args {
        let arg = arg.as_ref();
        into.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        into.extend_from_slice(arg);
        into.extend_from_slice(b"\r\n");
    }
}

/// Parses the first reply in `bytes`.
pub(super) fn parse(bytes: &[u8]) -> Parsed {
    value(bytes, 0)
}

fn value(bytes: &[u8], depth: usize) -> Parsed {
    let Some(&kind) = bytes.first() else { return Ok(None) };
    if !b"+-:$*".contains(&kind) {
        return Err(garbage(bytes));
    }
    let Some((line, after)) = line(bytes)? else { return Ok(None) };
    match kind {
        b'+' => Ok(Some((Value::Status(text(line, bytes)?), after))),
        b'-' => Ok(Some((Value::Error(text(line, bytes)?), after))),
        b':' => Ok(Some((Value::Int(number(line, bytes)?), after))),
        b'$' => string(bytes, line, after),
        _ => array(bytes, line, after, depth),
    }
}

fn string(bytes: &[u8], line: &[u8], after: usize) -> Parsed {
    let Some(length) = length(line, LONGEST_STRING, bytes)? else { return Ok(Some((Value::Nil, after))) };
    let end = after + length;
    let Some(tail) = bytes.get(end..end + 2) else { return Ok(None) };
    if tail != b"\r\n" {
        return Err(garbage(bytes));
    }
    Ok(Some((Value::Bytes(Bytes(bytes[after..end].to_vec())), end + 2)))
}

fn array(bytes: &[u8], line: &[u8], after: usize, depth: usize) -> Parsed {
    let Some(length) = length(line, LONGEST_ARRAY, bytes)? else { return Ok(Some((Value::Nil, after))) };
    if depth == DEEPEST {
        return Err(garbage(bytes));
    }
    let mut values = Vec::new();
    let mut at = after;
    for _ in 0..length {
        match value(&bytes[at..], depth + 1)? {
            Some((value, taken)) => {
                values.push(value);
                at += taken;
            }
            None => return Ok(None),
        }
    }
    Ok(Some((Value::Array(values), at)))
}

/// The first line without its type and its end, and where the next begins.
fn line(bytes: &[u8]) -> Result<Option<(&[u8], usize)>, Garbage> {
    let window = &bytes[..bytes.len().min(LONGEST_LINE)];
    let Some(end) = window.iter().position(|&byte| byte == b'\n') else {
        return if bytes.len() >= LONGEST_LINE { Err(garbage(bytes)) } else { Ok(None) };
    };
    if end < 2 || bytes[end - 1] != b'\r' || bytes[1..end - 1].contains(&b'\r') {
        return Err(garbage(bytes));
    }
    Ok(Some((&bytes[1..end - 1], end + 1)))
}

fn text(line: &[u8], bytes: &[u8]) -> Result<String, Garbage> {
    String::from_utf8(line.to_vec()).map_err(|_| garbage(bytes))
}

fn number(line: &[u8], bytes: &[u8]) -> Result<i64, Garbage> {
    // `parse` would take "+1" too, which Redis never says.
    match str::from_utf8(line) {
        Ok(text) if !text.starts_with('+') => text.parse().map_err(|_| garbage(bytes)),
        _ => Err(garbage(bytes)),
    }
}

/// `None` is nil; anything negative but -1 is garbage.
fn length(line: &[u8], most: usize, bytes: &[u8]) -> Result<Option<usize>, Garbage> {
    match number(line, bytes)? {
        -1 => Ok(None),
        length => match usize::try_from(length) {
            Ok(length) if length <= most => Ok(Some(length)),
            _ => Err(garbage(bytes)),
        },
    }
}

fn garbage(bytes: &[u8]) -> Garbage {
    let start = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
    Garbage(format!("what came back is not Redis' protocol: {start:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn bytes(text: &str) -> Value {
        Value::Bytes(Bytes::from(text))
    }

    #[rstest]
    #[case::status("+OK\r\n", Value::Status("OK".into()))]
    #[case::error("-LOADING Redis is loading\r\n", Value::Error("LOADING Redis is loading".into()))]
    #[case::number(":-3\r\n", Value::Int(-3))]
    #[case::string("$4\r\na\r\nb\r\n", bytes("a\r\nb"))]
    #[case::empty_string("$0\r\n\r\n", bytes(""))]
    #[case::nil("$-1\r\n", Value::Nil)]
    #[case::nil_array("*-1\r\n", Value::Nil)]
    #[case::array("*3\r\n:1\r\n$1\r\nx\r\n*1\r\n$-1\r\n", Value::Array(vec![Value::Int(1), bytes("x"), Value::Array(vec![Value::Nil])]))]
    fn a_whole_reply_is_read_and_every_part_of_it_waits_for_more(#[case] wire: &str, #[case] expected: Value) {
        let wire = wire.as_bytes();
        assert_eq!(parse(wire), Ok(Some((expected, wire.len()))));
        for end in 0..wire.len() {
            assert_eq!(parse(&wire[..end]), Ok(None), "the first {end} bytes");
        }
    }

    #[rstest]
    #[case::http("HTTP/1.1 400 Bad Request\r\n\r\n")]
    #[case::one_letter("H")]
    #[case::tls_alert("\u{15}\u{3}\u{1}")]
    #[case::bare_newline("+OK\n")]
    #[case::carriage_return_within("+O\rK\r\n")]
    #[case::plus_sign(":+1\r\n")]
    #[case::space("$ 1\r\na\r\n")]
    #[case::negative_length("$-2\r\n")]
    #[case::wrong_end("$1\r\nabc")]
    #[case::huge_string("$99999999999\r\n")]
    #[case::huge_array("*99999999\r\n")]
    #[case::too_deep("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n")]
    #[case::resp3("_\r\n")]
    fn anything_else_is_garbage(#[case] wire: &str) {
        assert!(parse(wire.as_bytes()).is_err());
    }

    #[test]
    fn a_line_without_end_is_garbage_and_does_not_fill_memory() {
        let mut wire = vec![b'a'; LONGEST_LINE];
        wire[0] = b'+';
        assert!(parse(&wire).is_err());
    }

    #[test]
    fn what_is_encoded_is_what_the_redis_crate_encodes() {
        let mut ours = Vec::new();
        encode(&["SET", "k", "", "ü\r\n"], &mut ours);
        assert_eq!(ours, redis::cmd("SET").arg("k").arg("").arg("ü\r\n").get_packed_command());
    }
}
