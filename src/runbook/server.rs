//! The harness's side of our `kubectl`: a socket in a directory of its own, one connection a call, each carried out on the target.

use super::{
    kubectl::short_path,
    output::Bounded,
    verbs::{self, Call, Halt, Said},
    wire::{self, Header, LONGEST, SOCKET_FILE, Tag},
};
use crate::target::{Target, TargetError, Unsupported};
use std::{
    fmt, fs, io,
    os::unix::{
        fs::{DirBuilderExt, symlink},
        net,
    },
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{
        UnixListener, UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
    task::{JoinHandle, JoinSet},
};

/// One call of `kubectl` that a runbook made.
#[derive(Clone, Debug)]
pub struct KubectlCall {
    /// The words after `kubectl`.
    pub argv: Vec<String>,
    /// Its exit code; nothing where its caller went away before its end.
    pub code: Option<u8>,
    /// How long it took.
    pub took: Duration,
    /// What it wrote to standard error; bounded.
    pub stderr: String,
    /// Why the runbook cannot be blamed for its end.
    pub trouble: Option<Trouble>,
}

/// Why a call failed that the document may have right: then the step must not say that the runbook does not work.
#[derive(Clone, Debug)]
pub enum Trouble {
    /// The target lacks a capability.
    Unsupported(Unsupported),
    /// Our `kubectl` does not know the verb or flag; the words say which.
    NotCarriedOut(String),
    /// The target or this machine does not work; the chain of causes.
    Broken(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsupported(unsupported) => unsupported.fmt(f),
            Self::NotCarriedOut(what) => write!(f, "{what} is not carried out by our kubectl"),
            Self::Broken(causes) => f.write_str(causes),
        }
    }
}

impl fmt::Display for KubectlCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kubectl {} → ", self.argv.join(" "))?;
        match self.code {
            Some(code) => write!(f, "{code}")?,
            None => f.write_str("its caller went away")?,
        }
        write!(f, " after {:.1?}", self.took)?;
        if self.stderr.is_empty() { Ok(()) } else { write!(f, ": {}", self.stderr.trim()) }
    }
}

/// Carries out the calls of one runbook, or of a person; ends, with its directory, when dropped.
pub(super) struct Server {
    room: PathBuf,
    calls: Arc<Mutex<Vec<KubectlCall>>>,
    listening: JoinHandle<()>,
}

impl Server {
    /// Begins to listen in a new directory within `room`, whose name begins with `name` and where `bin/kubectl` leads to `program`.
    pub(super) async fn start(target: Arc<dyn Target>, room: &Path, name: &str, program: &Path) -> io::Result<Self> {
        let (room, name, program) = (room.to_owned(), name.to_owned(), program.to_owned());
        let prepared = tokio::task::spawn_blocking(move || prepare(&room, &name, &program)).await;
        let (room, listener) = prepared.map_err(io::Error::other)??;
        let calls = Arc::new(Mutex::new(Vec::new()));
        let listening = tokio::spawn(listen(UnixListener::from_std(listener)?, target, Arc::clone(&calls)));
        Ok(Self { room, calls, listening })
    }

    /// The directory that must come first on the PATH.
    pub(super) fn bin(&self) -> PathBuf {
        self.room.join("bin")
    }

    /// The socket that `kubectl` is to be told of.
    pub(super) fn socket(&self) -> PathBuf {
        self.room.join(SOCKET_FILE)
    }

    /// A file for the run's own use, which goes with the server.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.room.join(name)
    }

    /// The calls that are over, in the order of their ends.
    pub(super) fn calls(&self) -> Vec<KubectlCall> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.listening.abort();
        if let Err(error) = fs::remove_dir_all(&self.room) {
            tracing::warn!(room = %self.room.display(), %error, "a runbook's directory stays behind");
        }
    }
}

/// The directory of one server, and the socket in it; nothing stays behind where it fails.
fn prepare(room: &Path, name: &str, program: &Path) -> io::Result<(PathBuf, net::UnixListener)> {
    // A link into nothing would let the next kubectl on the PATH speak, to a cluster that is not meant.
    fs::metadata(program)?;
    let room = own_directory(room, name)?;
    let bound = fs::create_dir(room.join("bin"))
        .and_then(|()| symlink(program, room.join("bin/kubectl")))
        .and_then(|()| short_path(&room.join(SOCKET_FILE)))
        .and_then(|(path, _directory)| net::UnixListener::bind(path));
    match bound.and_then(|listener| listener.set_nonblocking(true).map(|()| listener)) {
        Ok(listener) => Ok((room, listener)),
        Err(error) => {
            fs::remove_dir_all(&room)?;
            Err(error)
        }
    }
}

/// A new directory that nobody else may enter.
fn own_directory(room: &Path, name: &str) -> io::Result<PathBuf> {
    fs::create_dir_all(room)?;
    let room = room.canonicalize()?;
    let mut number = 1_u32;
    loop {
        let own = room.join(format!("{name}-{number}"));
        match fs::DirBuilder::new().mode(0o700).create(&own) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            made => return made.map(|()| own),
        }
    }
}

