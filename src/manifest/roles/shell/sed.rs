//! What `sed` makes of a text, for the expressions that scripts use to fill in a configuration; of all others it says that it cannot tell.

use super::word::{CLOSE, OPEN, is_open};

/// A text after the expressions; `None` where one of them is not understood, or where what it looks for may stand in an unknown part.
pub(in crate::manifest::roles) fn edited(text: &str, expressions: &[&str], extended: bool) -> Option<String> {
    let commands: Vec<Command> =
        expressions.iter().flat_map(|expression| commands(expression, extended)).collect::<Option<Vec<Command>>>()?;
    let mut edited = String::new();
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
        if let Some(line) = commands.iter().try_fold(Some(line.to_owned()), |line, command| command.run(line, number + 1))? {
            edited.push_str(&format!("{line}{end}"));
        }
    }
    Some(edited)
}

/// The expressions and the files of a `sed` command.
pub(in crate::manifest::roles) fn words(words: &[String]) -> (Vec<&str>, Vec<&str>, bool) {
    let mut edits = Vec::new();
    let mut rest = Vec::new();
    let mut extended = false;
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        match word {
            "-e" | "--expression" | "-ie" => edits.extend(words.next()),
            "-E" | "-r" | "--regexp-extended" | "-iE" | "-Ei" | "-ri" => extended = true,
            // Its expressions are in a file.
            "-f" | "--file" => edits.push("f"),
            "-n" => edits.push("n"),
            word if word.starts_with("--expression=") => edits.extend(word.strip_prefix("--expression=")),
            word if word.starts_with('-') => {}
            word => rest.push(word),
        }
    }
    if edits.is_empty() && !rest.is_empty() {
        edits.push(rest.remove(0));
    }
    (edits, rest, extended)
}

#[derive(Debug)]
struct Command {
    line: Option<usize>,
    of: Option<Pattern>,
    action: Action,
}

#[derive(Debug)]
enum Action {
    Delete,
    Replace { pattern: Pattern, by: Vec<By>, all: bool },
}

#[derive(Debug, Clone)]
enum By {
    Text(String),
    Found,
}

impl Command {
    /// `Some(None)` where the line is deleted, `None` where nobody can tell.
    fn run(&self, line: Option<String>, number: usize) -> Option<Option<String>> {
        let Some(line) = line else { return Some(None) };
        if self.line.is_some_and(|wanted| wanted != number) {
            return Some(Some(line));
        }
        if let Some(of) = &self.of {
            if is_open(&line) && !of.is_at_start() {
                return None;
            }
            if of.find(&line, 0).is_none() {
                return Some(Some(line));
            }
        }
        match &self.action {
            Action::Delete => Some(None),
            Action::Replace { pattern, by, all } => {
                // A plain mark such as @PASSWORD@ is looked for beside what is unknown; anything else might be in it.
                if is_open(&line) && !pattern.is_plain() && !pattern.is_at_start() {
                    return None;
                }
                let mut edited = String::new();
                let mut at = 0;
                while let Some((begin, end)) = pattern.find(&line, at) {
                    if line[..begin].matches(OPEN).count() > line[..begin].matches(CLOSE).count() {
                        return None;
                    }
                    edited.push_str(&line[at..begin]);
                    for by in by {
                        edited.push_str(match by {
                            By::Text(text) => text,
                            By::Found => &line[begin..end],
                        });
                    }
                    at = end;
                    if begin == end {
                        let Some(next) = line[at..].chars().next() else { break };
                        edited.push(next);
                        at += next.len_utf8();
                    }
                    if !all || pattern.start || (begin < end && end >= line.len()) {
                        break;
                    }
                }
                edited.push_str(&line[at.min(line.len())..]);
                Some(Some(edited))
            }
        }
    }
}

/// The commands of an expression, `None` for one that is not understood.
fn commands(expression: &str, extended: bool) -> Vec<Option<Command>> {
    let mut found = Vec::new();
    let mut rest = expression.trim();
    while !rest.is_empty() {
        match command(rest, extended) {
            Some((command, after)) => {
                found.push(Some(command));
                rest = after.trim_start_matches([' ', ';', '\n']);
            }
            None => {
                found.push(None);
                break;
            }
        }
    }
    found
}

