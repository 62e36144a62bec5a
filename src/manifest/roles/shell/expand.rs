//! What words come to: variables, parameters, and what simple programs print.

use super::{
    Shell,
    parse::{self, Node, Simple},
    print::{self, echoed, formatted},
    sed,
    state::{self, Field, State, matches, split},
    word::{Parameter, Part, Word, is_open, unknown},
};

/// What the running container sets, whatever the manifests say.
const OF_THE_CONTAINER: &[&str] =
    &["HOSTNAME", "HOME", "PATH", "PWD", "OLDPWD", "USER", "UID", "EUID", "PPID", "RANDOM", "SECONDS", "IFS", "LINENO", "SHLVL", "TERM"];

impl Shell<'_> {
    /// The fields of words, in order.
    pub(super) fn fields(&mut self, words: &[Word], state: &mut State) -> Vec<Field> {
        words.iter().flat_map(|word| self.split_word(word, state)).collect()
    }

    /// One text, as in an assignment or a here-document: nothing is split.
    pub(super) fn text(&mut self, word: &Word, state: &mut State) -> String {
        let mut text = String::new();
        for part in &word.parts {
            match part {
                Part::Text { text: own, .. } => text.push_str(own),
                Part::Parameter { parameter, .. } => text.push_str(&self.parameter(parameter, state).unwrap_or_default()),
                Part::Command { script, raw, .. } => text.push_str(&self.printed(script, raw, state)),
                Part::Other { raw, .. } => text.push_str(&unknown(raw)),
            }
        }
        text
    }

    /// The characters of a pattern, each with whether it was quoted.
    pub(super) fn pattern(&mut self, word: &Word, state: &mut State) -> Vec<(char, bool)> {
        let mut pattern = Vec::new();
        for part in &word.parts {
            let quoted = match part {
                Part::Text { quoted, .. } | Part::Parameter { quoted, .. } | Part::Command { quoted, .. } | Part::Other { quoted, .. } => {
                    *quoted
                }
            };
            let text = self.text(&Word { parts: vec![part.clone()] }, state);
            pattern.extend(text.chars().map(|c| (c, quoted)));
        }
        pattern
    }

    fn split_word(&mut self, word: &Word, state: &mut State) -> Vec<Field> {
        let mut done: Vec<Field> = Vec::new();
        let mut current: Option<Field> = None;
        for part in &word.parts {
            let (text, quoted) = match part {
                Part::Text { text, .. } => (text.clone(), true),
                Part::Parameter { parameter, quoted } => match self.list_of(parameter, *quoted, state) {
                    Some(list) => {
                        for (index, field) in list.into_iter().enumerate() {
                            match current.take().filter(|_| index == 0) {
                                Some(before) => current = Some(Field { text: before.text + &field.text, place: None }),
                                None => current = Some(field),
                            }
                            done.extend(current.take());
                        }
                        current = done.pop();
                        continue;
                    }
                    None => (self.parameter(parameter, state).unwrap_or_default(), *quoted),
                },
                Part::Command { script, raw, quoted } => (self.printed(script, raw, state), *quoted),
                Part::Other { raw, quoted } => (unknown(raw), *quoted),
            };
            if quoted {
                current.get_or_insert_default().text.push_str(&text);
                continue;
            }
            let words = split(&text);
            let blank = |c: Option<char>| c.is_some_and(char::is_whitespace);
            if blank(text.chars().next()) {
                done.extend(current.take());
            }
            for (index, word) in words.into_iter().enumerate() {
                if index > 0 {
                    done.extend(current.take());
                }
                current.get_or_insert_default().text.push_str(&word);
            }
            if blank(text.chars().last()) {
                done.extend(current.take());
            }
        }
        done.extend(current);
        done
    }

    /// `$@` and `${array[@]}`, a word for each; `None` for anything else.
    fn list_of(&self, parameter: &Parameter, quoted: bool, state: &State) -> Option<Vec<Field>> {
        if !parameter.operator.is_empty() {
            return None;
        }
        let all = |text: &str| text == "@" || (text == "*" && !quoted);
        let fields = match (&parameter.index, parameter.name.as_str()) {
            (None, name) if all(name) => state.positional.clone().unwrap_or_else(|| vec![Field { text: unknown("@"), place: None }]),
            (Some(index), name) if all(index) => state.arrays.get(name).cloned()?,
            _ => return None,
        };
        if quoted {
            return Some(fields);
        }
        Some(
            fields
                .into_iter()
                .flat_map(|field| split(&field.text).into_iter().map(move |text| Field { text, place: field.place.clone() }))
                .collect(),
        )
    }

    /// The value; `None` where it is not set.
    fn parameter(&mut self, parameter: &Parameter, state: &mut State) -> Option<String> {
        let Parameter { name, index, operator, operand, raw } = parameter;
        let value = match index {
            Some(index) => match (state.arrays.get(name), index.as_str()) {
                (Some(items), "@" | "*") => Some(joined(items)),
                (Some(items), index) => match index.parse::<usize>() {
                    Ok(index) => items.get(index).map(|field| field.text.clone()),
                    Err(_) => Some(unknown(raw)),
                },
                (None, _) => self.variable(name, raw, state),
            },
            None => self.variable(name, raw, state),
        };
        let open = value.as_deref().is_some_and(is_open);
        let empty = value.as_deref().is_none_or(str::is_empty);
        match *operator {
            "" => value,
            // Whether it is empty is as unknown as what it is, unless some of it is there in any case.
            ":-" | ":=" | ":?" | ":+" if open && is_only_open(value.as_deref().unwrap_or_default()) => Some(unknown(raw)),
            ":-" if empty => Some(self.text(operand, state)),
            "-" if value.is_none() => Some(self.text(operand, state)),
            ":=" | "=" if if *operator == "=" { value.is_none() } else { empty } => {
                let text = self.text(operand, state);
                state.set(name, text.clone());
                Some(text)
            }
            ":+" => {
                if empty {
                    None
                } else {
                    Some(self.text(operand, state))
                }
            }
            "+" => value.is_some().then(|| self.text(operand, state)),
            ":-" | "-" | ":=" | "=" | ":?" | "?" => value,
            "#" | "##" | "%" | "%%" => {
                let value = value?;
                let pattern = self.pattern(operand, state);
                if open || pattern.iter().any(|(c, _)| is_open(&c.to_string())) {
                    return Some(unknown(raw));
                }
                Some(trimmed(&value, &pattern, operator))
            }
            _ => Some(unknown(raw)),
        }
    }

    fn variable(&self, name: &str, raw: &str, state: &State) -> Option<String> {
        match name {
            "#" => Some(state.positional.as_ref().map_or_else(|| unknown("#"), |all| all.len().to_string())),
            "@" | "*" => Some(state.positional.as_ref().map_or_else(|| unknown("@"), |all| joined(all))),
            "" | "?" | "$" | "!" | "-" | "0" => Some(unknown(raw)),
            digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => match (&state.positional, digits.parse::<usize>()) {
                (Some(all), Ok(number)) => all.get(number.saturating_sub(1)).map(|field| field.text.clone()),
                _ => Some(unknown(raw)),
            },
            name => match (state.variables.get(name), state.arrays.get(name)) {
                (Some(value), _) => value.clone(),
                (None, Some(items)) => items.first().map(|field| field.text.clone()),
                (None, None) if self.image_sets || OF_THE_CONTAINER.contains(&name) || name.starts_with("KUBERNETES_") => {
                    Some(unknown(raw))
                }
                (None, None) => None,
            },
        }
    }

    /// What a command in `$(…)` prints, its last line ends taken off.
    fn printed(&mut self, script: &str, raw: &str, state: &mut State) -> String {
        // Nesting has its own end.
        if self.depth > super::MAX_DEPTH {
            return unknown(raw);
        }
        self.depth += 1;
        let text = self.flow(script, state);
        self.depth -= 1;
        text.map_or_else(|| unknown(raw), |text| text.trim_end_matches('\n').to_owned())
    }

    /// The text that goes through a pipeline of simple programs; `None` where one of them is not known.
    fn flow(&mut self, script: &str, state: &State) -> Option<String> {
        let script = parse::parse(script);
        let [chain] = script.list.as_slice() else { return None };
        if script.unread.is_some() || !chain.rest.is_empty() || chain.background {
            return None;
        }
        let mut state = state.clone();
        let mut text: Option<String> = None;
        for node in &chain.first.nodes {
            let Node::Simple(Simple { assignments, words, redirections, .. }) = node else { return None };
            if !assignments.is_empty() {
                return None;
            }
            let words: Vec<String> = self.fields(words, &mut state).into_iter().map(|field| field.text).collect();
            for redirection in redirections {
                let target = self.text(&redirection.target, &mut state);
                match (redirection.operator, redirection.descriptor.as_deref()) {
                    ("<", None) => text = Some((self.open)(&target)?.0),
                    ("<<<", None) => text = Some(format!("{target}\n")),
                    (_, Some("2")) => {}
                    _ => return None,
                }
            }
            text = Some(self.filtered(&words, text)?);
        }
        text
    }

    fn filtered(&self, words: &[String], input: Option<String>) -> Option<String> {
        let Some((program, words)) = words.split_first() else { return input };
        let open = |paths: &[&str]| -> Option<String> {
            if paths.is_empty() {
                return input.clone();
            }
            paths.iter().map(|path| if *path == "-" { input.clone() } else { Some((self.open)(path)?.0) }).collect()
        };
        let plain: Vec<&str> = words.iter().map(String::as_str).collect();
        match super::base(program) {
            "echo" => Some(echoed(words)),
            "printf" => formatted(words),
            "cat" => open(&plain),
            "sed" => {
                let (edits, paths, extended) = sed::words(words);
                sed::edited(&open(&paths)?, &edits, extended)
            }
            "tr" => print::translated(&open(&[])?, &plain),
            "head" if matches!(plain.as_slice(), ["-1" | "-n1"] | ["-n", "1"]) => {
                Some(open(&[])?.lines().next().unwrap_or_default().to_owned())
            }
            _ => None,
        }
    }

    /// Whether a test holds; `None` where something unknown decides it.
    pub(super) fn test(&self, words: &[&str], brackets: bool) -> Option<bool> {
        let at = |wanted: &[&str]| words.iter().position(|word| wanted.contains(word));
        if let Some(at) = at(if brackets { &["||"] } else { &["-o"] }).filter(|at| *at > 0 && words.len() > at + 1) {
            return match (self.test(&words[..at], brackets), self.test(&words[at + 1..], brackets)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            };
        }
        if let Some(at) = at(if brackets { &["&&"] } else { &["-a"] }).filter(|at| *at > 0 && words.len() > at + 1) {
            return match (self.test(&words[..at], brackets), self.test(&words[at + 1..], brackets)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            };
        }
        match words {
            [] => Some(false),
            ["!", rest @ ..] if !rest.is_empty() => self.test(rest, brackets).map(|holds| !holds),
            ["-n", text] | [text] => is_filled(text),
            ["-z", text] => is_filled(text).map(|filled| !filled),
            // Only that a file is there is known: an image holds more than its mounts show.
            ["-f" | "-e" | "-r", path] if !is_open(path) => (self.open)(path).map(|_| true),
            ["-s", path] if !is_open(path) => (self.open)(path).map(|(text, _)| !text.is_empty()),
            [left, operator, right] => {
                if is_open(left) || is_open(right) {
                    return None;
                }
                let numbers = || Some((left.trim().parse::<i64>().ok()?, right.trim().parse::<i64>().ok()?));
                match *operator {
                    "=" | "==" if brackets => {
                        Some(state::glob(&left.chars().collect::<Vec<_>>(), &right.chars().map(|c| (c, false)).collect::<Vec<_>>()))
                    }
                    "!=" if brackets => {
                        Some(!state::glob(&left.chars().collect::<Vec<_>>(), &right.chars().map(|c| (c, false)).collect::<Vec<_>>()))
                    }
                    "=" | "==" => Some(left == right),
                    "!=" => Some(left != right),
                    "-eq" => numbers().map(|(left, right)| left == right),
                    "-ne" => numbers().map(|(left, right)| left != right),
                    "-gt" => numbers().map(|(left, right)| left > right),
                    "-ge" => numbers().map(|(left, right)| left >= right),
                    "-lt" => numbers().map(|(left, right)| left < right),
                    "-le" => numbers().map(|(left, right)| left <= right),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// Whether a text is one of a `case`'s patterns.
    pub(super) fn is_one_of(&mut self, subject: &str, patterns: &[Word], state: &mut State) -> Option<bool> {
        let mut found = Some(false);
        for pattern in patterns {
            let pattern = self.pattern(pattern, state);
            match matches(subject, &pattern) {
                Some(true) => return Some(true),
                Some(false) => {}
                None => found = None,
            }
        }
        found
    }
}

fn joined(fields: &[Field]) -> String {
    fields.iter().map(|field| field.text.as_str()).collect::<Vec<_>>().join(" ")
}

/// Nothing beside what is unknown.
fn is_only_open(text: &str) -> bool {
    let mut depth = 0_i32;
    text.chars().all(|c| {
        depth += i32::from(c == super::word::OPEN) - i32::from(c == super::word::CLOSE);
        depth > 0 || c == super::word::CLOSE
    })
}

fn is_filled(text: &str) -> Option<bool> {
    if is_open(text) && is_only_open(text) { None } else { Some(!text.is_empty()) }
}

/// `${value#pattern}` and its three sisters.
fn trimmed(value: &str, pattern: &[(char, bool)], operator: &str) -> String {
    let chars: Vec<char> = value.chars().collect();
    let lengths: Vec<usize> = if operator.len() == 1 { (0..=chars.len()).collect() } else { (0..=chars.len()).rev().collect() };
    let prefix = operator.starts_with('#');
    for length in lengths {
        let (part, rest) = if prefix {
            (&chars[..length], &chars[length..])
        } else {
            let (rest, part) = chars.split_at(chars.len() - length);
            (part, rest)
        };
        if state::glob(part, pattern) {
            return rest.iter().collect();
        }
    }
    value.to_owned()
}
