//! Words of a script as they are written: text, and what is filled in.

use super::parse;
use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

/// What stands for the dollar sign of something that only the running container knows; its text goes on to [`CLOSE`].
pub(in crate::manifest::roles) const OPEN: char = '\u{1}';
/// Where the text of something unknown ends.
pub(in crate::manifest::roles) const CLOSE: char = '\u{2}';

/// The text that stands for something unknown.
pub(in crate::manifest::roles) fn unknown(what: &str) -> String {
    format!("{OPEN}{}{CLOSE}", what.replace([OPEN, CLOSE], ""))
}

/// Whether a part of a text is known to the running container only.
pub(in crate::manifest::roles) fn is_open(text: &str) -> bool {
    text.contains(OPEN)
}

/// A text as a person would write it.
pub(in crate::manifest::roles) fn shown(text: &str) -> String {
    text.chars().filter(|c| *c != CLOSE).map(|c| if c == OPEN { '$' } else { c }).collect()
}

/// A part of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Text {
        text: String,
        quoted: bool,
    },
    Parameter {
        parameter: Parameter,
        quoted: bool,
    },
    /// What a script prints; `raw` as it is written after the dollar sign.
    Command {
        script: String,
        raw: String,
        quoted: bool,
    },
    /// Something that is not read: arithmetic, an input that is a program.
    Other {
        raw: String,
        quoted: bool,
    },
}

/// `${name<operator><operand>}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parameter {
    pub(super) name: String,
    /// `[@]`, `[*]` or another index of an array.
    pub(super) index: Option<String>,
    pub(super) operator: &'static str,
    pub(super) operand: Word,
    /// As it is written after the dollar sign.
    pub(super) raw: String,
}

/// A word of several parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) parts: Vec<Part>,
}

impl Word {
    /// The word where nothing of it is quoted or filled in: a keyword, a name.
    pub(super) fn bare(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [Part::Text { text, quoted: false }] => Some(text),
            _ => None,
        }
    }

    /// The text without what is filled in; for the delimiter of a here-document.
    pub(super) fn literal(&self) -> String {
        let text = |part: &Part| match part {
            Part::Text { text, .. } => text.clone(),
            Part::Parameter { parameter, .. } => format!("${}", parameter.raw),
            Part::Command { raw, .. } | Part::Other { raw, .. } => format!("${raw}"),
        };
        self.parts.iter().map(text).collect()
    }

    pub(super) fn is_quoted(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Text { quoted: true, .. }))
    }

    fn push(&mut self, c: char, in_quotes: bool) {
        match self.parts.last_mut() {
            Some(Part::Text { text, quoted }) if *quoted == in_quotes => text.push(c),
            _ => self.parts.push(Part::Text { text: c.to_string(), quoted: in_quotes }),
        }
    }

    /// An empty pair of quotes is a word.
    fn push_empty(&mut self) {
        self.parts.push(Part::Text { text: String::new(), quoted: true });
    }
}

/// The characters of a script, read one after the other.
#[derive(Clone, Debug)]
pub(super) struct Source {
    chars: Rc<[char]>,
    at: usize,
    /// How many line ends were read.
    pub(super) lines: u64,
    /// How many commands and substitutions are open where it stands.
    pub(super) depth: usize,
    /// The line of what does not end, or is not understood, within a word.
    pub(super) unread: Option<u64>,
    /// Where `$(…)` ends, by where it begins. A word is read again and again to look ahead; what is within it is not.
    ends: Rc<RefCell<BTreeMap<usize, Result<Bracketed, u64>>>>,
}

/// What is in the brackets behind a dollar sign.
#[derive(Clone, Copy, Debug)]
struct Bracketed {
    end: usize,
    lines: u64,
    arithmetic: bool,
}

/// Commands and substitutions within one another are followed this far.
pub(super) const MAX_DEPTH: usize = 48;

impl Source {
    pub(super) fn new(text: &str) -> Self {
        Self { chars: text.replace("\r\n", "\n").chars().collect(), at: 0, lines: 0, depth: 0, unread: None, ends: Rc::default() }
    }

    /// Gives the whole text up, for what begins on a line: nobody knows where it ends, and so where the next command begins.
    pub(super) fn give_up(&mut self, line: u64) {
        self.unread.get_or_insert(line);
        self.at = self.chars.len();
    }

    /// The next character before `end`, which is taken; the text must not be over before it.
    fn before(&mut self, end: char, begun: u64) -> Option<char> {
        let c = self.next();
        if c.is_none() {
            self.give_up(begun);
        }
        c.filter(|c| *c != end)
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += 1;
        self.lines += u64::from(c == '\n');
        Some(c)
    }

    pub(super) fn starts_with(&self, text: &str) -> bool {
        text.chars().enumerate().all(|(index, c)| self.chars.get(self.at + index) == Some(&c))
    }

    pub(super) fn eat(&mut self, text: &str) -> bool {
        let there = self.starts_with(text);
        if there {
            text.chars().for_each(|_| {
                self.next();
            });
        }
        there
    }

