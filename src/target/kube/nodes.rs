//! Nodes that are containers of this machine's Docker, as kind and k3d make them: their power, and the processes in them.

use super::{
    error::broken,
    journal::Journal,
    program::{PATIENCE, Program},
};
use crate::target::{Kill, TargetError};
use std::net::Ipv4Addr;

/// The processes of a container, as its node's `/proc` has them. The container's number stands in the name of each one's cgroup.
const PROCESSES: &str =
    r#"grep -ls "$1" /proc/[0-9]*/cgroup | cut -d/ -f3 | while read -r pid; do cat "/proc/$pid/stat" 2>/dev/null; done; true"#;

/// The door to nodes: Docker's own program.
#[derive(Clone, Debug)]
pub struct Nodes {
    docker: Program,
}

/// A process, as `/proc/PID/stat` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Process {
    pid: u32,
    state: char,
    /// In clock ticks since the machine's start.
    started: u64,
}

impl Nodes {
    pub(super) fn by(docker: Program) -> Self {
        Self { docker }
    }

    /// Sends a signal to the main process of a container: the one that was there first.
    pub(super) async fn signal(&self, node: &str, container: &str, how: Kill) -> Result<(), TargetError> {
        let processes = self.processes(node, container).await?;
        let main = main(&processes).ok_or_else(|| TargetError::Missing(format!("process of container {container} on {node}")))?;
        let signal = match how {
            Kill::Term => "-TERM",
            Kill::Kill => "-KILL",
        };
        self.within(node, &["kill", signal, &main.pid.to_string()]).await.map(drop)
    }

    /// Stops every process of a container, or lets each run on; those that come meanwhile run.
    pub(super) async fn hold(&self, node: &str, container: &str, stop: bool) -> Result<(), TargetError> {
        let processes = self.processes(node, container).await?;
        if processes.is_empty() {
            return Err(TargetError::Missing(format!("process of container {container} on {node}")));
        }
        let pids: Vec<String> = processes.iter().map(|process| process.pid.to_string()).collect();
        let mut command = vec!["kill", if stop { "-STOP" } else { "-CONT" }];
        command.extend(pids.iter().map(String::as_str));
        self.within(node, &command).await.map(drop)
    }

    /// Whether the main process of a container is there and stands still.
    pub(super) async fn is_held(&self, node: &str, container: &str) -> Result<bool, TargetError> {
        let processes = self.processes(node, container).await?;
        Ok(main(&processes).is_some_and(|main| main.state == 'T'))
    }

    /// The nodes by their addresses, the lowest first. Docker gives a container that it starts the lowest address that is free: started in
    /// this order each gets its own again, as machines do that come up, and routes that others have to them stay right.
    pub(super) async fn by_address(&self, nodes: &[&str]) -> Result<Vec<String>, TargetError> {
        const FORMAT: &str = "{{.Name}}{{range .NetworkSettings.Networks}} {{.IPAddress}}{{end}}";
        let told = self.docker("asking for the nodes' addresses", &[&["inspect", "--format", FORMAT], nodes].concat()).await?;
        let mut all: Vec<(Option<Ipv4Addr>, String)> = told.lines().map(addressed).collect();
        all.sort();
        Ok(all.into_iter().map(|(_, name)| name).collect())
    }

    /// Takes power from nodes: all their processes end at once.
    pub(super) async fn power_off(&self, nodes: &[&str], journal: &Journal) -> Result<(), TargetError> {
        let doing = "taking a node's power";
        let held = journal.held().map_err(|error| broken(doing, error))?;
        let done = self.docker.run_with(held, &[&["kill"], nodes].concat(), PATIENCE).await;
        done.map(drop).map_err(|error| broken(doing, error))
    }

    async fn processes(&self, node: &str, container: &str) -> Result<Vec<Process>, TargetError> {
        let text = self.within(node, &["sh", "-c", PROCESSES, "sh", container]).await?;
        Ok(text.lines().filter_map(process).collect())
    }

    /// Runs a command on a node.
    async fn within(&self, node: &str, command: &[&str]) -> Result<String, TargetError> {
        self.docker("reaching into a node", &[&["exec", node], command].concat()).await
    }

    async fn docker(&self, doing: &str, arguments: &[&str]) -> Result<String, TargetError> {
        self.docker.run(arguments, PATIENCE).await.map_err(|error| broken(doing, error))
    }
}

/// `/kind-worker 172.18.0.3`
fn addressed(line: &str) -> (Option<Ipv4Addr>, String) {
    let mut words = line.split_whitespace();
    let name = words.next().unwrap_or_default().trim_start_matches('/').to_owned();
    (words.find_map(|word| word.parse().ok()), name)
}

/// The main process of a container: the one that was there first.
fn main(processes: &[Process]) -> Option<&Process> {
    processes.iter().min_by_key(|process| (process.started, process.pid))
}

/// `PID (NAME) STATE …`; the name may hold anything, blanks and brackets too.
fn process(line: &str) -> Option<Process> {
    let (before, after) = line.rsplit_once(')')?;
    let fields: Vec<&str> = after.split_whitespace().collect();
    Some(Process {
        pid: before.split_once(' ')?.0.parse().ok()?,
        state: fields.first()?.chars().next()?,
        // The 22nd field of all.
        started: fields.get(19)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_its_name() {
        let line = "812 (a (b) c) T 790 812 812 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 5 0 98765 1 2 3";
        assert_eq!(process(line), Some(Process { pid: 812, state: 'T', started: 98765 }));
        assert_eq!(process("812 (cut"), None);
    }

    #[test]
    fn nodes_are_told_with_their_addresses() {
        assert_eq!(addressed("/kind-worker2 172.18.0.10"), (Some(Ipv4Addr::new(172, 18, 0, 10)), "kind-worker2".into()));
        assert_eq!(addressed("/kind-worker"), (None, "kind-worker".into()));
        let mut all = [addressed("/b 172.18.0.10"), addressed("/c 172.18.0.9")];
        all.sort();
        assert_eq!(all[0].1, "c");
    }
}
