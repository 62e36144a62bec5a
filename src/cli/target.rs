//! Which provider a target's name stands for, and what the reader must know of it.

use super::Problem;
use crate::{config::Config, run::Provider};
use std::sync::Arc;

/// Where scenarios run.
pub(super) fn provider(_config: &Config) -> Result<Arc<dyn Provider>, Problem> {
    Err(anyhow::anyhow!("the local target is not there yet").into())
}

/// What the reader must know of the target as a whole.
pub(super) fn remarks() -> Vec<String> {
    Vec::new()
}
