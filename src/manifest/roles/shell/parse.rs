//! Reads a script into its commands and what holds them together.

use super::word::{MAX_DEPTH, Part, Source, Word, is_name};
use std::rc::Rc;

/// Commands one after the other.
pub(super) type List = Vec<Chain>;

/// Pipelines joined by `&&` and `||`.
#[derive(Debug)]
pub(super) struct Chain {
    pub(super) first: Pipeline,
    /// Each runs if what is before it succeeded (`true`) or failed.
    pub(super) rest: Vec<(bool, Pipeline)>,
    pub(super) background: bool,
}

#[derive(Debug)]
pub(super) struct Pipeline {
    pub(super) negated: bool,
    pub(super) nodes: Vec<Node>,
}

#[derive(Debug)]
pub(super) enum Node {
    Simple(Simple),
    If {
        branches: Vec<(List, List)>,
        otherwise: List,
    },
    Case {
        subject: Word,
        arms: Vec<(Vec<Word>, List)>,
    },
    While {
        condition: List,
        until: bool,
        body: List,
    },
    For {
        name: String,
        words: Option<Vec<Word>>,
        body: List,
    },
    Group(List),
    Subshell(List),
    Function {
        name: String,
        body: Rc<Node>,
    },
    /// `((…))`, which runs no program.
    Arithmetic,
    Redirected(Box<Node>, Vec<Redirection>),
}

#[derive(Debug, Default)]
pub(super) struct Simple {
    pub(super) assignments: Vec<Assignment>,
    pub(super) words: Vec<Word>,
    pub(super) redirections: Vec<Redirection>,
    /// The line on which it ends, from 1.
    pub(super) line: u64,
}

#[derive(Debug)]
pub(super) struct Assignment {
    pub(super) name: String,
    /// Which part of an array.
    pub(super) index: Option<Word>,
    pub(super) appends: bool,
    pub(super) value: Value,
}

#[derive(Debug)]
pub(super) enum Value {
    Text(Word),
    Array(Vec<Word>),
}

#[derive(Debug)]
pub(super) struct Redirection {
    pub(super) descriptor: Option<String>,
    pub(super) operator: &'static str,
    pub(super) target: Word,
    /// Which of the script's here-documents.
    pub(super) document: Option<usize>,
}

/// A script that was read.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) list: List,
    /// Here-documents, each with the number of lines above it.
    pub(super) documents: Vec<(Word, u64)>,
    /// The line from which on it is not understood.
    pub(super) unread: Option<u64>,
}

/// Reads a script; never fails, but may stop early.
pub(super) fn parse(text: &str) -> Script {
    let mut parser = Parser::new(Source::new(text));
    let list = parser.list(&[]);
    let unread = parser.unread(&list, None);
    // What was read before the end of the text within quotes is no command of the script.
    let list = list.ok().filter(|_| parser.source.unread.is_none());
    Script { list: list.unwrap_or_default(), documents: parser.documents, unread }
}

/// Goes over the commands in `$(…)` up to its closing bracket; else the line from which on they are not understood.
pub(super) fn substitution(source: Source) -> Result<Source, u64> {
    let mut parser = Parser::new(source);
    let list = parser.list(&[]);
    match parser.unread(&list, Some(')')) {
        Some(line) => Err(line),
        None => Ok(parser.source),
    }
}

/// The script is not understood where the parser stands.
#[derive(Debug)]
struct Unread;

type Read<T> = Result<T, Unread>;

struct Parser {
    source: Source,
    documents: Vec<(Word, u64)>,
    /// Here-documents that begin on the next line: their number, delimiter, whether tabs go, whether it is filled in.
    waiting: Vec<(usize, String, bool, bool)>,
}

const OPERATORS: [&str; 14] = ["<<-", "<<<", "&>>", "<<", "<&", "<>", ">>", ">&", ">|", "&>", "<(", ">(", "<", ">"];

impl Parser {
    fn new(source: Source) -> Self {
        Self { source, documents: Vec::new(), waiting: Vec::new() }
    }

    /// The line from which on the text is not understood, unless its list leads to `end`.
    fn unread(&self, list: &Read<List>, end: Option<char>) -> Option<u64> {
        // Shells do not agree where a here-document is that begins after the bracket.
        let understood = list.is_ok() && self.source.peek() == end && (end.is_none() || self.waiting.is_empty());
        self.source.unread.or_else(|| (!understood).then_some(self.source.lines + 1))
    }

    fn blanks(&mut self) {
        self.source.skip_blanks();
    }

