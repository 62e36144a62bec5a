//! Files that a container finds at its start: mounted ones, and those that scripts copy, write or fill in.

use super::{
    mounted::{self, File},
    program::{self, Start},
    shell::{CLOSE, Command, OPEN, echoed, formatted, sed, unknown},
};
use crate::manifest::{Container, Place};
use std::collections::BTreeMap;

/// Parts of a file, each with the place of the line above its first.
type Parts = Vec<(String, Place)>;

/// What stands where, as far as scripts can be read.
#[derive(Debug, Default)]
pub(super) struct Disk {
    /// By volume and path within it, or by container and path.
    written: BTreeMap<String, Parts>,
    /// What the last command printed.
    printed: Parts,
    /// What a container's commands read, by container and the command's number.
    fed: BTreeMap<(String, usize), Parts>,
}

/// Settings by which Redis is reached and kept: where two ways through a script give them differently, none of them is believed.
const DECISIVE: &[&str] = &["port", "tls-port", "dir", "requirepass"];

/// One container's scripts at work.
struct Hand<'h> {
    container: &'h Container<'h>,
    known: BTreeMap<String, String>,
    files: &'h [File],
    /// The image may set variables that the manifests do not name.
    image_sets: bool,
}

impl Disk {
    /// Notes what a container's scripts write; call it for each container in the order in which they run.
    pub(super) fn run(&mut self, container: &Container<'_>, start: &Start, known: BTreeMap<String, String>, files: &[File]) {
        let hand = Hand { container, known, files, image_sets: program::image_sets_variables(container) };
        for (number, (command, above)) in start.commands.iter().enumerate() {
            if command.words.iter().any(|word| word == "-") {
                let read = self.read(&hand, command, above, &[]);
                self.fed.insert((container.pointer.clone(), number), read);
            }
            self.step(&hand, command, above);
        }
    }

    /// What a command of a container is given on its standard input, as far as it is known.
    pub(super) fn fed(&self, container: &Container<'_>, number: usize) -> Option<&Parts> {
        self.fed.get(&(container.pointer.clone(), number)).filter(|parts| !parts.is_empty())
    }

    /// What the command reads: its here-document, its input file, or the command before it.
    fn read(&self, hand: &Hand<'_>, command: &Command, above: &Place, paths: &[&str]) -> Parts {
        if let Some((text, line)) = &command.document {
            return vec![(self.insert_files(hand, text), below(above, *line))];
        }
        let paths: Vec<&str> = paths.iter().copied().chain(command.input.as_deref()).collect();
        if paths.is_empty() && command.piped {
            return self.printed.clone();
        }
        paths.iter().filter_map(|path| self.open(hand.container, path, hand.files)).flatten().collect()
    }

    /// The file at a path, as the container sees it.
    pub(super) fn open(&self, container: &Container<'_>, path: &str, files: &[File]) -> Option<Parts> {
        if let Some(written) = self.written.get(&key(container, path)) {
            return Some(written.clone());
        }
        files.iter().find(|file| file.path == path).map(|file| vec![(file.content.clone(), file.place.clone())])
    }

    fn step(&mut self, hand: &Hand<'_>, command: &Command, above: &Place) {
        let Some((program, words)) = command.words.split_first() else { return };
        let program = program.rsplit('/').next().unwrap_or(program);
        let plain: Vec<&str> = words.iter().map(String::as_str).filter(|word| !word.starts_with('-')).collect();
        if matches!(program, "cp" | "mv" | "install") {
            if let Some((target, sources)) = plain.split_last() {
                for source in sources {
                    self.copy(hand, source, target, command.certain);
                }
            }
            return;
        }
        let here = || below(above, command.line.saturating_sub(1));
        // What nobody here can tell is a line that may be anything.
        let anything = |what: String| -> Parts { vec![(format!("{}\n", unknown(&what)), here())] };
        let parts = match program {
            "echo" | "printf" => {
                let text = if program == "echo" { Some(echoed(words)) } else { formatted(words) };
                let lines = words.iter().map(|word| word.matches('\n').count() as u64).sum::<u64>();
                match text {
                    Some(text) => vec![(self.insert_files(hand, &text), below(above, command.line.saturating_sub(1 + lines)))],
                    None => anything(format!("({})", words.join(" "))),
                }
            }
            "cat" => self.read(hand, command, above, &plain.iter().copied().filter(|path| *path != "-").collect::<Vec<_>>()),
            "envsubst" => {
                let read = self.read(hand, command, above, &[]);
                read.into_iter().map(|(text, place)| (substituted(&text, hand, &plain), place)).collect()
            }
            "sed" => {
                let (edits, paths, extended) = sed::words(words);
                let edit = |parts: Parts| -> Parts {
                    let edited = |(text, place): (String, Place)| {
                        let text = sed::edited(&text, &edits, extended).unwrap_or_else(|| format!("{}{text}", unknown("(sed …)") + "\n"));
                        (text, place)
                    };
                    parts.into_iter().map(edited).collect()
                };
                if words.iter().any(|word| word.starts_with("-i") || word == "--in-place") {
                    for path in paths {
                        if let Some(parts) = self.open(hand.container, path, hand.files) {
                            self.write(hand, path, edit(parts), false, command.certain);
                        }
                    }
                    return;
                }
                edit(self.read(hand, command, above, &paths))
            }
            "tee" => {
                let parts = self.read(hand, command, above, &[]);
                let appends = words.iter().any(|word| word == "-a");
                for target in &plain {
                    self.write(hand, target, parts.clone(), appends, command.certain);
                }
                parts
            }
            name => {
                self.printed = Vec::new();
                if let Some((target, appends)) = &command.output
                    && program::kind(name).is_none()
                {
                    self.write(hand, target, anything(format!("({name} …)")), *appends, command.certain);
                } else if command.output.is_none() {
                    self.printed = anything(format!("({name} …)"));
                }
                return;
            }
        };
        self.printed = Vec::new();
        match &command.output {
            Some((target, appends)) if !parts.is_empty() => self.write(hand, target, parts, *appends, command.certain),
            Some(_) => {}
            None => self.printed = parts,
        }
    }

