//! Redis's configuration: files with what they include, then arguments, the later line winning.

use super::shell::{CLOSE, OPEN, is_open, shown};
use crate::manifest::Place;
use std::collections::BTreeMap;

/// One line of configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// What follows the name, quotes taken off.
    pub values: Vec<String>,
    /// Where it is written.
    pub place: Place,
    /// It is an argument of the command line and not a line of a file.
    pub argument: bool,
    /// A part of it is known to the running container only; it is written here as the script has it.
    pub open: bool,
    /// How many lines came before it.
    order: usize,
}

/// Why a setting is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// In words.
    pub why: String,
    /// Where it is decided.
    pub place: Place,
}

/// A configuration as Redis would have it after its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    settings: BTreeMap<String, Vec<Setting>>,
    /// Files that were read, in order.
    pub files: Vec<String>,
    /// Files that Redis is told to read and that nothing in the set holds.
    pub missing: Vec<(String, Place)>,
    /// Lines that may be anything, each with how many came before it.
    anything: Vec<(usize, Unknown)>,
    /// Settings that may be another than the one in force.
    other: BTreeMap<String, Unknown>,
    lines: usize,
}

/// Gives the parts of a file by its path, each with the place of the line above its first.
pub(super) type Open<'o> = &'o dyn Fn(&str) -> Option<Vec<(String, Place)>>;

impl Config {
    /// The setting in force; of several lines the last.
    #[must_use]
    pub fn setting(&self, name: &str) -> Option<&Setting> {
        self.settings.get(name).and_then(|settings| settings.last())
    }

    /// All lines of a setting that may stand several times (`save`, `rename-command`, `sentinel`), in order.
    #[must_use]
    pub fn settings(&self, name: &str) -> &[Setting] {
        self.settings.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    /// The first value in force: `yes` for `appendonly yes`.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.setting(name).and_then(|setting| setting.values.first()).map(String::as_str)
    }

    /// Whether a setting is `yes`; where it is not written, Redis's own default.
    #[must_use]
    pub fn is_on(&self, name: &str, default: bool) -> bool {
        self.value(name).map_or(default, |value| value.eq_ignore_ascii_case("yes"))
    }

    /// A size in bytes: `256mb` is 256 × 1024 × 1024, `256m` is 256,000,000.
    #[must_use]
    pub fn bytes(&self, name: &str) -> Option<u64> {
        bytes(self.value(name)?)
    }

    /// Points at which a snapshot is written: (seconds, changes); Redis's own three where nothing is written, none after `save ""`.
    #[must_use]
    pub fn saves(&self) -> Vec<(u64, u64)> {
        let lines = self.settings("save");
        if lines.is_empty() {
            return vec![(3600, 1), (300, 100), (60, 10_000)];
        }
        let mut points = Vec::new();
        for line in lines {
            // One argument may hold them all: `save "900 1 300 10"`.
            let numbers: Vec<&str> = line.values.iter().flat_map(|value| value.split_whitespace()).collect();
            if numbers.is_empty() {
                points.clear();
            }
            points.extend(numbers.chunks(2).filter_map(|pair| Some((pair.first()?.parse().ok()?, pair.get(1)?.parse().ok()?))));
        }
        points
    }

