//! The register of mutants: one change to a manifest set under which a named guarantee must fail, and what must kill it.
//!
//! A mutant changes one field, key or line. Unless its promise is about starting, the changed set still becomes ready and acknowledges writes.

mod agentsmith;
mod change;
mod generic;
mod mcp;
mod trial;

use crate::manifest::ManifestSet;
use std::fmt;
pub use trial::{NOTHING_TO_CHANGE, Trial};

/// One change under which a guarantee must fail.
#[derive(Debug)]
pub struct Mutant {
    /// Unique, in words with hyphens.
    pub name: &'static str,
    /// The guarantee that must fail.
    pub guarantee: &'static str,
    /// What is changed, for a reader of the table.
    pub what: &'static str,
    /// The change.
    pub change: Change,
    /// What must kill it.
    pub killer: Killer,
}

/// What is changed.
pub enum Change {
    /// The rendered objects; `false` where there was nothing to change.
    Objects(fn(&mut ManifestSet) -> bool),
    /// Instead of the set or variant that a step asks for, this one is taken; `.` is the set itself.
    Instead(&'static str),
    /// In a file that the document names, this text is replaced.
    File {
        /// Its name in the tree.
        name: &'static str,
        /// What is replaced.
        from: &'static str,
        /// By what.
        to: &'static str,
    },
    /// From the runbook's block, every line that holds this text is left out.
    Runbook {
        /// The block's id.
        block: &'static str,
        /// What the line holds.
        without: &'static str,
    },
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Objects(_) => f.write_str("objects"),
            Self::Instead(variant) => write!(f, "instead {variant}"),
            Self::File { name, .. } => write!(f, "file {name}"),
            Self::Runbook { block, .. } => write!(f, "runbook {block}"),
        }
    }
}

/// The step that must fail, and what it must say: a death by anything else is no proof.
#[derive(Clone, Copy, Debug)]
pub struct Killer {
    /// Part of the step's text.
    pub step: &'static str,
    /// Part of its message.
    pub message: &'static str,
}

/// All mutants, by guarantee.
pub fn all() -> impl Iterator<Item = &'static Mutant> {
    mcp::MUTANTS.iter().chain(agentsmith::MUTANTS).chain(generic::MUTANTS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique() {
        let mut seen = BTreeSet::new();
        for mutant in all() {
            assert!(seen.insert(mutant.name), "{} is used twice", mutant.name);
        }
    }
}
