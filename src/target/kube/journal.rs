//! What must be mended when a run ends in the middle of a fault: written down before the fault, taken up by `clean`.

use super::cluster::Access;
use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    env,
    fs::{self, File, TryLockError},
    io::{self, BufRead as _, BufReader, ErrorKind, Write as _},
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// How one thing is mended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Healing {
    /// A node was stopped: start it.
    StartNode {
        /// Docker's name of it.
        node: String,
    },
    /// A node was told to take no pods: let it take some again.
    Uncordon {
        /// Its name.
        node: String,
    },
    /// A storage class was made the default, or not: put the annotation back.
    DefaultClass {
        /// The class.
        class: String,
        /// What it was.
        default: bool,
    },
    /// A cluster was made: delete it.
    DeleteCluster {
        /// `kind` or `k3d`.
        tool: String,
        /// Its name.
        name: String,
    },
    /// Objects of a run are on a cluster: delete what carries its label.
    DeleteObjects {
        /// How the cluster is reached.
        access: Access,
        /// The value of the label.
        run: String,
    },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Line {
    Owes(u64, Healing),
    Healed(u64),
}

/// The journal of a run that goes on: whoever holds it is alive, which the kernel forgets in no way of ending.
#[derive(Debug)]
pub struct Journal {
    file: Mutex<File>,
    path: PathBuf,
    next: AtomicU64,
}

/// A debt in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Debt(u64);

impl Journal {
    /// Begins the journal of a run.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn begin(run: &str) -> anyhow::Result<Self> {
        Self::begin_in(&folder()?, run)
    }

    pub(super) fn begin_in(folder: &Path, run: &str) -> anyhow::Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        let path = folder.join(format!("{run}.jsonl"));
        let file = File::options().create_new(true).append(true).read(true).open(&path);
        let file = file.with_context(|| format!("the journal {} cannot be written", path.display()))?;
        file.try_lock().with_context(|| format!("the journal {} cannot be held", path.display()))?;
        Ok(Self { file: Mutex::new(file), path, next: AtomicU64::new(0) })
    }

    /// Writes down what must be mended, before it is broken.
    ///
    /// # Errors
    /// It is not on the disk, so that nothing may be broken.
    pub fn owes(&self, healing: Healing) -> anyhow::Result<Debt> {
        let debt = self.next.fetch_add(1, Ordering::Relaxed);
        self.write(&Line::Owes(debt, healing))?;
        Ok(Debt(debt))
    }

    /// It is mended.
    ///
    /// # Errors
    /// It is not on the disk: `clean` would mend it once more, which does no harm.
    pub fn healed(&self, debt: Debt) -> anyhow::Result<()> {
        self.write(&Line::Healed(debt.0))
    }

    fn write(&self, line: &Line) -> anyhow::Result<()> {
        let mut text = serde_json::to_string(line)?;
        text.push('\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(text.as_bytes()).and_then(|()| file.sync_data()).with_context(|| format!("{}", self.path.display()))
    }

    /// Ends the journal: nothing is owed any more.
    ///
    /// # Errors
    /// Something is still owed, or the file cannot be removed.
    pub fn end(&self) -> anyhow::Result<()> {
        let left = debts(&self.path)?;
        anyhow::ensure!(left.is_empty(), "{} things are not mended; redis-conformance clean mends them", left.len());
        fs::remove_file(&self.path).with_context(|| format!("{}", self.path.display()))
    }
}

/// The journal of a run that has ended without mending everything.
#[derive(Debug)]
pub(super) struct Left {
    path: PathBuf,
    /// What is owed, the last first: what was broken last is mended first.
    pub(super) debts: Vec<Healing>,
    // Held, so that nobody else mends the same.
    _file: File,
}

/// Journals that nobody holds.
///
/// # Errors
/// A journal cannot be read.
pub(super) fn left() -> anyhow::Result<Vec<Left>> {
    left_in(&folder()?)
}

