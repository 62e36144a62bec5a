//! A client that asks and does not read, so that its replies stay in the server's memory until it is told to stop.

use super::{
    connection::{Connection, Lost},
    output::{NobodyListens, Sink},
    resp,
    wire::{Address, Answer, Limits, Value, What},
};
use tokio::sync::watch;

/// One reply; small against what is asked for.
const REPLY: usize = 1 << 20;
/// The kernels on both sides take some megabytes before the server has to keep anything.
const MOST_BEYOND: u64 = 64 << 20;

/// Holds until stopped.
pub(super) async fn run(
    address: &Address,
    bytes: u64,
    limits: Limits,
    sink: &Sink,
    mut stopped: watch::Receiver<bool>,
) -> Result<(), NobodyListens> {
    let opened = async { Ok((Connection::open(address, limits).await?, Connection::open(address, limits).await?)) };
    let (mut deaf, mut watcher) = match opened.await {
        Ok(pair) => pair,
        Err(Answer::Refused(reason) | Answer::Unknown(reason)) => return sink.say(What::Failed { reason }).await,
        Err(Answer::Value(_)) => return sink.say(What::Failed { reason: "a handshake that is none".into() }).await,
    };
    let mut held = 0;
    let broke = match ask(&mut deaf, &mut watcher, bytes, &mut held).await {
        Ok(()) => None,
        Err(Refused::ByRedis(reason)) => return sink.say(What::Failed { reason }).await,
        Err(Refused::Broken(reason)) => Some(reason),
    };
    sink.say(What::Held { bytes: held, broke }).await?;
    // The other end is dropped only when the agent ends, which ends this too.
    while !*stopped.borrow_and_update() {
        if stopped.changed().await.is_err() {
            break;
        }
    }
    Ok(())
}

enum Refused {
    ByRedis(String),
    Broken(String),
}

impl From<Lost> for Refused {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::NotSent(why) | Lost::Unknown(why) => Self::Broken(why),
        }
    }
}

async fn ask(deaf: &mut Connection, watcher: &mut Connection, bytes: u64, held: &mut u64) -> Result<(), Refused> {
    let id = match deaf.command(&["CLIENT", "ID"]).await? {
        Value::Int(id) => id.to_string(),
        other => return Err(Refused::ByRedis(format!("CLIENT ID was answered by {other:?}"))),
    };
    // What is asked for comes back: no key that could be evicted, and no script, whose garbage would be memory of the server as well.
    let mut command = Vec::new();
    resp::encode(&["ECHO", &"x".repeat(REPLY)], &mut command);
    let mut asked = 0;
    while *held < bytes && asked < bytes + MOST_BEYOND {
        deaf.send(&command).await?;
        asked += REPLY as u64;
        *held = kept(watcher, &id).await?;
    }
    Ok(())
}

/// `omem` of the client.
async fn kept(watcher: &mut Connection, id: &str) -> Result<u64, Refused> {
    let list = match watcher.command(&["CLIENT", "LIST", "ID", id]).await? {
        Value::Bytes(list) => list.text(),
        other => return Err(Refused::ByRedis(format!("CLIENT LIST was answered by {other:?}"))),
    };
    let omem = list.split_whitespace().find_map(|field| field.strip_prefix("omem=")).and_then(|omem| omem.parse().ok());
    omem.ok_or_else(|| Refused::Broken("Redis has closed the connection".into()))
}
