//! What a shell does with one command: its own, a function, a script, or a program that is noted.

use super::{
    Call, Command, MAX_DEPTH, Shell, Streams, Text, base, is_open, parse, shown,
    state::{End, Field, State},
    unknown,
    word::is_name,
};
use crate::manifest::Place;
use std::{collections::BTreeMap, rc::Rc};

impl Shell<'_> {
    /// Runs what the shell does itself, a function, or a program.
    pub(super) fn run(&mut self, mut call: Call<'_>, state: &mut State) -> Option<bool> {
        let Some(first) = call.fields.first().map(|field| field.text.clone()) else { return Some(true) };
        let words: Vec<String> = call.fields[1..].iter().map(|field| field.text.clone()).collect();
        match first.as_str() {
            "exec" => {
                call.fields.remove(0);
                while call.fields.first().is_some_and(|field| field.text.starts_with('-')) {
                    let named = call.fields.remove(0).text == "-a";
                    if named && !call.fields.is_empty() {
                        call.fields.remove(0);
                    }
                }
                // Without a program it only moves the shell's own output.
                if call.fields.is_empty() {
                    return Some(true);
                }
                self.program(call, state);
                state.end = Some(End::Replaced);
                None
            }
            "command" | "builtin" if words.first().is_none_or(|word| !word.starts_with('-')) => {
                call.fields.remove(0);
                self.run(call, state)
            }
            "exit" => {
                state.end = Some(End::Exited);
                None
            }
            "return" | "break" | "continue" => {
                state.end = Some(if first == "return" { End::Returned } else { End::Left });
                self.left.push(state.clone());
                None
            }
            ":" | "true" => Some(true),
            "false" => Some(false),
            "[" | "test" | "[[" => {
                let end = if first == "test" { words.len() } else { words.len().saturating_sub(1) };
                let words: Vec<&str> = words[..end].iter().map(String::as_str).collect();
                self.test(&words, first == "[[")
            }
            "set" => {
                set(&call.fields[1..], state);
                Some(true)
            }
            "shift" => {
                let count = words.first().map_or(Some(1), |count| count.parse::<usize>().ok());
                state.positional = match (state.positional.take(), count) {
                    (Some(all), Some(count)) => Some(all.into_iter().skip(count).collect()),
                    _ => None,
                };
                Some(true)
            }
            "unset" => {
                for name in words {
                    state.arrays.remove(&name);
                    state.functions.remove(&name);
                    state.variables.insert(name, None);
                }
                Some(true)
            }
            "export" | "readonly" | "local" | "declare" | "typeset" => {
                for word in words.iter().filter(|word| !word.starts_with('-')) {
                    let name = match word.split_once('=') {
                        Some((name, value)) if is_name(name) => {
                            state.set(name, value.to_owned());
                            name
                        }
                        _ => word,
                    };
                    if first == "export" {
                        state.exported.insert(name.to_owned());
                    }
                }
                Some(true)
            }
            "read" | "mapfile" | "readarray" | "getopts" => {
                for name in words.iter().filter(|word| is_name(word)) {
                    state.set(name, unknown(name));
                }
                None
            }
            "cd" => {
                let to = words.last().filter(|word| !word.starts_with('-')).map_or_else(|| unknown("HOME"), Clone::clone);
                let to = match &state.directory {
                    Some((from, _)) if !to.starts_with('/') => format!("{from}/{to}"),
                    _ => to,
                };
                state.directory = Some((to, place_of(&call)));
                Some(true)
            }
            "trap" | "umask" | "ulimit" | "alias" | "wait" | "jobs" | "hash" => Some(true),
            "type" | "command" | "which" => None,
            "eval" if !words.iter().any(|word| is_open(word)) => {
                let above = Place { line: (call.text.above.line + call.line).saturating_sub(1), ..call.text.above.clone() };
                self.inside(&words.join(" "), above, state)
            }
            "eval" => {
                call.fields.remove(0);
                self.program(call, state)
            }
            "." | "source" => match words.first().and_then(|path| (self.open)(path)) {
                Some((script, above)) => self.inside(&script, above, state),
                None => {
                    self.hide(&call, words.first().map_or("", String::as_str));
                    // Whatever it sets is set from here on.
                    self.image_sets = true;
                    None
                }
            },
            name => match state.functions.get(name).cloned() {
                Some((body, text)) if self.depth < MAX_DEPTH => {
                    self.depth += 1;
                    let depth = self.left.len();
                    let (own, certain) = (state.positional.replace(call.fields.split_off(1)), state.certain);
                    let status = self.node(&body, state, &text);
                    self.meet(depth, &End::Returned, certain, state);
                    state.positional = own;
                    self.depth -= 1;
                    status
                }
                Some(_) => None,
                None => self.program(call, state),
            },
        }
    }

    /// Text that the same shell goes on with.
    fn inside(&mut self, script: &str, above: Place, state: &mut State) -> Option<bool> {
        if self.depth >= MAX_DEPTH {
            self.hidden.push(("scripts within scripts".to_owned(), above));
            return None;
        }
        let script = parse::parse(script);
        if let Some(line) = script.unread {
            self.hidden.push(("a script that is not understood".to_owned(), Place { line: above.line + line, ..above.clone() }));
        }
        let text = Rc::new(Text { documents: script.documents, above, scripted: true });
        self.depth += 1;
        let status = self.list(&script.list, state, &text);
        self.depth -= 1;
        status
    }

    fn hide(&mut self, call: &Call<'_>, what: &str) {
        self.hidden.push((shown(what), place_of(call)));
    }

    /// A program of its own: a script is followed, anything else is noted.
    pub(super) fn program(&mut self, mut call: Call<'_>, state: &mut State) -> Option<bool> {
        let mut environment = state.environment();
        self.unwrap(&mut call.fields, &mut environment);
        let Some(first) = call.fields.first().map(|field| field.text.clone()) else { return Some(true) };
        let script = match base(&first) {
            "sh" | "bash" | "ash" | "dash" => {
                let options = call.fields[1..].iter().take_while(|field| field.text.starts_with('-') && field.text.len() > 1).count();
                let options: Vec<String> = call.fields.drain(1..=options).map(|field| field.text).collect();
                let is_text = options.iter().any(|option| !option.starts_with("--") && option.contains('c'));
                if call.fields.len() < 2 {
                    // A shell that reads its commands from somewhere else.
                    let read = call.streams.document.clone().filter(|_| !is_text);
                    read.map(|(text, line)| (text, Place { line: call.text.above.line + line, ..call.text.above.clone() }))
                } else {
                    let script = call.fields.remove(1);
                    if is_text {
                        let place = script.place.clone().unwrap_or_else(|| place_of(&call));
                        // What is written on one line stands on the line of its field, and a block begins below it.
                        let above = if script.text.contains('\n') { place.line } else { place.line.saturating_sub(1) };
                        // The first word after the text is its name, `$0`.
                        if call.fields.len() > 1 {
                            call.fields.remove(1);
                        }
                        Some((script.text, Place { line: above, column: 0, ..place }))
                    } else {
                        match (self.open)(&script.text) {
                            Some(found) => Some(found),
                            None => {
                                call.fields.insert(1, script.clone());
                                self.hide(&call, &script.text);
                                None
                            }
                        }
                    }
                }
            }
            name => match (self.open)(&first) {
                Some(found) => Some(found),
                None => {
                    if name.ends_with(".sh") {
                        self.hide(&call, &first);
                    }
                    None
                }
            },
        };
        let Some((script, above)) = script else { return self.note(call, state) };
        if is_open(&script) {
            self.hide(&call, "a script that is made at the start");
        }
        let mut own = State::new(&environment, call.fields.split_off(1));
        own.certain = state.certain;
        own.directory.clone_from(&state.directory);
        let depth = self.left.len();
        let status = self.inside(&script, above, &mut own);
        self.left.truncate(depth);
        if own.end.is_none() { status } else { None }
    }

    /// Takes away what only starts another program.
    fn unwrap(&self, fields: &mut Vec<Field>, environment: &mut BTreeMap<String, String>) {
        while fields.len() > 1 && (self.open)(&fields[0].text).is_none() {
            let gone = match base(&fields[0].text) {
                "tini"
                | "dumb-init"
                | "docker-entrypoint.sh"
                | "env"
                | "exec"
                | "nohup"
                | "stdbuf"
                | "--"
                | "catatonit"
                | "setsid"
                | "time" => 1,
                "gosu" | "su-exec" => 2,
                "setpriv" | "nice" | "ionice" | "timeout" => 1,
                // The text after -c is for a shell.
                "su" | "runuser" => {
                    let Some(at) = fields.iter().position(|field| field.text == "-c").filter(|at| at + 1 < fields.len()) else { return };
                    let script = fields[at + 1].clone();
                    let word = |text: &str| Field { text: text.to_owned(), place: None };
                    *fields = vec![word("sh"), word("-c"), script];
                    return;
                }
                _ => return,
            };
            let name = base(&fields[0].text).to_owned();
            fields.drain(..gone.min(fields.len()));
            match name.as_str() {
                // The entrypoint of the official image puts the server's name before options and configuration files.
                "docker-entrypoint.sh" => {
                    if fields.first().is_some_and(|first| first.text.starts_with('-') || first.text.ends_with(".conf")) {
                        fields.insert(0, Field { text: "redis-server".to_owned(), place: None });
                    }
                    return;
                }
                "env" => {
                    while let Some((variable, value)) = fields.first().and_then(|field| field.text.split_once('=')) {
                        environment.insert(variable.to_owned(), value.to_owned());
                        fields.remove(0);
                    }
                }
                _ => {}
            }
            while fields.len() > 1 && fields[0].text.starts_with('-') && fields[0].text != "--" {
                let option = fields.remove(0).text;
                // `nice -n 10`, `timeout -k 5`: the option has a value of its own.
                let valued = match name.as_str() {
                    "nice" | "ionice" => matches!(option.as_str(), "-n" | "-c"),
                    "timeout" => matches!(option.as_str(), "-k" | "-s"),
                    "setpriv" => {
                        !option.contains('=')
                            && ["--reuid", "--regid", "--euid", "--ruid", "--egid", "--rgid", "--groups", "--inh-caps", "--bounding-set"]
                                .iter()
                                .any(|valued| option == *valued)
                    }
                    _ => false,
                };
                if valued && fields.len() > 1 {
                    fields.remove(0);
                }
            }
            // How long.
            if name == "timeout" && fields.len() > 1 {
                fields.remove(0);
            }
        }
    }

    fn note(&mut self, call: Call<'_>, state: &State) -> Option<bool> {
        let Streams { mut output, input, document } = call.streams;
        if output.is_none()
            && let Some((path, appends)) = self.outputs.last_mut()
        {
            output = Some((path.clone(), std::mem::replace(appends, true)));
        }
        let (words, places): (Vec<String>, Vec<Option<Place>>) = call.fields.into_iter().map(|field| (field.text, field.place)).unzip();
        let status = expected(base(&words[0]));
        let command = Command {
            words,
            places,
            output,
            input,
            document,
            line: call.line,
            piped: std::mem::take(&mut self.piped),
            certain: state.certain,
            background: self.background,
            directory: state.directory.clone(),
            scripted: call.text.scripted,
        };
        self.commands.push((command, call.text.above.clone()));
        status
    }
}

