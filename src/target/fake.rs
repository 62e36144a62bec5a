//! A target for tests of what stands above targets.

use super::{Applied, Attached, Capability, ContainerRef, ExecOutput, Kill, Process, Target, TargetError};
use crate::manifest::{Object, ObjectKey};
use async_trait::async_trait;
use serde_json::{Value, json};
use std::{
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::Duration,
};
use tokio::sync::watch;

/// A target of one pod that becomes ready at the third look.
#[derive(Default)]
pub(crate) struct Fake {
    looks: AtomicU64,
    /// How often it was taken down.
    pub(crate) downs: AtomicUsize,
    changes: watch::Sender<u64>,
}

fn no<V>() -> Result<V, TargetError> {
    Err(TargetError::broken("asking the fake", anyhow::anyhow!("it has none")))
}

#[async_trait]
impl Target for Fake {
    fn name(&self) -> &'static str {
        "fake"
    }
    async fn capability(&self, _: Capability) -> Result<(), TargetError> {
        Ok(())
    }
    async fn apply(&self, _: &[Object]) -> Result<Applied, TargetError> {
        Ok(Applied::default())
    }
    async fn get(&self, _: &ObjectKey) -> Result<Option<Value>, TargetError> {
        Ok(Some(json!({"status": {"ready": self.looks.fetch_add(1, Ordering::Relaxed) >= 2}})))
    }
    async fn list(&self, _: &str, _: Option<&str>) -> Result<Vec<Value>, TargetError> {
        no()
    }
    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
    async fn delete(&self, _: &ObjectKey, _: Option<Duration>) -> Result<(), TargetError> {
        no()
    }
    async fn evict(&self, _: &ObjectKey) -> Result<(), TargetError> {
        no()
    }
    async fn patch(&self, _: &ObjectKey, _: &Value) -> Result<Value, TargetError> {
        no()
    }
    async fn exec(&self, _: &ContainerRef, _: &[&str], _: &[u8]) -> Result<ExecOutput, TargetError> {
        Ok(ExecOutput { code: 0, stdout: b"hunter22".to_vec(), stderr: Vec::new() })
    }
    async fn attach(&self, _: &ContainerRef, _: &[&str]) -> Result<Attached, TargetError> {
        no()
    }
    async fn logs(&self, _: &ContainerRef, _: bool) -> Result<Vec<u8>, TargetError> {
        no()
    }
    async fn process(&self, _: &ContainerRef) -> Result<Process, TargetError> {
        no()
    }
    async fn kill(&self, _: &ContainerRef, _: Kill) -> Result<(), TargetError> {
        no()
    }
    async fn freeze(&self, _: &ContainerRef) -> Result<(), TargetError> {
        no()
    }
    async fn thaw(&self, _: &ContainerRef) -> Result<(), TargetError> {
        no()
    }
    async fn restart_everything(&self) -> Result<(), TargetError> {
        no()
    }
    async fn client(&self, _: &str) -> Result<ContainerRef, TargetError> {
        no()
    }
    async fn down(&self) -> Result<(), TargetError> {
        self.downs.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}
