//! Puts together what one Redis or Sentinel is: configuration, ports, data, password.

use super::{
    Config, ContainerId, Monitor, Password, Redis, Seen, Sentinel, Unknown, around, conf, data,
    disk::Disk,
    shell::{is_open, shown},
};
use crate::manifest::{ManifestSet, Place};
use serde_json::Value;

/// Settings that decide where Redis is reached, by whom, and where it writes.
const DECISIVE: &[&str] = &["port", "tls-port", "dir", "requirepass", "appendonly", "save", "cluster-enabled"];

/// The configuration that the container's server would have.
fn config(seen: &Seen<'_>, disk: &Disk) -> Config {
    let mut config = seen.start.server.map_or_else(|| of_server(seen, disk, None), |server| of_server(seen, disk, Some(server)));
    for other in &seen.start.instead {
        config.compare(&of_server(seen, disk, Some(*other)), DECISIVE);
    }
    config
}

/// The configuration that one of the container's commands gives its server.
fn of_server(seen: &Seen<'_>, disk: &Disk, server: Option<usize>) -> Config {
    let mut config = Config::default();
    let open = |path: &str| disk.open(&seen.container, path, &seen.files);
    bitnami(seen, &mut config);
    let arguments = server.map(|server| seen.start.arguments(server)).unwrap_or_default();
    let mut arguments = arguments.as_slice();
    // The first word is a file, unless it is an option; a dash is what it is given on its standard input.
    if let Some(((file, place), rest)) = arguments.split_first().filter(|((first, _), _)| first == "-" || !first.starts_with('-')) {
        if file == "-" {
            match server.and_then(|server| disk.fed(&seen.container, server)) {
                Some(parts) => parts.iter().for_each(|(text, place)| config.read(text, place, false, 0, &open)),
                None => config.doubt("it reads its configuration from a program".to_owned(), place.clone()),
            }
        } else {
            config.include(file, place, 0, &open);
        }
        arguments = rest;
    }
    for (line, place) in conf::lines_of(arguments) {
        config.read(&line, &place, true, 0, &open);
    }
    config
}

/// What Bitnami's images make of their environment.
fn bitnami(seen: &Seen<'_>, config: &mut Config) {
    let image = seen.container.image();
    if !image.repository.starts_with("bitnami") {
        return;
    }
    let place = seen.container.workload.object.place_of(&seen.container.pointer);
    let mut put = |name: &str, value: &str, place: &Place| config.put(name, value, place);
    let is_valkey = image.base().contains("valkey");
    put("dir", if is_valkey { "/bitnami/valkey/data" } else { "/bitnami/redis/data" }, &place);
    put("appendonly", "yes", &place);
    put("save", "", &place);
    for variable in &seen.environment {
        let Some(value) = &variable.value else { continue };
        let name = variable.name.replacen("VALKEY_", "REDIS_", 1);
        match name.as_str() {
            "REDIS_PORT_NUMBER" | "REDIS_SENTINEL_PORT_NUMBER" => put("port", value, &variable.place),
            "REDIS_AOF_ENABLED" => put("appendonly", value, &variable.place),
            "REDIS_PASSWORD" if !value.is_empty() => put("requirepass", value, &variable.place),
            _ => {}
        }
    }
}

pub(super) fn redis(set: &ManifestSet, seen: &Seen<'_>, disk: &Disk) -> Redis {
    let (container, workload) = (&seen.container, &seen.container.workload);
    let config = config(seen, disk);
    let number = |name: &str| config.value(name).and_then(|value| value.parse::<u16>().ok());
    // A port that is not known is most likely the one that the container names; nobody believes it before it has answered.
    let guessed = config.unknown("port").and_then(|_| container.ports().into_iter().next());
    let port = guessed.or(number("port")).unwrap_or(6379);
    let tls_port = number("tls-port").filter(|port| *port != 0);
    let ports = [Some(port).filter(|port| *port != 0), tls_port];
    let services = ports.into_iter().flatten().flat_map(|port| around::services(set, workload, port)).collect();
    let (working, working_place) = working(seen);
    let relative = config.value("dir").is_none_or(|dir| !dir.starts_with('/'));
    let unknown_dir = config.unknown("dir").or_else(|| {
        let why = format!("it starts in the directory {:?}, which only the running container knows", shown(&working));
        (relative && is_open(&working)).then(|| Unknown { why, place: working_place.clone() })
    });
    let working = shown(&working);
    let (dir, dir_place) = match config.setting("dir") {
        Some(setting) => (below(&working, setting.values.first().map(String::as_str).unwrap_or_default()), setting.place.clone()),
        None => (working, working_place),
    };
    let data = data::behind(set, container, data::clean(&dir), dir_place);
    let words = || seen.start.commands.iter().flat_map(|(command, _)| &command.words);
    let follows = |word: &String| ["replicaof", "slaveof", "REPLICAOF", "SLAVEOF"].iter().any(|name| word.contains(name));
    let replicates = config.setting("replicaof").is_some()
        || words().any(follows)
        || seen
            .environment
            .iter()
            .any(|variable| variable.name.ends_with("_REPLICATION_MODE") && matches!(variable.value.as_deref(), Some("slave" | "replica")));
    Redis {
        id: ContainerId::of(container),
        replicas: workload.replicas(),
        port,
        tls_port,
        services,
        password: password(seen, &config),
        hidden_start: seen.start.hidden.first().cloned(),
        data,
        unknown_dir,
        replicates,
        budgets: around::selecting(set, workload, "PodDisruptionBudget", "/spec/selector"),
        policies: around::selecting(set, workload, "NetworkPolicy", "/spec/podSelector"),
        config,
    }
}

