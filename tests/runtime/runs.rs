//! A whole run: many pods at once, what is left behind, and how it ends when it is interrupted or killed.

use crate::scene::{container, exec, pong, redis, script};
use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use redis_conformance::{
    target::local::{
        node,
        runtime::{Network, Sandbox, storage},
    },
    wait::{Look, TimedOut, Until},
};
use std::{
    fs,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

crate::tests![
    twenty_pods_start_at_once,
    nothing_is_left_in_the_run_directory,
    temporary_files_go_with_the_run,
    pods_and_networks_leave_no_descriptors_and_no_processes,
    the_exit_code_and_arguments_come_through,
    an_interrupted_run_ends_in_order,
    a_second_interrupt_kills,
    a_killed_run_leaves_nothing,
    a_run_whose_keeper_is_killed_leaves_nothing,
    what_a_killed_keeper_left_is_swept_later,
];

/// This program as a run of its own, within this node.
struct Nested {
    child: tokio::process::Child,
    lines: tokio::io::Lines<tokio::io::BufReader<tokio::process::ChildStdout>>,
    directory: PathBuf,
}

impl Nested {
    async fn start(word: &str) -> Result<Self> {
        use tokio::io::AsyncBufReadExt;
        let mut child = tokio::process::Command::new("/proc/self/exe")
            .arg(word)
            .env("XDG_STATE_HOME", storage::directory("nested", 0o755)?)
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()?;
        let mut lines = tokio::io::BufReader::new(child.stdout.take().context("it has an output")?).lines();
        let first = lines.next_line().await?.context("it says where it is")?;
        let directory = first.strip_prefix("waiting in ").context("it says where it is")?.into();
        Ok(Self { child, lines, directory })
    }

    fn pid(&self) -> Result<i32> {
        Ok(i32::try_from(self.child.id().context("it runs")?)?)
    }

    /// The keeper: the child of the outer process.
    fn keeper(&self) -> Result<i32> {
        let pid = self.pid()?;
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
        children.split_whitespace().next().context("there is a keeper")?.parse().context("a PID")
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        Ok(nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.pid()?), signal)?)
    }

    async fn is_gone(&self) -> Result<()> {
        Until::within(Duration::from_secs(10))
            .met("the run directory to be removed", || async {
                Ok::<_, TimedOut>(if self.directory.exists() { Look::NotYet("it is there".into()) } else { Look::Ready(()) })
            })
            .await?;
        Ok(())
    }
}

async fn twenty_pods_start_at_once() -> Result<()> {
    let network = Network::new("many").await?;
    let begun = Instant::now();
    let started = futures::future::try_join_all((0..20).map(|number| {
        let network = Arc::clone(&network);
        async move {
            let pod = Sandbox::create(&network, &format!("pod-{number}"), None).await?;
            let running = redis(&pod, &format!("many-{number}")).await?;
            pong(None, &network, (pod.address(), 6379).into()).await?;
            anyhow::Ok((pod, running))
        }
    }))
    .await?;
    println!("  (20 in {:?})", begun.elapsed());
    for (pod, running) in started {
        running.remove().await?;
        pod.remove().await?;
    }
    Ok(())
}

async fn nothing_is_left_in_the_run_directory() -> Result<()> {
    let network = Network::new("left").await?;
    let pod = Sandbox::create(&network, "pod", None).await?;
    script(&pod, "left", "true", |_| ()).await?;
    let containers = node::run_directory().join("containers");
    let left: Vec<_> = fs::read_dir(&containers)?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.to_string_lossy().ends_with("-left"))
        .collect();
    ensure!(left.is_empty(), "{left:?}");
    Ok(())
}

async fn temporary_files_go_with_the_run() -> Result<()> {
    let file = tempfile::NamedTempFile::new()?;
    ensure!(file.path().starts_with(node::run_directory()), "{}", file.path().display());
    Ok(())
}

