//! What a shell knows at a point of its script, and what is left of it where two ways meet.

use super::{
    parse::Node,
    word::{CLOSE, OPEN, is_open, unknown},
};
use crate::manifest::Place;
use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

/// A word of a command, with its place where it is written in the manifest by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::manifest::roles) struct Field {
    pub(in crate::manifest::roles) text: String,
    pub(in crate::manifest::roles) place: Option<Place>,
}

/// Why a script does not go on with its next command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Another program took its place.
    Replaced,
    /// It is over.
    Exited,
    /// A function is.
    Returned,
    /// A round of a loop is, or the loop.
    Left,
}

#[derive(Clone, Debug)]
pub(super) struct State {
    /// `None` where it is known that the variable is not set.
    pub(super) variables: BTreeMap<String, Option<String>>,
    pub(super) exported: BTreeSet<String>,
    pub(super) exports_all: bool,
    pub(super) arrays: BTreeMap<String, Vec<Field>>,
    /// `$1` and so on; `None` where even their number is unknown.
    pub(super) positional: Option<Vec<Field>>,
    pub(super) functions: BTreeMap<String, (Rc<Node>, Rc<super::Text>)>,
    /// Where `cd` led; `None` where it is the container's own.
    pub(super) directory: Option<(String, Place)>,
    /// The script comes here whatever happens.
    pub(super) certain: bool,
    /// Another program may have taken its place on the way here.
    pub(super) may_be_gone: bool,
    pub(super) end: Option<End>,
}

impl State {
    pub(super) fn new(environment: &BTreeMap<String, String>, positional: Vec<Field>) -> Self {
        Self {
            variables: environment.iter().map(|(name, value)| (name.clone(), Some(value.clone()))).collect(),
            exported: environment.keys().cloned().collect(),
            exports_all: false,
            arrays: BTreeMap::new(),
            positional: Some(positional),
            functions: BTreeMap::new(),
            directory: None,
            certain: true,
            may_be_gone: false,
            end: None,
        }
    }

    /// What a program that is started here finds in its environment.
    pub(super) fn environment(&self) -> BTreeMap<String, String> {
        let exported = self.variables.iter().filter(|(name, _)| self.exports_all || self.exported.contains(*name));
        exported.filter_map(|(name, value)| Some((name.clone(), value.clone()?))).collect()
    }

    pub(super) fn set(&mut self, name: &str, value: String) {
        self.arrays.remove(name);
        self.variables.insert(name.to_owned(), Some(value));
    }

    /// Sets one part of an array. Parts are kept in their order and without gaps; any other array is unknown.
    pub(super) fn set_part(&mut self, name: &str, index: &str, value: &str, appends: bool) {
        let known = self.arrays.remove(name);
        let items = known.or_else(|| match self.variables.remove(name) {
            Some(Some(text)) if is_open(&text) => None,
            Some(text) => Some(text.map(|text| Field { text, place: None }).into_iter().collect()),
            None => Some(Vec::new()),
        });
        match (items, index.trim().parse::<usize>()) {
            (Some(mut items), Ok(index)) if index <= items.len() && !items.iter().any(|item| is_open(&item.text)) => {
                if index == items.len() {
                    items.push(Field::default());
                }
                let before = if appends { std::mem::take(&mut items[index].text) } else { String::new() };
                items[index] = Field { text: before + value, place: None };
                self.arrays.insert(name.to_owned(), items);
            }
            _ => self.set(name, unknown(name)),
        }
    }

    /// The state where two ways meet again; `self` is one, `other` the other.
    pub(super) fn joined(self, other: Self, certain: bool) -> Self {
        let (mut state, other) = match (&self.end, &other.end) {
            // A way that only ends the script is none that leads here: whatever comes is as certain as before.
            (Some(End::Exited), _) => return Self { certain, ..other },
            (_, Some(End::Exited)) => return Self { certain, ..self },
            (Some(end), None) => return Self { certain: false, may_be_gone: other.may_be_gone || *end == End::Replaced, ..other },
            (None, Some(end)) => return Self { certain: false, may_be_gone: self.may_be_gone || *end == End::Replaced, ..self },
            _ => (self, other),
        };
        state.may_be_gone |= other.may_be_gone;
        let names: BTreeSet<String> = state.variables.keys().chain(other.variables.keys()).cloned().collect();
        for name in names {
            if state.variables.get(&name) != other.variables.get(&name) {
                state.variables.insert(name.clone(), Some(unknown(&name)));
            }
        }
        let names: BTreeSet<String> = state.arrays.keys().chain(other.arrays.keys()).cloned().collect();
        for name in names {
            if state.arrays.get(&name) != other.arrays.get(&name) {
                let open = Field { text: unknown(&format!("{{{name}[@]}}")), place: None };
                state.arrays.insert(name, vec![open]);
            }
        }
        if state.positional != other.positional {
            state.positional = None;
        }
        if state.directory != other.directory {
            let place = other.directory.or(state.directory).map(|(_, place)| place).unwrap_or_default();
            state.directory = Some((unknown("PWD"), place));
        }
        state.functions.extend(other.functions);
        state.exported.extend(other.exported);
        state.certain = certain;
        state
    }
}

