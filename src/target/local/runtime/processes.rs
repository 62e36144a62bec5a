//! The processes of a container as the node's `/proc` shows them: who they are, stopping and ending them.

use crate::wait::{Look, TimedOut, Until};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
    time::Duration,
};

/// Stopping is seen within a fraction of a millisecond; more is a machine that does not come to anything.
const LIMIT: Duration = Duration::from_secs(10);

/// One process, as the node sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessInfo {
    /// Its PID in the node.
    pub pid: i32,
    /// Its parent's.
    pub parent: i32,
    /// Its session.
    pub session: i32,
    /// `R`, `S`, `D`, `T`, `Z` …
    pub state: char,
    /// When it was started, in clock ticks since boot.
    pub start_ticks: u64,
    /// Its program's name, cut to 15 characters.
    pub name: String,
}

/// Reads one process; `None` if it is gone.
pub(super) fn process(pid: i32) -> Option<ProcessInfo> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse(stat: &str) -> Option<ProcessInfo> {
    // The name stands in parentheses and may hold anything.
    let (head, rest) = stat.rsplit_once(')')?;
    let (pid, name) = head.split_once('(')?;
    let fields: Vec<_> = rest.split_whitespace().collect();
    Some(ProcessInfo {
        pid: pid.trim().parse().ok()?,
        name: name.to_owned(),
        state: fields.first()?.chars().next()?,
        parent: fields.get(1)?.parse().ok()?,
        session: fields.get(3)?.parse().ok()?,
        start_ticks: fields.get(19)?.parse().ok()?,
    })
}

/// The PID namespace of a process.
pub(super) fn pid_namespace(pid: i32) -> io::Result<String> {
    fs::read_link(format!("/proc/{pid}/ns/pid")).map(|link| link.to_string_lossy().into_owned())
}

/// All processes of a PID namespace, those that have ended but are not reaped apart.
pub(super) fn of_namespace(namespace: &str) -> Vec<ProcessInfo> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(Result::ok)
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| pid_namespace(*pid).is_ok_and(|own| own == namespace))
        .filter_map(process)
        .filter(|process| !matches!(process.state, 'Z' | 'X'))
        .collect()
}

/// How often a process is asked to stop before one that sleeps in the kernel counts as stopped: it waits there for a stopped
/// process (a child before its exec), and stops before it runs another instruction of its own.
const PATIENCE: usize = 20;

/// Sends SIGSTOP to those that still run, and gives them; `asked` counts for each how often that was.
fn stop(these: Vec<ProcessInfo>, asked: &mut BTreeMap<i32, usize>) -> io::Result<Vec<ProcessInfo>> {
    let mut running = Vec::new();
    for process in these {
        let times = asked.entry(process.pid).or_default();
        if !is_stopped(process.pid, *times > PATIENCE) {
            *times += 1;
            send(process.pid, Signal::SIGSTOP)?;
            running.push(process);
        }
    }
    Ok(running)
}

/// Every thread is stopped or has ended, or, if that will do, sleeps in the kernel.
fn is_stopped(pid: i32, asleep: bool) -> bool {
    let Ok(threads) = fs::read_dir(Path::new("/proc").join(pid.to_string()).join("task")) else { return true };
    threads
        .filter_map(Result::ok)
        .filter_map(|thread| fs::read_to_string(thread.path().join("stat")).ok())
        .filter_map(|stat| parse(&stat))
        .all(|thread| matches!(thread.state, 'T' | 't' | 'Z' | 'X') || asleep && thread.state == 'D')
}

/// Sends a signal; a process that is gone is no error.
pub(super) fn send(pid: i32, signal: Signal) -> io::Result<()> {
    match kill(Pid::from_raw(pid), signal) {
        Err(nix::errno::Errno::ESRCH) | Ok(()) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Stops everything in the namespace and waits until each thread is seen stopped.
pub(super) async fn freeze(namespace: &str) -> Result<(), FreezeError> {
    let mut asked = BTreeMap::new();
    looking("every process to be stopped", || stop(of_namespace(namespace), &mut asked)).await
}

/// Lets everything in the namespace run on and waits until each is seen running.
pub(super) async fn thaw(namespace: &str) -> Result<(), FreezeError> {
    looking("every process to run on", || {
        let stopped: Vec<_> = of_namespace(namespace).into_iter().filter(|process| process.state == 'T').collect();
        for process in &stopped {
            send(process.pid, Signal::SIGCONT)?;
        }
        Ok(stopped)
    })
    .await
}

/// Ends a process of the namespace with everything that it has started, there and in its session. They are stopped first: what is
/// stopped starts nothing new that would be missed.
pub(super) async fn kill_tree(namespace: &str, first: i32) -> Result<(), FreezeError> {
    let (mut tree, mut asked) = (BTreeSet::from([first]), BTreeMap::new());
    looking("the command to be stopped", || {
        let all = of_namespace(namespace);
        loop {
            let known = tree.len();
            tree.extend(
                all.iter()
                    .filter(|process| process.session == first || tree.contains(&process.parent))
                    .map(|process| process.pid)
                    .collect::<Vec<_>>(),
            );
            if tree.len() == known {
                break;
            }
        }
        stop(all.into_iter().filter(|process| tree.contains(&process.pid)).collect(), &mut asked)
    })
    .await?;
    looking("the command to be ended", || {
        let left: Vec<_> = of_namespace(namespace).into_iter().filter(|process| tree.contains(&process.pid)).collect();
        for process in &left {
            send(process.pid, Signal::SIGKILL)?;
        }
        Ok(left)
    })
    .await
}

/// Why processes could not be stopped, continued or ended.
#[derive(Debug, thiserror::Error)]
pub enum FreezeError {
    /// They did not do so in time.
    #[error(transparent)]
    TimedOut(#[from] TimedOut),
    /// A signal could not be sent.
    #[error("sending a signal: {0}")]
    Signal(#[from] io::Error),
    /// The container has ended.
    #[error("the container is not running")]
    NotRunning,
}

async fn looking(what: &str, mut left: impl FnMut() -> io::Result<Vec<ProcessInfo>>) -> Result<(), FreezeError> {
    Until::within(LIMIT)
        .every(Duration::from_millis(1))
        .met(what, || {
            let looked = left();
            async move {
                let left = looked?;
                Ok(if left.is_empty() {
                    Look::Ready(())
                } else {
                    let seen: Vec<_> = left.iter().map(|process| format!("{} {} {}", process.pid, process.name, process.state)).collect();
                    Look::NotYet(seen.join(", "))
                })
            }
        })
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_look_like_the_rest_of_the_line() -> Result<(), &'static str> {
        let stat = "42 (a) S 9 (b) T 1 42 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 12345 9 9";
        let process = parse(stat).ok_or("it can be read")?;
        assert_eq!((process.pid, process.parent, process.session, process.state, process.start_ticks), (42, 1, 7, 'T', 12345));
        assert_eq!(process.name, "a) S 9 (b");
        Ok(())
    }

    #[test]
    fn this_process_is_found_in_its_own_namespace() -> io::Result<()> {
        let own = i32::try_from(std::process::id()).map_err(io::Error::other)?;
        assert!(of_namespace(&pid_namespace(own)?).iter().any(|process| process.pid == own));
        Ok(())
    }
}
