//! Reads shell scripts well enough to see which programs they start with which words; it executes nothing and follows no condition.

use std::collections::BTreeMap;

/// One simple command of a script.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Command {
    /// The program and its words, variables filled in where they are known.
    pub(super) words: Vec<String>,
    /// The file that its output goes to, and whether it is appended to.
    pub(super) output: Option<(String, bool)>,
    /// The file that its input comes from.
    pub(super) input: Option<String>,
    /// The text of its here-document, and how many lines of the script are above it.
    pub(super) document: Option<(String, u64)>,
    /// The script's line on which it ends, from 1.
    pub(super) line: u64,
    /// It reads what the command before it prints.
    pub(super) piped: bool,
}

/// A dollar sign that stood in single quotes.
const LITERAL: char = '\u{1}';

/// All simple commands of a script in the order of the text; `arguments` are what its `"$@"` stands for.
pub(super) fn commands(script: &str, environment: &BTreeMap<String, String>, arguments: &[String]) -> Vec<Command> {
    let mut reader = Reader {
        script,
        rest: script,
        counted: (0, 0),
        variables: environment.clone(),
        arrays: BTreeMap::from([("@".to_owned(), arguments.to_vec())]),
        commands: Vec::new(),
        current: Command::default(),
        documents: Vec::new(),
    };
    reader.read();
    reader.commands
}

struct Reader<'s> {
    script: &'s str,
    rest: &'s str,
    /// How many bytes of the script have been searched for line ends, and how many there were.
    counted: (usize, u64),
    variables: BTreeMap<String, String>,
    arrays: BTreeMap<String, Vec<String>>,
    commands: Vec<Command>,
    current: Command,
    /// Here-documents that begin on the next line: which command, delimiter, whether variables are filled in.
    documents: Vec<(usize, String, bool)>,
}

