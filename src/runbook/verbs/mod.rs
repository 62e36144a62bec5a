//! What our `kubectl` can do: one file a verb; each says and prints what the real one would.
//!
//! A verb works on `trait Target` only, so it is the same on every target.

mod access;
mod age;
mod apply;
mod cp;
mod create;
mod delete;
mod describe;
mod duration;
mod exec;
mod flags;
mod get;
mod halt;
mod jsonpath;
mod kinds;
mod logs;
mod patch;
mod pods;
mod print;
mod real;
mod rollout;
mod run_pod;
mod scale;
mod select;
mod selector;
mod table;
mod wait;
mod yaml;

use crate::target::Target;
use flags::{Args, Flag};
pub(super) use halt::Halt;
use std::{path::PathBuf, sync::Arc};
use tokio::sync::mpsc;

/// What a verb sends to its caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// Standard output.
    Out(Vec<u8>),
    /// Standard error.
    Err(Vec<u8>),
    /// Standard input is wanted.
    WantInput,
}

/// One call of `kubectl`: where it works, where it was called, and its three streams.
pub(super) struct Call {
    /// What carries it out.
    pub(super) target: Arc<dyn Target>,
    /// Relative paths mean this directory.
    pub(super) cwd: PathBuf,
    /// What new files must not permit.
    pub(super) umask: u32,
    /// To the caller.
    pub(super) said: mpsc::Sender<Said>,
    /// Pieces of standard input; an empty one, or the channel's end, is its end.
    pub(super) input: mpsc::Receiver<Vec<u8>>,
}

impl Call {
    async fn say(&self, said: Said) -> Result<(), Halt> {
        self.said.send(said).await.map_err(|_| Halt::Unheard)
    }

    /// Writes to standard output.
    async fn out(&self, text: impl Into<Vec<u8>>) -> Result<(), Halt> {
        self.say(Said::Out(text.into())).await
    }

    /// Writes a line to standard output.
    async fn line(&self, text: impl Into<String>) -> Result<(), Halt> {
        self.out(text.into() + "\n").await
    }

    /// Writes a line to standard error.
    async fn warn(&self, text: impl Into<String>) -> Result<(), Halt> {
        self.say(Said::Err((text.into() + "\n").into_bytes())).await
    }

    /// All of standard input, which is read only now.
    async fn all_input(&mut self) -> Result<Vec<u8>, Halt> {
        self.say(Said::WantInput).await?;
        let mut all = Vec::new();
        while let Some(piece) = self.input.recv().await.filter(|piece| !piece.is_empty()) {
            all.extend(piece);
        }
        Ok(all)
    }
}

/// The verbs: name, flags of its own, and what it does.
macro_rules! verbs {
    ($($name:literal => $room:ident),+ $(,)?) => {
        /// Every verb by name, for the refusal of others.
        const VERBS: &[&str] = &[$($name),+];

        fn flags_of(verb: &str) -> Option<&'static [Flag]> {
            match verb {
                $($name => Some($room::FLAGS),)+
                _ => None,
            }
        }

        async fn dispatch(verb: &str, call: &mut Call, args: Args) -> Result<(), Halt> {
            match verb {
                $($name => $room::run(call, args).await,)+
                other => Err(unknown(other)),
            }
        }
    };
}

verbs! {
    "get" => get,
    "describe" => describe,
    "exec" => exec,
    "cp" => cp,
    "logs" => logs,
    "wait" => wait,
    "delete" => delete,
    "scale" => scale,
    "rollout" => rollout,
    "patch" => patch,
    "apply" => apply,
    "create" => create,
    "run" => run_pod,
    "label" => label,
    "annotate" => annotate,
    "kustomize" => kustomize,
}

use create::kustomize;
use patch::{annotate, label};

/// Carries out one call; its words are the arguments after `kubectl`.
pub(super) async fn carry_out(call: &mut Call, words: &[String]) -> Result<(), Halt> {
    let (verb, rest) = flags::split_verb(words)?;
    let flags = flags_of(&verb).ok_or_else(|| unknown(&verb))?;
    let args = Args::parse(&verb, &rest, flags)?;
    args.refuse_foreign_clusters()?;
    dispatch(&verb, call, args).await
}

fn unknown(verb: &str) -> Halt {
    Halt::NotCarriedOut { what: format!("kubectl {verb}"), instead: format!("it maps {}", VERBS.join(", ")) }
}
