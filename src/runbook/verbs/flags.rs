//! Reads arguments as `kubectl` does: flags in any position, `--name=value`, `-nvalue`, `-it`, and `--` before a command.

use super::{Halt, duration};
use std::time::Duration;

/// A flag of a verb.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flag {
    long: &'static str,
    short: Option<char>,
    takes_value: bool,
}

/// A flag with a value.
pub(super) const fn value(long: &'static str) -> Flag {
    Flag { long, short: None, takes_value: true }
}

/// A flag that stands alone, or has its value behind `=`.
pub(super) const fn switch(long: &'static str) -> Flag {
    Flag { long, short: None, takes_value: false }
}

impl Flag {
    /// The same with a short form.
    pub(super) const fn or(self, short: char) -> Self {
        Self { short: Some(short), ..self }
    }
}

/// Flags that every verb has.
const EVERYWHERE: &[Flag] = &[
    value("namespace").or('n'),
    value("request-timeout"),
    value("v").or('v'),
    value("context"),
    value("kubeconfig"),
    value("cluster"),
    value("server").or('s'),
    value("user"),
    value("token"),
    value("as"),
];

/// Those of them that choose another cluster or another caller.
const FOREIGN: &[&str] = &["context", "kubeconfig", "cluster", "server", "user", "token", "as"];

/// The arguments of a verb.
#[derive(Clone, Debug, Default)]
pub(super) struct Args {
    verb: String,
    /// What is no flag, in order.
    pub(super) words: Vec<String>,
    /// What stands behind `--`.
    pub(super) command: Option<Vec<String>>,
    /// The arguments as they came, for verbs that hand them on.
    pub(super) raw: Vec<String>,
    given: Vec<(&'static str, String)>,
}

/// Takes the verb out of the words: the first that is no flag.
pub(super) fn split_verb(words: &[String]) -> Result<(String, Vec<String>), Halt> {
    let mut at = 0;
    while let Some(word) = words.get(at).filter(|word| word.starts_with('-') && word.len() > 1) {
        let (flag, has_value) = find(word, EVERYWHERE).ok_or_else(|| unknown_flag(word, ""))?;
        at += if flag.takes_value && !has_value { 2 } else { 1 };
    }
    let verb = words.get(at).ok_or_else(|| Halt::error("a verb is missing, such as get or exec"))?;
    Ok((verb.clone(), [&words[..at], &words[at + 1..]].concat()))
}

/// The flag that a word begins with, and whether its value is in the word.
fn find(word: &str, flags: &[Flag]) -> Option<(Flag, bool)> {
    let flags = || flags.iter().chain(EVERYWHERE);
    if let Some(long) = word.strip_prefix("--") {
        let (name, has_value) = long.split_once('=').map_or((long, false), |(name, _)| (name, true));
        return flags().find(|flag| flag.long == name).map(|flag| (*flag, has_value));
    }
    let mut letters = word.strip_prefix('-')?.chars();
    let letter = letters.next()?;
    flags().find(|flag| flag.short == Some(letter)).map(|flag| (*flag, flag.takes_value && !letters.as_str().is_empty()))
}

fn unknown_flag(word: &str, verb: &str) -> Halt {
    let flag = word.split_once('=').map_or(word, |(flag, _)| flag);
    let what = if verb.is_empty() { flag.to_owned() } else { format!("{flag} of kubectl {verb}") };
    Halt::NotCarriedOut { what, instead: String::from("leave it out, or do it in a step") }
}

impl Args {
    /// Reads the words of a verb that has these flags besides the common ones.
    pub(super) fn parse(verb: &str, words: &[String], flags: &[Flag]) -> Result<Self, Halt> {
        let mut args = Self { verb: verb.to_owned(), raw: words.to_vec(), ..Self::default() };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if word == "--" {
                args.command = Some(words.cloned().collect());
                break;
            }
            if !word.starts_with('-') || word == "-" {
                args.words.push(word.clone());
                continue;
            }
            let mut word = word.clone();
            loop {
                let (flag, _) = find(&word, flags).ok_or_else(|| unknown_flag(&word, verb))?;
                let inside = match word.strip_prefix("--") {
                    Some(long) => long.split_once('=').map(|(_, value)| value.to_owned()),
                    None => Some(word.chars().skip(2).collect::<String>()).filter(|rest| !rest.is_empty()),
                };
                match (flag.takes_value, inside) {
                    (true, Some(value)) if !word.starts_with("--") => {
                        args.given.push((flag.long, value.strip_prefix('=').unwrap_or(&value).to_owned()));
                    }
                    (true, Some(value)) => args.given.push((flag.long, value)),
                    (true, None) => {
                        let value = words.next().ok_or_else(|| Halt::error(format!("flag needs an argument: {word}")))?;
                        args.given.push((flag.long, value.clone()));
                    }
                    // `-it`: the next letter is a flag too; `-i=false` is a value.
                    (false, Some(rest)) if !word.starts_with("--") && !rest.starts_with('=') => {
                        args.given.push((flag.long, String::from("true")));
                        word = format!("-{rest}");
                        continue;
                    }
                    (false, Some(value)) => args.given.push((flag.long, value.strip_prefix('=').unwrap_or(&value).to_owned())),
                    (false, None) => args.given.push((flag.long, String::from("true"))),
                }
                break;
            }
        }
        Ok(args)
    }