fn command(text: &str, extended: bool) -> Option<(Command, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let line = text[..digits].parse().ok();
    let mut rest = &text[digits..];
    let mut of = None;
    if line.is_none() && rest.starts_with('/') {
        let (pattern, after) = until(&rest[1..], '/')?;
        of = Some(Pattern::parse(&pattern, extended)?);
        rest = after.trim_start();
    }
    if let Some(after) = rest.strip_prefix('d') {
        return Some((Command { line, of, action: Action::Delete }, after));
    }
    let rest = rest.strip_prefix('s')?;
    let delimiter = rest.chars().next().filter(|c| !c.is_alphanumeric() && !c.is_whitespace() && *c != '\\')?;
    let (pattern, rest) = until(&rest[delimiter.len_utf8()..], delimiter)?;
    let (by, rest) = until(rest, delimiter)?;
    let all = rest.starts_with('g');
    let rest = rest.strip_prefix('g').unwrap_or(rest);
    if rest.starts_with(|c: char| c.is_alphanumeric()) {
        return None;
    }
    let action = Action::Replace { pattern: Pattern::parse(&pattern, extended)?, by: replacement(&by)?, all };
    Some((Command { line, of, action }, rest))
}

/// Up to the delimiter, which a backslash makes an ordinary character, as it is in brackets too.
fn until(text: &str, delimiter: char) -> Option<(String, &str)> {
    let mut found = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            c if c == delimiter => return Some((found, &text[at + c.len_utf8()..])),
            '\\' => {
                let (_, next) = chars.next()?;
                if next != delimiter {
                    found.push('\\');
                }
                found.push(next);
            }
            c => found.push(c),
        }
    }
    None
}

fn replacement(text: &str) -> Option<Vec<By>> {
    let mut by = Vec::new();
    let mut plain = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '&' => {
                by.push(By::Text(std::mem::take(&mut plain)));
                by.push(By::Found);
            }
            '\\' => match chars.next()? {
                'n' => plain.push('\n'),
                c if c.is_ascii_alphanumeric() => return None,
                c => plain.push(c),
            },
            c => plain.push(c),
        }
    }
    by.push(By::Text(plain));
    Some(by)
}

/// A regular expression without groups and alternatives.
#[derive(Debug)]
struct Pattern {
    start: bool,
    end: bool,
    /// What one character may be, and whether it may be there any number of times, none included.
    atoms: Vec<(Atom, bool)>,
}

#[derive(Debug, Clone)]
enum Atom {
    Char(char),
    Any,
    Class { negated: bool, ranges: Vec<(char, char)> },
}

impl Pattern {
    fn parse(text: &str, extended: bool) -> Option<Self> {
        let mut pattern = Self { start: false, end: false, atoms: Vec::new() };
        let mut chars = text.chars().peekable();
        if chars.next_if_eq(&'^').is_some() {
            pattern.start = true;
        }
        while let Some(c) = chars.next() {
            let atom = match c {
                '$' if chars.peek().is_none() => {
                    pattern.end = true;
                    break;
                }
                '.' => Atom::Any,
                '[' => class(&mut chars)?,
                '\\' => match chars.next()? {
                    'n' => Atom::Char('\n'),
                    's' => Atom::Class { negated: false, ranges: vec![(' ', ' '), ('\t', '\t')] },
                    c if c.is_ascii_alphanumeric() || "(){}|<>+?'`".contains(c) && !extended => return None,
                    c => Atom::Char(c),
                },
                '(' | ')' | '|' | '{' | '}' | '?' if extended => return None,
                '*' => return None,
                c => Atom::Char(c),
            };
            if extended && chars.next_if_eq(&'+').is_some() {
                pattern.atoms.push((atom.clone(), false));
                pattern.atoms.push((atom, true));
                continue;
            }
            let many = chars.next_if_eq(&'*').is_some();
            pattern.atoms.push((atom, many));
        }
        Some(pattern)
    }

    fn is_plain(&self) -> bool {
        !self.end && !self.atoms.is_empty() && self.atoms.iter().all(|(atom, many)| !many && matches!(atom, Atom::Char(_)))
    }

