//! Files that a container finds at its start: mounted ones, and those that scripts copy, write or fill in.

use super::{
    mounted::{self, File},
    program::Start,
    shell::{self, Command},
};
use crate::manifest::{Container, Place};
use std::collections::BTreeMap;

/// Parts of a file, each with the place of the line above its first.
type Parts = Vec<(String, Place)>;

/// A file that a script wrote.
#[derive(Debug, Default)]
struct Written {
    /// The container whose script wrote it.
    writer: String,
    /// It was written as a whole, and not only appended to.
    whole: bool,
    parts: Parts,
}

/// What stands where, as far as scripts can be read.
#[derive(Debug, Default)]
pub(super) struct Disk {
    /// By volume and path within it, or by container and path.
    written: BTreeMap<String, Written>,
    /// What the last command printed.
    printed: Parts,
}

/// One container's scripts at work.
struct Hand<'h> {
    container: &'h Container<'h>,
    known: BTreeMap<String, String>,
    files: &'h [File],
}

impl Disk {
    /// Notes what a container's scripts write; call it for each container in the order in which they run.
    pub(super) fn run(&mut self, container: &Container<'_>, start: &Start, known: BTreeMap<String, String>, files: &[File]) {
        let hand = Hand { container, known, files };
        for (command, above) in &start.commands {
            self.step(&hand, command, above);
        }
    }

    /// The file at a path, as the container sees it.
    pub(super) fn open(&self, container: &Container<'_>, path: &str, files: &[File]) -> Option<Parts> {
        if let Some(written) = self.written.get(&key(container, path)) {
            return Some(written.parts.clone());
        }
        files.iter().find(|file| file.path == path).map(|file| vec![(file.content.clone(), file.place.clone())])
    }

    fn step(&mut self, hand: &Hand<'_>, command: &Command, above: &Place) {
        let Some((program, words)) = command.words.split_first() else { return };
        let program = program.rsplit('/').next().unwrap_or(program);
        let plain: Vec<&str> = words.iter().map(String::as_str).filter(|word| !word.starts_with('-')).collect();
        let before = std::mem::take(&mut self.printed);
        if matches!(program, "cp" | "mv" | "install") {
            if let Some((target, sources)) = plain.split_last() {
                for source in sources {
                    self.copy(hand, source, target);
                }
            }
            return;
        }
        // What the command reads: its here-document, its input file, or the command before it.
        let read = |disk: &Self, paths: &[&str]| -> Parts {
            if let Some((text, line)) = &command.document {
                return vec![(disk.insert_files(hand, text), below(above, *line))];
            }
            let paths: Vec<&str> = paths.iter().copied().chain(command.input.as_deref()).collect();
            if paths.is_empty() && command.piped {
                before.clone()
            } else {
                paths.iter().filter_map(|path| disk.open(hand.container, path, hand.files)).flatten().collect()
            }
        };
        let parts = match program {
            "echo" | "printf" => {
                let text = self.insert_files(hand, &plain_text(words));
                let lines = words.iter().map(|word| word.matches('\n').count() as u64).sum::<u64>();
                vec![(text, below(above, command.line.saturating_sub(1 + lines)))]
            }
            "cat" => read(self, &plain),
            "envsubst" => read(self, &[]).into_iter().map(|(text, place)| (shell::fill(&text, &hand.known), place)).collect(),
            "sed" => {
                let (edits, paths) = edits(words);
                let edit = |parts: Parts| -> Parts {
                    parts.into_iter().map(|(text, place)| (edits.iter().fold(text, |text, edit| edited(&text, edit)), place)).collect()
                };
                if words.iter().any(|word| word.starts_with("-i")) {
                    for path in paths {
                        if let Some(written) = self.written.get_mut(&key(hand.container, path)) {
                            written.parts = edit(std::mem::take(&mut written.parts));
                        }
                    }
                    return;
                }
                edit(read(self, &paths))
            }
            "tee" => {
                let parts = read(self, &[]);
                let appends = words.iter().any(|word| word == "-a");
                for target in &plain {
                    self.write(hand, target, parts.clone(), appends);
                }
                parts
            }
            _ => return,
        };
        match &command.output {
            Some((target, appends)) if !parts.is_empty() => self.write(hand, target, parts, *appends),
            _ => self.printed = parts,
        }
    }

