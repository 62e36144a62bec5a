//! Follows shell scripts as far as the manifests tell what they do: which programs they start with which words, on which way. It runs
//! nothing; what only the running container knows stays open, and where that decides the way, each way is followed and none is certain.

mod expand;
mod parse;
mod print;
mod run;
pub(super) mod sed;
mod state;
#[cfg(test)]
mod tests;
mod word;

use crate::manifest::Place;
use parse::{Chain, List, Node, Pipeline, Redirection, Simple, Value};
pub(super) use print::{echoed, formatted};
pub(super) use state::Field;
use state::{End, State};
use std::{collections::BTreeMap, rc::Rc};
use word::Word;
pub(super) use word::{CLOSE, OPEN, is_open, shown, unknown};

/// One command that a container starts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Command {
    /// The program and its words; what is unknown stands between [`OPEN`] and [`CLOSE`].
    pub(super) words: Vec<String>,
    /// Where each word is written, if the manifest has it as a word of its own.
    pub(super) places: Vec<Option<Place>>,
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
    /// The container comes to it whatever happens.
    pub(super) certain: bool,
    /// The script does not wait for it.
    pub(super) background: bool,
    /// Where a script went before, and the line that says so; `None` where it is the container's own directory.
    pub(super) directory: Option<(String, Place)>,
    /// It is part of a script, and so its words are not the container's own.
    pub(super) scripted: bool,
}

/// Scripts that call scripts are followed this far.
const MAX_DEPTH: usize = 12;
/// So many commands are followed; a script that takes more is one that goes in circles.
const FUEL: usize = 20_000;
/// So many rounds of a loop are followed one by one.
const MAX_ROUNDS: usize = 64;

/// The content of a file by its path, with the place of the line above its first.
pub(super) type Open<'o> = &'o dyn Fn(&str) -> Option<(String, Place)>;

/// Follows the start of one container.
pub(super) struct Shell<'o> {
    open: Open<'o>,
    /// The image may set variables that the manifests do not name.
    image_sets: bool,
    pub(super) commands: Vec<(Command, Place)>,
    /// What could not be followed: a script that nothing in the set holds, or that is not understood.
    pub(super) hidden: Vec<(String, Place)>,
    fuel: usize,
    depth: usize,
    piped: bool,
    background: bool,
    /// Outputs of the groups that are open, and whether something was written to them.
    outputs: Vec<(String, bool)>,
    /// States in which functions returned and loops were left.
    left: Vec<State>,
}

/// The text that commands stand in.
#[derive(Debug)]
pub(super) struct Text {
    documents: Vec<(Word, u64)>,
    above: Place,
    scripted: bool,
}

#[derive(Default)]
struct Streams {
    output: Option<(String, bool)>,
    input: Option<String>,
    document: Option<(String, u64)>,
}

/// A command as it is about to run.
struct Call<'c> {
    fields: Vec<Field>,
    streams: Streams,
    line: u64,
    text: &'c Rc<Text>,
}

impl<'o> Shell<'o> {
    pub(super) fn new(open: Open<'o>, image_sets: bool) -> Self {
        Self {
            open,
            image_sets,
            commands: Vec::new(),
            hidden: Vec::new(),
            fuel: FUEL,
            depth: 0,
            piped: false,
            background: false,
            outputs: Vec::new(),
            left: Vec::new(),
        }
    }

    /// Follows the command that a container starts.
    pub(super) fn start(&mut self, words: Vec<Field>, environment: &BTreeMap<String, String>, place: &Place) {
        let text = Rc::new(Text { documents: Vec::new(), above: place.clone(), scripted: false });
        let mut state = State::new(environment, Vec::new());
        self.program(Call { fields: words, streams: Streams::default(), line: 0, text: &text }, &mut state);
    }

    fn list(&mut self, list: &List, state: &mut State, text: &Rc<Text>) -> Option<bool> {
        let mut status = Some(true);
        for chain in list {
            if state.end.is_some() || self.fuel == 0 {
                break;
            }
            status = self.chain(chain, state, text);
        }
        status
    }