/// The directory in which the server is started, and where that is decided: the container's, or where its script went before.
fn working(seen: &Seen<'_>) -> (String, Place) {
    let (container, owner) = (&seen.container, seen.container.workload.object);
    let given = container.json.get("workingDir").and_then(Value::as_str).unwrap_or("/data");
    let command = seen.start.server.and_then(|server| seen.start.commands.get(server)).map(|(command, _)| command);
    match command.and_then(|command| command.directory.clone()) {
        Some((folder, place)) => (below(given, &folder), place),
        None => (given.to_owned(), owner.place_of(&container.pointer)),
    }
}

/// A path as a process in this directory takes it.
fn below(directory: &str, path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("{directory}/{path}") }
}

/// The password that clients must give, traced back to its Secret where its text leads there.
fn password(seen: &Seen<'_>, config: &Config) -> Option<Password> {
    let setting = config.setting("requirepass")?;
    let text = setting.values.first().filter(|text| !text.is_empty())?;
    // A name that could not be filled in stands for a value that only the cluster knows.
    let name = text.trim_start_matches(['$', '(', '{']).trim_end_matches([')', '}']);
    let is_open = setting.open;
    let by_name = seen.environment.iter().find(|variable| is_open && variable.name == name);
    let by_value = seen.environment.iter().find(|variable| !is_open && variable.value.as_deref().map(str::trim) == Some(text.as_str()));
    let from_file = seen
        .files
        .iter()
        .find(|file| file.content.trim() == text)
        .and_then(|file| Some((file.from.clone()?, file.path.rsplit('/').next()?.to_owned())));
    Some(match by_name.or(by_value) {
        Some(variable) => Password { value: variable.value.clone(), source: variable.source.clone(), place: setting.place.clone() },
        None => Password { value: Some(text.clone()).filter(|_| !is_open), source: from_file, place: setting.place.clone() },
    })
}

pub(super) fn sentinel(set: &ManifestSet, seen: &Seen<'_>, disk: &Disk) -> Sentinel {
    let workload = &seen.container.workload;
    let config = config(seen, disk);
    let port = config.value("port").and_then(|value| value.parse().ok()).unwrap_or(26379);
    Sentinel {
        id: ContainerId::of(&seen.container),
        replicas: workload.replicas(),
        port,
        services: around::services(set, workload, port),
        monitors: monitors(&config),
        budgets: around::selecting(set, workload, "PodDisruptionBudget", "/spec/selector"),
        policies: around::selecting(set, workload, "NetworkPolicy", "/spec/podSelector"),
        config,
    }
}

fn monitors(config: &Config) -> Vec<Monitor> {
    let lines = || config.settings("sentinel").iter().map(|line| (line, line.values.iter().map(String::as_str).collect::<Vec<_>>()));
    let mut found: Vec<Monitor> = Vec::new();
    for (line, words) in lines() {
        let ["monitor", name, host, port, quorum, ..] = words.as_slice() else { continue };
        let monitor = Monitor {
            name: (*name).to_owned(),
            host: (*host).to_owned(),
            port: port.parse().ok(),
            quorum: quorum.parse().ok(),
            down_after: 30_000,
            failover_timeout: 180_000,
            place: line.place.clone(),
        };
        match found.iter_mut().find(|other| other.name == monitor.name) {
            None => found.push(monitor),
            // A script has a line for each of its branches: the one that says most is the one to judge.
            Some(other) if other.certainty() < monitor.certainty() => *other = monitor,
            Some(_) => {}
        }
    }
    for (_, words) in lines() {
        let [setting @ ("down-after-milliseconds" | "failover-timeout"), name, value, ..] = words.as_slice() else { continue };
        let Ok(millis) = value.parse() else { continue };
        for monitor in found.iter_mut().filter(|monitor| monitor.name == *name) {
            match *setting {
                "failover-timeout" => monitor.failover_timeout = millis,
                _ => monitor.down_after = millis,
            }
        }
    }
    found
}

impl Monitor {
    /// How many of its parts are known before a script runs.
    fn certainty(&self) -> usize {
        usize::from(!self.host.contains('$')) + usize::from(self.port.is_some()) + usize::from(self.quorum.is_some())
    }
}
