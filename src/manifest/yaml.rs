//! Composes JSON values with places from YAML (or JSON) text; it decides nothing about Kubernetes.
//!
//! Why events and not serde: `docs/decisions/0001-yaml.md`.

use super::{
    Place,
    json::bytes,
    scalar,
    tree::{Budget, Key, Kind, MAX_DEPTH, MAX_NODES, Mark, Node, YamlError},
};
use granit_parser::{Event, Parser, ScalarStyle, Span, Tag};
use serde_json::Value;
use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    rc::Rc,
    sync::Arc,
};

/// One document of a file.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) json: Value,
    pub(super) places: BTreeMap<String, Place>,
    pub(super) place: Place,
}

/// What a file holds: its documents (empty ones left out), and what is odd about it.
pub(super) type Read = (Vec<Document>, Vec<(Place, String)>);

/// Reads all documents of a file.
///
/// # Errors
/// The place and the reason where the text is not YAML, has a key twice, or goes beyond a limit.
pub(super) fn read(text: &str, file: &Arc<PathBuf>) -> Result<Read, YamlError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    // Tabs are white space in JSON but may not indent YAML; inside JSON's strings they are not allowed anyway.
    let untabbed = (text.trim_start().starts_with('{') && text.contains('\t')).then(|| text.replace('\t', " "));
    let text = untabbed.as_deref().unwrap_or(text);
    let mut options = granit_parser::Options::default();
    options.set_emit_comments(false);
    let mut composer =
        Composer { file, text, stack: Vec::new(), anchors: HashMap::new(), remarks: Vec::new(), nodes: 0, merged: 0, root: None };
    let mut documents = Vec::new();
    let mut budget = Budget { nodes: 0, bytes: 0 };
    let mut began = Mark::default();
    for next in Parser::new_from_str_with_options(text, options) {
        let (event, span) = next.map_err(|error| {
            let mark = Mark::of(error.marker());
            composer.fails(mark, error.info())
        })?;
        match event {
            Event::DocumentStart(..) => {
                began = Mark::of(&span.start);
                composer.anchors.clear();
            }
            Event::DocumentEnd => {
                if let Some(root) = composer.root.take() {
                    let place = Place { file: file.clone(), line: root.mark.line.max(began.line), column: root.mark.column.max(1) };
                    let mut places = BTreeMap::new();
                    let json = budget.expand(&root, &mut String::new(), &mut places, file)?;
                    if !json.is_null() {
                        documents.push(Document { json, places, place });
                    }
                }
            }
            event => composer.take(event, &span)?,
        }
    }
    Ok((documents, composer.remarks))
}

struct Frame {
    mark: Mark,
    anchor: usize,
    open: Open,
}

enum Open {
    List(Vec<Rc<Node>>),
    Map(Vec<(Key, Rc<Node>)>, Option<Key>),
}

struct Composer<'t> {
    file: &'t Arc<PathBuf>,
    text: &'t str,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Rc<Node>>,
    remarks: Vec<(Place, String)>,
    nodes: usize,
    merged: usize,
    root: Option<Rc<Node>>,
}