impl Reader<'_> {
    fn read(&mut self) {
        loop {
            self.rest = self.rest.trim_start_matches([' ', '\t', '\r']);
            if let Some(rest) = self.rest.strip_prefix("\\\n").or_else(|| self.rest.strip_prefix("\\\r\n")) {
                self.rest = rest;
                continue;
            }
            let Some(first) = self.rest.chars().next() else { break };
            match first {
                '\n' => {
                    self.rest = &self.rest[1..];
                    self.end();
                    self.read_documents();
                }
                '#' => self.rest = self.rest.find('\n').map_or("", |at| &self.rest[at..]),
                ';' | '&' | '|' | '(' | ')' => {
                    let is_pipe = first == '|' && !self.rest.starts_with("||");
                    self.rest = self.rest[1..].trim_start_matches(first);
                    self.end();
                    self.current.piped = is_pipe;
                }
                '<' | '>' => self.redirection(),
                _ => self.next_word(),
            }
        }
        self.end();
    }

    fn redirection(&mut self) {
        let operator = ["<<-", "<<<", "<<", "<&", "<", ">>", ">&", ">|", ">"]
            .into_iter()
            .find(|operator| self.rest.starts_with(operator))
            .unwrap_or(">");
        self.rest = self.rest[operator.len()..].trim_start_matches([' ', '\t']);
        let quoted = self.rest.starts_with(['\'', '"', '\\']);
        let word = self.word();
        match operator {
            "<<" | "<<-" => self.documents.push((self.commands.len(), word, !quoted)),
            "<" => self.current.input = Some(self.fill(&word)),
            ">" | ">>" | ">|" => {
                let file = self.fill(&word);
                // `2> log` sends errors, not output.
                let of_errors = self.current.words.last().is_some_and(|word| word == "2");
                if of_errors {
                    self.current.words.pop();
                } else {
                    self.current.output = Some((file, operator == ">>"));
                }
            }
            _ => {}
        }
    }

    fn next_word(&mut self) {
        let raw = self.word();
        let bare = raw.strip_suffix('=').map(|name| name.strip_suffix('+').unwrap_or(name));
        if let (Some(name), true) = (bare, self.rest.starts_with('(')) {
            self.array(name.to_owned());
            return;
        }
        if matches!(raw.as_str(), "$@" | "$*" | "${@}" | "${*}") {
            self.current.words.extend(self.arrays["@"].iter().cloned());
            return;
        }
        if let Some(name) = raw.strip_prefix("${").and_then(|raw| raw.strip_suffix("[@]}").or_else(|| raw.strip_suffix("[*]}")))
            && let Some(items) = self.arrays.get(name)
        {
            self.current.words.extend(items.iter().cloned());
            return;
        }
        let word = self.fill(&raw);
        if self.current.words.is_empty() {
            const PREFIXES: &[&str] = &[
                "if", "then", "else", "elif", "do", "while", "until", "!", "{", "exec", "nohup", "command", "eval", "time", "export",
                "local", "readonly",
            ];
            if PREFIXES.contains(&word.as_str()) {
                return;
            }
            if let Some((name, value)) = raw.split_once('=').filter(|(name, _)| is_name(name)) {
                self.assign(name, value);
                return;
            }
        }
        self.current.words.push(word);
    }

    /// What a program prints is unknown, and so is what is filled in later; a text that is only passed through a filter is taken as it is.
    fn assign(&mut self, name: &str, value: &str) {
        let inner = value.strip_prefix("$(").or_else(|| value.strip_prefix('`'));
        let passed = inner.map(str::trim_start).filter(|inner| inner.starts_with("echo ") || inner.starts_with("printf "));
        if let Some(passed) = passed {
            let words = passed.split('|').next().unwrap_or_default();
            let last = words.split_whitespace().last().unwrap_or_default().trim_matches(['"', '\'', ')', '`']);
            self.variables.insert(name.to_owned(), self.fill(last));
        } else if inner.is_none() && !value.is_empty() {
            self.variables.insert(name.to_owned(), self.fill(value));
        }
    }

    fn array(&mut self, name: String) {
        self.rest = &self.rest[1..];
        let mut items = Vec::new();
        loop {
            self.rest = self.rest.trim_start();
            if self.rest.is_empty() || self.rest.starts_with(')') {
                self.rest = self.rest.get(1..).unwrap_or_default();
                break;
            }
            let before = self.rest.len();
            let word = self.word();
            items.push(self.fill(&word));
            if self.rest.len() == before {
                self.rest = self.rest.get(1..).unwrap_or_default();
            }
        }
        self.arrays.entry(name).or_default().append(&mut items);
    }

    /// One word with its quotes taken off; what is in `$(…)` or back quotes stays as it is.
    fn word(&mut self) -> String {
        let mut word = String::new();
        let mut chars = self.rest.char_indices().peekable();
        let mut end = self.rest.len();
        let mut quote = None;
        while let Some((at, c)) = chars.next() {
            match (quote, c) {
                (None, '\'') => quote = Some('\''),
                (None, '"') => quote = Some('"'),
                (Some('\''), '\'') | (Some('"'), '"') => quote = None,
                (Some('\''), '$') => word.push(LITERAL),
                (Some('\''), c) => word.push(c),
                (_, '\\') => match chars.next() {
                    Some((_, '\n')) | None => {}
                    Some((_, '$')) => word.push(LITERAL),
                    Some((_, next)) => {
                        if quote.is_some() && !matches!(next, '"' | '\\' | '`') {
                            word.push('\\');
                        }
                        word.push(next);
                    }
                },
                (_, '$') if matches!(chars.peek(), Some((_, '('))) => {
                    let mut depth = 0_usize;
                    word.push('$');
                    for (_, c) in chars.by_ref() {
                        word.push(c);
                        depth = if c == '(' { depth + 1 } else { depth.saturating_sub(usize::from(c == ')')) };
                        if depth == 0 {
                            break;
                        }
                    }
                }
                (_, '`') => {
                    word.push('`');
                    for (_, c) in chars.by_ref() {
                        word.push(c);
                        if c == '`' {
                            break;
                        }
                    }
                }
                (None, c) if c.is_whitespace() || matches!(c, ';' | '&' | '|' | '(' | ')' | '<' | '>') => {
                    end = at;
                    break;
                }
                (_, c) => word.push(c),
            }
        }
        self.rest = &self.rest[end..];
        word
    }

    fn fill(&self, raw: &str) -> String {
        fill(raw, &self.variables)
    }

    /// How many whole lines are above what is read next.
    fn lines_above(&mut self) -> u64 {
        let at = self.script.len() - self.rest.len();
        let (from, lines) = self.counted;
        let more = self.script.as_bytes()[from..at].iter().filter(|byte| **byte == b'\n').count() as u64;
        self.counted = (at, lines + more);
        lines + more
    }

    fn end(&mut self) {
        let mut current = std::mem::take(&mut self.current);
        let at = self.script.len() - self.rest.len();
        current.line = self.lines_above() + u64::from(!self.script[..at].ends_with('\n'));
        let waiting = self.documents.iter().any(|(command, ..)| *command == self.commands.len());
        if !current.words.is_empty() || waiting {
            self.commands.push(current);
        }
    }

    fn read_documents(&mut self) {
        for (command, delimiter, filled) in std::mem::take(&mut self.documents) {
            let mut text = String::new();
            let above = self.lines_above();
            while !self.rest.is_empty() {
                let (line, rest) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
                self.rest = rest;
                if line.trim() == delimiter {
                    break;
                }
                text.push_str(line);
                text.push('\n');
            }
            let text = if filled { self.fill(&text) } else { text };
            if let Some(command) = self.commands.get_mut(command) {
                command.document = Some((text, above));
            }
        }
    }
}