    /// Ends of lines, and the here-documents that begin behind them.
    fn newlines(&mut self) {
        loop {
            self.blanks();
            if !self.newline() {
                return;
            }
        }
    }

    fn newline(&mut self) -> bool {
        if !self.source.eat("\n") {
            return false;
        }
        for (number, delimiter, tabs, filled) in std::mem::take(&mut self.waiting) {
            let above = self.source.lines;
            let mut text = String::new();
            while let Some(line) = self.source.line() {
                let line = if tabs { line.trim_start_matches('\t') } else { line.as_str() };
                if line == delimiter {
                    break;
                }
                text.push_str(line);
                text.push('\n');
            }
            let word = if filled { self.source.document(&text, above) } else { quoted(text) };
            self.documents[number] = (word, above);
        }
        true
    }

    /// The next word, if it is one of these keywords, is not taken.
    fn at_keyword(&self, keywords: &[&str]) -> bool {
        let mut ahead = self.source.clone();
        ahead.word().bare().is_some_and(|word| keywords.contains(&word))
    }

    fn keyword(&mut self, keyword: &str) -> Read<()> {
        self.newlines();
        if !self.at_keyword(&[keyword]) {
            return Err(Unread);
        }
        self.source.word();
        Ok(())
    }

    fn list(&mut self, ends: &[&str]) -> Read<List> {
        let mut list = List::new();
        loop {
            self.newlines();
            let at_end = self.source.peek().is_none() || self.source.starts_with(")") || self.source.starts_with(";;");
            if at_end || self.at_keyword(ends) {
                return Ok(list);
            }
            let mut chain = self.chain()?;
            self.blanks();
            if self.source.starts_with(";;") {
                list.push(chain);
                return Ok(list);
            }
            if self.source.eat("&") {
                chain.background = true;
            } else {
                self.source.eat(";");
            }
            list.push(chain);
        }
    }

    fn chain(&mut self) -> Read<Chain> {
        let first = self.pipeline()?;
        let mut rest = Vec::new();
        loop {
            self.blanks();
            let succeeded = if self.source.eat("&&") {
                true
            } else if self.source.eat("||") {
                false
            } else {
                return Ok(Chain { first, rest, background: false });
            };
            self.newlines();
            rest.push((succeeded, self.pipeline()?));
        }
    }

    fn pipeline(&mut self) -> Read<Pipeline> {
        self.blanks();
        let mut negated = false;
        while self.at_keyword(&["!"]) {
            self.source.word();
            self.blanks();
            negated = !negated;
        }
        let mut nodes = vec![self.node()?];
        loop {
            self.blanks();
            if self.source.starts_with("||") || !(self.source.eat("|&") || self.source.eat("|")) {
                return Ok(Pipeline { negated, nodes });
            }
            self.newlines();
            nodes.push(self.node()?);
        }
    }

    fn node(&mut self) -> Read<Node> {
        self.source.depth += 1;
        if self.source.depth > MAX_DEPTH {
            return Err(Unread);
        }
        let node = self.compound();
        self.source.depth -= 1;
        let node = node?;
        if matches!(node, Node::Simple(_) | Node::Function { .. }) {
            return Ok(node);
        }
        let mut redirections = Vec::new();
        loop {
            self.blanks();
            match self.redirection(None)? {
                Some(redirection) => redirections.push(redirection),
                None if redirections.is_empty() => return Ok(node),
                None => return Ok(Node::Redirected(Box::new(node), redirections)),
            }
        }
    }

