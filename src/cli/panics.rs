//! Bugs of ours: a panic is caught, written down with its backtrace, and ends with exit code 70.

use super::output::tell;
use crate::steps::Failure;
use std::{
    backtrace::Backtrace,
    env, fs,
    panic::{self, AssertUnwindSafe, PanicHookInfo},
    path::PathBuf,
    process,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// Where a backtrace goes: the run's evidence once there is one.
static FOLDER: Mutex<Option<PathBuf>> = Mutex::new(None);

/// There was a panic, whoever caught it.
static ANY: AtomicBool = AtomicBool::new(false);

/// Whether there was a panic in any thread.
pub(super) fn any() -> bool {
    ANY.load(Ordering::Relaxed)
}

/// From now on backtraces go there.
pub(super) fn keep_in(folder: PathBuf) {
    *FOLDER.lock().unwrap_or_else(PoisonError::into_inner) = Some(folder);
}

/// Runs `work`; `None` when it panicked, which has been told then.
pub(super) fn caught<T>(work: impl FnOnce() -> T) -> Option<T> {
    panic::set_hook(Box::new(report));
    let result = panic::catch_unwind(AssertUnwindSafe(work)).ok();
    drop(panic::take_hook());
    result
}

fn report(panic: &PanicHookInfo<'_>) {
    // Cucumber turns a step that does not hold into a panic, which the executor catches.
    if Failure::is_pending() {
        return;
    }
    ANY.store(true, Ordering::Relaxed);
    let words = panic.payload_as_str().unwrap_or("a panic without words");
    let at = panic.location().map(ToString::to_string).unwrap_or_default();
    let arguments: Vec<String> = env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect();
    let text = format!(
        "redis-conformance {}\nat {at}\n{words}\narguments: {arguments:?}\n\n{}\n",
        env!("CARGO_PKG_VERSION"),
        Backtrace::force_capture()
    );
    let folder = FOLDER.lock().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or_else(env::temp_dir);
    let path = folder.join(format!("redis-conformance-panic-{}.txt", process::id()));
    tell(&format!("bug: {words} (at {at})"));
    match fs::write(&path, &text) {
        Ok(()) => tell(&format!("this is a bug of redis-conformance; please report it with {}", path.display())),
        Err(error) => tell(&format!("this is a bug of redis-conformance; please report it with what follows ({error}):\n{text}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_written_down() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        keep_in(folder.path().to_path_buf());
        assert_eq!(caught(|| 1), Some(1));
        assert_eq!(caught(|| -> u8 { panic!("the sky fell") }), None);
        let path = folder.path().join(format!("redis-conformance-panic-{}.txt", process::id()));
        let text = fs::read_to_string(path).expect("written");
        assert!(text.contains("the sky fell") && text.contains("panics.rs"), "{text}");
    }
}
