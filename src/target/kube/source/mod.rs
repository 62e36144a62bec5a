//! Where a cluster comes from: made by kind or k3d for the run, or there already.

mod existing;
mod k3d;
mod kind;
mod rights;

use super::{
    cluster::{Cluster, Given},
    nodes,
};
use crate::{
    target::{image::Programs, kube::journal::Journal},
    wait::at_most,
};
use anyhow::{Context as _, bail};
use async_trait::async_trait;
pub use existing::Existing;
pub use k3d::K3d;
pub use kind::Kind;
use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};
use tokio::{io::AsyncWriteExt as _, process::Command};

/// Gives a run its cluster, and takes it back.
#[async_trait]
pub trait Source: Send + Sync {
    /// The cluster, ready to be used.
    ///
    /// # Errors
    /// There is none to be had; the error says how to get one.
    async fn get(&self, journal: &Journal) -> anyhow::Result<Given>;

    /// Whether images can be brought to the cluster, or it must pull them by itself.
    fn takes_images(&self) -> bool {
        true
    }

    /// Brings an image from an archive to every node.
    ///
    /// # Errors
    /// The cluster takes no images from here.
    async fn load(&self, archive: &Path) -> anyhow::Result<()>;

    /// Brings the image of that name to every node, from this machine's Docker, which pulls it where it must; the inner error is its reason.
    ///
    /// # Errors
    /// Docker has it, and the cluster does not take it.
    async fn fetch(&self, image: &str) -> anyhow::Result<Result<(), String>>;

    /// Whether the cluster is there when the run is over.
    fn stays(&self) -> bool;

    /// The run is over: the cluster goes, or stays for the next one.
    ///
    /// # Errors
    /// It stays and should not.
    async fn give_back(&self, journal: &Journal) -> anyhow::Result<()>;
}

/// A program that a source needs.
///
/// # Errors
/// It is not installed, with the place where it is to be had.
pub(super) fn program(name: &str) -> anyhow::Result<PathBuf> {
    let remedy = match name {
        "docker" => "https://docs.docker.com/engine/install/",
        "kind" => "https://kind.sigs.k8s.io/docs/user/quick-start/#installation",
        "k3d" => "https://k3d.io/stable/#installation",
        _ => "your distribution",
    };
    which::which(name).with_context(|| format!("{name} is not installed; get it from {remedy}"))
}

/// A registry may be far away.
const PULL: Duration = Duration::from_secs(600);
/// Docker removes some containers.
const DELETE: Duration = Duration::from_secs(120);

/// Deletes a cluster that a tool has made.
pub(super) async fn delete(tool: &str, name: &str) -> anyhow::Result<()> {
    match tool {
        "kind" => kind::delete(&Tool::find("kind")?, name).await,
        "k3d" => k3d::delete(&Tool::find("k3d")?, name).await,
        _ => bail!("nobody here makes clusters by {tool}"),
    }
}

/// A program that makes clusters.
#[derive(Clone, Debug)]
struct Tool {
    path: PathBuf,
}

impl Tool {
    fn find(name: &str) -> anyhow::Result<Self> {
        Ok(Self { path: program(name)? })
    }

    /// Runs the tool to its end, and gives what it printed.
    ///
    /// # Errors
    /// It takes too long or fails: then with its own last words.
    async fn tell(&self, arguments: &[&str], input: &str, limit: Duration) -> anyhow::Result<String> {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let shown = format!("{name} {}", arguments.join(" "));
        let mut child = Command::new(&self.path)
            .args(arguments)
            // Ctrl-C is ours to hear: a tool that is cut short leaves half a cluster.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{shown} cannot be started"))?;
        if let Some(mut stdin) = child.stdin.take()
            && !input.is_empty()
        {
            stdin.write_all(input.as_bytes()).await.with_context(|| format!("{shown} takes no input"))?;
        }
        let Some(output) = at_most(limit, &format!("the end of {shown}"), child.wait_with_output()).await else {
            bail!("{shown} has not ended within {} s", limit.as_secs());
        };
        let output = output.with_context(|| format!("{shown} cannot be waited for"))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let words = String::from_utf8_lossy(&output.stderr);
        let last: Vec<&str> = words.lines().filter(|line| !line.trim().is_empty()).rev().take(12).collect();
        bail!("{shown} fails ({}):\n  {}", output.status, last.into_iter().rev().collect::<Vec<_>>().join("\n  "))
    }
}

/// Sees to it that this machine's Docker has an image; the inner error is why it has not.
async fn in_docker(docker: &Path, image: &str) -> Result<(), String> {
    if nodes::run(docker, &["image", "inspect", "--format", "{{.Id}}", image], nodes::PATIENCE).await.is_ok() {
        return Ok(());
    }
    nodes::run(docker, &["pull", "--quiet", image], PULL).await.map(drop).map_err(|error| format!("{error:#}"))
}

/// Gets the cluster of a source, and what the run needs to have on it.
///
/// # Errors
/// There is none to be had, or it cannot be used.
pub async fn reach(source: Arc<dyn Source>, run: &str, programs: Programs, journal: Arc<Journal>) -> anyhow::Result<Arc<Cluster>> {
    let given = source.get(&journal).await?;
    let cluster = Cluster::reach(given, source, run, programs, journal).await?;
    if let Err(reason) = cluster.has_image(&cluster.client_image, "IfNotPresent").await? {
        bail!(
            "the cluster cannot have the client image {}: {reason}; `redis-conformance image` makes it, --client-image names another",
            cluster.client_image
        );
    }
    Ok(cluster)
}
