//! One writer: it takes its places in turn, sends one write at a time, and tells the fate of each before the next.

use super::{
    Clock,
    connection::Connection,
    output::{NobodyListens, Sink},
    value,
    wire::{Address, Answer, Connected, Content, EntryId, Fate, PlannedPlace, Value, What, WriteKind, WritePlan, Written},
};
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::watch,
    time::{Interval, MissedTickBehavior, interval},
};

/// The consumer group that stream writers make.
const GROUP: &str = "workers";
/// A writer's breath after a write that was not acknowledged: an outage is measured to this grain, and a dead port is not hammered.
const BREATH: Duration = Duration::from_millis(5);

pub(super) struct Writer {
    plan: Arc<WritePlan>,
    number: u64,
    writers: u64,
    sink: Sink,
    clock: Clock,
    connections: HashMap<u32, Open>,
    numbers: Arc<AtomicU64>,
    streams: HashMap<(u32, String), Stream>,
    breath: Interval,
    pace: Option<Interval>,
}

struct Open {
    connection: Connection,
    number: u64,
}

/// What the writer knows of one of its streams.
#[derive(Default)]
struct Stream {
    has_group: bool,
    step: usize,
    delivered: Vec<EntryId>,
}

/// A write that is about to be sent.
struct Next {
    kind: WriteKind,
    args: Vec<Vec<u8>>,
}

impl Writer {
    pub(super) fn new(plan: Arc<WritePlan>, number: u64, writers: u64, numbers: Arc<AtomicU64>, sink: Sink, clock: Clock) -> Self {
        let mut breath = interval(BREATH);
        breath.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let pace = plan.per_second.filter(|rate| *rate > 0.0).map(|rate| {
            #[expect(clippy::cast_precision_loss, reason = "there are never so many writers")]
            let mut pace = interval(Duration::from_secs_f64(writers as f64 / rate));
            pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
            pace
        });
        let (connections, streams) = (HashMap::new(), HashMap::new());
        Self { plan, number, writers, sink, clock, connections, numbers, streams, breath, pace }
    }

    pub(super) async fn run(mut self, mut stopped: watch::Receiver<bool>) -> Result<(), NobodyListens> {
        let plan = Arc::clone(&self.plan);
        let places = u64::try_from(plan.places.len()).unwrap_or(u64::MAX).max(1);
        for step in 0.. {
            let write = step * self.writers + self.number;
            if plan.count.is_some_and(|count| write >= count) || *stopped.borrow() {
                break;
            }
            if let Some(pace) = &mut self.pace {
                tokio::select! {
                    _ = pace.tick() => {}
                    // A driver that is gone drops the other end; then the whole agent ends.
                    _ = stopped.changed() => break,
                }
            }
            let Some(place) = usize::try_from(step % places).ok().and_then(|place| plan.places.get(place)) else { break };
            let acknowledged = self.write(write, place, step / places).await?;
            if !acknowledged {
                self.breath.reset();
                self.breath.tick().await;
            }
        }
        Ok(())
    }

    /// Sends one write and tells its fate; whether it was acknowledged.
    async fn write(&mut self, write: u64, place: &PlannedPlace, round: u64) -> Result<bool, NobodyListens> {
        let to_stream = self.plan.streams && (!self.plan.strings || round % 2 == 1);
        let key = self.key(place, round, to_stream);
        let next = if to_stream { self.next_of_stream(write, place.db, &key) } else { self.next_string(write, &key) };
        let sent_ns = self.clock.now();
        let (answer, connection) = self.send(place.db, &next.args).await?;
        let answered_ns = self.clock.now();
        let (kind, fate) = fate_of(next.kind, answer);
        if to_stream {
            self.learn(place.db, &key, &kind, &fate);
        }
        if fate != Fate::Acknowledged && (!matches!(&fate, Fate::Refused { .. }) || is_moved(&fate)) {
            self.connections.remove(&place.db);
        }
        let acknowledged = fate == Fate::Acknowledged;
        let writer = u32::try_from(self.number).unwrap_or(u32::MAX);
        let written = Written { write, writer, db: place.db, key, kind, fate, sent_ns, answered_ns, connection };
        self.sink.say(What::Written(written)).await?;
        Ok(acknowledged)
    }

