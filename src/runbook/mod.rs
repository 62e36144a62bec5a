//! Runs runbooks as written: blocks of Markdown under bash, with a `kubectl` on their PATH that maps to the target's verbs.
//!
//! It judges nothing: what a block printed and how it ended goes back to the step that asked.

mod blocks;
mod front;
pub mod kubectl;
mod output;
mod run;
mod server;
mod verbs;
mod wire;

pub use blocks::{Block, Document, MarkdownError, Row, Table};
pub use front::Front;
pub use run::{Ended, Runbook, RunbookError, RunbookOutput};
pub use server::{KubectlCall, Trouble};