async fn listen(listener: UnixListener, target: Arc<dyn Target>, calls: Arc<Mutex<Vec<KubectlCall>>>) {
    // Dropped with this task, and then every call that is under way ends too.
    let mut serving = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    serving.spawn(serve(stream, Arc::clone(&target), Arc::clone(&calls)));
                }
                Err(error) => tracing::warn!(%error, "a call of kubectl was not accepted"),
            },
            Some(ended) = serving.join_next() => if let Err(error) = ended {
                tracing::error!(%error, "a call of kubectl broke off");
            },
        }
    }
}

async fn serve(stream: UnixStream, target: Arc<dyn Target>, calls: Arc<Mutex<Vec<KubectlCall>>>) {
    let (reader, writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let mut line = String::new();
    let header = match reader.read_line(&mut line).await {
        Ok(_) => serde_json::from_str::<Header>(&line),
        Err(error) => return tracing::warn!(%error, "a call of kubectl said nothing"),
    };
    let header = match header {
        Ok(header) => header,
        Err(error) => return tracing::warn!(%error, "a call of kubectl began with nonsense"),
    };
    let begun = Instant::now();
    let (said, to_say) = mpsc::channel(16);
    let (pieces, input) = mpsc::channel(4);
    let mut call = Call { target, cwd: header.cwd, umask: header.umask, said, input };
    let mut stderr = Bounded::default();
    let ended = tokio::select! {
        ended = async {
            let work = async {
                let result = verbs::carry_out(&mut call, &header.argv).await;
                drop(call);
                result
            };
            let (result, sent) = tokio::join!(work, send(to_say, writer, &mut stderr));
            sent.ok().map(|writer| (result, writer))
        } => ended,
        () = receive(reader, pieces) => None,
    };
    let (mut code, mut trouble) = (None, None);
    if let Some((result, mut writer)) = ended {
        let (words, number) = match &result {
            Ok(()) => (String::new(), 0),
            Err(Halt::Silent(number)) => (String::new(), *number),
            Err(halt) => (format!("{halt}\n"), halt.code()),
        };
        stderr.write(words.as_bytes());
        trouble = result.err().and_then(trouble_of);
        let told = async {
            frames(&mut writer, Tag::Err, words.as_bytes()).await?;
            frames(&mut writer, Tag::Exit, &[number]).await
        };
        code = told.await.is_ok().then_some(number);
    }
    let done = KubectlCall { argv: header.argv, code, took: begun.elapsed(), stderr: stderr.text(), trouble };
    calls.lock().unwrap_or_else(PoisonError::into_inner).push(done);
}

fn trouble_of(halt: Halt) -> Option<Trouble> {
    match halt {
        Halt::NotCarriedOut { what, .. } => Some(Trouble::NotCarriedOut(what)),
        Halt::Here(words) => Some(Trouble::Broken(words)),
        Halt::Target(TargetError::Unsupported(unsupported)) => Some(Trouble::Unsupported(unsupported)),
        Halt::Target(TargetError::Broken { doing, cause }) => Some(Trouble::Broken(format!("{doing}: {cause:#}"))),
        _ => None,
    }
}

/// Sends what the verb says until it says no more.
async fn send(mut to_say: mpsc::Receiver<Said>, mut writer: OwnedWriteHalf, stderr: &mut Bounded) -> io::Result<OwnedWriteHalf> {
    while let Some(said) = to_say.recv().await {
        match said {
            Said::Out(bytes) => frames(&mut writer, Tag::Out, &bytes).await?,
            Said::Err(bytes) => {
                stderr.write(&bytes);
                frames(&mut writer, Tag::Err, &bytes).await?;
            }
            Said::WantInput => writer.write_all(&wire::head(Tag::WantInput, 0)).await?,
        }
    }
    Ok(writer)
}

async fn frames(writer: &mut OwnedWriteHalf, tag: Tag, bytes: &[u8]) -> io::Result<()> {
    for piece in bytes.chunks(LONGEST) {
        writer.write_all(&wire::head(tag, piece.len())).await?;
        writer.write_all(piece).await?;
    }
    Ok(())
}

/// Passes standard input on, and ends when the caller is gone.
async fn receive(mut reader: BufReader<OwnedReadHalf>, pieces: mpsc::Sender<Vec<u8>>) {
    loop {
        let mut head = [0; 5];
        if reader.read_exact(&mut head).await.is_err() {
            return;
        }
        let Some((Tag::Input, length)) = wire::read_head(head) else { return };
        let mut piece = vec![0; length];
        if reader.read_exact(&mut piece).await.is_err() {
            return;
        }
        // A verb that wants no more input has dropped the other end; the bytes are read all the same, to see the caller's end.
        let _wanted = pieces.send(piece).await;
    }
}