    /// All names that are set, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.settings.keys().map(String::as_str)
    }

    /// Why the setting in force is not known; `None` where it is, Redis' own default included.
    #[must_use]
    pub fn unknown(&self, name: &str) -> Option<Unknown> {
        let setting = self.setting(name);
        if let Some(setting) = setting.filter(|setting| setting.open) {
            let why = format!("{name} is {:?}, which only the running container knows", setting.values.join(" "));
            return Some(Unknown { why, place: setting.place.clone() });
        }
        if let Some(other) = self.other.get(name) {
            return Some(other.clone());
        }
        let mut later = self.anything.iter().rev().filter(|(order, _)| setting.is_none_or(|setting| setting.order < *order));
        later.next().map(|(_, unknown)| unknown.clone())
    }

    /// Notes that what follows may set anything.
    pub(super) fn doubt(&mut self, why: String, place: Place) {
        self.lines += 1;
        self.anything.push((self.lines, Unknown { why, place }));
    }

    /// Notes settings that another way through the start would give.
    pub(super) fn compare(&mut self, other: &Self, names: &[&str]) {
        for name in names {
            let value = |config: &Self| config.settings(name).iter().map(|setting| setting.values.clone()).collect::<Vec<_>>();
            if value(self) != value(other) {
                let Some(place) = other.setting(name).or(self.setting(name)).map(|setting| setting.place.clone()) else { continue };
                let why = format!("a script chooses between values of {name}, and only the running container knows which");
                self.other.entry((*name).to_owned()).or_insert(Unknown { why, place });
            }
        }
    }

    /// Adds a setting that is no line of a file.
    pub(super) fn put(&mut self, name: &str, value: &str, place: &Place) {
        self.add(name, &[value.to_owned()], place.clone(), false);
    }

    fn add(&mut self, name: &str, values: &[String], place: Place, argument: bool) {
        self.lines += 1;
        let open = values.iter().any(|value| is_open(value));
        let values = values.iter().map(|value| shown(value)).collect();
        let setting = Setting { values, place, argument, open, order: self.lines };
        let name = match name.to_lowercase().as_str() {
            "slaveof" => "replicaof".to_owned(),
            other => other.replace("slave", "replica"),
        };
        self.settings.entry(name).or_default().push(setting);
    }

    /// Reads a text; `first` is the line above its first one. A missing include is noted; `open` gives the content of a path.
    pub(super) fn read(&mut self, text: &str, first: &Place, argument: bool, depth: usize, open: Open<'_>) {
        for (line_text, number) in text.lines().zip(1..) {
            let mut words = split(line_text).into_iter();
            let Some(name) = words.next() else { continue };
            let line = if argument { first.line } else { first.line + number };
            let place = Place { line, ..first.clone() };
            let values: Vec<String> = words.collect();
            if name.eq_ignore_ascii_case("include") {
                self.include(values.first().map(String::as_str).unwrap_or_default(), &place, depth, open);
                continue;
            }
            if is_open(&name) {
                self.doubt(format!("its configuration has a line {:?}, which only the running container knows", shown(line_text)), place);
                continue;
            }
            self.add(&name, &values, place, argument);
        }
    }

    /// Reads a file, or notes that it is not there.
    pub(super) fn include(&mut self, path: &str, from: &Place, depth: usize, open: Open<'_>) {
        match open(path) {
            // Redis itself would go on until it runs out of memory.
            Some(_) if depth > 8 => {}
            Some(parts) => {
                self.files.push(path.to_owned());
                for (text, first) in parts {
                    self.read(&text, &first, false, depth + 1, open);
                }
            }
            None => {
                self.doubt(format!("its configuration is in {}, which no file of these manifests holds", shown(path)), from.clone());
                self.missing.push((shown(path), from.clone()));
            }
        }
    }
}

