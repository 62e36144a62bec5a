//! Which of the cluster's nodes have power, and since when the others are silent.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// The power of each node.
#[derive(Debug, Default)]
pub(super) struct Nodes(Mutex<BTreeMap<String, Option<Instant>>>);

impl Nodes {
    /// All of them running.
    pub(super) fn new(names: impl IntoIterator<Item = String>) -> Self {
        Self(Mutex::new(names.into_iter().map(|name| (name, None)).collect()))
    }

    /// Whether there is such a node.
    pub(super) fn has(&self, name: &str) -> bool {
        self.lock().contains_key(name)
    }

    /// Whether it is there and has power.
    pub(super) fn is_up(&self, name: &str) -> bool {
        self.lock().get(name).is_some_and(Option::is_none)
    }

    /// Takes or gives power; whether that changed anything.
    pub(super) fn set_power(&self, name: &str, on: bool) -> bool {
        match self.lock().get_mut(name) {
            Some(state) if state.is_none() != on => {
                *state = if on { None } else { Some(Instant::now()) };
                true
            }
            _ => false,
        }
    }

    /// How long the node has been without power; `None` while it has it.
    pub(super) fn silent_for(&self, name: &str) -> Option<Duration> {
        self.lock().get(name).copied().flatten().map(|since| since.elapsed())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Option<Instant>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_stopped_node_grows_silent_until_it_is_started() {
        let nodes = Nodes::new(["node-1".to_owned()]);
        assert!(nodes.set_power("node-1", false) && !nodes.set_power("node-1", false));
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(nodes.silent_for("node-1"), Some(Duration::from_secs(5)));
        nodes.set_power("node-1", true);
        assert_eq!((nodes.silent_for("node-1"), nodes.is_up("node-1"), nodes.has("x")), (None, true, false));
    }
}
