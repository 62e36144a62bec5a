//! Runbooks under bash with our `kubectl`, on a target in memory.

mod blocks;
mod fake;
mod verbs;

use fake::Fake;
use redis_conformance::runbook::{Block, Document, Runbook, RunbookOutput};
use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};
use tempfile::TempDir;

/// A directory to work in, and a target.
struct Lab {
    fake: Arc<Fake>,
    directory: TempDir,
}

impl Lab {
    fn new() -> Self {
        Self { fake: Arc::new(Fake::new()), directory: TempDir::new().expect("a directory") }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    async fn within(&self, limit: Duration, script: &str) -> RunbookOutput {
        let text = format!("# Test\n\n```bash\n{script}\n```\n");
        let block = Document::parse(&text, Path::new("test.md")).blocks.remove(0);
        self.block(&block, limit).await
    }

    async fn block(&self, block: &Block, limit: Duration) -> RunbookOutput {
        let runbook = Runbook::new(self.path().join("room")).expect("a room").with_program(env!("CARGO_BIN_EXE_redis-conformance"));
        let env = BTreeMap::from([(String::from("LAB"), self.path().display().to_string())]);
        runbook.run(block, self.fake.clone(), self.path(), &env, limit).await.expect("it runs")
    }

    /// Runs a script that succeeds; its standard output.
    async fn out(&self, script: &str) -> String {
        let output = self.within(Duration::from_secs(20), script).await;
        assert!(output.succeeded(), "{:?} of {script}\n{}\n{}", output.ended, output.stdout, output.stderr);
        output.stdout
    }

    /// Runs a script that fails; its exit code and standard error.
    async fn fails(&self, script: &str) -> (redis_conformance::runbook::Ended, String) {
        let output = self.within(Duration::from_secs(20), script).await;
        assert!(!output.succeeded(), "{script} succeeded: {}", output.stdout);
        (output.ended, output.stderr)
    }
}
