//! The same command over a range of numbers, many at once: it loads, fills and touches, and counts what came back.

use super::{
    connection::{Connection, Lost},
    resp, value,
    wire::{Answer, Pipeline, Tally, Value},
};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use tokio::task::JoinSet;

/// Runs the range over its connections.
pub(super) async fn run(pipeline: Pipeline) -> Tally {
    let next = Arc::new(AtomicU64::new(pipeline.from));
    let connections = pipeline.connections.max(1);
    let pipeline = Arc::new(pipeline);
    let mut running = JoinSet::new();
    for _ in 0..connections {
        running.spawn(batches(Arc::clone(&pipeline), Arc::clone(&next)));
    }
    let mut counts = Counts::default();
    while let Some(ended) = running.join_next().await {
        match ended {
            Ok(part) => counts.add(part),
            Err(panic) => counts.unknown(1, &format!("a connection's task ended before its time: {panic}")),
        }
    }
    counts.tally()
}

async fn batches(pipeline: Arc<Pipeline>, next: Arc<AtomicU64>) -> Counts {
    let mut counts = Counts::default();
    let depth = u64::from(pipeline.depth.max(1));
    let mut connection = None;
    loop {
        let first = next.fetch_add(depth, Ordering::Relaxed);
        if first >= pipeline.to {
            return counts;
        }
        let end = (first + depth).min(pipeline.to);
        let open = match connection.take() {
            Some(open) => Ok(open),
            None => Connection::open(&pipeline.address, pipeline.limits).await,
        };
        match open {
            Ok(mut open) => {
                if batch(&pipeline, &mut open, first..end, &mut counts).await {
                    connection = Some(open);
                }
            }
            Err(Answer::Unknown(why)) => counts.unknown(end - first, &why),
            Err(Answer::Refused(why)) => counts.refused(end - first, why),
            Err(Answer::Value(_)) => counts.unknown(end - first, "a handshake that is none"),
        }
    }
}

/// One batch; whether the connection may be used again.
async fn batch(pipeline: &Pipeline, connection: &mut Connection, numbers: std::ops::Range<u64>, counts: &mut Counts) -> bool {
    let mut packed = Vec::new();
    for number in numbers.clone() {
        resp::encode(&args(pipeline, number), &mut packed);
    }
    let all = numbers.end - numbers.start;
    match connection.send(&packed).await {
        Ok(()) => {}
        Err(Lost::NotSent(why)) => {
            counts.refused(all, why);
            return false;
        }
        Err(Lost::Unknown(why)) => {
            counts.unknown(all, &why);
            return false;
        }
    }
    for number in numbers.clone() {
        match connection.reply(connection.deadline()).await {
            Ok(Value::Error(text)) => counts.refused(1, text),
            Ok(value) => counts.acknowledged(number, &value),
            Err(Lost::NotSent(why) | Lost::Unknown(why)) => {
                counts.unknown(numbers.end - number, &why);
                return false;
            }
        }
    }
    true
}

fn args(pipeline: &Pipeline, number: u64) -> Vec<Vec<u8>> {
    let fill = |arg: &String| match arg.as_str() {
        "{value}" => value::value("{}", pipeline.seed, number, length(pipeline, number)),
        other => other.replace("{}", &number.to_string()).into_bytes(),
    };
    pipeline.args.iter().map(fill).collect()
}

/// The length of a number's value: lengths that follow one another have nothing to do with each other, and are the same in every run.
fn length(pipeline: &Pipeline, number: u64) -> usize {
    let mixed = usize::try_from(number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33).unwrap_or_default();
    pipeline.value_bytes + mixed % (pipeline.value_spread + 1)
}

#[derive(Default)]
struct Counts {
    tally: Tally,
    hits: Vec<u64>,
}

impl Counts {
    fn acknowledged(&mut self, number: u64, value: &Value) {
        self.tally.acknowledged += 1;
        if value.is_hit() {
            self.hits.push(number);
        }
    }

    fn refused(&mut self, count: u64, text: String) {
        *self.tally.refused.entry(text).or_default() += count;
    }

    fn unknown(&mut self, count: u64, why: &str) {
        self.tally.unknown += count;
        self.tally.first_unknown.get_or_insert_with(|| why.to_owned());
    }

    fn add(&mut self, other: Self) {
        self.tally.acknowledged += other.tally.acknowledged;
        for (text, count) in other.tally.refused {
            self.refused(count, text);
        }
        if let Some(why) = other.tally.first_unknown {
            self.unknown(other.tally.unknown, &why);
        }
        self.hits.extend(other.hits);
    }

    fn tally(mut self) -> Tally {
        self.hits.sort_unstable();
        for hit in self.hits {
            match self.tally.hits.last_mut() {
                Some((_, last)) if *last + 1 == hit => *last = hit,
                _ => self.tally.hits.push((hit, hit)),
            }
        }
        self.tally
    }
}
