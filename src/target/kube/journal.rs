//! What must be mended when a run ends in the middle of a fault: written down before the fault, taken up by `clean`.

use super::cluster::Access;
use crate::{
    target::local::node::start_of,
    wait::{Look, Until},
};
use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    env,
    fs::{self, File, TryLockError},
    io::{self, BufRead as _, BufReader, ErrorKind, Write as _},
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// A cluster may be being made.
const COMMAND: Duration = Duration::from_secs(180);

/// How one thing is mended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Healing {
    /// Nodes were stopped: start them.
    StartNodes {
        /// Docker's names of them, in the order in which they get their addresses back.
        nodes: Vec<String>,
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
        /// What the annotation said; `None` where there was none.
        mark: Option<String>,
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
        /// The namespace that was lent to the run, in which everything of it carries the label.
        lent: Option<String>,
    },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Line {
    /// The process whose run it is, and when the kernel started it, in its own ticks: numbers are given again.
    Of(u32, u64),
    Owes(u64, Healing),
    Healed(u64),
}

/// The journal of a run that goes on: whoever holds it is alive, which the kernel forgets in no way of ending. Commands that the run has
/// started and that outlive it hold it as well.
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
        let journal = Self { file: Mutex::new(file), path, next: AtomicU64::new(0) };
        let pid = std::process::id();
        let then = start_of(&stat(pid)).context("the kernel does not tell when this process was started")?;
        journal.write(&Line::Of(pid, then))?;
        Ok(journal)
    }

    /// The journal for a command that breaks or makes something: as long as it runs, nobody mends what is written here.
    ///
    /// # Errors
    /// The kernel gives no second descriptor of the file.
    pub(super) fn held(&self) -> anyhow::Result<Stdio> {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(file.try_clone().with_context(|| format!("{}", self.path.display()))?.into())
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
    /// The journal itself.
    pub(super) path: PathBuf,
    /// What is owed, the last first: what was broken last is mended first; or why that cannot be read.
    pub(super) debts: anyhow::Result<Vec<Healing>>,
    // Held, so that nobody else mends the same.
    _file: File,
}

/// Journals whose runs are over. One whose run was killed and has a command at work still is waited for.
///
/// # Errors
/// The folder or a file in it cannot be opened.
pub(super) async fn left() -> anyhow::Result<Vec<Left>> {
    left_in(&folder()?).await
}

async fn left_in(folder: &Path) -> anyhow::Result<Vec<Left>> {
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
        let free = match file.try_lock() {
            Ok(()) => Ok(()),
            Err(TryLockError::WouldBlock) if lives(&path) => continue,
            Err(TryLockError::WouldBlock) => {
                let is_free = || async {
                    match file.try_lock() {
                        Ok(()) => Ok(Look::Ready(())),
                        Err(TryLockError::WouldBlock) => Ok(Look::NotYet("it is at work".into())),
                        Err(TryLockError::Error(error)) => Err(anyhow::Error::from(error)),
                    }
                };
                Until::within(COMMAND).met("the last command of a killed run to end", is_free).await
            }
            Err(TryLockError::Error(error)) => Err(anyhow::Error::from(error).context(path.display().to_string())),
        };
        // Somebody else may have mended it meanwhile.
        if path.exists() {
            left.push(Left { debts: free.and_then(|()| debts(&path)), path, _file: file });
        }
    }
    Ok(left)
}

/// Whether the process lives whose run it is; who cannot tell says so.
fn lives(path: &Path) -> bool {
    let first = File::open(path).ok().and_then(|file| BufReader::new(file).lines().next()?.ok());
    match first.and_then(|line| serde_json::from_str(&line).ok()) {
        Some(Line::Of(pid, then)) => start_of(&stat(pid)).is_ok_and(|now| now == then),
        _ => true,
    }
}

fn stat(pid: u32) -> PathBuf {
    format!("/proc/{pid}/stat").into()
}

/// What a journal owes. Its last line may be half written: then what it speaks of was not begun.
fn debts(path: &Path) -> anyhow::Result<Vec<Healing>> {
    let file = File::open(path).with_context(|| format!("the journal {} cannot be read", path.display()))?;
    let mut owed = BTreeMap::new();
    for line in BufReader::new(file).split(b'\n') {
        match serde_json::from_slice(&line?) {
            Ok(Line::Of(..)) => {}
            Ok(Line::Owes(debt, healing)) => drop(owed.insert(debt, healing)),
            Ok(Line::Healed(debt)) => drop(owed.remove(&debt)),
            Err(error) if error.is_eof() => {}
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("{} is no journal of this version; remove it if nothing is left of its run", path.display()));
            }
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
    use std::process::Command;
    use tokio::time::timeout;

    fn start(node: &str) -> Healing {
        Healing::StartNodes { nodes: vec![node.into()] }
    }

    #[tokio::test]
    async fn a_run_that_was_killed_leaves_what_it_owes_and_a_living_one_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let journal = Journal::begin_in(folder.path(), "r1").expect("begins");
        let first = journal.owes(start("a")).expect("written");
        journal.owes(start("b")).expect("written");
        journal.owes(start("c")).expect("written");
        journal.healed(first).expect("written");
        assert!(left_in(folder.path()).await.expect("readable").is_empty(), "whoever holds it lives");
        drop(journal);
        // Whatever another test starts has our descriptors for the moment between its fork and its exec.
        let seen = || async {
            let left = left_in(folder.path()).await?;
            Ok::<_, anyhow::Error>(if left.is_empty() { Look::NotYet("nothing".into()) } else { Look::Ready(left) })
        };
        let left = Until::within(Duration::from_secs(10)).met("the journal to be free", seen).await.expect("in time");
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].debts.as_ref().expect("readable"), &[start("c"), start("b")]);
        for left in left {
            left.forget().expect("removed");
        }
        assert!(left_in(folder.path()).await.expect("readable").is_empty());
    }

    #[tokio::test]
    async fn a_line_that_was_half_written_owes_nothing_and_a_foreign_one_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("r.jsonl"), "{\"owes\":[0,{\"start-nodes\":{\"nodes\":[\"a\"]}}]}\n{\"owes\":[1,{\"sta")
            .expect("written");
        fs::write(folder.path().join("s.jsonl"), "something else\n").expect("written");
        let left = left_in(folder.path()).await.expect("readable");
        assert_eq!(left[0].debts.as_ref().expect("readable"), &[start("a")]);
        assert!(left[1].debts.as_ref().expect_err("foreign").to_string().contains("s.jsonl"));
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

    #[tokio::test]
    async fn what_a_killed_run_is_still_breaking_is_mended_afterwards() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("r.jsonl");
        // No process has a number beyond 2^22.
        fs::write(&path, "{\"of\":[4194305,1]}\n{\"owes\":[0,{\"start-nodes\":{\"nodes\":[\"a\"]}}]}\n").expect("written");
        let file = File::options().read(true).append(true).open(&path).expect("opens");
        file.try_lock().expect("free");
        let mut command = Command::new("tail").args(["-f", "/dev/null"]).stdin(file).spawn().expect("starts");
        assert!(timeout(Duration::from_millis(300), left_in(folder.path())).await.is_err(), "its command is at work");
        command.kill().expect("killed");
        command.wait().expect("ended");
        let left = left_in(folder.path()).await.expect("readable");
        assert_eq!(left[0].debts.as_ref().expect("readable"), &[start("a")]);
    }
}