    /// One line without its end; `None` at the end of the script.
    pub(super) fn line(&mut self) -> Option<String> {
        self.peek()?;
        let mut line = String::new();
        while let Some(c) = self.next().filter(|c| *c != '\n') {
            line.push(c);
        }
        Some(line)
    }

    /// Blanks, continued lines and comments.
    pub(super) fn skip_blanks(&mut self) {
        loop {
            if self.eat("\\\n") {
                continue;
            }
            match self.peek() {
                Some(' ' | '\t' | '\r') => {
                    self.next();
                }
                Some('#') => {
                    while self.peek().is_some_and(|c| c != '\n') {
                        self.next();
                    }
                }
                _ => return,
            }
        }
    }

    /// A word of a command, up to a blank or an operator.
    pub(super) fn word(&mut self) -> Word {
        let mut word = Word::default();
        while let Some(c) = self.peek() {
            if c.is_whitespace() || matches!(c, ';' | '&' | '|' | '(' | ')' | '<' | '>') {
                break;
            }
            self.part(&mut word);
        }
        word
    }

    /// A here-document's text, in which only substitutions are special.
    pub(super) fn document(&mut self, text: &str, above: u64) -> Word {
        let mut source = Self { depth: self.depth, ..Self::new(text) };
        let mut word = Word::default();
        while let Some(c) = source.next() {
            match c {
                '\\' if source.eat("\n") => {}
                '\\' => {
                    let next = source.peek().filter(|next| matches!(next, '$' | '`' | '\\'));
                    word.push(next.unwrap_or('\\'), true);
                    if next.is_some() {
                        source.next();
                    }
                }
                '$' => source.dollar(&mut word, true),
                '`' => source.back_quotes(&mut word, true),
                c => word.push(c, true),
            }
        }
        if let Some(line) = source.unread {
            self.give_up(above + line);
        }
        word
    }

    fn part(&mut self, word: &mut Word) {
        let begun = self.lines + 1;
        let Some(c) = self.next() else { return };
        match c {
            '\'' => {
                let mut empty = true;
                while let Some(c) = self.before('\'', begun) {
                    word.push(c, true);
                    empty = false;
                }
                if empty {
                    word.push_empty();
                }
            }
            '"' => {
                if self.eat("\"") {
                    word.push_empty();
                    return;
                }
                while let Some(c) = self.before('"', begun) {
                    match c {
                        '\\' if self.eat("\n") => {}
                        '\\' => {
                            let next = self.peek().filter(|next| matches!(next, '"' | '\\' | '`' | '$'));
                            word.push(next.unwrap_or('\\'), true);
                            if next.is_some() {
                                self.next();
                            }
                        }
                        '$' => self.dollar(word, true),
                        '`' => self.back_quotes(word, true),
                        c => word.push(c, true),
                    }
                }
            }
            '\\' if self.eat("\n") => {}
            '\\' => {
                if let Some(c) = self.next() {
                    word.push(c, true);
                }
            }
            '$' => self.dollar(word, false),
            '`' => self.back_quotes(word, false),
            c => word.push(c, false),
        }
    }

    /// What a script between back quotes prints; the first of them is taken.
    fn back_quotes(&mut self, word: &mut Word, quoted: bool) {
        let begun = self.lines + 1;
        let mut script = String::new();
        while let Some(c) = self.before('`', begun) {
            // Any other backslash belongs to the script.
            let escapes = |next: &char| matches!(next, '$' | '`' | '\\') || (quoted && *next == '"');
            match self.peek().filter(|next| c == '\\' && escapes(next)) {
                Some(next) => {
                    self.next();
                    script.push(next);
                }
                None => script.push(c),
            }
        }
        word.parts.push(Part::Command { raw: format!("({script})"), script, quoted });
    }

    /// What follows a dollar sign.
    fn dollar(&mut self, word: &mut Word, quoted: bool) {
        let begun = self.lines + 1;
        match self.peek() {
            Some('(') => {
                let begin = self.at;
                let Some(Bracketed { end, arithmetic, .. }) = self.brackets() else { return };
                let raw: String = self.chars[begin..end].iter().collect();
                word.parts.push(if arithmetic {
                    Part::Other { raw, quoted }
                } else {
                    Part::Command { script: self.chars[begin + 1..end - 1].iter().collect(), raw, quoted }
                });
            }
            Some('{') => {
                self.next();
                self.depth += 1;
                if self.depth > MAX_DEPTH {
                    self.give_up(begun);
                }
                let parameter = self.parameter(quoted);
                self.depth -= 1;
                word.parts.push(Part::Parameter { parameter, quoted });
            }
            // A text that bash may translate.
            Some('"') if !quoted => {}
            Some('\'') if !quoted => {
                // `$'a\nb'`, as bash reads it.
                self.next();
                word.push_empty();
                while let Some(c) = self.before('\'', begun) {
                    match c {
                        '\\' => match self.next() {
                            Some('n') => word.push('\n', true),
                            Some('t') => word.push('\t', true),
                            Some(c) => word.push(c, true),
                            None => {}
                        },
                        c => word.push(c, true),
                    }
                }
            }
            Some(c) if c.is_ascii_alphabetic() || c == '_' => {
                let name = self.name();
                word.parts.push(Part::Parameter { parameter: Parameter::plain(name), quoted });
            }
            Some(c) if c.is_ascii_digit() || "@*#?$!-".contains(c) => {
                self.next();
                word.parts.push(Part::Parameter { parameter: Parameter::plain(c.to_string()), quoted });
            }
            _ => word.push('$', true),
        }
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(c) = self.peek().filter(|c| c.is_ascii_alphanumeric() || *c == '_') {
            name.push(c);
            self.next();
        }
        name
    }

