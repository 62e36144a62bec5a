//! Clusters that a tool makes for the run: their nodes are containers of this machine's Docker.

use super::{Source, in_docker};
use crate::target::{
    image::CLIENT_IMAGE,
    kube::{
        cluster::{Access, Given},
        journal::{Debt, Healing, Journal},
        nodes::Nodes,
        program::{PATIENCE, Program},
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

/// Names the image of kind's nodes where kind cannot pull its own.
const NODE_IMAGE: &str = "REDIS_CONFORMANCE_NODE_IMAGE";
/// A node image may have to be pulled.
const CREATE: Duration = Duration::from_secs(600);
const LOAD: Duration = Duration::from_secs(180);
/// Docker removes some containers.
const DELETE: Duration = Duration::from_secs(120);

/// Who makes the cluster, by its documented command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    /// <https://kind.sigs.k8s.io/docs/user/quick-start/>
    Kind,
    /// <https://k3d.io/stable/usage/commands/>
    K3d,
}

impl Maker {
    pub(super) const ALL: [Self; 2] = [Self::Kind, Self::K3d];

    /// The target's name, which is also the program's.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Kind => "kind",
            Self::K3d => "k3d",
        }
    }

    /// The cluster that a run gets: enough nodes for anti-affinity and the loss of some, one for clients, quick to see that a node is gone.
    fn config(self) -> &'static str {
        match self {
            Self::Kind => include_str!("../../../../ci/kind.yaml"),
            Self::K3d => include_str!("../../../../ci/k3d.yaml"),
        }
    }

    /// The user's kubeconfig and its current context are not ours: the cluster is written into none, or into a file of the run.
    fn create<'a>(self, name: &'a str, config: &'a str, kubeconfig: &'a str) -> Vec<&'a str> {
        match self {
            Self::Kind => vec!["create", "cluster", "--name", name, "--kubeconfig", kubeconfig, "--config", config, "--wait", "180s"],
            Self::K3d => vec![
                "cluster",
                "create",
                name,
                "--config",
                config,
                "--wait",
                "--timeout",
                "180s",
                "--kubeconfig-update-default=false",
                "--kubeconfig-switch-context=false",
            ],
        }
    }

    fn list(self) -> &'static [&'static str] {
        match self {
            Self::Kind => &["get", "clusters"],
            Self::K3d => &["cluster", "list", "--no-headers"],
        }
    }

    fn kubeconfig(self, name: &str) -> Vec<&str> {
        match self {
            Self::Kind => vec!["get", "kubeconfig", "--name", name],
            Self::K3d => vec!["kubeconfig", "get", name],
        }
    }

    fn load<'a>(self, name: &'a str, archive: &'a str) -> Vec<&'a str> {
        match self {
            Self::Kind => vec!["load", "image-archive", archive, "--name", name],
            Self::K3d => vec!["image", "import", archive, "--cluster", name],
        }
    }

    fn load_from_docker<'a>(self, name: &'a str, image: &'a str) -> Vec<&'a str> {
        match self {
            Self::Kind => vec!["load", "docker-image", image, "--name", name],
            Self::K3d => vec!["image", "import", image, "--cluster", name],
        }
    }

    fn delete(self, name: &str) -> Vec<&str> {
        match self {
            Self::Kind => vec!["delete", "cluster", "--name", name],
            Self::K3d => vec!["cluster", "delete", name],
        }
    }
}

/// A cluster made for the run, or kept from another.
pub struct Made {
    maker: Maker,
    tool: Program,
    docker: Program,
    name: String,
    /// It stays when the run is over.
    keep: bool,
    /// Where the files are written that make the cluster and reach it.
    folder: PathBuf,
    debt: Mutex<Option<Debt>>,
}

