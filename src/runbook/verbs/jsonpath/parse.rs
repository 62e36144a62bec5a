//! Reads a template.

use super::{Node, Operator, PathError, Side, Step};
use serde_json::Value;

fn wrong<T>(words: impl Into<String>) -> Result<T, PathError> {
    Err(PathError::Syntax(words.into()))
}

pub(super) fn template(text: &str) -> Result<Vec<Node>, PathError> {
    let mut rest = text;
    // The last list is the one being filled; each below it waits for `{end}` of its range.
    let mut open: Vec<(Option<Vec<Step>>, Vec<Node>)> = vec![(None, Vec::new())];
    while !rest.is_empty() {
        let (plain, action) = rest.split_once('{').map_or((rest, None), |(plain, action)| (plain, Some(action)));
        if !plain.is_empty() {
            push(&mut open, Node::Text(plain.to_owned()));
        }
        let Some(action) = action else { break };
        let close = end_of_action(action)?;
        let inside = action[..close].trim();
        rest = &action[close + 1..];
        if inside == "end" {
            match open.pop() {
                Some((Some(steps), body)) => push(&mut open, Node::Range(steps, body)),
                _ => return wrong("not in range, nothing to end"),
            }
        } else if let Some(path) = inside.strip_prefix("range ") {
            open.push((Some(whole_path(path.trim())?), Vec::new()));
        } else if inside.starts_with(['"', '\'']) {
            push(&mut open, Node::Text(unquote(inside)?));
        } else {
            push(&mut open, Node::Path(whole_path(inside)?));
        }
    }
    match (open.pop(), open.is_empty()) {
        (Some((None, nodes)), true) => Ok(nodes),
        _ => wrong("unclosed range: {end} is missing"),
    }
}

fn push(open: &mut [(Option<Vec<Step>>, Vec<Node>)], node: Node) {
    if let Some((_, nodes)) = open.last_mut() {
        nodes.push(node);
    }
}

/// Which letters are quoted, as a text is read from left to right.
#[derive(Default)]
struct Quotes {
    open: Option<char>,
    escaped: bool,
}

impl Quotes {
    /// Takes the next letter; whether it stands for itself, outside of quotes and behind no backslash.
    fn is_bare(&mut self, letter: char) -> bool {
        match (self.open, letter) {
            _ if self.escaped => self.escaped = false,
            (_, '\\') => self.escaped = true,
            (Some(open), letter) if open == letter => self.open = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => self.open = Some(letter),
            (None, _) => return true,
        }
        false
    }
}

/// Where the action's closing brace is, quoted ones apart.
fn end_of_action(action: &str) -> Result<usize, PathError> {
    let mut quotes = Quotes::default();
    let mut depth = 0;
    for (at, letter) in action.char_indices() {
        match letter {
            letter if !quotes.is_bare(letter) => {}
            '}' => return Ok(at),
            '[' => depth += 1,
            ']' => depth -= 1,
            _ => {}
        }
    }
    wrong(match (quotes.open, depth) {
        (Some(_), _) => "unterminated quoted string",
        (None, 1..) => "unterminated array",
        (None, _) => "unclosed action",
    })
}

fn unquote(text: &str) -> Result<String, PathError> {
    let mut letters = text.chars();
    let quote = letters.next();
    let mut plain = String::new();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some('n') => plain.push('\n'),
                Some('t') => plain.push('\t'),
                Some('r') => plain.push('\r'),
                Some(other) => plain.push(other),
                None => break,
            },
            letter if Some(letter) == quote => {
                return if letters.as_str().is_empty() { Ok(plain) } else { wrong("text after a quoted string") };
            }
            other => plain.push(other),
        }
    }
    wrong("unterminated quoted string")
}

fn whole_path(text: &str) -> Result<Vec<Step>, PathError> {
    let (steps, rest) = path(text)?;
    match rest.trim_start().chars().next() {
        None => Ok(steps),
        Some(letter) => wrong(format!("unrecognized character in action: U+{:04X} '{letter}'", u32::from(letter))),
    }
}

/// Reads steps as far as they go, and gives what is behind them.
fn path(text: &str) -> Result<(Vec<Step>, &str), PathError> {
    let mut steps = Vec::new();
    let mut rest = text.strip_prefix(['$', '@']).unwrap_or(text);
    loop {
        if let Some(deep) = rest.strip_prefix("..") {
            steps.push(Step::Descend);
            let (name, after) = field(deep);
            steps.extend(name);
            rest = after;
        } else if let Some(after) = rest.strip_prefix('.') {
            let (name, after) = field(after);
            steps.extend(name);
            rest = after;
        } else if let Some(inside) = rest.strip_prefix('[') {
            let close = end_of_bracket(inside)?;
            steps.push(bracket(inside[..close].trim())?);
            rest = &inside[close + 1..];
        } else {
            return Ok((steps, rest));
        }
    }
}

