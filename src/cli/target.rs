//! Which provider a target's name stands for, and what the reader must know of it.

use super::Problem;
use crate::{
    config::Config,
    run::Provider,
    target::{
        Target, TargetError,
        local::{
            control::{LocalOptions, LocalTarget},
            image::Programs,
        },
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

/// Clusters on this machine.
struct Local {
    programs: Programs,
    started: AtomicUsize,
}

#[async_trait]
impl Provider for Local {
    async fn start(&self, name: &str) -> Result<Arc<dyn Target>, TargetError> {
        // Names of scenarios need not be unique, names of clusters must be.
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let mut options = LocalOptions::named(format!("{number}-{name}"), self.programs.clone());
        options.monitor_grace = MONITOR_GRACE;
        options.toleration = TOLERATION;
        LocalTarget::start(options).await
    }
}

fn programs(config: &Config) -> Programs {
    config.images.iter().fold(Programs::find(), |programs, (image, program)| programs.with(image, program))
}

/// Where scenarios run.
pub(super) fn provider(config: &Config) -> Result<Arc<dyn Provider>, Problem> {
    let programs = programs(config);
    if let Err(missing) = programs.redis_version() {
        return Err(anyhow::Error::from(missing).into());
    }
    Ok(Arc::new(Local { programs, started: AtomicUsize::new(0) }))
}

/// What the reader must know of the target as a whole.
pub(super) fn remarks() -> Vec<String> {
    match Programs::find().redis_version() {
        Ok(version) => vec![format!("Redis {version} of this machine runs in the place of official images")],
        Err(_) => Vec::new(),
    }
}
