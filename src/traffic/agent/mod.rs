//! The program that runs inside a client pod: JSON lines in, JSON lines out, Redis and HTTP on the other side.
//!
//! It knows nothing of the rest of the crate, so that it can be built as a small static program of its own.

mod connection;
mod hold;
mod http;
mod output;
mod pipeline;
mod read_back;
mod resp;
mod scan;
pub(crate) mod value;
pub(crate) mod wire;
mod write;
mod writer;

use connection::{Connection, Lost};
use output::{Output, Sink};
use std::{
    collections::HashMap,
    io::BufRead,
    process::ExitCode,
    time::{Instant, SystemTime},
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use wire::{Address, Answer, Bytes, Limits, Op, PROTOCOL, Request, Value, What};

/// Whether the program was started as the agent: with the one argument `__agent`.
#[must_use]
pub fn is_called() -> bool {
    let mut arguments = std::env::args_os().skip(1);
    arguments.next().is_some_and(|first| first == "__agent") && arguments.next().is_none()
}

/// Runs the agent until its standard input ends.
#[must_use]
pub fn main() -> ExitCode {
    // One thread: an exchange then never waits for another core to wake up.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("agent: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let (output, printer) = output::start();
    runtime.block_on(serve(requests(), output));
    // A look-up that hangs in the resolver must not keep the agent alive.
    runtime.shutdown_background();
    match printer.join() {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            eprintln!("agent: cannot write: {error}");
            ExitCode::FAILURE
        }
        Err(_) => ExitCode::FAILURE,
    }
}

/// Reads standard input in a thread of its own, line by line.
fn requests() -> mpsc::Receiver<Result<Request, String>> {
    let (sender, receiver) = mpsc::channel(16);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let request = match line {
                Ok(line) => serde_json::from_str(&line).map_err(|error| format!("not a request: {error}")),
                Err(error) => Err(format!("cannot read requests: {error}")),
            };
            if sender.blocking_send(request).is_err() {
                return;
            }
        }
    });
    receiver
}

async fn serve(mut requests: mpsc::Receiver<Result<Request, String>>, output: Output) {
    let clock = Clock::start();
    let mut tasks = JoinSet::new();
    let mut stops: HashMap<u64, watch::Sender<bool>> = HashMap::new();
    let hello = What::Hello { protocol: PROTOCOL, wall_unix_ns: clock.wall_unix_ns };
    if output.sink(0).say(hello).await.is_err() {
        return;
    }
    loop {
        let request = tokio::select! {
            request = requests.recv() => request,
            Some(_) = tasks.join_next(), if !tasks.is_empty() => continue,
            () = output.closed() => None,
        };
        match request {
            None => break,
            Some(Err(reason)) => {
                let sink = output.sink(0);
                if sink.say(What::Failed { reason }).await.is_err() {
                    break;
                }
            }
            Some(Ok(Request { id, op })) => {
                let (stop, stopped) = watch::channel(false);
                if let Op::Stop { of } = &op
                    && let Some(stop) = stops.remove(of)
                {
                    stop.send_replace(true);
                }
                if matches!(op, Op::Write(_) | Op::Hold { .. }) {
                    stops.insert(id, stop);
                }
                let sink = output.sink(id);
                tasks.spawn(async move {
                    // The only error is that nobody listens any more; then the whole agent ends.
                    let _ = answer(op, &sink, clock, stopped).await;
                });
            }
        }
    }
    tasks.shutdown().await;
}

async fn answer(op: Op, sink: &Sink, clock: Clock, stopped: watch::Receiver<bool>) -> Result<(), output::NobodyListens> {
    match op {
        Op::Command { address, args, limits } => {
            let (answer, run_id) = command(&address, &args, limits).await;
            sink.say(What::Reply { answer, run_id }).await?;
        }
        Op::Pipeline(pipeline) => sink.say(What::Tally(pipeline::run(pipeline).await)).await?,
        Op::Write(plan) => write::run(plan, sink, clock, stopped).await?,
        Op::Stop { .. } => {}
        Op::ReadBack { address, databases, limits } => read_back::run(address, databases, limits, sink).await?,
        Op::Hold { address, bytes, limits } => hold::run(&address, bytes, limits, sink, stopped).await?,
        Op::Http(call) => sink.say(http::call(call).await).await?,
    }
    sink.say(What::Done).await
}

/// One command on a connection of its own.
async fn command(address: &Address, args: &[Bytes], limits: Limits) -> (Answer, Option<String>) {
    let mut connection = match Connection::open(address, limits).await {
        Ok(connection) => connection,
        Err(answer) => return (answer, None),
    };
    let args: Vec<&[u8]> = args.iter().map(|arg| arg.0.as_slice()).collect();
    let answer = answer_of(connection.command(&args).await);
    (answer, connection.run_id)
}

/// What became of a command, by what came back.
fn answer_of(reply: Result<Value, Lost>) -> Answer {
    match reply {
        Ok(Value::Error(text)) => Answer::Refused(text),
        Ok(value) => Answer::Value(value),
        Err(Lost::NotSent(why)) => Answer::Refused(why),
        Err(Lost::Unknown(why)) => Answer::Unknown(why),
    }
}

/// The agent's one clock: monotonic, with the wall clock's time of its zero.
#[derive(Clone, Copy)]
struct Clock {
    zero: Instant,
    wall_unix_ns: u64,
}

impl Clock {
    fn start() -> Self {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { zero: Instant::now(), wall_unix_ns: nanoseconds(wall) }
    }

    fn now(self) -> u64 {
        nanoseconds(self.zero.elapsed())
    }
}

/// Enough for five centuries.
fn nanoseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