impl Composer<'_> {
    fn fails(&self, mark: Mark, words: impl Into<String>) -> YamlError {
        let mut words = words.into();
        let line = usize::try_from(mark.line.max(1) - 1).ok().and_then(|line| self.text.lines().nth(line)).unwrap_or_default();
        if line.contains("{{")
            || line.trim_start().starts_with('%')
            || self.text.lines().take(3).any(|line| line.trim_start().starts_with("{{"))
        {
            words.push_str("; this is a template: render it first (`helm template … > rendered.yaml`)");
        }
        YamlError { place: mark.place(self.file), words }
    }

    fn take(&mut self, event: Event<'_>, span: &Span) -> Result<(), YamlError> {
        let mark = Mark::of(&span.start);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let mark = if matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) { self.header_of(span) } else { mark };
                if self.wants_key() {
                    let key = self.key(&text, style, tag.as_deref(), mark)?;
                    if anchor != 0 {
                        let value = Value::String(key.text.to_string());
                        self.anchors.insert(anchor, Rc::new(Node { mark, depth: 0, weight: 1, kind: Kind::Scalar(value) }));
                    }
                    return self.take_key(key);
                }
                let value = self.value(&text, style, tag.as_deref(), mark)?;
                self.add(Node { mark, depth: 0, weight: 1, kind: Kind::Scalar(value) }, anchor)
            }
            Event::SequenceStart(_, anchor, _) => self.open(Frame { mark, anchor, open: Open::List(Vec::new()) }),
            Event::MappingStart(_, anchor, _) => self.open(Frame { mark, anchor, open: Open::Map(Vec::new(), None) }),
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(id) => {
                let Some(node) = self.anchors.get(&id).cloned() else {
                    return Err(self.fails(mark, "an alias stands inside the value that it refers to"));
                };
                if self.wants_key() {
                    return match &node.kind {
                        Kind::Scalar(Value::String(text)) => self.take_key(Key { text: Rc::from(text.as_str()), mark, merge: false }),
                        _ => Err(self.fails(mark, "a key must be a string")),
                    };
                }
                self.attach(node, mark)
            }
            Event::UnresolvedAlias(name) => Err(self.fails(mark, format!("unknown anchor `{name}`"))),
            _ => Ok(()),
        }
    }

    /// A block scalar's event stands on its content; its `|` or `>` ends the first line above that is not blank.
    fn header_of(&self, span: &Span) -> Mark {
        let mark = Mark::of(&span.start);
        let before = span.start.byte_offset().and_then(|offset| self.text.get(..offset)).unwrap_or_default();
        let above = before.rsplit('\n').skip(1).zip(1_u64..).find(|(line, _)| !line.trim().is_empty());
        let Some((line, up)) = above else { return mark };
        let bare = line.split(" #").next().unwrap_or_default().trim_end();
        let header = bare.trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-'));
        if !header.ends_with(['|', '>']) {
            return mark;
        }
        Mark { line: mark.line.saturating_sub(up), column: header.chars().count() as u64 }
    }

    fn wants_key(&self) -> bool {
        matches!(self.stack.last(), Some(Frame { open: Open::Map(_, None), .. }))
    }

    fn open(&mut self, frame: Frame) -> Result<(), YamlError> {
        if self.wants_key() {
            return Err(self.fails(frame.mark, "a key must be a string, not a map or a list"));
        }
        if self.stack.len() >= MAX_DEPTH {
            return Err(self.fails(frame.mark, format!("nested more than {MAX_DEPTH} levels deep")));
        }
        self.stack.push(frame);
        Ok(())
    }

    fn close(&mut self) -> Result<(), YamlError> {
        let Some(Frame { mark, anchor, open }) = self.stack.pop() else { return Ok(()) };
        let kind = match open {
            Open::List(items) => Kind::List(items),
            Open::Map(entries, _) => Kind::Map(self.merge(entries)?),
        };
        let below = kind.children().map(|child| child.depth).max().unwrap_or(0);
        if below >= MAX_DEPTH {
            return Err(self.fails(mark, format!("nested more than {MAX_DEPTH} levels deep, aliases followed")));
        }
        let weight = kind.children().fold(1_usize, |weight, child| weight.saturating_add(child.weight));
        self.add(Node { mark, depth: below + 1, weight, kind }, anchor)
    }

    fn add(&mut self, node: Node, anchor: usize) -> Result<(), YamlError> {
        let mark = node.mark;
        let node = Rc::new(node);
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        self.attach(node, mark)
    }

    fn attach(&mut self, node: Rc<Node>, mark: Mark) -> Result<(), YamlError> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(self.fails(mark, format!("more than {MAX_NODES} values")));
        }
        match self.stack.last_mut() {
            None => self.root = Some(node),
            Some(Frame { open: Open::List(items), .. }) => items.push(node),
            Some(Frame { open: Open::Map(entries, pending), .. }) => {
                if let Some(key) = pending.take() {
                    entries.push((key, node));
                }
            }
        }
        Ok(())
    }

    fn take_key(&mut self, key: Key) -> Result<(), YamlError> {
        if let Some(Frame { open: Open::Map(_, pending), .. }) = self.stack.last_mut() {
            *pending = Some(key);
        }
        Ok(())
    }

    /// Resolves `<<` in the order of the text: as kubectl's parser has it, a merge overwrites what stands before it.
    fn merge(&mut self, entries: Vec<(Key, Rc<Node>)>) -> Result<Vec<(Key, Rc<Node>)>, YamlError> {
        let mut seen: HashMap<Rc<str>, Mark> = HashMap::new();
        for (key, _) in entries.iter().filter(|(key, _)| !key.merge) {
            if let Some(first) = seen.insert(key.text.clone(), key.mark) {
                return Err(self.fails(key.mark, format!("key \"{}\" is already set in this map on line {}", key.text, first.line)));
            }
        }
        if !entries.iter().any(|(key, _)| key.merge) {
            return Ok(entries);
        }
        let mut merged: Vec<(Key, Rc<Node>)> = Vec::new();
        let mut at: HashMap<Rc<str>, usize> = HashMap::new();
        for (key, value) in entries {
            let sources: Vec<Rc<Node>> = match (&value.kind, key.merge) {
                (_, false) => Vec::new(),
                (Kind::Map(_), true) => vec![value.clone()],
                // The first of several has precedence.
                (Kind::List(items), true) if items.iter().all(|item| matches!(item.kind, Kind::Map(_))) => {
                    items.iter().rev().cloned().collect()
                }
                _ => return Err(self.fails(key.mark, "map merge requires map or sequence of maps as the value")),
            };
            let mut put = |key: Key, value: Rc<Node>| match at.get(&key.text) {
                Some(&index) => merged[index] = (key, value),
                None => {
                    at.insert(key.text.clone(), merged.len());
                    merged.push((key, value));
                }
            };
            if !key.merge {
                put(key, value);
                continue;
            }
            for source in sources {
                let Kind::Map(from) = &source.kind else { continue };
                self.merged += from.len();
                if self.merged > MAX_NODES {
                    return Err(self.fails(key.mark, format!("more than {MAX_NODES} values, merge keys followed")));
                }
                for (key, value) in from {
                    put(key.clone(), value.clone());
                }
            }
        }
        Ok(merged)
    }

    fn key(&mut self, text: &str, style: ScalarStyle, tag: Option<&Tag>, mark: Mark) -> Result<Key, YamlError> {
        if style == ScalarStyle::Plain && tag.is_none() && text == "<<" {
            return Ok(Key { text: Rc::from(text), mark, merge: true });
        }
        let text = match self.value(text, style, tag, mark)? {
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            Value::Bool(value) => value.to_string(),
            Value::Null => return Err(self.fails(mark, "a key must not be null")),
            Value::Array(_) | Value::Object(_) => return Err(self.fails(mark, "a key must be a string")),
        };
        Ok(Key { text: Rc::from(text), mark, merge: false })
    }

    fn value(&mut self, text: &str, style: ScalarStyle, tag: Option<&Tag>, mark: Mark) -> Result<Value, YamlError> {
        let core = tag.and_then(Tag::core_suffix);
        let resolved = match (core, tag, style) {
            (Some("int" | "float" | "bool" | "null"), ..) | (None, None, ScalarStyle::Plain) => scalar::resolve(text),
            (_, Some(tag), _) if tag.suffix_in_namespace("tag:yaml.org,2002:").as_deref() == Some("binary") => {
                binary(text).map(Value::String)
            }
            _ => return Ok(Value::String(text.to_owned())),
        };
        if tag.is_none() && scalar::is_old_boolean(text) {
            let meant = resolved.as_ref().map_or_else(String::new, ToString::to_string);
            self.remarks.push((
                mark.place(self.file),
                format!("`{text}` is read as {meant}, since Kubernetes follows YAML 1.1: quote it if the word is meant"),
            ));
        }
        resolved.ok_or_else(|| self.fails(mark, format!("`{text}` has no value in JSON")))
    }
}

/// `!!binary` as kubectl reads it: the decoded text.
fn binary(text: &str) -> Option<String> {
    let bare: String = text.split_whitespace().collect();
    String::from_utf8(bytes(&Value::String(bare))?).ok()
}

#[cfg(test)]
mod tests;