async fn pods_and_networks_leave_no_descriptors_and_no_processes() -> Result<()> {
    let count = |what: &str| -> Result<usize> { Ok(fs::read_dir(what)?.count()) };
    let all = || -> Result<(usize, usize)> {
        let processes =
            fs::read_dir("/proc")?.filter_map(Result::ok).filter(|entry| entry.file_name().to_string_lossy().parse::<i32>().is_ok());
        Ok((count("/proc/self/fd")?, processes.count()))
    };
    let once = async || -> Result<()> {
        let network = Network::new("flat").await?;
        let pod = Sandbox::create(&network, "pod", None).await?;
        let running = pod.start(container("flat", &["sleep", "60"])).await?;
        exec(&running, &["true"]).await?;
        running.remove().await?;
        pod.remove().await?;
        Ok(())
    };
    // The first one opens what stays open: the runtime's own.
    once().await?;
    let before = all()?;
    for _ in 0..20 {
        once().await?;
    }
    Until::within(Duration::from_secs(5))
        .met(format!("descriptors and processes to be {before:?}"), || async {
            let now = all().unwrap_or_default();
            Ok::<_, TimedOut>(if now.0 <= before.0 && now.1 <= before.1 { Look::Ready(()) } else { Look::NotYet(format!("{now:?}")) })
        })
        .await?;
    Ok(())
}

async fn the_exit_code_and_arguments_come_through() -> Result<()> {
    for code in ["0", "7"] {
        let status = tokio::process::Command::new("/proc/self/exe").args(["--exit", code]).status().await?;
        ensure!(status.code() == code.parse().ok(), "{status}");
    }
    Ok(())
}

async fn an_interrupted_run_ends_in_order() -> Result<()> {
    let mut nested = Nested::start("--wait").await?;
    nested.signal(Signal::SIGTERM)?;
    ensure!(nested.lines.next_line().await?.as_deref() == Some("interrupted"));
    ensure!(nested.child.wait().await?.code() == Some(130));
    ensure!(!nested.directory.exists(), "the run directory is gone when the run has ended");
    Ok(())
}

async fn a_second_interrupt_kills() -> Result<()> {
    let mut nested = Nested::start("--stubborn").await?;
    nested.signal(Signal::SIGTERM)?;
    ensure!(nested.lines.next_line().await?.as_deref() == Some("interrupted"));
    nested.signal(Signal::SIGTERM)?;
    ensure!(nested.child.wait().await?.code() == Some(130));
    ensure!(!nested.directory.exists());
    Ok(())
}

async fn a_killed_run_leaves_nothing() -> Result<()> {
    let mut nested = Nested::start("--wait").await?;
    nested.signal(Signal::SIGKILL)?;
    nested.child.wait().await?;
    nested.is_gone().await
}

async fn a_run_whose_keeper_is_killed_leaves_nothing() -> Result<()> {
    use tokio::io::AsyncReadExt;
    let mut nested = Nested::start("--wait").await?;
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(nested.keeper()?), Signal::SIGKILL)?;
    ensure!(nested.child.wait().await?.code() == Some(3));
    let mut said = String::new();
    nested.child.stderr.take().context("it has errors")?.read_to_string(&mut said).await?;
    ensure!(said.contains("was ended by signal 9"), "{said}");
    ensure!(!nested.directory.exists());
    Ok(())
}

async fn what_a_killed_keeper_left_is_swept_later() -> Result<()> {
    let mut nested = Nested::start("--wait").await?;
    let keeper = nested.keeper()?;
    nested.signal(Signal::SIGSTOP)?;
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(keeper), Signal::SIGKILL)?;
    nested.signal(Signal::SIGKILL)?;
    nested.child.wait().await?;
    ensure!(nested.directory.exists(), "nobody was there to remove it");
    let mut next = Nested::start("--wait").await?;
    ensure!(!nested.directory.exists(), "the next run sweeps");
    next.signal(Signal::SIGTERM)?;
    next.child.wait().await?;
    Ok(())
}
