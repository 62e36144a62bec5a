//! The folder of a run: checked before anything starts, locked while it runs, and old ones removed.

use super::{Clock, Evidence, EvidenceError, Redactor, slug};
use nix::sys::statvfs::statvfs;
use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

/// Finished runs that are kept beside the present one.
const KEPT: usize = 10;
/// Free space in MiB without which a run is not begun.
const NEEDED: u64 = 32;
/// Marks a folder as a run's; it is locked while the run lives.
const LOCK: &str = ".run";
/// The link to the newest run.
const LATEST: &str = "latest";
/// How long each of the two names in a folder may be, in bytes.
const LONGEST_NAME: usize = 48;

/// Where the evidence of one run goes.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    clock: Clock,
    redactor: Redactor,
    /// Held as long as the run lives, so that another run does not remove its folder.
    _lock: File,
}

impl Store {
    /// Makes the run's folder below `root`, tries whether it can be written, and removes the oldest runs there.
    ///
    /// # Errors
    /// [`EvidenceError`] when the folder is read-only, its disk is full, or something else stands in the way.
    pub fn open(root: &Path, run_id: &str, clock: Clock) -> Result<Self, EvidenceError> {
        let folder = root.join(run_id);
        let unwritable = |cause| EvidenceError::Unwritable { path: folder.clone(), cause };
        fs::create_dir_all(&folder).map_err(unwritable)?;
        let status = statvfs(&folder).map_err(|error| unwritable(error.into()))?;
        let free = status.blocks_available().saturating_mul(status.fragment_size()) >> 20;
        if free < NEEDED {
            return Err(EvidenceError::Full { path: folder, free, needed: NEEDED });
        }
        let mut lock = File::create(folder.join(LOCK)).map_err(unwritable)?;
        lock.write_all(run_id.as_bytes()).and_then(|()| lock.sync_data()).map_err(unwritable)?;
        lock.try_lock().map_err(|error| unwritable(error.into()))?;
        let keep_out_of_git = root.join(".gitignore");
        if !keep_out_of_git.exists() {
            fs::write(keep_out_of_git, "*\n").map_err(unwritable)?;
        }
        prune(root, run_id).map_err(unwritable)?;
        point_to(root, run_id).map_err(unwritable)?;
        Ok(Self { folder: fs::canonicalize(&folder).map_err(unwritable)?, clock, redactor: Redactor::default(), _lock: lock })
    }

    /// The run's folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The run's clock.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// The run's secrets: whatever is shown to anybody goes through it.
    #[must_use]
    pub fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    /// Begins the folder of a scenario: `MCP-P5-the-pod-is-deleted-3`; a name that is taken gets another number.
    ///
    /// # Errors
    /// [`EvidenceError`] when it cannot be made.
    pub fn scenario(&self, guarantee: &str, scenario: &str, number: usize) -> Result<Evidence, EvidenceError> {
        let id = slug(guarantee, LONGEST_NAME);
        let name = slug(&scenario.to_lowercase(), LONGEST_NAME);
        // A name that begins with the guarantee need not do so twice.
        let name = name.strip_prefix(&format!("{}-", id.to_lowercase())).unwrap_or(&name);
        for number in number.. {
            let folder = self.folder.join(format!("{id}-{name}-{number}"));
            match fs::create_dir(&folder) {
                Ok(()) => return Evidence::create(&folder, self.clock, self.redactor.clone()),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(cause) => return Err(EvidenceError::Unwritable { path: folder, cause }),
            }
        }
        Err(EvidenceError::Unwritable { path: self.folder.clone(), cause: io::Error::other("there are too many scenarios of that name") })
    }
}

/// Removes the oldest finished runs; a run that lives holds its lock, a folder without a lock file is not ours.
fn prune(root: &Path, present: &str) -> io::Result<()> {
    let mut finished: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(root)? {
        let path = entry?.path();
        let ours = path.file_name().is_some_and(|name| name != present) && !path.is_symlink();
        if ours
            && let Ok(lock) = File::open(path.join(LOCK))
            && lock.try_lock().is_ok()
        {
            finished.push(path);
        }
    }
    finished.sort();
    let surplus = finished.len().saturating_sub(KEPT);
    for path in &finished[..surplus] {
        match fs::remove_dir_all(path) {
            // Another run removed it at the same time.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => result?,
        }
    }
    Ok(())
}

/// Lets `latest` point to the run, in one step.
fn point_to(root: &Path, run_id: &str) -> io::Result<()> {
    let (link, new) = (root.join(LATEST), root.join(format!(".{LATEST}-{run_id}")));
    symlink(run_id, &new)?;
    fs::rename(&new, &link).inspect_err(|_| drop(fs::remove_file(&new)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn the_oldest_finished_runs_are_removed_and_living_ones_stay() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let living = Store::open(root.path(), "20250101-000000-0000", Clock::start()).expect("opens");
        fs::create_dir(root.path().join("00-not-a-run")).expect("made");
        for number in 1..=KEPT + 3 {
            Store::open(root.path(), &format!("20250102-000000-{number:04}"), Clock::start()).expect("opens");
        }
        let mut names: Vec<String> = fs::read_dir(root.path())
            .expect("read")
            .map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        assert!(living.folder().exists(), "a living run keeps its folder");
        assert!(names.contains(&"00-not-a-run".into()), "what is not a run's stays: {names:?}");
        let runs = names.iter().filter(|name| name.starts_with("20250102")).count();
        assert_eq!(runs, KEPT + 1, "{names:?}");
        let latest = fs::read_link(root.path().join(LATEST)).expect("a link");
        assert_eq!(latest, Path::new(&format!("20250102-000000-{:04}", KEPT + 3)));
    }

    #[test]
    fn a_file_in_the_way_is_named_with_the_remedy() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let file = root.path().join("evidence");
        fs::write(&file, "").expect("written");
        let error = Store::open(&file, "r", Clock::start()).expect_err("a file is no folder").to_string();
        assert!(error.contains("evidence/r") && error.contains("--evidence DIR"), "{error}");
    }

    #[test]
    fn a_read_only_folder_is_an_error_before_anything_starts() {
        let root = tempfile::tempdir().expect("a temporary folder");
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o555)).expect("set");
        let opened = Store::open(root.path(), "r", Clock::start());
        // Root may write everywhere; the command's own tests use a read-only file system instead.
        assert!(opened.is_err() || nix::unistd::geteuid().is_root());
    }

    #[tokio::test]
    async fn scenarios_of_one_name_have_folders_of_their_own() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let store = Store::open(root.path(), "r", Clock::start()).expect("opens");
        let names: Vec<String> = ["mcp-p5-the-pod-dies", "the pod dies", "the pod dies"]
            .iter()
            .map(|name| {
                store.scenario("MCP-P5", name, 1).expect("begins").folder().file_name().expect("a name").to_string_lossy().into_owned()
            })
            .collect();
        assert_eq!(names, ["MCP-P5-the-pod-dies-1", "MCP-P5-the-pod-dies-2", "MCP-P5-the-pod-dies-3"]);
    }
}
