//! A cluster that is there already: it is somebody's, so that only namespaces of the run are touched, or the one that it was lent.

use super::{Source, rights};
use crate::target::kube::{
    cluster::{Access, Given, connect},
    journal::Journal,
};
use anyhow::bail;
use async_trait::async_trait;
use std::path::Path;

/// A cluster that others use too.
pub struct Existing {
    access: Access,
    client_image: String,
    namespace: Option<String>,
}

impl Existing {
    /// The cluster of a context; the client image must be one that it can pull. With a namespace the run keeps to that one and makes none.
    #[must_use]
    pub fn of(access: Access, client_image: String, namespace: Option<String>) -> Self {
        Self { access, client_image, namespace }
    }
}

#[async_trait]
impl Source for Existing {
    async fn get(&self, _journal: &Journal) -> anyhow::Result<Given> {
        rights::check(&connect(&self.access).await?, self.namespace.as_deref()).await?;
        let (access, client_image, lent) = (self.access.clone(), self.client_image.clone(), self.namespace.clone());
        Ok(Given { target: "cluster", access, nodes: None, owned: false, lent, client_image })
    }

    fn takes_images(&self) -> bool {
        false
    }

    async fn load(&self, archive: &Path) -> anyhow::Result<()> {
        bail!("{} cannot be brought to a cluster that is not ours; push it to a registry that the cluster pulls from", archive.display())
    }

    async fn fetch(&self, image: &str) -> anyhow::Result<Result<(), String>> {
        bail!("{image} cannot be brought to a cluster that is not ours")
    }

    fn stays(&self) -> bool {
        true
    }

    async fn give_back(&self, _journal: &Journal) -> anyhow::Result<()> {
        Ok(())
    }
}
