//! Which provider a target's name stands for, and what the reader must know of it.

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
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// This machine: a cluster of its own for each scenario.
pub(super) struct Local {
    programs: Programs,
    started: AtomicUsize,
}

impl Local {
    /// Finds the programs that stand for images: those of the config file first.
    pub(super) fn new(config: &Config) -> Self {
        let programs = config.images.iter().fold(Programs::find(), |programs, (image, program)| programs.with(image, program));
        Self { programs, started: AtomicUsize::new(0) }
    }

    /// What the reader must know of the target as a whole.
    pub(super) fn remarks(&self) -> Vec<String> {
        self.programs.redis_version().map(|version| format!("Redis {version} of this machine stands for the images of Redis")).into_iter().collect()
    }
}

#[async_trait]
impl Provider for Local {
    async fn start(&self, name: &str) -> Result<Arc<dyn Target>, TargetError> {
        // Two paths may have scenarios of the same name.
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        LocalTarget::start(LocalOptions::named(format!("{number}-{name}"), self.programs.clone())).await
    }
}