impl Made {
    /// The cluster of that name.
    ///
    /// # Errors
    /// The tool or Docker is not installed.
    pub fn named(maker: Maker, name: String, keep: bool, folder: PathBuf) -> anyhow::Result<Self> {
        let (tool, docker) = (Program::find(maker.name())?, Program::find("docker")?);
        Ok(Self { maker, tool, docker, name, keep, folder, debt: Mutex::default() })
    }

    async fn create(&self, journal: &Journal, kubeconfig: &Path) -> anyhow::Result<()> {
        if !self.keep {
            let debt = journal.owes(Healing::DeleteCluster { tool: self.maker.name().into(), name: self.name.clone() })?;
            *self.debt.lock().unwrap_or_else(PoisonError::into_inner) = Some(debt);
        }
        let config = self.folder.join(format!("{}.yaml", self.maker.name()));
        tokio::fs::write(&config, self.maker.config()).await.with_context(|| format!("{}", config.display()))?;
        let text = |path: &Path| path.to_str().map(ToOwned::to_owned).context("the evidence folder has a name that is no text");
        let (config, kubeconfig) = (text(&config)?, text(kubeconfig)?);
        let mut arguments = self.maker.create(&self.name, &config, &kubeconfig);
        let image = env::var(NODE_IMAGE).ok().filter(|image| !image.is_empty() && self.maker == Maker::Kind);
        if let Some(image) = &image {
            arguments.extend(["--image", image]);
        }
        if let Err(error) = self.tool.run_with(journal.held()?, &arguments, CREATE).await {
            // The tool takes back what it had begun, but not always.
            if let Err(rest) = delete(self.maker, &self.tool, &self.name).await {
                return Err(error.context(format!("and what is there of it stays ({rest:#}); remove it with: {}", self.removal())));
            }
            return Err(error.context("no cluster could be made"));
        }
        Ok(())
    }

    /// The command line that removes the cluster.
    fn removal(&self) -> String {
        format!("{} {}", self.maker.name(), self.maker.delete(&self.name).join(" "))
    }
}

#[async_trait]
impl Source for Made {
    async fn get(&self, journal: &Journal) -> anyhow::Result<Given> {
        let asked = self.docker.run(&["version", "--format", "{{.Server.Version}}"], PATIENCE).await;
        asked.context("Docker does not answer; start it")?;
        let there = self.tool.run(self.maker.list(), LOAD).await?;
        let kubeconfig = self.folder.join("kubeconfig");
        if !there.lines().any(|line| line.split_whitespace().next() == Some(&self.name)) {
            self.create(journal, &kubeconfig).await?;
        }
        let text = self.tool.run(&self.maker.kubeconfig(&self.name), LOAD).await?;
        tokio::fs::write(&kubeconfig, text).await.with_context(|| format!("{}", kubeconfig.display()))?;
        Ok(Given {
            target: self.maker.name(),
            access: Access { kubeconfig, context: format!("{}-{}", self.maker.name(), self.name) },
            nodes: Some(Nodes::by(self.docker.clone())),
            owned: true,
            lent: None,
            client_image: CLIENT_IMAGE.to_owned(),
        })
    }

    async fn load(&self, archive: &Path) -> anyhow::Result<()> {
        let archive = archive.to_str().context("the archive has a name that is no text")?;
        self.tool.run(&self.maker.load(&self.name, archive), LOAD).await.map(drop)
    }

    async fn fetch(&self, image: &str) -> anyhow::Result<Result<(), String>> {
        if let Err(reason) = in_docker(&self.docker, image).await {
            return Ok(Err(reason));
        }
        self.tool.run(&self.maker.load_from_docker(&self.name, image), LOAD).await.map(|_| Ok(()))
    }

