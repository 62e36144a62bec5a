//! Clusters: where a run gets one, and what it leaves.

use super::Place;
use crate::{
    config::Config,
    run::Provider,
    target::{
        Target, TargetError,
        image::{CLIENT_IMAGE, Programs},
        kube::{
            Access, Cluster, Journal,
            source::{self, Existing, Made, Maker, Source},
        },
    },
};
use anyhow::{Context as _, anyhow};
use async_trait::async_trait;
use std::{
    env,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::sync::OnceCell;

/// A cluster, shared by all scenarios of the run.
pub(in crate::cli) struct Shared {
    place: Place,
    keep: bool,
    programs: Programs,
    state: OnceCell<State>,
}

struct State {
    source: Arc<dyn Source>,
    journal: Arc<Journal>,
    cluster: OnceCell<Arc<Cluster>>,
}

impl Shared {
    pub(super) fn new(place: &Place, config: &Config, keep: bool) -> Self {
        Self { place: place.clone(), keep, programs: Programs::configured(&config.images), state: OnceCell::new() }
    }

    fn source(&self, run: &str, folder: &Path) -> anyhow::Result<Arc<dyn Source>> {
        if let Some(context) = &self.place.context {
            let access = Access { kubeconfig: self.kubeconfig()?, context: context.clone() };
            let image = self.place.client_image.clone().unwrap_or_else(|| CLIENT_IMAGE.to_owned());
            return Ok(Arc::new(Existing::of(access, image, self.place.namespace.clone())));
        }
        let own = || format!("redis-conformance-{}", run.rsplit_once('-').map_or(run, |(_, last)| last));
        let name = self.place.cluster_name.clone().unwrap_or_else(own);
        let folder = folder.to_path_buf();
        let maker = if self.place.target == "k3d" { Maker::K3d } else { Maker::Kind };
        Ok(Arc::new(Made::named(maker, name, self.keep, folder)?))
    }

    fn kubeconfig(&self) -> anyhow::Result<PathBuf> {
        if let Some(path) = &self.place.kubeconfig {
            return Ok(path.clone());
        }
        let listed = env::var_os("KUBECONFIG").and_then(|paths| env::split_paths(&paths).find(|path| path.is_file()));
        let home = || env::var_os("HOME").map(|home| PathBuf::from(home).join(".kube/config"));
        listed.or_else(home).context("neither KUBECONFIG nor HOME says where the kubeconfig is; name it by --kubeconfig")
    }
}

#[async_trait]
impl Provider for Shared {
    async fn prepare(&self, run: &str, folder: &Path) -> anyhow::Result<()> {
        let state = State { source: self.source(run, folder)?, journal: Arc::new(Journal::begin(run)?), cluster: OnceCell::new() };
        let state = self.state.get_or_init(|| async { state }).await;
        let (source, journal, programs) = (Arc::clone(&state.source), Arc::clone(&state.journal), self.programs.clone());
        // Kept before anything is made on it, so that whatever comes between is cleared.
        state.cluster.get_or_try_init(|| source::reach(source, run, programs, journal)).await?.make_ready().await
    }

    async fn start(&self, _name: &str, alone: bool) -> Result<Arc<dyn Target>, TargetError> {
        let cluster = self.state.get().and_then(|state| state.cluster.get());
        let cluster = cluster.ok_or_else(|| TargetError::broken("using the cluster", anyhow!("there is none")))?;
        Ok(cluster.scenario(alone).await)
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn finish(&self) -> anyhow::Result<()> {
        let Some(State { source, journal, cluster }) = self.state.get() else { return Ok(()) };
        if let Some(cluster) = cluster.get() {
            if source.stays() {
                cluster.clear().await?;
            }
            cluster.forget()?;
        }
        source.give_back(journal).await?;
        journal.end()
    }
}
