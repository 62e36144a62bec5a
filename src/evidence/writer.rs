//! The thread that writes a scenario's evidence, so that no step waits for a disk; the one place where secrets are taken out.

use super::{EvidenceError, Redactor};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, BufWriter, Write as _},
    path::{Component, Path, PathBuf},
    sync::mpsc::{Receiver, Sender, channel},
    thread,
};
use tokio::sync::oneshot;

/// Most bytes of one file; what is longer loses its middle.
pub(super) const MOST: usize = 1 << 20;
/// Most bytes of a timeline.
const TIMELINE: u64 = 8 << 20;

pub(super) enum Message {
    Line(Value),
    File { name: String, bytes: Vec<u8> },
    Finish { result: Value, done: oneshot::Sender<Result<(), EvidenceError>> },
}

struct Writer {
    folder: PathBuf,
    redactor: Redactor,
    timeline: BufWriter<File>,
    hash: Sha256,
    written: u64,
    left_out: u64,
    files: Vec<Value>,
    names: BTreeSet<PathBuf>,
    lost: Option<EvidenceError>,
}

/// Starts the thread; it ends with its sender.
pub(super) fn start(folder: &Path, redactor: Redactor) -> Result<Sender<Message>, EvidenceError> {
    let unwritable = |cause| EvidenceError::Unwritable { path: folder.to_path_buf(), cause };
    fs::create_dir_all(folder).map_err(unwritable)?;
    let timeline = BufWriter::new(File::create(folder.join("timeline.jsonl")).map_err(unwritable)?);
    let (sender, messages) = channel();
    let writer = Writer {
        folder: folder.to_path_buf(),
        redactor,
        timeline,
        hash: Sha256::new(),
        written: 0,
        left_out: 0,
        files: Vec::new(),
        names: BTreeSet::new(),
        lost: None,
    };
    thread::Builder::new().name("evidence".into()).spawn(move || writer.run(messages)).map_err(unwritable)?;
    Ok(sender)
}

impl Writer {
    #[expect(clippy::needless_pass_by_value, reason = "the thread owns its end of the channel")]
    fn run(mut self, messages: Receiver<Message>) {
        while let Ok(message) = messages.recv() {
            match message {
                Message::Line(line) => self.line(line),
                Message::File { name, bytes } => self.file(&name, &bytes),
                Message::Finish { result, done } => {
                    self.close(Some(result));
                    let result = self.lost.take().map_or(Ok(()), Err);
                    // Nobody waits any more when the run is being torn down.
                    drop(done.send(result));
                    return;
                }
            }
        }
        self.close(None);
    }

    fn line(&mut self, line: Value) {
        let mut line = self.redactor.json(line).to_string();
        line.push('\n');
        if self.written + line.len() as u64 > TIMELINE {
            self.left_out += 1;
            return;
        }
        self.written += line.len() as u64;
        self.hash.update(&line);
        let result = self.timeline.write_all(line.as_bytes());
        self.keep("timeline.jsonl".into(), result);
    }

    fn file(&mut self, name: &str, bytes: &[u8]) {
        let name = self.free_name(name);
        let clean = self.redactor.bytes(bytes);
        let (kept, cut) = bounded(&clean);
        let path = self.folder.join(&name);
        let result = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&path, &kept));
        self.files.push(entry(&name, &kept, cut.then_some(clean.len())));
        drop(clean);
        self.keep(name, result);
    }

    /// The name without any way out of the folder, and not one that is taken.
    fn free_name(&mut self, name: &str) -> PathBuf {
        let clean: PathBuf = Path::new(name).components().filter(|part| matches!(part, Component::Normal(_))).collect();
        let clean = if clean.as_os_str().is_empty() { PathBuf::from("unnamed") } else { clean };
        let mut free = clean.clone();
        let mut number = 2;
        while !self.names.insert(free.clone()) {
            let stem = clean.file_stem().unwrap_or_default().to_string_lossy();
            let extension = clean.extension().map(|extension| format!(".{}", extension.to_string_lossy())).unwrap_or_default();
            free = clean.with_file_name(format!("{stem}-{number}{extension}"));
            number += 1;
        }
        free
    }

    /// Writes the index last: a folder without one was cut off.
    fn close(&mut self, result: Option<Value>) {
        if self.left_out > 0 {
            let line = json!({"kind": "cut", "lines": self.left_out, "because": format!("a timeline has at most {TIMELINE} bytes")});
            let line = format!("{line}\n");
            self.hash.update(&line);
            self.written += line.len() as u64;
            let written = self.timeline.write_all(line.as_bytes());
            self.keep("timeline.jsonl".into(), written);
        }
        let flushed = self.timeline.flush();
        self.keep("timeline.jsonl".into(), flushed);
        let finished = result.is_some();
        if let Some(result) = result {
            let result = serde_json::to_vec_pretty(&self.redactor.json(result)).map_err(io::Error::from);
            let written = result.and_then(|bytes| {
                self.files.push(entry(Path::new("result.json"), &bytes, None));
                fs::write(self.folder.join("result.json"), bytes)
            });
            self.keep("result.json".into(), written);
        }
        let timeline =
            json!({"name": "timeline.jsonl", "bytes": self.written, "sha256": hex(self.hash.clone()), "lines_left_out": self.left_out});
        self.files.insert(0, timeline);
        let index = json!({"schema": 1, "finished": finished, "files": self.files});
        let written = serde_json::to_vec_pretty(&index)
            .map_err(io::Error::from)
            .and_then(|bytes| fs::write(self.folder.join("manifest.json"), bytes));
        self.keep("manifest.json".into(), written);
    }

    /// Remembers the first loss; the scenario's verdict is broken by it.
    fn keep(&mut self, name: PathBuf, result: io::Result<()>) {
        if let Err(cause) = result
            && self.lost.is_none()
        {
            self.lost = Some(EvidenceError::Lost { path: self.folder.join(name), cause });
        }
    }
}

fn entry(name: &Path, bytes: &[u8], cut_from: Option<usize>) -> Value {
    let mut entry = json!({"name": name, "bytes": bytes.len(), "sha256": hex(Sha256::new_with_prefix(bytes))});
    if let Some(whole) = cut_from {
        entry["cut_from_bytes"] = whole.into();
    }
    entry
}

fn hex(hash: Sha256) -> String {
    format!("{:x}", hash.finalize())
}

/// The beginning and the end, with a line between that says what is missing.
fn bounded(bytes: &[u8]) -> (Vec<u8>, bool) {
    if bytes.len() <= MOST {
        return (bytes.to_vec(), false);
    }
    let missing = bytes.len() - MOST;
    let mut kept = bytes[..MOST / 2].to_vec();
    kept.extend_from_slice(format!("\n[... {missing} bytes cut here ...]\n").as_bytes());
    kept.extend_from_slice(&bytes[bytes.len() - MOST / 2..]);
    (kept, true)
}
