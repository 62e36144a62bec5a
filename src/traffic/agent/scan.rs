//! Finds keys that fit a pattern and that nobody asked for by name.

use super::{
    connection::Connection,
    read_back::{Unread, unread},
    wire::Value,
};
use std::collections::BTreeSet;

/// Keys that fit one of the patterns and are not in `known`, in order.
pub(super) async fn unlisted(connection: &mut Connection, known: &[String], patterns: &[String]) -> Result<BTreeSet<String>, Unread> {
    let known: BTreeSet<&str> = known.iter().map(String::as_str).collect();
    let mut found = BTreeSet::new();
    for pattern in patterns {
        let mut cursor = "0".to_owned();
        loop {
            let command = ["SCAN", &cursor, "MATCH", pattern, "COUNT", "1000"];
            let reply = connection.command(&command).await?;
            let (Some(next), Some(keys)) = (part(&reply, 0).and_then(Value::text), part(&reply, 1).and_then(Value::array)) else {
                return Err(unread(&command, &reply));
            };
            found.extend(keys.iter().filter_map(Value::text).filter(|key| !known.contains(key.as_str())));
            if next == "0" {
                break;
            }
            cursor = next;
        }
    }
    Ok(found)
}

fn part(reply: &Value, at: usize) -> Option<&Value> {
    reply.array()?.get(at)
}
