//! Clusters by kind: nodes are containers of this machine's Docker.

use super::{DELETE, Source, Tool, in_docker, program};
use crate::target::{
    image::CLIENT_IMAGE,
    kube::{
        cluster::{Access, Given},
        journal::{Debt, Healing, Journal},
        nodes::{self, Nodes},
    },
};
use anyhow::Context as _;
use async_trait::async_trait;
use std::{
    env,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// Names the image of the nodes where kind cannot pull its own.
const NODE_IMAGE: &str = "REDIS_CONFORMANCE_NODE_IMAGE";
/// The cluster that a run gets: enough nodes for anti-affinity and the loss of some, one for clients, quick to see that a node is gone.
const CONFIG: &str = include_str!("../../../../ci/kind.yaml");
/// A node image may have to be pulled.
const CREATE: Duration = Duration::from_secs(600);
const LOAD: Duration = Duration::from_secs(180);

/// A cluster of kind, made for the run or kept from another.
pub struct Kind {
    tool: Tool,
    docker: PathBuf,
    name: String,
    /// It stays when the run is over.
    keep: bool,
    /// Where the file is written by which the cluster is reached; never the user's own.
    folder: PathBuf,
    debt: Mutex<Option<Debt>>,
}

impl Kind {
    /// The cluster of that name.
    ///
    /// # Errors
    /// kind or Docker is not installed.
    pub fn named(name: String, keep: bool, folder: PathBuf) -> anyhow::Result<Self> {
        Ok(Self { tool: Tool::find("kind")?, docker: program("docker")?, name, keep, folder, debt: Mutex::default() })
    }

    fn kubeconfig(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    async fn create(&self, journal: &Journal) -> anyhow::Result<()> {
        if !self.keep {
            let debt = journal.owes(Healing::DeleteCluster { tool: "kind".into(), name: self.name.clone() })?;
            *self.debt.lock().unwrap_or_else(PoisonError::into_inner) = Some(debt);
        }
        let kubeconfig = self.kubeconfig();
        let kubeconfig = kubeconfig.to_str().context("the evidence folder has a name that is no text")?;
        let mut arguments = vec!["create", "cluster", "--name", &self.name, "--kubeconfig", kubeconfig, "--config", "-", "--wait", "180s"];
        let image = env::var(NODE_IMAGE).ok().filter(|image| !image.is_empty());
        if let Some(image) = &image {
            arguments.extend(["--image", image]);
        }
        let created = self.tool.tell(&arguments, CONFIG, CREATE).await;
        if let Err(error) = created {
            // kind takes back what it had begun, but not always.
            if let Err(rest) = delete(&self.tool, &self.name).await {
                return Err(error.context(format!(
                    "and what is there of it stays ({rest:#}); remove it with: kind delete cluster --name {}",
                    self.name
                )));
            }
            return Err(error.context("no cluster could be made"));
        }
        Ok(())
    }
}

#[async_trait]
impl Source for Kind {
    async fn get(&self, journal: &Journal) -> anyhow::Result<Given> {
        nodes::run(&self.docker, &["version", "--format", "{{.Server.Version}}"], nodes::PATIENCE)
            .await
            .context("Docker does not answer; start it")?;
        let there = self.tool.tell(&["get", "clusters"], "", LOAD).await?;
        if there.lines().any(|name| name == self.name) {
            let text = self.tool.tell(&["get", "kubeconfig", "--name", &self.name], "", LOAD).await?;
            tokio::fs::write(self.kubeconfig(), text).await.with_context(|| format!("{}", self.kubeconfig().display()))?;
        } else {
            self.create(journal).await?;
        }
        Ok(Given {
            target: "kind",
            access: Access { kubeconfig: self.kubeconfig(), context: format!("kind-{}", self.name) },
            nodes: Some(Nodes::by(self.docker.clone())),
            owned: true,
            client_image: CLIENT_IMAGE.to_owned(),
        })
    }

    async fn load(&self, archive: &Path) -> anyhow::Result<()> {
        let archive = archive.to_str().context("the archive has a name that is no text")?;
        self.tool.tell(&["load", "image-archive", archive, "--name", &self.name], "", LOAD).await.map(drop)
    }

    async fn fetch(&self, image: &str) -> anyhow::Result<Result<(), String>> {
        if let Err(reason) = in_docker(&self.docker, image).await {
            return Ok(Err(reason));
        }
        self.tool.tell(&["load", "docker-image", image, "--name", &self.name], "", LOAD).await.map(|_| Ok(()))
    }

    fn stays(&self) -> bool {
        self.debt.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    async fn give_back(&self, journal: &Journal) -> anyhow::Result<()> {
        let debt = self.debt.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(debt) = debt else { return Ok(()) };
        delete(&self.tool, &self.name)
            .await
            .with_context(|| format!("the cluster stays; remove it with: kind delete cluster --name {}", self.name))?;
        journal.healed(debt)
    }
}

pub(super) async fn delete(kind: &Tool, name: &str) -> anyhow::Result<()> {
    kind.tell(&["delete", "cluster", "--name", name], "", DELETE).await.map(drop)
}