/// Where a command of a script stands.
fn place_of(call: &Call<'_>) -> Place {
    Place { line: call.text.above.line + call.line, ..call.text.above.clone() }
}

/// `set -- words` and the option that exports everything.
fn set(fields: &[Field], state: &mut State) {
    for (index, field) in fields.iter().enumerate() {
        match field.text.as_str() {
            "--" => {
                state.positional = Some(fields[index + 1..].to_vec());
                return;
            }
            "-o" | "+o" => {}
            "allexport" | "-a" => state.exports_all = true,
            option if option.starts_with(['-', '+']) => state.exports_all |= option.starts_with('-') && option.contains('a'),
            _ if index > 0 && matches!(fields[index - 1].text.as_str(), "-o" | "+o") => {}
            _ => {
                state.positional = Some(fields[index..].to_vec());
                return;
            }
        }
    }
}

/// How a program ends that fails only where the whole start does.
fn expected(program: &str) -> Option<bool> {
    const DO_AS_TOLD: &[&str] = &[
        "mkdir", "chmod", "chown", "echo", "printf", "touch", "rm", "ln", "sleep", "tee", "envsubst", "cp", "mv", "install", "cat", "sed",
        "date", "sync", "id", "ls",
    ];
    DO_AS_TOLD.contains(&program).then_some(true)
}
