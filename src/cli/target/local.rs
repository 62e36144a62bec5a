//! This machine: a cluster of its own for each scenario.

use super::super::Problem;
use crate::{
    config::Config,
    run::Provider,
    target::{
        Target, TargetError,
        image::Programs,
        local::control::{LocalOptions, LocalTarget},
    },
};
use async_trait::async_trait;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// How soon a silent node is NotReady, and how long pods bear it: settings of a cluster, not of manifests, so they are short here.
/// A manifest's own tolerations hold.
const MONITOR_GRACE: Duration = Duration::from_secs(4);
const TOLERATION: Duration = Duration::from_secs(5);

/// This machine: a cluster of its own for each scenario.
pub(in crate::cli) struct Local {
    programs: Programs,
    started: AtomicUsize,
}

impl Local {
    /// Finds the programs that stand for images, those of the config file first.
    ///
    /// # Errors
    /// When there is no Redis on this machine.
    pub(super) fn new(config: &Config) -> Result<Self, Problem> {
        let programs = Programs::configured(&config.images);
        programs.redis_version().map_err(anyhow::Error::from)?;
        Ok(Self { programs, started: AtomicUsize::new(0) })
    }
}

#[async_trait]
impl Provider for Local {
    async fn start(&self, name: &str, _alone: bool) -> Result<Arc<dyn Target>, TargetError> {
        // Names of scenarios need not be unique, names of clusters must be.
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let mut options = LocalOptions::named(format!("{number}-{name}"), self.programs.clone());
        options.monitor_grace = MONITOR_GRACE;
        options.toleration = TOLERATION;
        LocalTarget::start(options).await
    }

    fn remarks(&self) -> Vec<String> {
        let version = self.programs.redis_version();
        version.map(|version| format!("Redis {version} of this machine runs in the place of official images")).into_iter().collect()
    }
}