fn left_in(folder: &Path) -> anyhow::Result<Vec<Left>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("the journals in {} cannot be looked for", folder.display()))?,
    };
    let mut paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<PathBuf>>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    paths.sort();
    let mut left = Vec::new();
    for path in paths {
        let file = match File::options().read(true).append(true).open(&path) {
            // Its run has just ended in order.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            file => file.with_context(|| format!("the journal {} cannot be read", path.display()))?,
        };
        match file.try_lock() {
            Ok(()) => left.push(Left { debts: debts(&path)?, path, _file: file }),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error).with_context(|| format!("{}", path.display())),
        }
    }
    Ok(left)
}

/// What a journal owes. Its last line may be half written: then what it speaks of was not begun.
fn debts(path: &Path) -> anyhow::Result<Vec<Healing>> {
    let file = File::open(path).with_context(|| format!("the journal {} cannot be read", path.display()))?;
    let mut owed = BTreeMap::new();
    for line in BufReader::new(file).split(b'\n') {
        match serde_json::from_slice(&line?) {
            Ok(Line::Owes(debt, healing)) => drop(owed.insert(debt, healing)),
            Ok(Line::Healed(debt)) => drop(owed.remove(&debt)),
            Err(error) if error.is_eof() => {}
            Err(error) => return Err(error).with_context(|| format!("the journal {} is no journal of ours", path.display())),
        }
    }
    Ok(owed.into_values().rev().collect())
}

/// `$XDG_STATE_HOME/redis-conformance/journals`.
fn folder() -> anyhow::Result<PathBuf> {
    let state = env::var_os("XDG_STATE_HOME").filter(|path| !path.is_empty()).map(PathBuf::from);
    let home = || env::var_os("HOME").filter(|path| !path.is_empty()).map(|home| PathBuf::from(home).join(".local/state"));
    let state = state.or_else(home).context("neither XDG_STATE_HOME nor HOME says where the journal of faults may be kept")?;
    Ok(state.join("redis-conformance/journals"))
}

impl Left {
    /// The file goes when everything in it is mended.
    ///
    /// # Errors
    /// It cannot be removed.
    pub(super) fn forget(self) -> anyhow::Result<()> {
        fs::remove_file(&self.path).with_context(|| format!("{}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(node: &str) -> Healing {
        Healing::StartNode { node: node.into() }
    }

    #[test]
    fn a_run_that_was_killed_leaves_what_it_owes_and_a_living_one_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let journal = Journal::begin_in(folder.path(), "r1").expect("begins");
        let first = journal.owes(start("a")).expect("written");
        journal.owes(start("b")).expect("written");
        journal.owes(start("c")).expect("written");
        journal.healed(first).expect("written");
        assert!(left_in(folder.path()).expect("readable").is_empty(), "whoever holds it lives");
        drop(journal);
        let left = left_in(folder.path()).expect("readable");
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].debts, [start("c"), start("b")]);
        for left in left {
            left.forget().expect("removed");
        }
        assert!(left_in(folder.path()).expect("readable").is_empty());
    }

    #[test]
    fn a_line_that_was_half_written_owes_nothing_and_a_foreign_one_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("r.jsonl"), "{\"owes\":[0,{\"start-node\":{\"node\":\"a\"}}]}\n{\"owes\":[1,{\"sta").expect("written");
        assert_eq!(left_in(folder.path()).expect("readable")[0].debts, [start("a")]);
        fs::write(folder.path().join("s.jsonl"), "something else\n").expect("written");
        assert!(left_in(folder.path()).expect_err("foreign").to_string().contains("s.jsonl"));
    }

    #[test]
    fn a_journal_ends_only_when_nothing_is_owed() {
        let folder = tempfile::tempdir().expect("a folder");
        let journal = Journal::begin_in(folder.path(), "r").expect("begins");
        let debt = journal.owes(start("a")).expect("written");
        journal.healed(debt).expect("written");
        journal.end().expect("nothing is owed");
        let journal = Journal::begin_in(folder.path(), "r").expect("begins anew");
        journal.owes(start("a")).expect("written");
        assert!(journal.end().expect_err("owed").to_string().contains("1 things"));
    }
}