    fn compound(&mut self) -> Read<Node> {
        if self.source.starts_with("((") {
            return self.arithmetic();
        }
        if self.source.eat("(") {
            let list = self.list(&[])?;
            return self.source.eat(")").then_some(Node::Subshell(list)).ok_or(Unread);
        }
        let mut ahead = self.source.clone();
        let word = ahead.word();
        match word.bare() {
            Some("{") => {
                self.source.word();
                let list = self.list(&["}"])?;
                self.keyword("}")?;
                Ok(Node::Group(list))
            }
            Some("if") => {
                self.source.word();
                self.branches()
            }
            Some("case") => {
                self.source.word();
                self.case()
            }
            Some(keyword @ ("while" | "until")) => {
                let until = keyword == "until";
                self.source.word();
                let condition = self.list(&["do"])?;
                Ok(Node::While { condition, until, body: self.body()? })
            }
            Some("for") => {
                self.source.word();
                self.blanks();
                if self.source.starts_with("((") {
                    self.arithmetic()?;
                    self.blanks();
                    self.source.eat(";");
                    return Ok(Node::While { condition: List::new(), until: false, body: self.body()? });
                }
                let name = self.source.word().bare().map(ToOwned::to_owned).ok_or(Unread)?;
                self.newlines();
                let words = if self.at_keyword(&["in"]) {
                    self.source.word();
                    Some(self.words())
                } else {
                    None
                };
                self.blanks();
                self.source.eat(";");
                Ok(Node::For { name, words, body: self.body()? })
            }
            Some("function") => {
                self.source.word();
                self.blanks();
                let name = self.source.word().bare().map(ToOwned::to_owned).ok_or(Unread)?;
                self.blanks();
                if self.source.eat("(") {
                    self.blanks();
                    self.source.eat(")");
                }
                self.newlines();
                Ok(Node::Function { name, body: Rc::new(self.node()?) })
            }
            // A keyword that nothing opened.
            Some("then" | "else" | "elif" | "fi" | "do" | "done" | "esac" | "}") => Err(Unread),
            bare => {
                let name = bare.filter(|name| !name.is_empty() && !name.contains('=')).map(ToOwned::to_owned);
                ahead.skip_blanks();
                if let (Some(name), true) = (name, ahead.eat("(")) {
                    ahead.skip_blanks();
                    if ahead.eat(")") {
                        self.source = ahead;
                        self.newlines();
                        return Ok(Node::Function { name, body: Rc::new(self.node()?) });
                    }
                    return Err(Unread);
                }
                self.simple().map(Node::Simple)
            }
        }
    }

    fn arithmetic(&mut self) -> Read<Node> {
        let mut depth = 0_usize;
        while let Some(c) = self.source.next() {
            match c {
                '(' => depth += 1,
                ')' if depth <= 1 => return Ok(Node::Arithmetic),
                ')' => depth -= 1,
                _ => {}
            }
        }
        Err(Unread)
    }

    fn words(&mut self) -> Vec<Word> {
        let mut words = Vec::new();
        loop {
            self.blanks();
            let word = self.source.word();
            if word.parts.is_empty() {
                return words;
            }
            words.push(word);
        }
    }

    fn branches(&mut self) -> Read<Node> {
        let mut branches = Vec::new();
        loop {
            let condition = self.list(&["then"])?;
            self.keyword("then")?;
            let body = self.list(&["elif", "else", "fi"])?;
            branches.push((condition, body));
            if self.at_keyword(&["elif"]) {
                self.source.word();
                continue;
            }
            let mut otherwise = List::new();
            if self.at_keyword(&["else"]) {
                self.source.word();
                otherwise = self.list(&["fi"])?;
            }
            self.keyword("fi")?;
            return Ok(Node::If { branches, otherwise });
        }
    }

    fn case(&mut self) -> Read<Node> {
        self.blanks();
        let subject = self.source.word();
        self.keyword("in")?;
        let mut arms = Vec::new();
        loop {
            self.newlines();
            if self.at_keyword(&["esac"]) {
                self.source.word();
                return Ok(Node::Case { subject, arms });
            }
            self.source.eat("(");
            let mut patterns = Vec::new();
            loop {
                self.blanks();
                let pattern = self.source.word();
                if pattern.parts.is_empty() {
                    return Err(Unread);
                }
                patterns.push(pattern);
                self.blanks();
                if !self.source.eat("|") {
                    break;
                }
            }
            if !self.source.eat(")") {
                return Err(Unread);
            }
            let body = self.list(&["esac"])?;
            arms.push((patterns, body));
            if self.source.eat(";;") {
                self.source.eat("&");
            }
        }
    }

    fn body(&mut self) -> Read<List> {
        self.keyword("do")?;
        let body = self.list(&["done"])?;
        self.keyword("done")?;
        Ok(body)
    }