/// Fills in `$NAME`, `${NAME}` and `${NAME:-default}`; what is unknown stays as it is written.
pub(super) fn fill(raw: &str, variables: &BTreeMap<String, String>) -> String {
    let mut filled = String::new();
    let mut rest = raw;
    while let Some(at) = rest.find('$') {
        filled.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let (whole, name, default) = if let Some(inner) = after.strip_prefix('{') {
            let inner = &inner[..inner.find('}').unwrap_or(inner.len())];
            let (name, default) =
                inner.split_once(":-").or_else(|| inner.split_once('-')).map_or((inner, None), |(name, default)| (name, Some(default)));
            ((inner.len() + 2).min(after.len()), name, default)
        } else {
            let length = after.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(after.len());
            (length, &after[..length], None)
        };
        match variables.get(name).map(String::as_str).or(default) {
            Some(value) if is_name(name) => filled.push_str(value),
            _ => filled.push_str(&rest[at..=at + whole]),
        }
        rest = &after[whole..];
    }
    filled.push_str(rest);
    filled.replace(LITERAL, "$")
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && !text.starts_with(|c: char| c.is_ascii_digit()) && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(script: &str) -> Vec<Vec<String>> {
        let environment = BTreeMap::from([("PASSWORD".to_owned(), "p w".to_owned())]);
        commands(script, &environment, &["redis-server".to_owned(), "/a b".to_owned()]).into_iter().map(|command| command.words).collect()
    }

    #[test]
    fn commands_are_found_behind_conditions_and_continuations() {
        let script = "set -e\nif [ \"$(hostname)\" = redis-0 ]; then\n  exec redis-server \\\n    --port 6380 --requirepass \"$PASSWORD\" # why\nelse redis-server --replicaof a 6379; fi\n";
        let found = words(script);
        assert!(found.contains(&["redis-server", "--port", "6380", "--requirepass", "p w"].map(String::from).to_vec()), "{found:?}");
        assert!(found.contains(&["redis-server", "--replicaof", "a", "6379"].map(String::from).to_vec()), "{found:?}");
    }

    #[test]
    fn variables_are_filled_in_and_unknown_ones_stay() {
        let script = "DIR=/data/${SUB:-x}\nredis-server --dir $DIR --name '$PASSWORD' $UNKNOWN ${UNKNOWN}\n";
        assert_eq!(words(script), [["redis-server", "--dir", "/data/x", "--name", "$PASSWORD", "$UNKNOWN", "${UNKNOWN}"]]);
    }

    #[test]
    fn arrays_are_opened() {
        let script = "ARGS=(\"--port\" 1)\nARGS+=(\"--requirepass\" \"${PASSWORD}\")\nexec redis-server \"${ARGS[@]}\"\n";
        assert_eq!(words(script), [["redis-server", "--port", "1", "--requirepass", "p w"]]);
    }

    #[test]
    fn here_documents_and_redirections_belong_to_their_command() {
        let script =
            "cat > /etc/a.conf <<EOF\nport 1\nrequirepass $PASSWORD\nEOF\ncat <<'END' >> /b 2>/dev/null\n$PASSWORD\nEND\necho done\n";
        let found = commands(script, &BTreeMap::from([("PASSWORD".to_owned(), "x".to_owned())]), &[]);
        assert_eq!(found[0].output, Some(("/etc/a.conf".to_owned(), false)));
        assert_eq!(found[0].document, Some(("port 1\nrequirepass x\n".to_owned(), 1)));
        assert_eq!(found[1].output, Some(("/b".to_owned(), true)));
        assert_eq!(found[1].document, Some(("$PASSWORD\n".to_owned(), 5)));
        assert_eq!((found[2].words.join(" ").as_str(), found[2].line), ("echo done", 8));
    }

    #[test]
    fn the_arguments_of_a_script_are_handed_on() {
        assert_eq!(words("exec \"$@\"\n"), [["redis-server", "/a b"]]);
    }

    #[test]
    fn what_a_program_prints_is_unknown_unless_it_only_passes_a_text_on() {
        let script = "M=$(redis-cli info)\nM=''\nE=$(echo \"$PASSWORD\" | sed -e 's/[\\/&]/x/g')\nrun $M \"$E\"\n";
        assert_eq!(words(script), [["run", "$M", "p w"]]);
    }

    #[test]
    fn no_script_makes_it_stumble() {
        for script in [
            "",
            "'",
            "\"$(",
            "<<",
            "a=(",
            "${",
            "$",
            "\\",
            "`",
            ">",
            "((((",
            "$(((",
            "<<EOF\n",
            "é'ü\"ß`",
            "a=(b;c)",
            "x <<-\n",
            "${a[@]}",
            "a=(",
            "<<E <<E\nE",
        ] {
            let _ = commands(script, &BTreeMap::new(), &[]);
        }
    }
}