    fn chain(&mut self, chain: &Chain, state: &mut State, text: &Rc<Text>) -> Option<bool> {
        if chain.background {
            let before = std::mem::replace(&mut self.background, true);
            let mut own = state.clone();
            self.links(chain, &mut own, text);
            self.background = before;
            return Some(true);
        }
        self.links(chain, state, text)
    }

    fn links(&mut self, chain: &Chain, state: &mut State, text: &Rc<Text>) -> Option<bool> {
        let mut status = self.pipeline(&chain.first, state, text);
        for (succeeded, pipeline) in &chain.rest {
            if state.end.is_some() {
                break;
            }
            match status {
                Some(status) if status != *succeeded => {}
                Some(_) => status = self.pipeline(pipeline, state, text),
                None => {
                    let taken = self.way(state, |shell, state| shell.pipeline(pipeline, state, text));
                    let certain = state.certain;
                    let skipped = State { certain: false, ..state.clone() };
                    *state = skipped.joined(taken, certain);
                }
            }
        }
        status
    }

    /// One of several ways, of which nobody knows whether it is taken.
    fn way(&mut self, state: &State, follow: impl FnOnce(&mut Self, &mut State) -> Option<bool>) -> State {
        let from = self.commands.len();
        let mut state = State { certain: false, ..state.clone() };
        follow(self, &mut state);
        // A way on which a server ran before its end is no mere refusal to start.
        let serves = self.commands[from..].iter().any(|(command, _)| is_server(command));
        if serves && state.end == Some(End::Exited) {
            state.end = Some(End::Replaced);
        }
        state
    }

    fn pipeline(&mut self, pipeline: &Pipeline, state: &mut State, text: &Rc<Text>) -> Option<bool> {
        let status = match pipeline.nodes.as_slice() {
            [node] => self.node(node, state, text),
            nodes => {
                let mut status = None;
                for (index, node) in nodes.iter().enumerate() {
                    let mut own = state.clone();
                    self.piped = index > 0;
                    status = self.node(node, &mut own, text);
                    self.piped = false;
                }
                status
            }
        };
        if pipeline.negated { status.map(|status| !status) } else { status }
    }

    fn node(&mut self, node: &Node, state: &mut State, text: &Rc<Text>) -> Option<bool> {
        self.fuel = self.fuel.saturating_sub(1);
        if self.fuel == 0 {
            self.hidden.push(("a script that goes on for very long".to_owned(), text.above.clone()));
            return None;
        }
        match node {
            Node::Simple(simple) => self.simple(simple, state, text),
            Node::If { branches, otherwise } => self.branches(branches, otherwise, state, text),
            Node::Case { subject, arms } => {
                let subject = self.text(subject, state);
                self.arms(&subject, arms, state, text)
            }
            Node::While { condition, until, body } => self.rounds(condition, *until, body, state, text),
            Node::For { name, words, body } => self.each(name, words.as_deref(), body, state, text),
            Node::Group(list) => self.list(list, state, text),
            Node::Subshell(list) => {
                let mut own = state.clone();
                self.list(list, &mut own, text)
            }
            Node::Function { name, body } => {
                state.functions.insert(name.clone(), (Rc::clone(body), Rc::clone(text)));
                Some(true)
            }
            Node::Arithmetic => None,
            Node::Redirected(node, redirections) => {
                let streams = self.streams(redirections, state, text);
                let depth = self.outputs.len();
                self.outputs.extend(streams.output);
                let status = self.node(node, state, text);
                self.outputs.truncate(depth);
                status
            }
        }
    }

    fn branches(&mut self, branches: &[(List, List)], otherwise: &List, state: &mut State, text: &Rc<Text>) -> Option<bool> {
        let Some(((condition, body), rest)) = branches.split_first() else { return self.list(otherwise, state, text) };
        let status = self.list(condition, state, text);
        if state.end.is_some() {
            return status;
        }
        match status {
            Some(true) => self.list(body, state, text),
            Some(false) => self.branches(rest, otherwise, state, text),
            None => {
                let certain = state.certain;
                let taken = self.way(state, |shell, state| shell.list(body, state, text));
                let skipped = self.way(state, |shell, state| shell.branches(rest, otherwise, state, text));
                *state = taken.joined(skipped, certain);
                None
            }
        }
    }