    /// Takes `(…)` or `((…))` behind a dollar sign; `None` where it is not understood.
    fn brackets(&mut self) -> Option<Bracketed> {
        let (begin, begun) = (self.at, self.lines + 1);
        let known = self.ends.borrow().get(&begin).copied();
        let found = known.unwrap_or_else(|| {
            let found = self.bracketed();
            self.ends.borrow_mut().insert(begin, found);
            found
        });
        match found {
            Ok(bracketed) => {
                (self.at, self.lines) = (bracketed.end, bracketed.lines);
                Some(bracketed)
            }
            Err(line) => {
                self.give_up(line.max(begun));
                None
            }
        }
    }

    fn bracketed(&self) -> Result<Bracketed, u64> {
        let mut source = self.clone();
        source.depth += 1;
        if source.depth > MAX_DEPTH {
            return Err(self.lines + 1);
        }
        if source.starts_with("((") {
            let mut source = source.clone();
            if source.arithmetic() {
                return Ok(Bracketed { end: source.at, lines: source.lines, arithmetic: true });
            }
        }
        // Only its own grammar tells which bracket ends a script: others stand in comments, patterns and here-documents.
        source.next();
        let mut source = parse::substitution(source)?;
        source.next();
        Ok(Bracketed { end: source.at, lines: source.lines, arithmetic: false })
    }

    /// Takes `((…))`; false where it is something else, as a subshell in a substitution.
    fn arithmetic(&mut self) -> bool {
        let mut depth = 0_usize;
        while let Some(c) = self.peek() {
            match c {
                '(' => depth += 1,
                ')' if depth == 2 => return self.eat("))"),
                ')' => depth -= 1,
                _ => {
                    self.part(&mut Word::default());
                    continue;
                }
            }
            self.next();
        }
        false
    }

    /// What stands in `${…}`; the opening brace is taken.
    fn parameter(&mut self, quoted: bool) -> Parameter {
        const OPERATORS: [&str; 12] = [":-", ":=", ":?", ":+", "##", "%%", "-", "=", "?", "+", "#", "%"];
        let (begin, begun) = (self.at, self.lines + 1);
        let mut name = self.name();
        if name.is_empty()
            && let Some(c) = self.peek().filter(|c| "@*#?$!-".contains(*c))
        {
            name.push(c);
            self.next();
            // `${#NAME}` is a length and `${!NAME}` another variable's value: neither is read.
            if matches!(c, '#' | '!') && self.peek().is_some_and(|c| c != '}') {
                name = "?".to_owned();
            }
        }
        let mut index = None;
        if self.peek() == Some('[') {
            self.next();
            let mut text = String::new();
            while let Some(c) = self.before(']', begun) {
                text.push(c);
            }
            index = Some(text);
        }
        let operator = OPERATORS.into_iter().find(|operator| self.eat(operator));
        // Within quotes an apostrophe is one, unless the operand is a pattern.
        let plain = quoted && operator.is_some_and(|operator| !operator.starts_with(['#', '%']));
        let mut operand = Word::default();
        loop {
            match self.peek() {
                None => {
                    self.give_up(begun);
                    break;
                }
                Some('}') => {
                    self.next();
                    break;
                }
                Some('\'') if plain => {
                    self.next();
                    operand.push('\'', true);
                }
                Some(_) => self.part(&mut operand),
            }
        }
        let raw: String = self.chars[begin..self.at].iter().collect();
        // Anything else that bash can do with a value (`${x/a/b}`, `${x:0:3}`, `${x,,}`) is left unknown.
        let operator = operator.unwrap_or(if operand.parts.is_empty() { "" } else { "other" });
        Parameter { name, index, operator, operand, raw: format!("{{{raw}") }
    }
}

impl Parameter {
    fn plain(name: String) -> Self {
        Self { raw: name.clone(), name, index: None, operator: "", operand: Word::default() }
    }
}

/// Whether a text is a variable's name.
pub(super) fn is_name(text: &str) -> bool {
    !text.is_empty() && !text.starts_with(|c: char| c.is_ascii_digit()) && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
