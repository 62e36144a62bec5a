//! Files that a container finds at its start: mounted ones, and those that scripts copy or write; edits by `sed` are not followed.

use super::{
    mounted::{self, File},
    program::Start,
    shell::Command,
};
use crate::manifest::{Container, Place};
use std::collections::BTreeMap;

/// Parts of a file, each with the place of the line above its first.
type Parts = Vec<(String, Place)>;

/// What stands where, as far as scripts can be read.
#[derive(Debug, Default)]
pub(super) struct Disk {
    /// By volume and path within it, or by container and path; with the container that wrote it.
    written: BTreeMap<String, (String, Parts)>,
}

impl Disk {
    /// Notes what a container's scripts write; call it for each container in the order in which they run.
    pub(super) fn run(&mut self, container: &Container<'_>, start: &Start, files: &[File]) {
        for (command, above) in &start.commands {
            self.step(container, command, above, files);
        }
    }

    /// The file at a path, as the container sees it.
    pub(super) fn open(&self, container: &Container<'_>, path: &str, files: &[File]) -> Option<Parts> {
        if let Some((_, parts)) = self.written.get(&key(container, path)) {
            return Some(parts.clone());
        }
        files.iter().find(|file| file.path == path).map(|file| vec![(file.content.clone(), file.place.clone())])
    }

    fn step(&mut self, container: &Container<'_>, command: &Command, above: &Place, files: &[File]) {
        let Some((program, words)) = command.words.split_first() else { return };
        let plain: Vec<&str> = words.iter().map(String::as_str).filter(|word| !word.starts_with('-')).collect();
        match program.rsplit('/').next().unwrap_or(program) {
            "cp" | "mv" | "install" => {
                if let Some((target, sources)) = plain.split_last() {
                    for source in sources {
                        self.copy(container, source, target, files);
                    }
                }
                return;
            }
            "tee" => {
                if let (Some(target), Some((text, line))) = (plain.first(), &command.document) {
                    let appends = words.iter().any(|word| word == "-a");
                    self.write(container, target, vec![(text.clone(), below(above, *line))], appends, files);
                }
                return;
            }
            _ => {}
        }
        let Some((target, appends)) = &command.output else { return };
        let parts = match (program.as_str(), &command.document) {
            (_, Some((text, line))) => vec![(text.clone(), below(above, *line))],
            ("echo" | "printf", None) => {
                let text = plain_text(words);
                vec![(text, below(above, command.line.saturating_sub(1)))]
            }
            ("cat" | "sed" | "envsubst", None) => {
                let sources = plain.iter().copied().chain(command.input.as_deref());
                sources.filter_map(|source| self.open(container, source, files)).flatten().collect()
            }
            _ => return,
        };
        if !parts.is_empty() {
            self.write(container, target, parts, *appends, files);
        }
    }

    fn copy(&mut self, container: &Container<'_>, source: &str, target: &str, files: &[File]) {
        let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
        let whole = source.strip_suffix("/*").or_else(|| source.strip_suffix("/."));
        if let Some(folder) = whole {
            let inside: Vec<String> = files.iter().filter(|file| file.path.starts_with(&format!("{folder}/"))).map(|file| file.path.clone()).collect();
            for path in inside {
                self.copy(container, &path, &format!("{}/", target.trim_end_matches('/')), files);
            }
            return;
        }
        let is_folder = target.ends_with('/') || (name(source).contains('.') && !name(target).contains('.'));
        let target = if is_folder { format!("{}/{}", target.trim_end_matches('/'), name(source)) } else { target.to_owned() };
        if let Some(parts) = self.open(container, source, files) {
            self.write(container, &target, parts, false, files);
        }
    }

    /// Of two branches of one script that write the same file, the first is kept: it is the master's in the scripts that people write.
    fn write(&mut self, container: &Container<'_>, path: &str, parts: Parts, appends: bool, files: &[File]) {
        let before = if appends { self.open(container, path, files) } else { None };
        let key = key(container, path);
        let is_second = self.written.get(&key).is_some_and(|(writer, _)| *writer == container.pointer);
        if is_second && !appends {
            return;
        }
        let parts = before.into_iter().flatten().chain(parts).collect();
        self.written.insert(key, (container.pointer.clone(), parts));
    }
}

fn below(above: &Place, lines: u64) -> Place {
    Place { line: above.line + lines, ..above.clone() }
}

/// What `echo` and `printf` print; `\n` ends a line as in the shells of the common images.
fn plain_text(words: &[String]) -> String {
    let words: Vec<&str> = words.iter().map(String::as_str).skip_while(|word| matches!(*word, "-e" | "-n" | "-en" | "-ne")).collect();
    format!("{}\n", words.join(" ").replace("\\n", "\n"))
}

fn key(container: &Container<'_>, path: &str) -> String {
    match mounted::volume_of(container, path) {
        Some((volume, _, within)) => format!("volume {volume}: {within}"),
        None => format!("{}: {path}", container.pointer),
    }
}