    fn arms(&mut self, subject: &str, arms: &[(Vec<Word>, List)], state: &mut State, text: &Rc<Text>) -> Option<bool> {
        let Some(((patterns, body), rest)) = arms.split_first() else { return Some(true) };
        match self.is_one_of(subject, patterns, state) {
            Some(true) => self.list(body, state, text),
            Some(false) => self.arms(subject, rest, state, text),
            None => {
                let certain = state.certain;
                let taken = self.way(state, |shell, state| shell.list(body, state, text));
                let skipped = self.way(state, |shell, state| shell.arms(subject, rest, state, text));
                *state = taken.joined(skipped, certain);
                None
            }
        }
    }

    fn rounds(&mut self, condition: &List, until: bool, body: &List, state: &mut State, text: &Rc<Text>) -> Option<bool> {
        for _ in 0..MAX_ROUNDS {
            // `for ((…))` has no condition that is read.
            let status = if condition.is_empty() { None } else { self.list(condition, state, text) };
            if state.end.is_some() {
                return None;
            }
            match status.map(|status| status != until) {
                Some(false) => return Some(true),
                Some(true) => {
                    let (before, depth) = (state.variables.clone(), self.left.len());
                    let (positional, certain) = (state.positional.clone(), state.certain);
                    self.list(body, state, text);
                    let is_left = self.left.len() > depth;
                    self.meet(depth, &End::Left, certain, state);
                    if state.end.is_some() {
                        return None;
                    }
                    // Another round would be the same: it goes on for ever, or until something that nobody knows.
                    if is_left || (before == state.variables && positional == state.positional) {
                        state.certain = false;
                        return None;
                    }
                }
                None => break,
            }
        }
        // Any number of rounds: what one of them changes is unknown in each.
        let from = self.commands.len();
        let known = state.clone();
        let once = self.way(state, |shell, state| {
            let depth = shell.left.len();
            let status = shell.list(body, state, text);
            shell.left.truncate(depth);
            status
        });
        self.commands.truncate(from);
        let changed = State { end: None, ..once };
        let widened = known.joined(changed, state.certain);
        let depth = self.left.len();
        let taken = self.way(&widened, |shell, state| {
            shell.list(condition, state, text);
            shell.list(body, state, text)
        });
        let certain = widened.certain;
        *state = widened.joined(taken, certain);
        self.meet(depth, &End::Left, certain, state);
        None
    }

    fn each(&mut self, name: &str, words: Option<&[Word]>, body: &List, state: &mut State, text: &Rc<Text>) -> Option<bool> {
        let fields = match words {
            Some(words) => self.fields(words, state),
            None => state.positional.clone().unwrap_or_else(|| vec![Field { text: unknown("@"), place: None }]),
        };
        if fields.len() > MAX_ROUNDS || fields.iter().any(|field| is_open(&field.text) || field.text.contains(['*', '?', '['])) {
            let mut round = state.clone();
            round.set(name, unknown(name));
            *state = round;
            return self.rounds(&List::new(), false, body, state, text);
        }
        for field in fields {
            state.set(name, field.text);
            let (depth, certain) = (self.left.len(), state.certain);
            self.list(body, state, text);
            self.meet(depth, &End::Left, certain, state);
            if state.end.is_some() {
                return None;
            }
        }
        Some(true)
    }

    /// Goes on where a loop or a function was left; `certain` is how it was entered.
    fn meet(&mut self, depth: usize, how: &End, certain: bool, state: &mut State) {
        let (here, further): (Vec<State>, Vec<State>) =
            self.left.split_off(depth).into_iter().partition(|left| left.end.as_ref() == Some(how));
        self.left.extend(further);
        for left in here {
            let left = State { end: None, ..left };
            let own = std::mem::replace(state, left.clone());
            let certain = certain && !own.may_be_gone && !left.may_be_gone;
            *state = if own.end.as_ref() == Some(how) { State { certain, ..left } } else { own.joined(left, certain) };
        }
    }