    /// Refuses what names a cluster or a caller: a runbook works on the target of its scenario.
    pub(super) fn refuse_foreign_clusters(&self) -> Result<(), Halt> {
        match self.given.iter().find(|(name, _)| FOREIGN.contains(name)) {
            Some((name, _)) => Err(Halt::NotCarriedOut {
                what: format!("--{name}"),
                instead: String::from("a runbook works on the target of its scenario, leave the flag out"),
            }),
            None => Ok(()),
        }
    }

    /// A flag's value; the last where it is given twice.
    pub(super) fn one(&self, flag: &str) -> Option<&str> {
        self.given.iter().rev().find(|(name, _)| *name == flag).map(|(_, value)| value.as_str())
    }

    /// All values of a flag, in order.
    pub(super) fn all<'a>(&'a self, flag: &'a str) -> impl Iterator<Item = &'a str> {
        self.given.iter().filter(move |(name, _)| *name == flag).map(|(_, value)| value.as_str())
    }

    /// Whether a switch is on; `otherwise` where it is not given.
    pub(super) fn is(&self, flag: &str, otherwise: bool) -> Result<bool, Halt> {
        match self.one(flag) {
            None => Ok(otherwise),
            Some("true" | "1" | "t" | "T" | "TRUE" | "True") => Ok(true),
            Some("false" | "0" | "f" | "F" | "FALSE" | "False") => Ok(false),
            Some(other) => {
                Err(Halt::error(format!("invalid argument \"{other}\" for \"--{flag}\" flag: strconv.ParseBool: invalid syntax")))
            }
        }
    }

    /// A flag's value as a whole number.
    pub(super) fn number(&self, flag: &str) -> Result<Option<i64>, Halt> {
        let Some(text) = self.one(flag) else { return Ok(None) };
        let number = text
            .parse()
            .map_err(|_| Halt::error(format!("invalid argument \"{text}\" for \"--{flag}\" flag: parsing \"{text}\": invalid syntax")));
        number.map(Some)
    }

    /// A flag's value as a time; below zero (`-1s`) counts as a week, as in `kubectl`.
    pub(super) fn time(&self, flag: &str) -> Result<Option<Duration>, Halt> {
        let Some(text) = self.one(flag) else { return Ok(None) };
        let time =
            duration::parse(text).map_err(|why| Halt::error(format!("invalid argument \"{text}\" for \"--{flag}\" flag: time: {why}")));
        time.map(Some)
    }

    /// The namespace that is meant: `default` where none is.
    pub(super) fn namespace(&self) -> &str {
        self.one("namespace").unwrap_or("default")
    }

    /// Refuses a flag unless its value is one of these.
    pub(super) fn only(&self, flag: &str, values: &[&str]) -> Result<(), Halt> {
        match self.one(flag) {
            Some(other) if !values.contains(&other) => Err(Halt::NotCarriedOut {
                what: format!("--{flag}={other} of kubectl {}", self.verb),
                instead: format!("it can be {}", values.join(" or ")),
            }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(ToOwned::to_owned).collect()
    }

    const FLAGS: &[Flag] = &[switch("stdin").or('i'), switch("tty").or('t'), value("container").or('c'), value("selector").or('l')];

    fn parse(line: &str) -> Args {
        let (verb, rest) = split_verb(&words(line)).expect("a verb");
        Args::parse(&verb, &rest, FLAGS).expect("it can be read")
    }

    #[test]
    fn flags_stand_anywhere_and_in_every_form() {
        for line in [
            "exec -n mcp redis-0 -it -c redis -- redis-cli -n 0 GET a",
            "-n mcp exec redis-0 -i -t --container=redis -- redis-cli -n 0 GET a",
            "--namespace=mcp exec -itcredis redis-0 -- redis-cli -n 0 GET a",
            "exec redis-0 -nmcp -i=true --tty=true --container redis -- redis-cli -n 0 GET a",
            "-n=mcp exec redis-0 -it -c=redis -- redis-cli -n 0 GET a",
        ] {
            let args = parse(line);
            assert_eq!(args.words, ["redis-0"], "{line}");
            assert_eq!((args.namespace(), args.one("container")), ("mcp", Some("redis")), "{line}");
            assert!(args.is("stdin", false).expect("a switch") && args.is("tty", false).expect("a switch"), "{line}");
            assert_eq!(args.command.as_deref(), Some(&words("redis-cli -n 0 GET a")[..]), "{line}");
        }
    }

    #[test]
    fn what_is_not_known_is_refused_by_name() {
        let error = Args::parse("exec", &words("redis-0 --pod-running-timeout=3s"), FLAGS).expect_err("unknown").to_string();
        assert_eq!(
            error,
            "error: --pod-running-timeout of kubectl exec is not carried out by redis-conformance; leave it out, or do it in a step"
        );
        let error = parse("exec --context prod a").refuse_foreign_clusters().expect_err("foreign").to_string();
        assert!(error.starts_with("error: --context is not carried out"), "{error}");
        assert_eq!(split_verb(&[]).expect_err("nothing").to_string(), "error: a verb is missing, such as get or exec");
        let error = split_verb(&words("--frob get")).expect_err("unknown").to_string();
        assert!(error.starts_with("error: --frob is not carried out"), "{error}");
    }

    #[test]
    fn a_value_that_is_missing_or_wrong_is_told() {
        assert_eq!(Args::parse("exec", &words("a -c"), FLAGS).expect_err("no value").to_string(), "error: flag needs an argument: -c");
        assert!(parse("exec -i=perhaps a").is("stdin", false).is_err());
        assert!(parse("exec -c x a").number("container").is_err());
    }
}