    fn is_at_start(&self) -> bool {
        self.start && self.atoms.iter().all(|(atom, _)| matches!(atom, Atom::Char(_)))
    }

    /// The leftmost match from a byte on, as long as it can be.
    fn find(&self, line: &str, from: usize) -> Option<(usize, usize)> {
        if self.start && from > 0 {
            return None;
        }
        let begins = line[from..].char_indices().map(|(at, _)| from + at).chain([line.len()]);
        let mut begins = begins.take_while(|at| !self.start || *at == 0);
        begins.find_map(|begin| Some((begin, begin + self.length(&line[begin..])?)))
    }

    fn length(&self, text: &str) -> Option<usize> {
        fn from(atoms: &[(Atom, bool)], end: bool, text: &str, fuel: &mut usize) -> Option<usize> {
            *fuel = fuel.checked_sub(1)?;
            let Some(((atom, many), rest)) = atoms.split_first() else { return (!end || text.is_empty()).then_some(0) };
            if !many {
                let c = text.chars().next().filter(|c| atom.is(*c))?;
                return Some(c.len_utf8() + from(rest, end, &text[c.len_utf8()..], fuel)?);
            }
            let mut ends: Vec<usize> = vec![0];
            for (at, c) in text.char_indices().take_while(|(_, c)| atom.is(*c)) {
                ends.push(at + c.len_utf8());
            }
            ends.into_iter().rev().find_map(|at| Some(at + from(rest, end, &text[at..], fuel)?))
        }
        // A pattern made to be slow ends here.
        from(&self.atoms, self.end, text, &mut 100_000)
    }
}

impl Atom {
    fn is(&self, c: char) -> bool {
        match self {
            Self::Char(own) => *own == c,
            Self::Any => true,
            Self::Class { negated, ranges } => ranges.iter().any(|(from, to)| (*from..=*to).contains(&c)) != *negated,
        }
    }
}

fn class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Atom> {
    let negated = chars.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        let c = chars.next()?;
        match c {
            ']' if !ranges.is_empty() => return Some(Atom::Class { negated, ranges }),
            '[' if chars.peek() == Some(&':') => {
                let name: String = chars.by_ref().take_while(|c| *c != ']').collect();
                ranges.extend_from_slice(match name.as_str() {
                    ":space:" | ":blank:" => &[(' ', ' '), ('\t', '\t')],
                    ":digit:" => &[('0', '9')],
                    ":alpha:" => &[('a', 'z'), ('A', 'Z')],
                    ":alnum:" => &[('a', 'z'), ('A', 'Z'), ('0', '9')],
                    _ => return None,
                });
            }
            c => {
                let mut ahead = chars.clone();
                if ahead.next() == Some('-') && ahead.next().is_some_and(|to| to != ']') {
                    chars.next();
                    ranges.push((c, chars.next()?));
                } else {
                    ranges.push((c, c));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("a @X@ b", "s/@X@/1 & 2/", Some("a 1 @X@ 2 b"))]
    #[case("a/a", "s#a#b#", Some("b/a"))]
    #[case("a/a", "s/a/b/g", Some("b/b"))]
    #[case(r#"p"w\"#, r#"s/[\"]/\\&/g"#, Some(r#"p\"w\\"#))]
    #[case("port 1\nx port 2\n", "s/^port .*/port 3/", Some("port 3\nx port 2\n"))]
    #[case("a\nb\n", "2s/^/x\\n/", Some("a\nx\nb\n"))]
    #[case("# a\nb\n", "/^#/d", Some("b\n"))]
    #[case("a  b", "s/[[:space:]][[:space:]]*/-/;s/a/c/", Some("c-b"))]
    #[case("a", "s/\\(a\\)/\\1/", None)]
    #[case("a", "s/a/b/e", None)]
    #[case("a", "y/a/b/", None)]
    #[case("a/b", "s/\\//:/", Some("a:b"))]
    #[case("é", "s/x*/-/g", Some("-é-"))]
    #[case("", "s/", None)]
    fn a_text_is_edited_as_sed_does(#[case] text: &str, #[case] expression: &str, #[case] expected: Option<&str>) {
        assert_eq!(edited(text, &[expression], false).as_deref(), expected);
    }
}