    /// The key of this round: a new one each time, or one of the writer's own in turn. Streams are few, so that each gets many entries.
    fn key(&self, place: &PlannedPlace, round: u64, stream: bool) -> String {
        let keys = self.plan.keys.or(stream.then_some(self.writers));
        let turn = keys.map_or(round, |keys| {
            let own = (keys.saturating_sub(self.number)).div_ceil(self.writers).max(1);
            // In a mixed workload each kind sees every other round only.
            let round = if self.plan.strings && self.plan.streams { round / 2 } else { round };
            round % own
        });
        let number = turn * self.writers + self.number;
        let key = place.key.replace("{}", &number.to_string());
        if stream && self.plan.strings { key + ":stream" } else { key }
    }

    fn content(&self, write: u64) -> Vec<u8> {
        value::value(&self.plan.template, self.plan.seed, write, self.plan.value_bytes)
    }

    fn next_string(&self, write: u64, key: &str) -> Next {
        let value = self.content(write);
        Next { kind: WriteKind::Set { content: Content::of(&value) }, args: vec![b"SET".to_vec(), key.into(), value] }
    }

    /// A group first; then in turn four entries, a delivery of three of them, and the acknowledgement of two: so some entries are
    /// pending and some not yet delivered at any time.
    fn next_of_stream(&mut self, write: u64, db: u32, key: &str) -> Next {
        let value = self.content(write);
        let stream = self.streams.entry((db, key.to_owned())).or_default();
        let group = GROUP.to_owned();
        let words = |words: &[&str]| words.iter().map(|word| word.as_bytes().to_vec()).collect();
        if !stream.has_group {
            return Next { kind: WriteKind::Group { group }, args: words(&["XGROUP", "CREATE", key, GROUP, "0", "MKSTREAM"]) };
        }
        let step = stream.step;
        stream.step = (step + 1) % 6;
        if step == 4 {
            let args = words(&["XREADGROUP", "GROUP", GROUP, "worker", "COUNT", "3", "STREAMS", key, ">"]);
            return Next { kind: WriteKind::Deliver { group, entries: Vec::new() }, args };
        }
        if step == 5 && !stream.delivered.is_empty() {
            let entries: Vec<EntryId> = stream.delivered.drain(..).take(2).collect();
            let mut args: Vec<Vec<u8>> = words(&["XACK", key, GROUP]);
            args.extend(entries.iter().map(|entry| entry.to_string().into_bytes()));
            return Next { kind: WriteKind::Acknowledge { group, entries }, args };
        }
        let mut args: Vec<Vec<u8>> = words(&["XADD", key, "*", "value"]);
        args.push(value.clone());
        Next { kind: WriteKind::Add { content: Content::of(&value), entry: None }, args }
    }

    fn learn(&mut self, db: u32, key: &str, kind: &WriteKind, fate: &Fate) {
        let stream = self.streams.entry((db, key.to_owned())).or_default();
        match (kind, fate) {
            (WriteKind::Group { .. }, Fate::Acknowledged) => stream.has_group = true,
            // An earlier attempt whose fate was unknown did make it.
            (WriteKind::Group { .. }, Fate::Refused { reason }) if reason.starts_with("BUSYGROUP") => stream.has_group = true,
            // The data is gone, so the group is made again.
            (_, Fate::Refused { reason }) if reason.starts_with("NOGROUP") => *stream = Stream::default(),
            (WriteKind::Deliver { entries, .. }, Fate::Acknowledged) => stream.delivered.clone_from(entries),
            _ => {}
        }
    }