    /// Puts the content of files in the place of `$(cat FILE)`.
    fn insert_files(&self, hand: &Hand<'_>, text: &str) -> String {
        let mut filled = String::new();
        let mut rest = text;
        while let Some((head, tail)) = rest.split_once("$(cat ") {
            filled.push_str(head);
            let (path, after) = tail.split_once(')').unwrap_or((tail, ""));
            match self.open(hand.container, path.trim().trim_matches('"'), hand.files) {
                Some(parts) => filled.push_str(parts.iter().map(|(text, _)| text.as_str()).collect::<String>().trim_end()),
                None => filled.push_str(&format!("$(cat {path})")),
            }
            rest = after;
        }
        filled + rest
    }

    fn copy(&mut self, hand: &Hand<'_>, source: &str, target: &str) {
        let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
        if let Some(folder) = source.strip_suffix("/*").or_else(|| source.strip_suffix("/.")) {
            let inside: Vec<String> =
                hand.files.iter().map(|file| file.path.clone()).filter(|path| path.starts_with(&format!("{folder}/"))).collect();
            for path in inside {
                self.copy(hand, &path, &format!("{}/", target.trim_end_matches('/')));
            }
            return;
        }
        let is_folder = target.ends_with('/') || (name(source).contains('.') && !name(target).contains('.'));
        let target = if is_folder { format!("{}/{}", target.trim_end_matches('/'), name(source)) } else { target.to_owned() };
        if let Some(parts) = self.open(hand.container, source, hand.files) {
            self.write(hand, &target, parts, false);
        }
    }

    /// Of two branches of one script that write the same file, the first is kept: it is the master's in the scripts that people write.
    /// A function that appends may stand above the one that writes the whole; what is written as a whole comes first.
    fn write(&mut self, hand: &Hand<'_>, path: &str, parts: Parts, appends: bool) {
        let mounted = self.open(hand.container, path, hand.files);
        let entry = self
            .written
            .entry(key(hand.container, path))
            .or_insert_with(|| Written { parts: mounted.filter(|_| appends).unwrap_or_default(), ..Written::default() });
        let is_own = entry.writer == hand.container.pointer;
        match (appends, is_own) {
            (true, _) => entry.parts.extend(parts),
            (false, true) if entry.whole => {}
            (false, true) => entry.parts.splice(0..0, parts).for_each(drop),
            (false, false) => entry.parts = parts,
        }
        entry.whole = !appends || (is_own && entry.whole);
        entry.writer.clone_from(&hand.container.pointer);
    }
}

fn below(above: &Place, lines: u64) -> Place {
    Place { line: above.line + lines, ..above.clone() }
}

/// What `echo` and `printf` print; `\n` ends a line as in the shells of the common images.
fn plain_text(words: &[String]) -> String {
    let words: Vec<&str> =
        words.iter().map(String::as_str).skip_while(|word| matches!(*word, "-e" | "-n" | "-en" | "-ne" | "--" | "%s" | "%s\\n")).collect();
    format!("{}\n", words.join(" ").replace("\\n", "\n"))
}

/// The expressions and the files of a `sed` command.
fn edits(words: &[String]) -> (Vec<&str>, Vec<&str>) {
    let mut edits = Vec::new();
    let mut rest = Vec::new();
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        match word {
            "-e" | "--expression" => edits.extend(words.next()),
            word if word.starts_with('-') => {}
            word => rest.push(word),
        }
    }
    if edits.is_empty() && !rest.is_empty() {
        edits.push(rest.remove(0));
    }
    (edits, rest)
}

/// A text after `s/plain words/other words/`, or after a line put in by `2s/^/words\n/`; other expressions leave it as it is.
fn edited(text: &str, edit: &str) -> String {
    let command = edit.trim_start_matches(|c: char| c.is_ascii_digit());
    let Some(delimiter) = command.strip_prefix('s').and_then(|rest| rest.chars().next()).filter(|c| !c.is_alphanumeric()) else {
        return text.to_owned();
    };
    let parts: Vec<&str> = command[1 + delimiter.len_utf8()..].split(delimiter).collect();
    let [pattern, replacement, ..] = parts.as_slice() else { return text.to_owned() };
    if *pattern == "^" && command.len() < edit.len() {
        return format!("{}{text}", replacement.replace("\\n", "\n"));
    }
    let pattern = pattern.replace("\\.", ".").replace("\\$", "$");
    let is_plain = !pattern.is_empty() && !pattern.contains(['*', '[', ']', '^', '\\', '+']);
    if is_plain { text.replace(&pattern, &replacement.replace("\\n", "\n")) } else { text.to_owned() }
}

fn key(container: &Container<'_>, path: &str) -> String {
    match mounted::volume_of(container, path) {
        Some((volume, _, within)) => format!("volume {volume}: {within}"),
        None => format!("{}: {path}", container.pointer),
    }
}
