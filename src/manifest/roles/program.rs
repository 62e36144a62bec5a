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
    /// What follows the server's name.
    pub(super) arguments: Vec<String>,
    /// Where the arguments are written.
    pub(super) place: Place,
    /// Every command of its scripts, in order, each with the place of the line above its script.
    pub(super) commands: Vec<(Command, Place)>,
    /// Its command is a script that nothing in the set holds: the image's own.
    pub(super) hidden: bool,
}

/// Whether an image is Redis or one of its forks, by the last part of its name.
pub(super) fn is_redis_image(base: &str) -> bool {
    const NAMES: &[&str] = &["redis", "redis-stack", "redis-stack-server", "redis-cluster", "rejson", "valkey", "valkey-bundle", "valkey-cluster", "keydb"];
    NAMES.contains(&base) || is_sentinel_image(base)
}

fn is_sentinel_image(base: &str) -> bool {
    matches!(base, "redis-sentinel" | "valkey-sentinel")
}

/// Reads what the container starts. `environment` and `files` are those of the container.
pub(super) fn start(container: &Container<'_>, environment: &[Variable], files: &[File]) -> Start {
    let known: BTreeMap<String, String> = environment.iter().filter_map(|variable| Some((variable.name.clone(), variable.value.clone()?))).collect();
    let word = |text: &&str| environment::refer(text, &known);
    let command: Vec<String> = container.strings("command").iter().map(word).collect();
    let args: Vec<String> = container.strings("args").iter().map(word).collect();
    let owner = container.workload.object;
    let field = if args.is_empty() && !command.is_empty() { "command" } else { "args" };
    let image = container.image();
    let is_redis = is_redis_image(image.base());
    let by_image = command.is_empty();
    let mut words: Vec<String> = command.into_iter().chain(args).collect();
    // The entrypoint of the official image puts the server's name before options and configuration files.
    if by_image && is_redis && words.first().is_none_or(|first| first.starts_with('-') || first.ends_with(".conf")) {
        words.insert(0, if is_sentinel_image(image.base()) { "redis-sentinel" } else { "redis-server" }.to_owned());
    }
    let last = owner.items_at(&format!("{}/{field}", container.pointer)).last().map(|(at, _)| at);
    let place = Place { column: 0, ..owner.place_of(&last.unwrap_or_else(|| format!("{}/{field}", container.pointer))) };
    let mut follower = Follower { known: &known, files, commands: Vec::new(), hidden: false };
    follower.follow(Command { words, ..Command::default() }, &place, 0);
    let (commands, hidden) = (follower.commands, follower.hidden);
    let servers: Vec<(Runs, Vec<String>, Place)> = commands.iter().filter_map(|(command, place)| server(command, place)).collect();
    // Where a script chooses between a master and a replica, the master's words are the ones to judge.
    let is_replica = |words: &[String]| words.iter().any(|word| ["--replicaof", "--slaveof"].iter().any(|option| word.starts_with(option)));
    let chosen = servers.iter().find(|(_, words, _)| !is_replica(words)).or(servers.first()).cloned();
    if let Some((runs, arguments, line)) = chosen {
        let exact = !by_image && line.line > place.line;
        return Start { runs, arguments, place: if exact { line } else { owner.place_of(&format!("{}/{field}", container.pointer)) }, commands, hidden };
    }
    let runs = match (hidden && is_redis, is_sentinel_image(image.base()) || container.ports().contains(&26379)) {
        (false, _) => Runs::Other,
        (true, true) => Runs::Sentinel,
        (true, false) => Runs::Redis,
    };
    Start { runs, arguments: Vec::new(), place, commands, hidden }
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
    let arguments = arguments.iter().filter(|word| !matches!(word.as_str(), "--sentinel" | "&")).cloned().collect();
    (!is_question).then(|| (if is_sentinel { Runs::Sentinel } else { runs }, arguments, Place { line: place.line + command.line, ..place.clone() }))
}

fn base(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}

struct Follower<'f> {
    known: &'f BTreeMap<String, String>,
    files: &'f [File],
    commands: Vec<(Command, Place)>,
    hidden: bool,
}

impl Follower<'_> {
    /// Takes wrappers off a command, and goes into the script that it runs.
    fn follow(&mut self, mut command: Command, place: &Place, depth: usize) {
        unwrap(&mut command.words);
        let script = command.words.first().and_then(|program| match base(program) {
            "sh" | "bash" | "ash" | "dash" => {
                let options = command.words[1..].iter().take_while(|word| word.starts_with('-')).count();
                let is_text = command.words[1..=options].iter().any(|word| !word.starts_with("--") && word.contains('c'));
                let next = command.words.get(options + 1)?;
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
        for inner in shell::commands(&text, self.known) {
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