/// A field's name up to what ends it; a backslash takes the next letter as it is.
fn field(text: &str) -> (Option<Step>, &str) {
    let mut name = String::new();
    let mut letters = text.char_indices();
    let mut end = text.len();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => name.extend(letters.next().map(|(_, letter)| letter)),
            '.' | ',' | '[' | ']' | '$' | '@' | '{' | '}' | '(' | ')' | '=' | '!' | '<' | '>' => {
                end = at;
                break;
            }
            letter if letter.is_whitespace() => {
                end = at;
                break;
            }
            letter => name.push(letter),
        }
    }
    let step = match name.as_str() {
        "" => None,
        "*" => Some(Step::Every),
        _ => Some(Step::Field(name)),
    };
    (step, &text[end..])
}

fn end_of_bracket(text: &str) -> Result<usize, PathError> {
    let mut quotes = Quotes::default();
    let mut depth = 0;
    for (at, letter) in text.char_indices() {
        match letter {
            letter if !quotes.is_bare(letter) => {}
            '[' => depth += 1,
            ']' if depth == 0 => return Ok(at),
            ']' => depth -= 1,
            _ => {}
        }
    }
    wrong("unterminated array")
}

fn bracket(inside: &str) -> Result<Step, PathError> {
    if inside == "*" {
        return Ok(Step::Every);
    }
    if let Some(condition) = inside.strip_prefix("?(").and_then(|condition| condition.strip_suffix(')')) {
        return filter(condition);
    }
    let quoted = inside.starts_with(['"', '\'']);
    if quoted && !inside.contains(',') {
        let (name, steps) = (inside, quoted_path(inside)?);
        return steps.into_iter().next().map_or_else(|| wrong(format!("invalid array index {name}")), Ok);
    }
    if inside.contains(',') {
        let part = |part: &str| match part.trim() {
            quoted if quoted.starts_with(['"', '\'']) => quoted_path(quoted).map(|mut steps| match steps.pop() {
                Some(Step::Union(mut paths)) => paths.pop().unwrap_or_default(),
                Some(step) => vec![step],
                None => Vec::new(),
            }),
            index => bracket(index).map(|step| vec![step]),
        };
        return inside.split(',').map(part).collect::<Result<_, _>>().map(Step::Union);
    }
    slice(inside)
}

/// `'a.b'` is the path `.a.b`, and `'a\.b'` one field: so `kubectl` has it. Always one step.
fn quoted_path(quoted: &str) -> Result<Vec<Step>, PathError> {
    let name = quoted.strip_prefix(['"', '\'']).and_then(|name| name.strip_suffix(['"', '\''])).unwrap_or(quoted);
    let steps = whole_path(&format!(".{name}"))?;
    Ok(if steps.len() == 1 { steps } else { vec![Step::Union(vec![steps])] })
}

fn slice(inside: &str) -> Result<Step, PathError> {
    let invalid = || PathError::Syntax(format!("invalid array index {inside}"));
    let number = |text: &str| match text.trim() {
        "" => Ok(None),
        text => text.parse::<i64>().map(Some).map_err(|_| invalid()),
    };
    let parts: Vec<_> = inside.split(':').collect();
    match parts.as_slice() {
        [index] => Ok(Step::Slice { start: Some(number(index)?.ok_or_else(invalid)?), end: None, step: 1, single: true }),
        [start, end] => Ok(Step::Slice { start: number(start)?, end: number(end)?, step: 1, single: false }),
        [start, end, step] => match number(step)?.unwrap_or(1) {
            step @ 1.. => Ok(Step::Slice { start: number(start)?, end: number(end)?, step, single: false }),
            _ => wrong("step must be > 0"),
        },
        _ => Err(invalid()),
    }
}

fn filter(condition: &str) -> Result<Step, PathError> {
    let (left, rest) = side(condition.trim())?;
    let rest = rest.trim_start();
    if rest.is_empty() {
        return Ok(Step::Filter { left, operator: Operator::Exists, right: Side::Constant(Value::Null) });
    }
    const OPERATORS: [(&str, Operator); 6] = [
        ("==", Operator::Equal),
        ("!=", Operator::Unequal),
        ("<=", Operator::AtMost),
        (">=", Operator::AtLeast),
        ("<", Operator::Less),
        (">", Operator::Greater),
    ];
    let Some((sign, operator)) = OPERATORS.into_iter().find(|(sign, _)| rest.starts_with(sign)) else {
        return wrong("unterminated filter");
    };
    let (right, rest) = side(rest[sign.len()..].trim_start())?;
    match rest.trim().is_empty() {
        true => Ok(Step::Filter { left, operator, right }),
        false => wrong("unterminated filter"),
    }
}

fn side(text: &str) -> Result<(Side, &str), PathError> {
    if text.starts_with(['@', '$', '.']) {
        let (steps, rest) = path(text)?;
        return Ok((Side::Path(steps), rest));
    }
    if let Some(quote) = text.chars().next().filter(|letter| ['"', '\''].contains(letter)) {
        let end = text[1..].find(quote).ok_or_else(|| PathError::Syntax(String::from("unterminated quoted string")))? + 2;
        return Ok((Side::Constant(Value::String(unquote(&text[..end])?)), &text[end..]));
    }
    let end = text.find(|letter: char| letter.is_whitespace() || "=!<>".contains(letter)).unwrap_or(text.len());
    match serde_json::from_str(&text[..end]) {
        Ok(constant @ (Value::Number(_) | Value::Bool(_))) => Ok((Side::Constant(constant), &text[end..])),
        _ => wrong(format!("unrecognized filter operand {}", &text[..end])),
    }
}
