//! Holds connections whose replies nobody reads, so that Redis must keep them in its output buffers.

use super::{
    connection::{Connection, Lost},
    output::{NobodyListens, Sink},
    resp,
    wire::{Address, Answer, Limits, What},
};
use tokio::sync::watch;

/// Bytes of one reply: it is made up by a script, so that no data need be there.
const REPLY: u64 = 1 << 20;
/// Replies a connection: below Redis' own limits for ordinary clients, which are none, and few enough to be sent at once.
const PER_CONNECTION: u64 = 16;

/// Asks for so many bytes, reads none of them, and waits to be stopped.
pub(super) async fn run(address: &Address, bytes: u64, limits: Limits, sink: &Sink, mut stopped: watch::Receiver<bool>) -> Result<(), NobodyListens> {
    match ask(address, bytes, limits).await {
        // The connections live as long as this does.
        Ok(_held) => {
            sink.say(What::Holding { bytes }).await?;
            // An error means that the agent ends, which releases them as well.
            let _ended = stopped.wait_for(|stopped| *stopped).await;
            Ok(())
        }
        Err(reason) => sink.say(What::Failed { reason }).await,
    }
}

async fn ask(address: &Address, bytes: u64, limits: Limits) -> Result<Vec<Connection>, String> {
    let mut held = Vec::new();
    let mut replies = bytes.div_ceil(REPLY);
    let script = format!("return string.rep('x', {REPLY})");
    while replies > 0 {
        let now = replies.min(PER_CONNECTION);
        let mut connection = match Connection::open(address, limits).await {
            Ok(connection) => connection,
            Err(Answer::Refused(why) | Answer::Unknown(why)) => return Err(why),
            Err(Answer::Value(_)) => return Err("a handshake that is none".into()),
        };
        let mut packed = Vec::new();
        for _ in 0..now {
            resp::encode(&["EVAL", &script, "0"], &mut packed);
        }
        connection.send(&packed).await.map_err(|(Lost::NotSent(why) | Lost::Unknown(why))| why)?;
        held.push(connection);
        replies -= now;
    }
    // Commands of other connections are carried out after these: an answer here means that the replies are there.
    let mut probe = Connection::open(address, limits).await.map_err(|_| "Redis takes no connection any more".to_owned())?;
    probe.command(&["PING"]).await.map_err(|(Lost::NotSent(why) | Lost::Unknown(why))| why)?;
    Ok(held)
}
