//! Where a cluster comes from: made by kind or k3d for the run, or there already.

mod existing;
mod made;
mod rights;

use super::{
    cluster::{Cluster, Given},
    journal::Journal,
    program::{PATIENCE, Program},
};
use crate::target::image::Programs;
use anyhow::Context as _;
use async_trait::async_trait;
pub use existing::Existing;
pub use made::{Made, Maker};
use std::{path::Path, sync::Arc, time::Duration};

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

/// A registry may be far away.
const PULL: Duration = Duration::from_secs(600);

/// Deletes a cluster that a tool has made.
pub(super) async fn delete(tool: &str, name: &str) -> anyhow::Result<()> {
    let maker =
        Maker::ALL.into_iter().find(|maker| maker.name() == tool).with_context(|| format!("nobody here makes clusters by {tool}"))?;
    made::delete(maker, &Program::find(tool)?, name).await
}

/// Sees to it that this machine's Docker has an image; the inner error is why it has not.
async fn in_docker(docker: &Program, image: &str) -> Result<(), String> {
    if docker.run(&["image", "inspect", "--format", "{{.Id}}", image], PATIENCE).await.is_ok() {
        return Ok(());
    }
    docker.run(&["pull", "--quiet", image], PULL).await.map(drop).map_err(|error| format!("{error:#}"))
}

/// Gets the cluster of a source.
///
/// # Errors
/// There is none to be had, or it does not answer.
pub async fn reach(source: Arc<dyn Source>, run: &str, programs: Programs, journal: Arc<Journal>) -> anyhow::Result<Arc<Cluster>> {
    let given = source.get(&journal).await?;
    Cluster::reach(given, source, run, programs, journal).await
}