    /// Puts the content of files in the place of `$(cat FILE)`.
    fn insert_files(&self, hand: &Hand<'_>, text: &str) -> String {
        let mut filled = String::new();
        let mut rest = text;
        let begin = format!("{OPEN}(cat ");
        while let Some((head, tail)) = rest.split_once(&begin) {
            filled.push_str(head);
            let (inner, after) = tail.split_once(CLOSE).unwrap_or((tail, ""));
            let path = inner.trim_end_matches(')').trim().trim_matches('"');
            match self.open(hand.container, path, hand.files) {
                Some(parts) => filled.push_str(parts.iter().map(|(text, _)| text.as_str()).collect::<String>().trim_end()),
                None => filled.push_str(&unknown(&format!("(cat {inner}"))),
            }
            rest = after;
        }
        filled + rest
    }

    fn copy(&mut self, hand: &Hand<'_>, source: &str, target: &str, certain: bool) {
        let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
        if let Some(folder) = source.strip_suffix("/*").or_else(|| source.strip_suffix("/.")) {
            let inside: Vec<String> =
                hand.files.iter().map(|file| file.path.clone()).filter(|path| path.starts_with(&format!("{folder}/"))).collect();
            for path in inside {
                self.copy(hand, &path, &format!("{}/", target.trim_end_matches('/')), certain);
            }
            return;
        }
        let is_folder = target.ends_with('/') || (name(source).contains('.') && !name(target).contains('.'));
        let target = if is_folder { format!("{}/{}", target.trim_end_matches('/'), name(source)) } else { target.to_owned() };
        if let Some(parts) = self.open(hand.container, source, hand.files) {
            self.write(hand, &target, parts, false, certain);
        }
    }

    /// What is written on one of several ways stands beside what is there already: of two branches the first is kept, which is the
    /// master's in the scripts that people write, and settings that decide are believed only where both say the same.
    fn write(&mut self, hand: &Hand<'_>, path: &str, parts: Parts, appends: bool, certain: bool) {
        let there = self.open(hand.container, path, hand.files);
        let written = match (there, appends, certain) {
            (Some(mut there), true, true) => {
                there.extend(parts);
                there
            }
            (Some(mut there), true, false) => {
                let doubtful: Parts = parts.into_iter().map(|(text, place)| (doubtful(&text, |_| true), place)).collect();
                there.extend(doubtful);
                there
            }
            (Some(there), false, false) => {
                let all = |parts: &Parts| parts.iter().map(|(text, _)| text.as_str()).collect::<String>();
                let (old, new) = (all(&there), all(&parts));
                let differs = |name: &str| lines_of(&old, name) != lines_of(&new, name);
                let mut kept: Parts = there.into_iter().map(|(text, place)| (doubtful(&text, differs), place)).collect();
                // What only the other way sets.
                let place = parts.first().map_or_else(Place::default, |(_, place)| place.clone());
                for name in DECISIVE.iter().filter(|name| lines_of(&old, name).is_empty() && !lines_of(&new, name).is_empty()) {
                    kept.push((format!("{name} {}\n", unknown(name)), place.clone()));
                }
                kept
            }
            _ => parts,
        };
        self.written.insert(key(hand.container, path), written);
    }
}

/// A text in which settings that decide are unknown.
fn doubtful(text: &str, is: impl Fn(&str) -> bool) -> String {
    let line = |line: &str| {
        let name = line.split_whitespace().next().unwrap_or_default().to_lowercase();
        let doubted = DECISIVE.contains(&name.as_str()) && is(&name);
        if doubted { format!("{name} {}\n", unknown(line.trim())) } else { line.to_owned() }
    };
    text.split_inclusive('\n').map(line).collect()
}

/// The lines of a setting.
fn lines_of<'t>(text: &'t str, name: &str) -> Vec<&'t str> {
    text.lines().map(str::trim).filter(|line| line.split_whitespace().next().is_some_and(|word| word.eq_ignore_ascii_case(name))).collect()
}

fn below(above: &Place, lines: u64) -> Place {
    Place { line: above.line + lines, ..above.clone() }
}

/// What `envsubst` makes of a text: every variable, or those that its argument names.
fn substituted(text: &str, hand: &Hand<'_>, wanted: &[&str]) -> String {
    let mut filled = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        filled.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let braced = after.starts_with('{');
        let inner = after.strip_prefix('{').unwrap_or(after);
        let length = inner.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(inner.len());
        let name = &inner[..length];
        let behind = if braced { inner[length..].strip_prefix('}') } else { Some(&inner[length..]) };
        let is_wanted =
            wanted.is_empty() || wanted.iter().any(|words| words.contains(&format!("${name}")) || words.contains(&format!("${{{name}}}")));
        match behind.filter(|_| !name.is_empty() && is_wanted) {
            Some(behind) => {
                match hand.known.get(name) {
                    Some(value) => filled.push_str(value),
                    None if hand.image_sets => filled.push_str(&unknown(name)),
                    None => {}
                }
                rest = behind;
            }
            None => {
                filled.push('$');
                rest = after;
            }
        }
    }
    filled + rest
}

fn key(container: &Container<'_>, path: &str) -> String {
    match mounted::volume_of(container, path) {
        Some((volume, _, within)) => format!("volume {volume}: {within}"),
        None => format!("{}: {path}", container.pointer),
    }
}
