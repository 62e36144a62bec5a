//! One connection to a Redis, with exact knowledge of what was sent on it and what came back.

use super::{
    resp,
    wire::{Address, Answer, Limits, Value},
};
use std::{io, net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};

/// Why an exchange gave no reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// Not one byte of the command left: it cannot have been carried out.
    NotSent(String),
    /// Something was sent: it may have been carried out. The connection must not be used again.
    Unknown(String),
}

/// An open connection that has shaken hands.
pub(super) struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
    answer: Duration,
    /// The address that the name stood for.
    pub(super) peer: SocketAddr,
    /// The server's own id, new with each start; `None` where the user may not ask.
    pub(super) run_id: Option<String>,
}

impl Connection {
    /// Looks the name up by the pod's resolver, connects, and shakes hands: AUTH, SELECT, INFO server.
    pub(super) async fn open(address: &Address, limits: Limits) -> Result<Self, Answer> {
        let target = (address.host.as_str(), address.port);
        let refused = |why: &dyn std::fmt::Display| Answer::Refused(format!("cannot connect to {address:?}: {why}"));
        let stream = match timeout(limits.connect(), TcpStream::connect(target)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(refused(&error)),
            Err(_) => return Err(refused(&format_args!("no connection within {:?}", limits.connect()))),
        };
        let prepared = stream.set_nodelay(true).and_then(|()| stream.peer_addr());
        let peer = prepared.map_err(|error| refused(&error))?;
        let mut connection = Self { stream, received: Vec::with_capacity(4096), answer: limits.answer(), peer, run_id: None };
        connection.shake_hands(address).await?;
        Ok(connection)
    }

    async fn shake_hands(&mut self, address: &Address) -> Result<(), Answer> {
        let mut commands: Vec<Vec<&str>> = Vec::new();
        let db = address.db.to_string();
        match (&address.username, &address.password) {
            (Some(user), Some(password)) => commands.push(vec!["AUTH", user, password]),
            (None, Some(password)) => commands.push(vec!["AUTH", password]),
            (_, None) => {}
        }
        // A user without the right to SELECT may still use database 0.
        if address.db != 0 {
            commands.push(vec!["SELECT", &db]);
        }
        commands.push(vec!["INFO", "server"]);
        let mut packed = Vec::new();
        for command in &commands {
            resp::encode(command, &mut packed);
        }
        let replies = self.exchange(&packed, commands.len()).await.map_err(|lost| match lost {
            Lost::NotSent(why) => Answer::Refused(format!("{why} (handshake)")),
            Lost::Unknown(why) => Answer::Unknown(format!("{why} (handshake)")),
        })?;
        for (command, reply) in commands.iter().zip(replies) {
            match (command[0], reply) {
                ("INFO", Value::Bytes(info)) => self.run_id = run_id(&info.text()),
                // A user without the right to ask may still write.
                ("INFO", Value::Error(text)) if text.starts_with("NOPERM") => {}
                (_, Value::Error(text)) => return Err(Answer::Refused(text)),
                ("AUTH" | "SELECT", Value::Status(_)) => {}
                (name, other) => return Err(Answer::Unknown(format!("{name} was answered by {other:?}: this is not Redis"))),
            }
        }
        Ok(())
    }

    /// Whether the other side has closed the connection, or spoken unasked, since the last exchange.
    pub(super) fn is_stale(&mut self) -> bool {
        let mut byte = [0];
        !self.received.is_empty() || !matches!(self.stream.try_read(&mut byte), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// One command, one reply.
    pub(super) async fn command<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Result<Value, Lost> {
        let mut packed = Vec::with_capacity(128);
        resp::encode(args, &mut packed);
        let mut replies = self.exchange(&packed, 1).await?;
        replies.pop().ok_or_else(|| Lost::Unknown("no reply".into()))
    }

    /// Sends packed commands and reads as many replies as asked for, within the limit of one answer.
    pub(super) async fn exchange(&mut self, packed: &[u8], replies: usize) -> Result<Vec<Value>, Lost> {
        self.send(packed).await?;
        let mut values = Vec::with_capacity(replies);
        let deadline = Instant::now() + self.answer;
        while values.len() < replies {
            values.push(self.reply(deadline).await?);
        }
        Ok(values)
    }

    /// Sends bytes; an error before the first byte went means that nothing was sent.
    pub(super) async fn send(&mut self, packed: &[u8]) -> Result<(), Lost> {
        let deadline = Instant::now() + self.answer;
        let mut sent = 0;
        while sent < packed.len() {
            let failed = match timeout_at(deadline, self.stream.write(&packed[sent..])).await {
                Ok(Ok(taken)) if taken > 0 => {
                    sent += taken;
                    continue;
                }
                Ok(Ok(_)) => "the connection takes no more bytes".to_owned(),
                Ok(Err(error)) => format!("the connection broke while sending: {error}"),
                Err(_) => format!("not sent within {:?}", self.answer),
            };
            return Err(if sent == 0 { Lost::NotSent(failed) } else { Lost::Unknown(failed) });
        }
        Ok(())
    }

    /// Reads one reply.
    pub(super) async fn reply(&mut self, deadline: Instant) -> Result<Value, Lost> {
        loop {
            match resp::parse(&self.received) {
                Ok(Some((value, taken))) => {
                    self.received.drain(..taken);
                    return Ok(value);
                }
                Ok(None) => {}
                Err(garbage) => return Err(Lost::Unknown(garbage.0)),
            }
            let partly = if self.received.is_empty() { "" } else { " in the middle of a reply" };
            match timeout_at(deadline, self.stream.read_buf(&mut self.received)).await {
                Ok(Ok(0)) => return Err(Lost::Unknown(format!("the connection was closed{partly}"))),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(Lost::Unknown(format!("the connection broke{partly}: {error}"))),
                Err(_) => return Err(Lost::Unknown(format!("no answer within {:?}{partly}", self.answer))),
            }
        }
    }

    /// The deadline of an answer that is asked for now.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.answer
    }
}

fn run_id(info: &str) -> Option<String> {
    info.lines().find_map(|line| line.strip_prefix("run_id:")).map(|id| id.trim().to_owned())
}
