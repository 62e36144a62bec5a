//! Real Redis on loopback and a real agent beside it; each ends with its test, by its own process id.

use nix::{
    sys::signal::{self, Signal},
    unistd::Pid,
};
use redis_conformance::{
    target::Attached,
    traffic::{Client, Endpoint},
    wait::{Look, TimedOut, Until},
};
use std::{
    process::Stdio,
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// A redis-server with a folder of its own.
pub(crate) struct Redis {
    pub(crate) port: u16,
    folder: TempDir,
    args: Vec<String>,
    child: Option<Child>,
}

impl Redis {
    pub(crate) async fn start(args: &[&str]) -> Self {
        let args = args.iter().map(ToString::to_string).collect();
        let mut redis = Self { port: 0, folder: tempfile::tempdir().expect("a folder"), args, child: None };
        for _ in 0..20 {
            redis.port = next_port();
            if redis.answers().await {
                return redis;
            }
        }
        panic!("no port is free");
    }

    /// Starts the process again; it answers when this returns.
    pub(crate) async fn run(&mut self) {
        assert!(self.answers().await, "Redis does not start again");
    }

    /// Starts the process; whether it got its port.
    async fn answers(&mut self) -> bool {
        let port = self.port.to_string();
        let always = ["--bind", "127.0.0.1", "--port", &port, "--save", "", "--daemonize", "no"];
        let child = Command::new("redis-server")
            .args(always)
            .args(&self.args)
            .current_dir(self.folder.path())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("redis-server is installed");
        let (client, endpoint) = (agent().await, self.endpoint());
        let child = std::cell::RefCell::new(child);
        let answers = Until::within(Duration::from_secs(20))
            .met::<_, TimedOut, _>("Redis to answer", || async {
                if child.borrow_mut().try_wait().expect("it is ours").is_some() {
                    return Ok(Look::Ready(false));
                }
                // Its own id, lest another server on that port be taken for it.
                let id = child.borrow().id();
                let reply = client.command(&endpoint, &["INFO", "server"]).await.expect("the agent lives").to_string();
                let is_it = id.is_some_and(|id| reply.contains(&format!("process_id:{id}\\r"))) || reply.contains("NOAUTH");
                Ok(if is_it { Look::Ready(true) } else { Look::NotYet(reply) })
            })
            .await
            .expect("Redis starts");
        self.child = Some(child.into_inner());
        answers
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint::new("127.0.0.1", self.port)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = self.child.as_ref().and_then(Child::id).expect("it runs");
        signal::kill(Pid::from_raw(i32::try_from(id).expect("a process id")), signal).expect("it is ours");
    }

    /// Ends it and waits for its end.
    pub(crate) async fn end(&mut self, how: Signal) {
        self.signal(how);
        self.child.take().expect("it runs").wait().await.expect("it ends");
    }
}

/// Below the ports that the kernel gives away. Not found by binding one: a process that another test is just starting would hold it open.
fn next_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = u16::try_from(std::process::id() % 1000).expect("less than a thousand") * 12;
    20_000 + (first + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000
}

/// An agent as a process of its own.
pub(crate) struct Agent {
    client: Client,
    child: Child,
}

impl Agent {
    pub(crate) async fn end(&mut self) {
        self.child.kill().await.expect("it is ours");
    }
}

impl std::ops::Deref for Agent {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

pub(crate) async fn agent() -> Agent {
    let mut child = Command::new(env!("CARGO_BIN_EXE_redis-conformance"))
        .arg("__agent")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the agent starts");
    let (stdin, stdout) = (child.stdin.take().expect("its input"), child.stdout.take().expect("its output"));
    let client = Client::over(Attached { stdin: Box::pin(stdin), stdout: Box::pin(stdout) }).await.expect("the agent greets");
    Agent { client, child }
}
