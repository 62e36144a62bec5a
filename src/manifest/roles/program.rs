//! What a container runs: Redis, Sentinel or something else, and with which arguments.

use super::{
    environment::{self, Variable},
    mounted::File,
    shell::{self, Command},
};
use crate::manifest::{Container, Place};
use std::collections::BTreeMap;

/// Scripts that call scripts are followed this far.
const MAX_DEPTH: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Runs {
    Redis,
    Sentinel,
    Other,
}

/// A container's start.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) runs: Runs,
    /// What follows the server's name, each with its place.
    pub(super) arguments: Vec<(String, Place)>,
    /// Every command of its scripts, in order, each with the place of the line above its script.
    pub(super) commands: Vec<(Command, Place)>,
    /// Its command is a script that nothing in the set holds: the image's own.
    pub(super) hidden: bool,
}

/// Whether a container's image is Redis or one of its forks: by the last part of its name, or by a word of that name and a port.
fn is_redis_image(container: &Container<'_>) -> bool {
    const NAMES: &[&str] =
        &["redis", "redis-stack", "redis-stack-server", "redis-cluster", "rejson", "valkey", "valkey-bundle", "valkey-cluster", "keydb"];
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

/// Reads what the container starts. `environment` and `files` are those of the container.
pub(super) fn start(container: &Container<'_>, environment: &[Variable], files: &[File]) -> Start {
    let known = environment::known(environment);
    let word = |text: &&str| environment::refer(text, &known);
    let command: Vec<String> = container.strings("command").iter().map(word).collect();
    let args: Vec<String> = container.strings("args").iter().map(word).collect();
    let owner = container.workload.object;
    let items = |field: &str| container.items(field).map(|(at, _)| owner.place_of(&at)).collect::<Vec<Place>>();
    let places: Vec<Place> = items("command").into_iter().chain(items("args")).collect();
    let by_image = command.is_empty();
    let is_redis = is_redis_image(container);
    let mut words: Vec<String> = command.into_iter().chain(args).collect();
    // The entrypoint of the official image puts the server's name before options and configuration files.
    if by_image && is_redis && words.first().is_none_or(|first| first.starts_with('-') || first.ends_with(".conf")) {
        words.insert(0, if is_sentinel_by_image(container) { "redis-sentinel" } else { "redis-server" }.to_owned());
    }
    let last = places.last().cloned().unwrap_or_else(|| owner.place_of(&container.pointer));
    let mut follower = Follower { known: &known, files, commands: Vec::new(), hidden: false, scripted: false };
    follower.follow(Command { words, ..Command::default() }, &Place { column: 0, ..last }, 0);
    let Follower { commands, hidden, scripted, .. } = follower;
    let servers: Vec<(Runs, Vec<String>, Place)> = commands.iter().filter_map(|(command, place)| server(command, place)).collect();
    // Where a script chooses between a master and a replica, the master's words are the ones to judge.
    let is_replica = |words: &[String]| words.iter().any(|word| ["--replicaof", "--slaveof"].iter().any(|option| word.starts_with(option)));
    let chosen = servers.iter().find(|(_, words, _)| !is_replica(words)).or(servers.first()).cloned();
    if let Some((runs, words, line)) = chosen {
        let before = places.len().saturating_sub(words.len());
        let own = |index: usize| if scripted { None } else { places.get(before + index).cloned() };
        let arguments = words.into_iter().enumerate().map(|(index, word)| (word, own(index).unwrap_or_else(|| line.clone()))).collect();
        return Start { runs, arguments, commands, hidden };
    }
    let runs = match (hidden && is_redis, is_sentinel_by_image(container)) {
        (false, _) => Runs::Other,
        (true, true) => Runs::Sentinel,
        (true, false) => Runs::Redis,
    };
    Start { runs, arguments: Vec::new(), commands, hidden }
}

/// The server that a command starts, with its arguments.
fn server(command: &Command, place: &Place) -> Option<(Runs, Vec<String>, Place)> {
    let (program, arguments) = command.words.split_first()?;
    let runs = match base(program) {
        "redis-server" | "valkey-server" | "keydb-server" | "redis-stack-server" => Runs::Redis,
        "redis-sentinel" | "valkey-sentinel" => Runs::Sentinel,
        _ => return None,
    };
    let is_sentinel = arguments.iter().any(|word| word == "--sentinel");
    let is_question = arguments.iter().any(|word| matches!(word.as_str(), "--version" | "-v" | "--help" | "-h"));
    (!is_question).then(|| {
        (if is_sentinel { Runs::Sentinel } else { runs }, arguments.to_vec(), Place { line: place.line + command.line, ..place.clone() })
    })
}

fn base(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}

struct Follower<'f> {
    known: &'f BTreeMap<String, String>,
    files: &'f [File],
    commands: Vec<(Command, Place)>,
    hidden: bool,
    /// The commands come out of a script.
    scripted: bool,
}

impl Follower<'_> {
    /// Takes wrappers off a command, and goes into the script that it runs.
    fn follow(&mut self, mut command: Command, place: &Place, depth: usize) {
        unwrap(&mut command.words);
        let mut arguments = command.words.get(1..).unwrap_or_default();
        let script = command.words.first().and_then(|program| match base(program) {
            "sh" | "bash" | "ash" | "dash" => {
                let options = command.words[1..].iter().take_while(|word| word.starts_with('-')).count();
                let is_text = command.words[1..=options].iter().any(|word| !word.starts_with("--") && word.contains('c'));
                let next = command.words.get(options + 1)?;
                arguments = &command.words[options + 2..];
                Some(if is_text { Ok(next.clone()) } else { Err(next.clone()) })
            }
            "." | "source" => command.words.get(1).cloned().map(Err),
            name if name.ends_with(".sh") || self.files.iter().any(|file| file.path == *program) => Some(Err(program.clone())),
            _ => None,
        });
        let (text, above) = match script {
            Some(Ok(text)) => (text, place.clone()),
            Some(Err(path)) => match self.files.iter().find(|file| file.path == path) {
                Some(file) => (file.content.clone(), file.place.clone()),
                None => {
                    self.hidden = true;
                    self.commands.push((command, place.clone()));
                    return;
                }
            },
            None => {
                self.commands.push((command, place.clone()));
                return;
            }
        };
        if depth >= MAX_DEPTH {
            self.hidden = true;
            return;
        }
        self.scripted = true;
        for inner in shell::commands(&text, self.known, arguments) {
            self.follow(inner, &above, depth + 1);
        }
    }
}

/// Takes away what only starts another program.
fn unwrap(words: &mut Vec<String>) {
    while words.len() > 1 {
        let gone = match base(&words[0]) {
            "tini" | "dumb-init" | "docker-entrypoint.sh" | "env" | "exec" | "nohup" | "stdbuf" | "--" => 1,
            "gosu" | "su-exec" | "setpriv" | "timeout" | "nice" => 2,
            _ => return,
        };
        words.drain(..gone.min(words.len()));
        while words.len() > 1 && (words[0].starts_with('-') && words[0] != "--") {
            words.remove(0);
        }
    }
}