    fn stays(&self) -> bool {
        self.debt.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    async fn give_back(&self, journal: &Journal) -> anyhow::Result<()> {
        let debt = self.debt.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(debt) = debt else { return Ok(()) };
        let deleted = delete(self.maker, &self.tool, &self.name).await;
        deleted.with_context(|| format!("the cluster stays; remove it with: {}", self.removal()))?;
        journal.healed(debt)
    }
}

pub(super) async fn delete(maker: Maker, tool: &Program, name: &str) -> anyhow::Result<()> {
    tool.run(&maker.delete(name), DELETE).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use std::{fs, os::unix::fs::PermissionsExt as _};

    /// A tool and a Docker that write down how they were called and answer as the real ones do.
    fn recorder(folder: &Path) -> PathBuf {
        let path = folder.join("tool");
        let script = "#!/bin/sh\necho \"$@\" >>\"$(dirname \"$0\")/calls\"\ncase \"$1 $2\" in\n\
            'cluster list' | 'get clusters') [ -e \"$(dirname \"$0\")/made\" ] && echo 'conformance 1/1 5/5 true' ;;\n\
            'cluster create' | 'create cluster') : >\"$(dirname \"$0\")/made\" ;;\n\
            'kubeconfig get' | 'get kubeconfig') echo 'kind: Config' ;;\nesac\nexit 0\n";
        fs::write(&path, script).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("made executable");
        path
    }

    fn source(maker: Maker, folder: &Path) -> Made {
        let path = recorder(folder);
        let (name, folder) = ("conformance".to_owned(), folder.to_path_buf());
        Made { maker, tool: Program { path: path.clone() }, docker: Program { path }, name, keep: false, folder, debt: Mutex::default() }
    }

    #[rstest]
    #[case(
        Maker::Kind,
        "get clusters\ncreate cluster --name conformance --kubeconfig FOLDER/kubeconfig --config FOLDER/kind.yaml --wait 180s\n\
         get kubeconfig --name conformance\nload image-archive /tmp/a.tar --name conformance\ndelete cluster --name conformance\n"
    )]
    #[case(
        Maker::K3d,
        "cluster list --no-headers\ncluster create conformance --config FOLDER/k3d.yaml --wait --timeout 180s \
         --kubeconfig-update-default=false --kubeconfig-switch-context=false\n\
         kubeconfig get conformance\nimage import /tmp/a.tar --cluster conformance\ncluster delete conformance\n"
    )]
    #[tokio::test]
    async fn a_cluster_is_made_by_the_documented_command_line_and_deleted_again(#[case] maker: Maker, #[case] expected: &str) {
        let folder = tempfile::tempdir().expect("a folder");
        let source = source(maker, folder.path());
        let journal = Journal::begin_in(&folder.path().join("journals"), "r").expect("begins");
        let given = source.get(&journal).await.expect("made");
        assert_eq!((given.access.context, given.target), (format!("{}-conformance", maker.name()), maker.name()));
        assert!(!source.stays());
        source.load(Path::new("/tmp/a.tar")).await.expect("brought");
        source.give_back(&journal).await.expect("deleted");
        journal.end().expect("nothing is owed");
        let calls = fs::read_to_string(folder.path().join("calls")).expect("calls");
        let calls = calls.replace(folder.path().to_str().expect("text"), "FOLDER");
        let image = env::var(NODE_IMAGE).map(|image| format!(" --image {image}")).unwrap_or_default();
        assert_eq!(calls.replace(&image, ""), format!("version --format {{{{.Server.Version}}}}\n{expected}"));
    }

    #[rstest]
    #[case(Maker::Kind)]
    #[case(Maker::K3d)]
    #[tokio::test]
    async fn a_cluster_that_was_there_is_used_and_left(#[case] maker: Maker) {
        let folder = tempfile::tempdir().expect("a folder");
        let source = source(maker, folder.path());
        fs::write(folder.path().join("made"), "").expect("written");
        let journal = Journal::begin_in(&folder.path().join("journals"), "r").expect("begins");
        source.get(&journal).await.expect("used");
        assert!(source.stays());
        source.give_back(&journal).await.expect("left");
        let calls = fs::read_to_string(folder.path().join("calls")).expect("calls");
        assert!(!calls.contains("create") && !calls.contains("delete"), "{calls}");
    }
}