    /// Assignments, words and redirections up to an operator.
    fn simple(&mut self) -> Read<Simple> {
        let mut simple = Simple::default();
        loop {
            self.blanks();
            if let Some(redirection) = self.redirection(None)? {
                simple.redirections.push(redirection);
                continue;
            }
            let test = simple.words.first().is_some_and(|word| word.bare() == Some("[["));
            if test && self.newline() {
                continue;
            }
            if test
                && let Some(operator) = ["&&", "||", "|", "<", ">", "(", ")"].into_iter().find(|operator| self.source.starts_with(operator))
            {
                self.source.eat(operator);
                simple.words.push(quoted(operator.to_owned()));
                continue;
            }
            let word = self.source.word();
            if word.parts.is_empty() {
                if test {
                    return Err(Unread);
                }
                break;
            }
            // `2> log`: the number belongs to the redirection.
            let number = word.bare().filter(|word| word.bytes().all(|byte| byte.is_ascii_digit())).map(ToOwned::to_owned);
            if let Some(number) = number.filter(|_| matches!(self.source.peek(), Some('<' | '>'))) {
                simple.redirections.extend(self.redirection(Some(number))?);
                continue;
            }
            let ends = test && word.bare() == Some("]]");
            match self.assignment(&word).filter(|_| simple.words.is_empty()) {
                Some(assignment) => simple.assignments.push(assignment),
                None => simple.words.push(word),
            }
            if ends {
                break;
            }
        }
        if simple.words.is_empty() && simple.assignments.is_empty() && simple.redirections.is_empty() {
            return Err(Unread);
        }
        simple.line = self.source.lines + 1;
        Ok(simple)
    }

    fn assignment(&mut self, word: &Word) -> Option<Assignment> {
        let (name, index, appends, rest) = split_assignment(word)?;
        if rest.parts.is_empty() && self.source.eat("(") {
            let begun = self.source.lines + 1;
            let mut items = Vec::new();
            loop {
                self.newlines();
                if self.source.peek().is_none() {
                    self.source.give_up(begun);
                    break;
                }
                if self.source.eat(")") {
                    break;
                }
                let item = self.source.word();
                if item.parts.is_empty() {
                    self.source.next();
                } else {
                    items.push(item);
                }
            }
            return Some(Assignment { name, index, appends, value: Value::Array(items) });
        }
        Some(Assignment { name, index, appends, value: Value::Text(rest) })
    }

    fn redirection(&mut self, descriptor: Option<String>) -> Read<Option<Redirection>> {
        let Some(operator) = OPERATORS.into_iter().find(|operator| self.source.starts_with(operator)) else { return Ok(None) };
        self.source.eat(operator);
        if matches!(operator, "<(" | ">(") {
            // The output of a program as a file: up to its bracket.
            self.list(&[])?;
            return self
                .source
                .eat(")")
                .then_some(Some(Redirection { descriptor, operator, target: Word::default(), document: None }))
                .ok_or(Unread);
        }
        self.blanks();
        let target = self.source.word();
        if target.parts.is_empty() {
            return Err(Unread);
        }
        let mut document = None;
        if matches!(operator, "<<" | "<<-") {
            document = Some(self.documents.len());
            self.documents.push((Word::default(), self.source.lines));
            self.waiting.push((self.documents.len() - 1, target.literal(), operator == "<<-", !target.is_quoted()));
        }
        Ok(Some(Redirection { descriptor, operator, target, document }))
    }
}

/// The name, the part of the array, whether it is appended to, and the value's word.
fn split_assignment(word: &Word) -> Option<(String, Option<Word>, bool, Word)> {
    let Part::Text { text, quoted: false } = word.parts.first()? else { return None };
    let length = text.find(['[', '=', '+']).filter(|length| is_name(&text[..*length]))?;
    let (name, rest) = text.split_at(length);
    let mut parts: Vec<Part> = bare(rest).into_iter().chain(word.parts[1..].iter().cloned()).collect();
    let mut index = None;
    if let Some(rest) = rest.strip_prefix('[') {
        parts.splice(..1, bare(rest));
        // Up to the first bracket that is not quoted.
        let (at, inner, rest) = parts.iter().enumerate().find_map(|(at, part)| match part {
            Part::Text { text, quoted: false } => text.split_once(']').map(|(inner, rest)| (at, inner.to_owned(), rest.to_owned())),
            _ => None,
        })?;
        let behind = parts.split_off(at + 1);
        parts.pop();
        parts.extend(bare(&inner));
        index = Some(Word { parts: std::mem::take(&mut parts) });
        parts = bare(&rest).into_iter().chain(behind).collect();
    }
    let Some(Part::Text { text, quoted: false }) = parts.first().cloned() else { return None };
    let (appends, value) = text.strip_prefix("+=").map(|value| (true, value)).or_else(|| Some((false, text.strip_prefix('=')?)))?;
    parts.splice(..1, bare(value));
    Some((name.to_owned(), index, appends, Word { parts }))
}

/// A text without quotes, if there is any.
fn bare(text: &str) -> Option<Part> {
    (!text.is_empty()).then(|| Part::Text { text: text.to_owned(), quoted: false })
}

fn quoted(text: String) -> Word {
    Word { parts: vec![Part::Text { text, quoted: true }] }
}
