//! The line by which keeper and node tell the outer process how far they have come; it decides nothing.

use nix::{
    fcntl::{FcntlArg, FdFlag, OFlag, fcntl},
    unistd::{close, pipe2},
};
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::{AsRawFd, OwnedFd},
};

/// What was being done when it failed; the outer process knows the remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Stage {
    /// A user namespace of its own.
    UserNamespace,
    /// The PID namespace of the node.
    PidNamespace,
    /// The mount namespace of the node.
    MountNamespace,
    /// A `/proc` of the node's own.
    Proc,
    /// The run directory.
    RunDirectory,
    /// Anything else.
    Start,
}

/// One line.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Status {
    /// The keeper is in its user namespace and waits for its id maps.
    Unshared,
    /// The node is about to run what it was started for.
    Running,
    /// It ends here.
    Failed {
        /// What was being done.
        stage: Stage,
        /// The system's number, if it was a system call.
        errno: Option<i32>,
        /// What went wrong.
        message: String,
    },
}

impl Status {
    /// A failure of an input or output operation.
    pub(super) fn failed(stage: Stage, doing: &str, error: &io::Error) -> Self {
        Self::Failed { stage, errno: error.raw_os_error(), message: format!("{doing}: {error}") }
    }
}

/// A pipe of which one end is inherited by the process that is started next; only to be made while there is a single thread.
pub(super) struct Inherited {
    /// The end that stays here.
    pub(super) ours: File,
    /// The end for the started process, by its number.
    theirs: OwnedFd,
}

impl Inherited {
    /// A pipe that the started process writes.
    pub(super) fn written() -> io::Result<Self> {
        let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
        Self::of(read, write)
    }

    /// A pipe that the started process reads.
    pub(super) fn read() -> io::Result<Self> {
        let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
        Self::of(write, read)
    }

    fn of(ours: OwnedFd, theirs: OwnedFd) -> io::Result<Self> {
        fcntl(&theirs, FcntlArg::F_SETFD(FdFlag::empty()))?;
        Ok(Self { ours: ours.into(), theirs })
    }

    /// The number under which the started process finds its end.
    pub(super) fn number(&self) -> i32 {
        self.theirs.as_raw_fd()
    }

    /// Closes the started process's end here, so that its death is seen.
    pub(super) fn started(self) -> File {
        self.ours
    }
}

/// Opens an inherited end anew, closed on exec; `keep` leaves the inherited one open for the process that comes next.
pub(super) fn open_inherited(number: i32, write: bool, keep: bool) -> io::Result<File> {
    let file = File::options().read(!write).write(write).open(format!("/proc/self/fd/{number}"))?;
    if !keep {
        close(number)?;
    }
    Ok(file)
}

/// Writes one line; an outer process that is gone is no error, its death is noticed elsewhere.
pub(super) fn tell(to: &mut File, status: &Status) {
    let mut line = serde_json::to_vec(status).unwrap_or_else(|error| format!("{{\"unsayable\":\"{error}\"}}").into_bytes());
    line.push(b'\n');
    if let Err(error) = to.write_all(&line) {
        tracing::debug!(%error, "the outer process does not listen");
    }
}

/// Reads one line; `None` when every writer is gone.
pub(super) fn hear(from: &mut File) -> io::Result<Option<Status>> {
    let mut line = Vec::new();
    let mut byte = [0];
    while from.read(&mut byte)? == 1 {
        if byte[0] == b'\n' {
            return serde_json::from_slice(&line).map(Some).map_err(io::Error::other);
        }
        line.push(byte[0]);
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_heard_and_the_end_is_noticed() -> Result<(), io::Error> {
        let pipe = Inherited::written()?;
        let mut writer = open_inherited(pipe.number(), true, true)?;
        let mut reader = pipe.started();
        let failed = Status::failed(Stage::Proc, "mounting", &io::Error::from_raw_os_error(1));
        tell(&mut writer, &Status::Unshared);
        tell(&mut writer, &failed);
        drop(writer);
        assert_eq!(hear(&mut reader)?, Some(Status::Unshared));
        assert_eq!(hear(&mut reader)?, Some(failed));
        assert_eq!(hear(&mut reader)?, None);
        Ok(())
    }
}