/// The words that a known text makes where it stands without quotes; what is unknown in it is not split.
pub(super) fn split(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut open = false;
    for c in text.chars() {
        match c {
            OPEN => open = true,
            CLOSE => open = false,
            _ => {}
        }
        if !open && matches!(c, ' ' | '\t' | '\n') {
            if !word.is_empty() {
                words.push(std::mem::take(&mut word));
            }
        } else {
            word.push(c);
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// Whether a text is what a shell pattern stands for; `None` where something unknown decides it.
pub(super) fn matches(text: &str, pattern: &[(char, bool)]) -> Option<bool> {
    if pattern.iter().any(|(c, _)| *c == OPEN) {
        return None;
    }
    if is_open(text) {
        // `*` matches whatever it is.
        return pattern.iter().all(|(c, quoted)| *c == '*' && !quoted).then_some(!pattern.is_empty()).filter(|all| *all);
    }
    Some(glob(&text.chars().collect::<Vec<char>>(), pattern))
}

/// Whether a shell pattern matches: `*`, `?` and `[…]` where they are not quoted.
pub(super) fn glob(text: &[char], pattern: &[(char, bool)]) -> bool {
    // The place to go back to: after the last star, one character further each time.
    let (mut t, mut p, mut star) = (0, 0, None);
    loop {
        match pattern.get(p) {
            Some(('*', false)) => {
                star = Some((p, t));
                p += 1;
                continue;
            }
            Some(_) if t < text.len() => {
                if let Some(length) = one(text[t], &pattern[p..]) {
                    t += 1;
                    p += length;
                    continue;
                }
            }
            None if t == text.len() => return true,
            _ => {}
        }
        match star {
            Some((at, from)) if from < text.len() => {
                star = Some((at, from + 1));
                (t, p) = (from + 1, at + 1);
            }
            _ => return false,
        }
    }
}

/// How much of the pattern stands for this one character.
fn one(c: char, pattern: &[(char, bool)]) -> Option<usize> {
    match pattern.first()? {
        ('?', false) => Some(1),
        ('[', false) => {
            let Some(end) = pattern.iter().skip(2).position(|(c, _)| *c == ']').map(|at| at + 2) else {
                return (c == '[').then_some(1);
            };
            let inner: Vec<char> = pattern[1..end].iter().map(|(c, _)| *c).collect();
            let negated = matches!(inner[0], '!' | '^');
            let inner = &inner[usize::from(negated)..];
            let mut found = false;
            let mut at = 0;
            while at < inner.len() {
                if at + 2 < inner.len() && inner[at + 1] == '-' {
                    found |= (inner[at]..=inner[at + 2]).contains(&c);
                    at += 3;
                } else {
                    found |= inner[at] == c;
                    at += 1;
                }
            }
            (found != negated).then_some(end + 1)
        }
        (own, _) => (*own == c).then_some(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("redis-server", "redis-*", true)]
    #[case("-p", "-*", true)]
    #[case("a", "[!b-c]", true)]
    #[case("b", "[!b-c]", false)]
    #[case("abcbc", "a*bc", true)]
    #[case("abcbd", "a*bc", false)]
    #[case("", "*", true)]
    #[case("", "?", false)]
    #[case("[", "[", true)]
    fn patterns_match_as_in_a_shell(#[case] text: &str, #[case] pattern: &str, #[case] expected: bool) {
        let pattern: Vec<(char, bool)> = pattern.chars().map(|c| (c, false)).collect();
        assert_eq!(matches(text, &pattern), Some(expected));
    }
}
