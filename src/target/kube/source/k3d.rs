//! Clusters by k3d: nodes are containers of this machine's Docker, as with kind, by another tool's command line.

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
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// The cluster that a run gets: as kind's.
const CONFIG: &str = include_str!("../../../../ci/k3d.yaml");
/// A node image may have to be pulled.
const CREATE: Duration = Duration::from_secs(600);
const LOAD: Duration = Duration::from_secs(180);

/// A cluster of k3d, made for the run or kept from another.
pub struct K3d {
    tool: Tool,
    docker: PathBuf,
    name: String,
    /// It stays when the run is over.
    keep: bool,
    /// Where the files are written that make the cluster and reach it; never the user's own.
    folder: PathBuf,
    debt: Mutex<Option<Debt>>,
}

impl K3d {
    /// The cluster of that name.
    ///
    /// # Errors
    /// k3d or Docker is not installed.
    pub fn named(name: String, keep: bool, folder: PathBuf) -> anyhow::Result<Self> {
        Ok(Self { tool: Tool::find("k3d")?, docker: program("docker")?, name, keep, folder, debt: Mutex::default() })
    }

    async fn create(&self, journal: &Journal) -> anyhow::Result<()> {
        if !self.keep {
            let debt = journal.owes(Healing::DeleteCluster { tool: "k3d".into(), name: self.name.clone() })?;
            *self.debt.lock().unwrap_or_else(PoisonError::into_inner) = Some(debt);
        }
        let config = self.folder.join("k3d.yaml");
        tokio::fs::write(&config, CONFIG).await.with_context(|| format!("{}", config.display()))?;
        let config = config.to_str().context("the evidence folder has a name that is no text")?;
        let arguments = [
            &["cluster", "create", &self.name, "--config", config, "--wait", "--timeout", "180s"][..],
            // The user's kubeconfig and its current context are not ours.
            &["--kubeconfig-update-default=false", "--kubeconfig-switch-context=false"],
        ]
        .concat();
        if let Err(error) = self.tool.tell(&arguments, "", CREATE).await {
            if let Err(rest) = delete(&self.tool, &self.name).await {
                return Err(
                    error.context(format!("and what is there of it stays ({rest:#}); remove it with: k3d cluster delete {}", self.name))
                );
            }
            return Err(error.context("no cluster could be made"));
        }
        Ok(())
    }
}

#[async_trait]
impl Source for K3d {
    async fn get(&self, journal: &Journal) -> anyhow::Result<Given> {
        nodes::run(&self.docker, &["version", "--format", "{{.Server.Version}}"], nodes::PATIENCE)
            .await
            .context("Docker does not answer; start it")?;
        let there = self.tool.tell(&["cluster", "list", "--no-headers"], "", LOAD).await?;
        if !there.lines().any(|line| line.split_whitespace().next() == Some(&self.name)) {
            self.create(journal).await?;
        }
        let text = self.tool.tell(&["kubeconfig", "get", &self.name], "", LOAD).await?;
        let kubeconfig = self.folder.join("kubeconfig");
        tokio::fs::write(&kubeconfig, text).await.with_context(|| format!("{}", kubeconfig.display()))?;
        Ok(Given {
            target: "k3d",
            access: Access { kubeconfig, context: format!("k3d-{}", self.name) },
            nodes: Some(Nodes::by(self.docker.clone())),
            owned: true,
            client_image: CLIENT_IMAGE.to_owned(),
        })
    }

    async fn load(&self, archive: &Path) -> anyhow::Result<()> {
        let archive = archive.to_str().context("the archive has a name that is no text")?;
        self.tool.tell(&["image", "import", archive, "--cluster", &self.name], "", LOAD).await.map(drop)
    }

    async fn fetch(&self, image: &str) -> anyhow::Result<Result<(), String>> {
        if let Err(reason) = in_docker(&self.docker, image).await {
            return Ok(Err(reason));
        }
        self.tool.tell(&["image", "import", image, "--cluster", &self.name], "", LOAD).await.map(|_| Ok(()))
    }

    fn stays(&self) -> bool {
        self.debt.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    async fn give_back(&self, journal: &Journal) -> anyhow::Result<()> {
        let debt = self.debt.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(debt) = debt else { return Ok(()) };
        delete(&self.tool, &self.name)
            .await
            .with_context(|| format!("the cluster stays; remove it with: k3d cluster delete {}", self.name))?;
        journal.healed(debt)
    }
}

pub(super) async fn delete(k3d: &Tool, name: &str) -> anyhow::Result<()> {
    k3d.tell(&["cluster", "delete", name], "", DELETE).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt as _};

    /// A `k3d` and a `docker` that write down how they were called and answer as the real ones do.
    fn recorder(folder: &Path) -> PathBuf {
        let path = folder.join("k3d");
        let script = "#!/bin/sh\necho \"$@\" >>\"$(dirname \"$0\")/calls\"\ncase \"$1 $2\" in\n\
            'cluster list') [ -e \"$(dirname \"$0\")/made\" ] && echo 'conformance 1/1 5/5 true' ;;\n\
            'cluster create') : >\"$(dirname \"$0\")/made\" ;;\n\
            'kubeconfig get') echo 'kind: Config' ;;\nesac\nexit 0\n";
        fs::write(&path, script).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("made executable");
        path
    }

    #[tokio::test]
    async fn a_cluster_is_made_by_the_documented_command_line_and_deleted_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = recorder(folder.path());
        let source = K3d {
            tool: Tool { path: path.clone() },
            docker: path,
            name: "conformance".into(),
            keep: false,
            folder: folder.path().to_path_buf(),
            debt: Mutex::default(),
        };
        let journal = Journal::begin_in(&folder.path().join("journals"), "r").expect("begins");
        let given = source.get(&journal).await.expect("made");
        assert_eq!((given.access.context.as_str(), given.target), ("k3d-conformance", "k3d"));
        assert!(!source.stays());
        source.load(Path::new("/tmp/a.tar")).await.expect("brought");
        source.give_back(&journal).await.expect("deleted");
        journal.end().expect("nothing is owed");
        let calls = fs::read_to_string(folder.path().join("calls")).expect("calls");
        let config = folder.path().join("k3d.yaml");
        let expected = format!(
            "version --format {{{{.Server.Version}}}}\ncluster list --no-headers\n\
             cluster create conformance --config {} --wait --timeout 180s --kubeconfig-update-default=false --kubeconfig-switch-context=false\n\
             kubeconfig get conformance\nimage import /tmp/a.tar --cluster conformance\ncluster delete conformance\n",
            config.display()
        );
        assert_eq!(calls, expected);
    }

    #[tokio::test]
    async fn a_cluster_that_was_there_is_used_and_left() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = recorder(folder.path());
        fs::write(folder.path().join("made"), "").expect("written");
        let source = K3d {
            tool: Tool { path: path.clone() },
            docker: path,
            name: "conformance".into(),
            keep: false,
            folder: folder.path().to_path_buf(),
            debt: Mutex::default(),
        };
        let journal = Journal::begin_in(&folder.path().join("journals"), "r").expect("begins");
        source.get(&journal).await.expect("used");
        assert!(source.stays());
        source.give_back(&journal).await.expect("left");
        let calls = fs::read_to_string(folder.path().join("calls")).expect("calls");
        assert!(!calls.contains("create") && !calls.contains("delete"), "{calls}");
    }
}
