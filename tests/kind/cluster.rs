//! A cluster for the tests, and the programs that look at it from outside of the product.

use redis_conformance::wait::{Look, TimedOut, Until};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs,
    path::PathBuf,
    process::{Command, Output},
    time::Duration,
};

/// A cluster of kind; gone with this, unless the tests are killed.
pub(crate) struct Cluster {
    /// Its name.
    pub(crate) name: String,
    /// Files of the tests.
    pub(crate) folder: tempfile::TempDir,
}

impl Cluster {
    pub(crate) fn make() -> Self {
        let cluster = Self { name: format!("conformance-test-{}", std::process::id()), folder: tempfile::tempdir().expect("a folder") };
        let mut create = Command::new("kind");
        create.args(["create", "cluster", "--wait", "180s", "--config", "ci/kind.yaml", "--name", &cluster.name]);
        create.arg("--kubeconfig").arg(cluster.kubeconfig());
        if let Ok(image) = std::env::var("REDIS_CONFORMANCE_NODE_IMAGE") {
            create.args(["--image", &image]);
        }
        succeeds(create.current_dir(env!("CARGO_MANIFEST_DIR")));
        cluster
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// The folder of a run's evidence.
    pub(crate) fn evidence(&self) -> PathBuf {
        self.folder.path().join("evidence")
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// The program, as a user runs it in the checkout, with journals of its own.
    pub(crate) fn program(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_redis-conformance"));
        command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).env("XDG_STATE_HOME", self.state());
        command
    }

    /// `verify` with these words on this cluster.
    pub(crate) fn run(&self, arguments: &[&str]) -> Command {
        let mut command = self.program(&["verify"]);
        command.args(arguments).args(["--target", "kind", "--cluster-name", &self.name, "--evidence"]).arg(self.evidence());
        command
    }

    pub(crate) fn kubectl<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> String {
        let output = succeeds(Command::new("kubectl").arg("--kubeconfig").arg(self.kubeconfig()).args(arguments));
        String::from_utf8(output.stdout).expect("text")
    }

    /// What kubectl tells as JSON.
    pub(crate) fn objects(&self, arguments: &[&str]) -> Vec<Value> {
        let text = self.kubectl([&["get", "--output", "json"], arguments].concat());
        let list: Value = serde_json::from_str(&text).expect("JSON");
        list["items"].as_array().expect("items").clone()
    }

    /// Everything of runs that is on the cluster.
    pub(crate) fn left(&self) -> String {
        let kinds = "namespaces,storageclasses,persistentvolumes";
        self.kubectl(["get", kinds, "--selector", "redis-conformance.io/run", "--output", "name"])
    }

    /// The nodes that Docker has stopped.
    pub(crate) fn stopped(&self) -> BTreeSet<String> {
        let filter = format!("label=io.x-k8s.kind.cluster={}", self.name);
        let arguments = ["ps", "--all", "--filter", &filter, "--filter", "status=exited", "--format", "{{.Names}}"];
        let output = succeeds(Command::new("docker").args(arguments));
        String::from_utf8_lossy(&output.stdout).lines().map(ToOwned::to_owned).collect()
    }

    /// The journals of runs that go on or were killed.
    pub(crate) fn journals(&self) -> Vec<String> {
        let folder = match fs::read_dir(self.state().join("redis-conformance/journals")) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
            folder => folder.expect("readable"),
        };
        folder.map(|entry| fs::read_to_string(entry.expect("an entry").path()).expect("text")).collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if !Command::new("kind").args(["delete", "cluster", "--name", &self.name]).status().is_ok_and(|status| status.success()) {
            eprintln!("the cluster stays; remove it with: kind delete cluster --name {}", self.name);
        }
    }
}

/// The report of a run that has ended.
pub(crate) fn report(output: &Output) -> Value {
    let words = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("no report ({error}): {words}"))
}

pub(crate) fn succeeds(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
    assert!(output.status.success(), "{command:?} fails: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Waits for something that another program does.
pub(crate) fn until(limit: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let look = || {
        let holds = holds();
        async move { Ok::<_, TimedOut>(if holds { Look::Ready(()) } else { Look::NotYet("not yet".into()) }) }
    };
    let waiting = Until::within(limit).every(Duration::from_millis(200)).met(what, look);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(waiting).expect("in time");
}
