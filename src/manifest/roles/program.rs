//! What a container runs: Redis, Sentinel or something else, and with which arguments.

use super::{
    disk::Disk,
    environment::{self, Variable},
    mounted::File,
    shell::{Command, Field, Shell, base, is_open, shown},
};
use crate::manifest::{Container, ManifestSet, Place};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Runs {
    Redis,
    Sentinel,
    Other,
    /// Only the running container knows.
    Unknown,
}

/// A container's start.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) runs: Runs,
    /// Every command that it starts, in order, each with the place of the line above its script.
    pub(super) commands: Vec<(Command, Place)>,
    /// Which of the commands is its server.
    pub(super) server: Option<usize>,
    /// Servers of the same kind that may run in its place.
    pub(super) instead: Vec<usize>,
    /// What of it could not be followed: scripts that nothing in the set holds.
    pub(super) hidden: Vec<(String, Place)>,
    /// Why it is not known what it runs.
    pub(super) doubt: Option<(String, Place)>,
}

impl Start {
    /// What follows the name of a server, each with its place.
    pub(super) fn arguments(&self, server: usize) -> Vec<(String, Place)> {
        let Some((command, above)) = self.commands.get(server) else { return Vec::new() };
        let line = line_of(command, above);
        let places = command.places.iter().map(|place| place.clone().unwrap_or_else(|| line.clone()));
        command.words.iter().cloned().zip(places).skip(1).collect()
    }
}

/// The line on which a command stands; one that is no part of a script stands in the container's own fields.
pub(super) fn line_of(command: &Command, above: &Place) -> Place {
    Place { line: above.line + command.line, ..above.clone() }
}

/// Whether a container's image is Redis or one of its forks: by the last part of its name, or by a word of that name and a port.
fn is_redis_image(container: &Container<'_>) -> bool {
    const NAMES: &[&str] = &[
        "redis",
        "redis-stack",
        "redis-stack-server",
        "redis-cluster",
        "rejson",
        "valkey",
        "valkey-bundle",
        "valkey-cluster",
        "keydb",
        "redict",
    ];
    const OTHERS: &[&str] = &["exporter", "proxy", "commander", "insight", "operator", "ui", "admin", "backup", "cli"];
    let image = container.image();
    let words: Vec<&str> = image.base().split(['-', '_']).collect();
    let is_named =
        ["redis", "valkey", "keydb"].iter().any(|name| words.contains(name)) && !OTHERS.iter().any(|other| words.contains(other));
    NAMES.contains(&image.base())
        || is_sentinel_image(image.base())
        || (is_named && container.ports().iter().any(|port| [6379, 26379].contains(port)))
}

/// Whether a container that starts what its image says is a Sentinel.
fn is_sentinel_by_image(container: &Container<'_>) -> bool {
    let ports = container.ports();
    is_sentinel_image(container.image().base()) || (ports.contains(&26379) && !ports.contains(&6379))
}

fn is_sentinel_image(base: &str) -> bool {
    matches!(base, "redis-sentinel" | "valkey-sentinel")
}

/// Whether the image may set variables of its own that a script asks for: that of the official ones is known, and sets none that matter.
pub(super) fn image_sets_variables(container: &Container<'_>) -> bool {
    let image = container.image();
    !matches!(image.repository.as_str(), "library/redis" | "docker/library/redis" | "valkey/valkey" | "library/busybox" | "library/alpine")
}

/// Reads what the container starts. `environment` and `files` are those of the container, `disk` what earlier ones wrote.
pub(super) fn start(set: &ManifestSet, container: &Container<'_>, environment: &[Variable], files: &[File], disk: &Disk) -> Start {
    let mut known = environment::known(environment);
    environment::add_services(set, container, &mut known);
    let owner = container.workload.object;
    let fields = |field: &str| -> Vec<Field> {
        let words = container.items(field).filter_map(|(at, word)| Some((word.as_str()?, at)));
        words.map(|(word, at)| Field { text: environment::refer(word, &known), place: Some(owner.place_of(&at)) }).collect()
    };
    let command = fields("command");
    let by_image = command.is_empty();
    let is_redis = is_redis_image(container);
    let mut words: Vec<Field> = command.into_iter().chain(fields("args")).collect();
    // The entrypoint of the official image puts the server's name before options and configuration files.
    if by_image && is_redis && words.first().is_none_or(|first| first.text.starts_with('-') || first.text.ends_with(".conf")) {
        let server = if is_sentinel_by_image(container) { "redis-sentinel" } else { "redis-server" };
        words.insert(0, Field { text: server.to_owned(), place: None });
    }
    let last = words.iter().rev().find_map(|word| word.place.clone()).unwrap_or_else(|| owner.place_of(&container.pointer));
    let open = |path: &str| {
        let parts = disk.open(container, path, files)?;
        let place = parts.first().map_or_else(Place::default, |(_, place)| place.clone());
        Some((parts.into_iter().map(|(text, _)| text).collect::<String>(), place))
    };
    let mut shell = Shell::new(&open, image_sets_variables(container));
    if !words.is_empty() {
        shell.start(words, &known, &Place { column: 0, ..last });
    }
    let Shell { commands, hidden, .. } = shell;
    chosen(container, is_redis, commands, hidden)
}

