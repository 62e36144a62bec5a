//! Reads what is at given keys, streams with their groups and pending entries included; it judges nothing.

use super::{
    connection::{Connection, Lost},
    output::{NobodyListens, Sink},
    resp, scan,
    wire::{Address, Answer, Content, EntryId, Found, Group, Limits, There, Value, Wanted, What},
};

/// Keys asked for at once.
const BATCH: usize = 256;
/// Entries asked for at once.
const PAGE: &str = "500";

/// Why there is no answer; the whole reading is then worth nothing.
pub(super) struct Unread(pub(super) String);

impl From<Lost> for Unread {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::NotSent(why) | Lost::Unknown(why) => Self(why),
        }
    }
}

/// Says what is at each key; a key that cannot be read makes the whole reading fail.
pub(super) async fn run(address: Address, databases: Vec<Wanted>, limits: Limits, sink: &Sink) -> Result<(), NobodyListens> {
    for wanted in databases {
        let address = Address { db: wanted.db, ..address.clone() };
        let connection = match Connection::open(&address, limits).await {
            Ok(connection) => connection,
            Err(Answer::Refused(reason) | Answer::Unknown(reason)) => return sink.say(What::Failed { reason }).await,
            Err(Answer::Value(_)) => return sink.say(What::Failed { reason: "a handshake that is none".into() }).await,
        };
        match database(connection, wanted, sink).await {
            Ok(said) => said?,
            Err(Unread(reason)) => return sink.say(What::Failed { reason: format!("reading back {address:?}: {reason}") }).await,
        }
    }
    Ok(())
}

async fn database(mut connection: Connection, wanted: Wanted, sink: &Sink) -> Result<Result<(), NobodyListens>, Unread> {
    let mut keys = wanted.keys;
    keys.extend(scan::unlisted(&mut connection, &keys, &wanted.matching).await?);
    for keys in keys.chunks(BATCH) {
        let commands: Vec<Vec<&str>> = keys.iter().map(|key| vec!["TYPE", key]).collect();
        let types = all(&mut connection, &commands).await?;
        let commands: Vec<Vec<&str>> = keys
            .iter()
            .zip(&types)
            .filter(|(_, of_type)| *of_type == &Value::Status("string".into()))
            .map(|(key, _)| vec!["GET", key])
            .collect();
        let mut values = all(&mut connection, &commands).await?.into_iter();
        for (key, of_type) in keys.iter().zip(types) {
            let there = match of_type.text().as_deref() {
                Some("none") => There::Nothing,
                Some("string") => string(values.next())?,
                Some("stream") => stream(&mut connection, key).await?,
                Some(other) => There::Other { of_type: other.to_owned() },
                None => return Err(unread(&["TYPE", key], &of_type)),
            };
            if let Err(nobody) = sink.say(What::Found(Found { db: wanted.db, key: key.clone(), there })).await {
                return Ok(Err(nobody));
            }
        }
    }
    Ok(Ok(()))
}

/// Sends all commands at once and reads all replies.
async fn all(connection: &mut Connection, commands: &[Vec<&str>]) -> Result<Vec<Value>, Unread> {
    let mut packed = Vec::new();
    for command in commands {
        resp::encode(command, &mut packed);
    }
    if commands.is_empty() { Ok(Vec::new()) } else { Ok(connection.exchange(&packed, commands.len()).await?) }
}

fn string(value: Option<Value>) -> Result<There, Unread> {
    match value {
        Some(Value::Bytes(bytes)) => Ok(There::String { content: Content::of(&bytes.0) }),
        // It was there a moment ago: it expired, or was evicted or deleted in between.
        Some(Value::Nil) => Ok(There::Nothing),
        other => Err(Unread(format!("GET was answered by {other:?}"))),
    }
}

async fn stream(connection: &mut Connection, key: &str) -> Result<There, Unread> {
    let mut entries: Vec<(EntryId, Content)> = Vec::new();
    let mut from = "-".to_owned();
    loop {
        let page = array(connection, &["XRANGE", key, &from, "+", "COUNT", PAGE]).await?;
        let Some(last) = page.last().and_then(entry_id) else { break };
        for entry in &page {
            let id = entry_id(entry).ok_or_else(|| unread(&["XRANGE", key], entry))?;
            entries.push((id, content(entry)));
        }
        from = format!("({last}");
    }
    let mut groups = Vec::new();
    for told in array(connection, &["XINFO", "GROUPS", key]).await? {
        let field = |name: &str| {
            let fields = told.array()?;
            fields.chunks(2).find(|pair| pair[0].text().as_deref() == Some(name))?.get(1)?.text()
        };
        let (Some(name), Some(last)) = (field("name"), field("last-delivered-id")) else {
            return Err(unread(&["XINFO", "GROUPS", key], &told));
        };
        let last_delivered = last.parse().map_err(|error| Unread(format!("{error}")))?;
        let pending = pending(connection, key, &name).await?;
        groups.push(Group { name, last_delivered, pending });
    }
    Ok(There::Stream { entries, groups })
}

async fn pending(connection: &mut Connection, key: &str, group: &str) -> Result<Vec<EntryId>, Unread> {
    let mut pending = Vec::new();
    let mut from = "-".to_owned();
    loop {
        let page = array(connection, &["XPENDING", key, group, &from, "+", PAGE]).await?;
        let Some(last) = page.last().and_then(entry_id) else { return Ok(pending) };
        for entry in &page {
            pending.push(entry_id(entry).ok_or_else(|| unread(&["XPENDING", key], entry))?);
        }
        from = format!("({last}");
    }
}

pub(super) async fn array(connection: &mut Connection, command: &[&str]) -> Result<Vec<Value>, Unread> {
    match connection.command(command).await? {
        Value::Array(values) => Ok(values),
        other => Err(unread(command, &other)),
    }
}

pub(super) fn unread(command: &[&str], reply: &Value) -> Unread {
    Unread(format!("{} was answered by {reply:?}", command.join(" ")))
}

/// The first element of an entry is its id.
fn entry_id(entry: &Value) -> Option<EntryId> {
    entry.array()?.first()?.text()?.parse().ok()
}

/// Our writers use one field named `value`; anything else is kept whole, so that it equals nothing of ours.
fn content(entry: &Value) -> Content {
    let fields = entry.array().and_then(|entry| entry.get(1)).and_then(Value::array).unwrap_or_default();
    match fields {
        [name, Value::Bytes(value)] if name.text().as_deref() == Some("value") => Content::of(&value.0),
        other => Content::of(format!("{other:?}").as_bytes()),
    }
}