/// A size as Redis reads it.
#[must_use]
pub fn bytes(text: &str) -> Option<u64> {
    let lower = text.to_lowercase();
    let end = lower.find(|c: char| !c.is_ascii_digit()).unwrap_or(lower.len());
    let factor: u64 = match &lower[end..] {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    lower[..end].parse::<u64>().ok()?.checked_mul(factor)
}

/// The words of a line, as Redis splits it: quotes group, a line that begins with `#` is a comment, and only such a line.
fn split(line: &str) -> Vec<String> {
    let line = line.trim();
    let mut words = Vec::new();
    if line.starts_with('#') {
        return words;
    }
    let mut chars = line.chars().peekable();
    loop {
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        let Some(first) = chars.peek().copied() else { return words };
        let mut word = String::new();
        let quote = matches!(first, '"' | '\'').then_some(first);
        if quote.is_some() {
            chars.next();
        }
        while let Some(c) = chars.next() {
            match (quote, c) {
                (Some(quote), c) if c == quote => break,
                (None, c) if c.is_whitespace() => break,
                (Some(_), '\\') => word.extend(chars.next()),
                // What a script leaves unknown is a part of one word, whatever is in its own text.
                (_, OPEN) => {
                    word.push(OPEN);
                    for c in chars.by_ref() {
                        word.push(c);
                        if c == CLOSE {
                            break;
                        }
                    }
                }
                (_, c) => word.push(c),
            }
        }
        words.push(word);
    }
}

/// A command line as the lines that Redis makes of it: each `--name` begins one, and what follows belongs to it.
pub(super) fn lines_of(arguments: &[(String, Place)]) -> Vec<(String, Place)> {
    let mut lines: Vec<(String, Place)> = Vec::new();
    let mut has_value = true;
    for (argument, place) in arguments {
        match (argument.strip_prefix("--"), lines.last_mut()) {
            (Some("sentinel"), _) => {}
            (Some(option), _) => {
                lines.push((option.to_owned(), place.clone()));
                has_value = option.contains(char::is_whitespace);
            }
            // In the place of an option it may be any number of them.
            (None, _) if has_value && argument.starts_with(OPEN) => lines.push((argument.clone(), place.clone())),
            (None, Some((line, _))) => {
                line.push_str(&format!(" \"{}\"", argument.replace('\\', "\\\\").replace('"', "\\\"")));
                has_value = true;
            }
            (None, None) => {}
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn config(text: &str) -> Config {
        let mut config = Config::default();
        let included = |path: &str| (path == "/b.conf").then(|| vec![("port 7000\nappendonly yes\n".to_owned(), Place::of_file("b.conf"))]);
        config.read(text, &Place { line: 10, ..Place::of_file("a.yaml") }, false, 0, &included);
        config
    }

    #[test]
    fn the_last_line_wins_and_knows_its_place() {
        let config = config("# port 1\nport 6379\nPORT 6380\n  requirepass \"a \\\" b\"\ndir ./ # no comment here\n");
        assert_eq!(config.value("port"), Some("6380"));
        assert_eq!(config.setting("port").unwrap().place.to_string(), "a.yaml:13");
        assert_eq!(config.value("requirepass"), Some("a \" b"));
        assert_eq!(config.setting("dir").unwrap().values.len(), 5);
    }

    #[test]
    fn included_files_are_read_where_they_stand_and_missing_ones_are_noted() {
        let config = config("port 1\ninclude /b.conf\ninclude /none.conf\n");
        assert_eq!(config.value("port"), Some("7000"));
        assert_eq!(config.setting("port").unwrap().place.to_string(), "b.conf:1");
        assert_eq!(config.files, ["/b.conf"]);
        assert_eq!(config.missing[0].0, "/none.conf");
    }

    #[rstest]
    #[case("", vec![(3600, 1), (300, 100), (60, 10_000)])]
    #[case("save 60 10000\nsave 1 1\n", vec![(60, 10_000), (1, 1)])]
    #[case("save \"\"\n", vec![])]
    #[case("save 60 1\nsave \"\"\n", vec![])]
    #[case("save \"900 1 300 10\"\n", vec![(900, 1), (300, 10)])]
    fn snapshots_are_those_that_redis_would_make(#[case] text: &str, #[case] points: Vec<(u64, u64)>) {
        assert_eq!(config(text).saves(), points);
    }

    #[test]
    fn old_names_are_the_new_ones() {
        assert_eq!(config("slaveof a 1\nslave-priority 0\n").names().collect::<Vec<_>>(), ["replica-priority", "replicaof"]);
    }

    #[test]
    fn arguments_make_lines_of_their_own() {
        let words = ["--sentinel", "--appendonly yes", "--save", "", "--requirepass", "a b"];
        let arguments: Vec<_> =
            words.iter().zip(1..).map(|(word, line)| ((*word).to_owned(), Place { line, ..Place::default() })).collect();
        let mut config = Config::default();
        for (line, place) in lines_of(&arguments) {
            config.read(&line, &place, true, 0, &|_| None);
        }
        assert_eq!(config.setting("save").unwrap().place.line, 3);
        assert!(config.is_on("appendonly", false));
        assert_eq!(config.saves(), []);
        assert_eq!(config.value("requirepass"), Some("a b"));
    }

    #[rstest]
    #[case("256mb", Some(268_435_456))]
    #[case("256m", Some(256_000_000))]
    #[case("1GB", Some(1 << 30))]
    #[case("100", Some(100))]
    #[case("256Mi", None)]
    #[case("", None)]
    #[case("99999999999999999999gb", None)]
    fn sizes_are_redis_own(#[case] text: &str, #[case] size: Option<u64>) {
        assert_eq!(bytes(text), size);
    }
}
