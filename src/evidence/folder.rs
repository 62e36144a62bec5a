//! The evidence of one scenario, as steps and targets write it; nothing here waits for a disk.

use super::{
    Clock, EvidenceError, Redactor,
    writer::{self, Message},
};
use crate::{time::rfc3339, verdict::ScenarioResult};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, mpsc::Sender},
};
use tokio::sync::oneshot;

/// The evidence of one scenario; clones write to the same folder.
#[derive(Clone, Debug)]
pub struct Evidence {
    folder: Arc<PathBuf>,
    clock: Clock,
    redactor: Redactor,
    writer: Sender<Message>,
}

impl Evidence {
    /// Begins a folder.
    ///
    /// # Errors
    /// [`EvidenceError::Unwritable`] when it cannot be made.
    pub fn create(folder: &Path, clock: Clock, redactor: Redactor) -> Result<Self, EvidenceError> {
        let writer = writer::start(folder, redactor.clone())?;
        Ok(Self { folder: Arc::new(folder.to_path_buf()), clock, redactor, writer })
    }

    /// Where it lies.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Notes that something happened now: `fault`, `call`, `measure` and so on, with whatever belongs to it.
    pub fn timeline(&self, kind: &str, detail: Value) {
        let milliseconds = (self.clock.elapsed().as_secs_f64() * 10_000.0).round() / 10.0;
        let mut line = json!({"ms": milliseconds, "at": rfc3339(self.clock.wall()), "kind": kind});
        line["detail"] = detail;
        self.send(Message::Line(line));
    }

    /// Keeps a file; a name that is taken gets a number, what is longer than 1 MiB loses its middle.
    pub fn file(&self, name: &str, bytes: impl Into<Vec<u8>>) {
        self.send(Message::File { name: name.into(), bytes: bytes.into() });
    }

    /// From now on this value is written nowhere in this run.
    pub fn secret(&self, value: &(impl AsRef<[u8]> + ?Sized)) {
        self.redactor.secret(value.as_ref());
    }

    /// The same for every secret that the object holds.
    pub fn secrets_of(&self, object: &Value) {
        self.redactor.object(object);
    }

    /// Writes the result and the index, and returns the folder.
    ///
    /// # Errors
    /// [`EvidenceError::Lost`] when anything could not be written.
    pub async fn finish(&self, result: &ScenarioResult) -> Result<PathBuf, EvidenceError> {
        let lost = |cause: std::io::Error| EvidenceError::Lost { path: self.folder.to_path_buf(), cause };
        let result = serde_json::to_value(result).map_err(|error| lost(error.into()))?;
        let (done, answer) = oneshot::channel();
        self.send(Message::Finish { result, done });
        answer.await.map_err(|_| lost(std::io::Error::other("its writer has ended before")))??;
        Ok(self.folder.to_path_buf())
    }

    fn send(&self, message: Message) {
        // After `finish` stragglers (a log that still comes in) are of no use to anybody.
        if self.writer.send(message).is_err() {
            tracing::debug!(folder = %self.folder.display(), "evidence came after the end");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::writer::MOST, *};
    use crate::verdict::Outcome;
    use std::fs;

    fn begin(folder: &Path) -> Evidence {
        Evidence::create(&folder.join("A-1-x-1"), Clock::start(), Redactor::default()).expect("begins")
    }

    #[tokio::test]
    async fn everything_is_kept_with_its_hash_and_without_secrets() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let evidence = begin(root.path());
        evidence.secret("hunter22");
        evidence.timeline("fault", json!({"pod": "redis-0", "password": "hunter22"}));
        evidence.file("logs/redis.log", "AUTH hunter22\n");
        evidence.file("logs/redis.log", "second");
        let mut result = ScenarioResult::sample("A-1", Outcome::Failed { step: "Then x".into(), message: "hunter22 refused".into() });
        let folder = evidence.finish(&result).await.expect("written");
        assert_eq!(fs::read_to_string(folder.join("logs/redis.log")).expect("read"), "AUTH [redacted]\n");
        assert_eq!(fs::read_to_string(folder.join("logs/redis-2.log")).expect("read"), "second");
        let line: Value = serde_json::from_str(&fs::read_to_string(folder.join("timeline.jsonl")).expect("read")).expect("JSON");
        assert_eq!(line["detail"]["password"], "[redacted]");
        assert!(line["ms"].is_number() && line["at"].is_string());
        let index: Value = serde_json::from_slice(&fs::read(folder.join("manifest.json")).expect("read")).expect("JSON");
        let names: Vec<&str> = index["files"].as_array().expect("files").iter().filter_map(|file| file["name"].as_str()).collect();
        assert_eq!(names, ["timeline.jsonl", "logs/redis.log", "logs/redis-2.log", "result.json"]);
        for file in index["files"].as_array().expect("files") {
            use sha2::{Digest as _, Sha256};
            let bytes = fs::read(folder.join(file["name"].as_str().expect("name"))).expect("read");
            assert_eq!(file["sha256"], format!("{:x}", Sha256::digest(&bytes)), "{file}");
            assert!(!String::from_utf8_lossy(&bytes).contains("hunter22"), "{file}");
        }
        evidence.redactor.result(&mut result);
        assert_eq!(result.outcome, Outcome::Failed { step: "Then x".into(), message: "[redacted] refused".into() });
    }

    #[tokio::test]
    async fn a_cut_is_declared_in_the_file_and_in_the_index() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let evidence = begin(root.path());
        evidence.file("big", vec![b'x'; MOST + 5]);
        let folder = evidence.finish(&ScenarioResult::sample("A-1", Outcome::Passed)).await.expect("written");
        let text = fs::read_to_string(folder.join("big")).expect("read");
        assert!(text.contains("[... 5 bytes cut here ...]"), "the cut is told");
        let index: Value = serde_json::from_slice(&fs::read(folder.join("manifest.json")).expect("read")).expect("JSON");
        assert_eq!(index["files"][1]["cut_from_bytes"], MOST + 5);
    }

    #[tokio::test]
    async fn a_name_cannot_leave_the_folder() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let evidence = begin(root.path());
        evidence.file("../../escaped", "x");
        let folder = evidence.finish(&ScenarioResult::sample("A-1", Outcome::Passed)).await.expect("written");
        assert!(folder.join("escaped").exists());
    }

    #[tokio::test]
    async fn lost_evidence_is_an_error_with_the_file() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let evidence = begin(root.path());
        fs::write(evidence.folder().join("logs"), "a file in the way").expect("written");
        evidence.file("logs/redis.log", "x");
        let error = evidence.finish(&ScenarioResult::sample("A-1", Outcome::Passed)).await.expect_err("lost");
        assert!(error.to_string().contains("logs/redis.log"), "{error}");
    }
}