    /// Sends a command over the writer's connection to the database, which is made anew where there is none or it has ended.
    async fn send(&mut self, db: u32, args: &[Vec<u8>]) -> Result<(Answer, Option<u64>), NobodyListens> {
        if self.connections.get_mut(&db).is_some_and(|open| open.connection.is_stale()) {
            self.connections.remove(&db);
        }
        if !self.connections.contains_key(&db) {
            let address = Address { db, ..self.plan.address.clone() };
            match Connection::open(&address, self.plan.limits).await {
                Ok(connection) => {
                    let number = self.numbers.fetch_add(1, Ordering::Relaxed);
                    let peer = connection.peer.to_string();
                    let run_id = connection.run_id.clone();
                    self.sink.say(What::Connected(Connected { connection: number, peer, run_id, at_ns: self.clock.now() })).await?;
                    self.connections.insert(db, Open { connection, number });
                }
                Err(answer) => return Ok((answer, None)),
            }
        }
        let Some(open) = self.connections.get_mut(&db) else {
            return Ok((Answer::Refused("there is no connection".into()), None));
        };
        let number = Some(open.number);
        let reply = open.connection.command(args).await;
        // Nothing more may be sent on a connection that broke, even where the write itself never left.
        if reply.is_err() {
            self.connections.remove(&db);
        }
        Ok((super::answer_of(reply), number))
    }
}

/// A server that has become a replica: a client looks the name up again.
fn is_moved(fate: &Fate) -> bool {
    matches!(fate, Fate::Refused { reason } if reason.starts_with("READONLY") || reason.starts_with("MASTERDOWN"))
}

/// Only the reply that the command must give acknowledges it.
fn fate_of(kind: WriteKind, answer: Answer) -> (WriteKind, Fate) {
    let value = match answer {
        Answer::Refused(reason) => return (kind, Fate::Refused { reason }),
        Answer::Unknown(reason) => return (kind, Fate::Unknown { reason }),
        Answer::Value(value) => value,
    };
    let unexpected = |value: &Value| Fate::Unknown { reason: format!("an answer that this command never gives: {value:?}") };
    match (kind, value) {
        (kind @ (WriteKind::Set { .. } | WriteKind::Group { .. }), Value::Status(ok)) if ok == "OK" => (kind, Fate::Acknowledged),
        (WriteKind::Add { content, .. }, Value::Bytes(id)) => match id.text().parse() {
            Ok(entry) => (WriteKind::Add { content, entry: Some(entry) }, Fate::Acknowledged),
            Err(_) => (WriteKind::Add { content, entry: None }, unexpected(&Value::Bytes(id))),
        },
        (WriteKind::Deliver { group, .. }, value) => match delivered(&value) {
            Some(entries) => (WriteKind::Deliver { group, entries }, Fate::Acknowledged),
            None => (WriteKind::Deliver { group, entries: Vec::new() }, unexpected(&value)),
        },
        (WriteKind::Acknowledge { group, entries }, Value::Int(done)) => {
            let fate = if usize::try_from(done).is_ok_and(|done| done == entries.len()) {
                Fate::Acknowledged
            } else {
                Fate::Refused { reason: format!("{done} of {} entries were pending", entries.len()) }
            };
            (WriteKind::Acknowledge { group, entries }, fate)
        }
        (kind, value) => {
            let fate = unexpected(&value);
            (kind, fate)
        }
    }
}

/// The ids in the reply of XREADGROUP for one stream; nil is a delivery of nothing.
fn delivered(value: &Value) -> Option<Vec<EntryId>> {
    match value {
        Value::Nil => Some(Vec::new()),
        Value::Array(streams) => {
            let entries = streams.first()?.array()?.get(1)?.array()?;
            entries.iter().map(|entry| entry.array()?.first()?.text()?.parse().ok()).collect()
        }
        Value::Int(_) | Value::Status(_) | Value::Bytes(_) | Value::Error(_) => None,
    }
}
