//! A YAML tree with marks, aliases shared, and its expansion into JSON with places under a limit.

use super::{Place, pointer};
use serde_json::{Map, Value};
use std::{collections::BTreeMap, path::PathBuf, rc::Rc, sync::Arc};

/// Levels of nesting, aliases followed.
pub(super) const MAX_DEPTH: usize = 128;
/// Values in one file, aliases followed.
pub(super) const MAX_NODES: usize = 1_000_000;
/// Bytes of text, keys and pointers in one file, aliases followed.
pub(super) const MAX_BYTES: usize = 128 << 20;

/// Text that is not the YAML that Kubernetes reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct YamlError {
    pub(super) place: Place,
    pub(super) words: String,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mark {
    pub(super) line: u64,
    pub(super) column: u64,
}

impl Mark {
    pub(super) fn of(marker: &granit_parser::Marker) -> Self {
        Self { line: marker.line() as u64, column: marker.col() as u64 + 1 }
    }

    pub(super) fn place(self, file: &Arc<PathBuf>) -> Place {
        Place { file: file.clone(), line: self.line, column: self.column }
    }
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) mark: Mark,
    pub(super) depth: usize,
    /// How many values it is when aliases are followed.
    pub(super) weight: usize,
    pub(super) kind: Kind,
}

/// A key of a mapping with its value.
type Entry = (Key, Rc<Node>);

#[derive(Debug)]
pub(super) enum Kind {
    Scalar(Value),
    List(Vec<Rc<Node>>),
    Map(Vec<Entry>),
}

impl Kind {
    /// What is directly in it.
    pub(super) fn children(&self) -> impl Iterator<Item = &Rc<Node>> {
        let (items, entries): (&[Rc<Node>], &[Entry]) = match self {
            Self::Scalar(_) => (&[], &[]),
            Self::List(items) => (items, &[]),
            Self::Map(entries) => (&[], entries),
        };
        items.iter().chain(entries.iter().map(|(_, value)| value))
    }
}

#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) text: Rc<str>,
    pub(super) mark: Mark,
    pub(super) merge: bool,
}

/// What is left of the limits while aliases are followed.
pub(super) struct Budget {
    pub(super) nodes: usize,
    pub(super) bytes: usize,
}

impl Budget {
    /// The tree as JSON; the recursion is at most [`MAX_DEPTH`] deep, which the composer has seen to.
    pub(super) fn expand(
        &mut self,
        node: &Node,
        pointer: &mut String,
        places: &mut BTreeMap<String, Place>,
        file: &Arc<PathBuf>,
    ) -> Result<Value, YamlError> {
        if self.nodes + node.weight > MAX_NODES {
            // Known before anything of it is made: a bomb costs nothing.
            let mut heaviest = node;
            while let Some(child) = heaviest.kind.children().find(|child| child.weight > MAX_NODES) {
                heaviest = child;
            }
            return Err(too_much(heaviest.mark, file));
        }
        self.nodes += 1;
        self.bytes += pointer.len();
        if let Kind::Scalar(Value::String(text)) = &node.kind {
            self.bytes += text.len();
        }
        if self.bytes > MAX_BYTES {
            return Err(too_much(node.mark, file));
        }
        let length = pointer.len();
        Ok(match &node.kind {
            Kind::Scalar(value) => value.clone(),
            Kind::List(items) => {
                let mut list = Vec::with_capacity(items.len());
                for (index, item) in items.iter().enumerate() {
                    pointer.push_str(&format!("/{index}"));
                    places.insert(pointer.clone(), item.mark.place(file));
                    list.push(self.expand(item, pointer, places, file)?);
                    pointer.truncate(length);
                }
                Value::Array(list)
            }
            Kind::Map(entries) => {
                let mut map = Map::with_capacity(entries.len());
                for (key, value) in entries {
                    pointer.push('/');
                    pointer.push_str(&pointer::escape(&key.text));
                    places.insert(pointer.clone(), key.mark.place(file));
                    map.insert(key.text.to_string(), self.expand(value, pointer, places, file)?);
                    pointer.truncate(length);
                }
                Value::Object(map)
            }
        })
    }
}

fn too_much(mark: Mark, file: &Arc<PathBuf>) -> YamlError {
    let words = format!("more than {MAX_NODES} values or {} MiB of text, aliases followed: is it meant to be a manifest?", MAX_BYTES >> 20);
    YamlError { place: mark.place(file), words }
}
