//! The program behind the name `kubectl` in a runbook, and of what `verify --keep` keeps: hands its arguments to the harness and shows what comes back.
//!
//! It understands nothing itself, so that parsing, printing and refusing are in one place.

use super::wire::{self, Header, SOCKET, SOCKET_FILE, Tag};
use nix::sys::stat::{Mode, umask};
use std::{
    env,
    ffi::OsStr,
    fs::File,
    io::{self, Read, Write},
    os::{fd::AsRawFd, unix::net::UnixStream},
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
};

/// What a shell reports of a program that wrote to a closed pipe: 128 + SIGPIPE, as the real `kubectl` ends.
const CLOSED_PIPE: u8 = 141;

/// Whether this program was started under the name `kubectl`.
#[must_use]
pub fn is_called() -> bool {
    env::args_os().next().is_some_and(|name| Path::new(&name).file_name() == Some(OsStr::new("kubectl")))
}

/// Carries out one call and ends as it ended.
#[must_use]
pub fn main() -> ExitCode {
    match call() {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let _unheard = writeln!(io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error(
        "this kubectl is redis-conformance and works in its runbooks only ({SOCKET} is not set), or by the whole path that `verify --keep` prints; call the real one by its path"
    )]
    Outside,
    #[error("the harness does not answer at {}: {cause}", socket.display())]
    NoHarness { socket: PathBuf, cause: io::Error },
    #[error("the harness broke off before this call was done: {0}")]
    BrokenOff(io::Error),
    #[error("the harness sent what is no frame")]
    NoFrame,
    #[error("an argument is no UTF-8: {0:?}")]
    NotText(std::ffi::OsString),
    #[error("the working directory is gone: {0}")]
    Nowhere(io::Error),
}

fn call() -> Result<u8, CallError> {
    let socket = beside().or_else(|| env::var_os(SOCKET).map(PathBuf::from)).ok_or(CallError::Outside)?;
    let argv = env::args_os().skip(1).map(|word| word.into_string().map_err(CallError::NotText)).collect::<Result<_, _>>()?;
    let mask = umask(Mode::empty());
    umask(mask);
    let header = Header { argv, cwd: env::current_dir().map_err(CallError::Nowhere)?, umask: mask.bits() };
    let mut line = serde_json::to_vec(&header).map_err(|error| CallError::BrokenOff(error.into()))?;
    line.push(b'\n');
    let mut stream = connect(&socket).map_err(|cause| CallError::NoHarness { socket, cause })?;
    stream.write_all(&line).map_err(CallError::BrokenOff)?;
    loop {
        let mut head = [0; 5];
        stream.read_exact(&mut head).map_err(CallError::BrokenOff)?;
        let (tag, length) = wire::read_head(head).ok_or(CallError::NoFrame)?;
        let mut content = vec![0; length];
        stream.read_exact(&mut content).map_err(CallError::BrokenOff)?;
        let shown = match tag {
            Tag::Out => io::stdout().write_all(&content).and_then(|()| io::stdout().flush()),
            Tag::Err => io::stderr().write_all(&content),
            Tag::WantInput => stream.try_clone().map(send_input),
            Tag::Exit => return content.first().copied().ok_or(CallError::NoFrame),
            Tag::Input => return Err(CallError::NoFrame),
        };
        match shown {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(CLOSED_PIPE),
            Err(error) => return Err(CallError::BrokenOff(error)),
        }
    }
}

/// The socket above the directory of the file that was called by its path: a person's terminal needs no environment, and none of
/// another target leads astray.
fn beside() -> Option<PathBuf> {
    let called = PathBuf::from(env::args_os().next()?);
    let bin = called.parent().filter(|bin| !bin.as_os_str().is_empty())?;
    Some(bin.join("..").join(SOCKET_FILE)).filter(|socket| socket.exists())
}

/// A socket's path may have 107 bytes only; a longer one is reached through its open directory.
pub(super) fn short_path(socket: &Path) -> io::Result<(PathBuf, Option<File>)> {
    if socket.as_os_str().len() < 100 {
        return Ok((socket.to_owned(), None));
    }
    let (Some(directory), Some(name)) = (socket.parent(), socket.file_name()) else {
        return Err(io::ErrorKind::InvalidFilename.into());
    };
    let directory = File::open(directory)?;
    let path = Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name);
    Ok((path, Some(directory)))
}

fn connect(socket: &Path) -> io::Result<UnixStream> {
    let (path, _directory) = short_path(socket)?;
    UnixStream::connect(path)
}

/// Sends standard input in a thread of its own: the answer may be over before the input is.
fn send_input(mut stream: UnixStream) {
    thread::spawn(move || -> io::Result<()> {
        let mut piece = vec![0; 64 * 1024];
        loop {
            let length = io::stdin().read(&mut piece)?;
            stream.write_all(&wire::head(Tag::Input, length))?;
            stream.write_all(&piece[..length])?;
            if length == 0 {
                return Ok(());
            }
        }
    });
}