/// Finds the server among the commands.
fn chosen(container: &Container<'_>, is_redis: bool, commands: Vec<(Command, Place)>, hidden: Vec<(String, Place)>) -> Start {
    let none = |runs, commands, hidden, doubt| Start { runs, commands, server: None, instead: Vec::new(), hidden, doubt };
    let servers: Vec<(usize, Runs, &Command)> =
        commands.iter().enumerate().filter_map(|(index, (command, _))| Some((index, kind_of(command)?, command))).collect();
    let mut pool: Vec<(usize, Runs, &Command)> = servers.iter().filter(|(.., command)| command.certain).copied().collect();
    if pool.is_empty() {
        pool = servers;
    }
    // One that only helps the start (loads a file, writes another) stays in the background.
    let helps = |command: &Command| command.background || command.words.windows(2).any(|pair| pair[0] == "--daemonize" && pair[1] == "yes");
    if pool.iter().any(|(_, runs, command)| !helps(command) && pool.iter().all(|(_, other, _)| other == runs)) {
        pool.retain(|(.., command)| !helps(command));
    }
    // Where a script chooses between a master and a replica, the master's words are the ones to judge.
    let is_replica =
        |command: &Command| command.words.iter().any(|word| ["--replicaof", "--slaveof"].iter().any(|option| word.starts_with(option)));
    let first = pool.iter().find(|(.., command)| !is_replica(command)).or(pool.first());
    if let Some((server, runs, command)) = first.copied() {
        let place = line_of(command, &commands[server].1);
        if let Some((other, ..)) = pool.iter().find(|(_, other, command)| *other != runs && !command.certain) {
            let (other, above) = &commands[*other];
            let why = format!(
                "its script starts {} here and {} at {}, and only the running container knows which",
                base(&command.words[0]),
                base(&other.words[0]),
                line_of(other, above)
            );
            return none(Runs::Unknown, commands, hidden, Some((why, place)));
        }
        let instead: Vec<usize> = pool
            .iter()
            .filter(|(index, .., command)| *index != server && !command.certain && !is_replica(command))
            .map(|(index, ..)| *index)
            .collect();
        return Start { runs, server: Some(server), instead, commands, hidden, doubt: None };
    }
    let is_sentinel = is_sentinel_by_image(container);
    let is_asked_for = is_redis || container.ports().iter().any(|port| [6379, 26379].contains(port));
    if let Some((command, above)) = commands.iter().find(|(command, _)| is_asked_for && is_open(&command.words[0])) {
        let doubt = (
            format!("its script runs {:?}, and only the running container knows what that is", shown(&command.words[0])),
            line_of(command, above),
        );
        return none(Runs::Unknown, commands, hidden, Some(doubt));
    }
    let runs = match (!hidden.is_empty() && is_redis, is_sentinel) {
        (false, _) => Runs::Other,
        (true, true) => Runs::Sentinel,
        (true, false) => Runs::Redis,
    };
    none(runs, commands, hidden, None)
}

/// The server that a program is.
pub(super) fn kind(program: &str) -> Option<Runs> {
    match base(program) {
        "redis-server" | "valkey-server" | "keydb-server" | "redis-stack-server" | "redict-server" => Some(Runs::Redis),
        "redis-sentinel" | "valkey-sentinel" | "redict-sentinel" => Some(Runs::Sentinel),
        _ => None,
    }
}

/// The server that a command starts.
fn kind_of(command: &Command) -> Option<Runs> {
    let (program, arguments) = command.words.split_first()?;
    let runs = kind(program)?;
    let is_sentinel = arguments.iter().any(|word| word == "--sentinel");
    let is_question = arguments.iter().any(|word| matches!(word.as_str(), "--version" | "-v" | "--help" | "-h" | "--test-memory"));
    (!is_question).then_some(if is_sentinel { Runs::Sentinel } else { runs })
}