    fn simple(&mut self, simple: &Simple, state: &mut State, text: &Rc<Text>) -> Option<bool> {
        // In `[[ … ]]` nothing is split.
        let is_test = simple.words.first().is_some_and(|word| word.bare() == Some("[["));
        let mut fields: Vec<Field> = if is_test {
            simple.words.iter().map(|word| Field { text: self.text(word, state), place: None }).collect()
        } else {
            self.fields(&simple.words, state)
        };
        // `$UNSET command` runs the command.
        fields.retain({
            let mut first = true;
            move |field| !std::mem::take(&mut first) || !field.text.is_empty()
        });
        let streams = self.streams(&simple.redirections, state, text);
        let known = |name: &String| (name.clone(), state.variables.get(name).cloned(), state.arrays.get(name).cloned());
        let before: Vec<_> = simple.assignments.iter().map(|assignment| known(&assignment.name)).collect();
        for assignment in &simple.assignments {
            match &assignment.value {
                Value::Text(word) if let Some(index) = &assignment.index => {
                    let value = self.text(word, state);
                    let index = self.text(index, state);
                    state.set_part(&assignment.name, &index, &value, assignment.appends);
                }
                Value::Text(word) => {
                    let value = self.text(word, state);
                    let old = if assignment.appends { state.variables.get(&assignment.name).cloned().flatten() } else { None };
                    state.set(&assignment.name, old.unwrap_or_default() + &value);
                }
                Value::Array(words) => {
                    let mut items = self.fields(words, state);
                    if assignment.appends {
                        let mut all = state.arrays.remove(&assignment.name).unwrap_or_default();
                        all.append(&mut items);
                        items = all;
                    }
                    state.variables.remove(&assignment.name);
                    state.arrays.insert(assignment.name.clone(), items);
                }
            }
        }
        if fields.is_empty() {
            return Some(true);
        }
        let added: Vec<String> = before.iter().map(|(name, ..)| name.clone()).filter(|name| state.exported.insert(name.clone())).collect();
        let status = self.run(Call { fields, streams, line: simple.line, text }, state);
        // What stands before a command is for that command alone.
        for (name, value, items) in before.into_iter().rev() {
            match items {
                Some(items) => state.arrays.insert(name.clone(), items),
                None => state.arrays.remove(&name),
            };
            match value {
                Some(value) => state.variables.insert(name, value),
                None => state.variables.remove(&name),
            };
        }
        for name in added {
            state.exported.remove(&name);
        }
        status
    }

    fn streams(&mut self, redirections: &[Redirection], state: &mut State, text: &Rc<Text>) -> Streams {
        let mut streams = Streams::default();
        for redirection in redirections {
            let target = self.text(&redirection.target, state);
            match (redirection.operator, redirection.descriptor.as_deref()) {
                ("<<" | "<<-", None | Some("0")) => {
                    let document = redirection.document.and_then(|number| text.documents.get(number));
                    streams.document = document.map(|(word, above)| (self.text(word, state), *above));
                }
                ("<<<", None | Some("0")) => streams.document = Some((format!("{target}\n"), 0)),
                ("<", None | Some("0")) => streams.input = Some(target),
                ("<(", _) => streams.input = Some(unknown("(…)")),
                (">" | ">|" | "&>", None | Some("1")) => streams.output = Some((target, false)),
                (">>" | "&>>", None | Some("1")) => streams.output = Some((target, true)),
                _ => {}
            }
        }
        streams
    }
}

/// The last part of a program's path.
pub(super) fn base(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}

/// Whether a command starts a server.
fn is_server(command: &Command) -> bool {
    command.words.first().is_some_and(|program| super::program::kind(program).is_some())
}
