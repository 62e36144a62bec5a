//! The controllers of one cluster: pure looks at the store that move it towards what was asked for.

mod claims;
mod daemon_set;
mod deployment;
pub(super) mod disruption;
mod endpoints;
mod garbage;
mod job;
mod nodes;
mod replica_set;
mod rollout;
mod scheduler;
mod stateful_set;

use super::{node::Nodes, options::LocalOptions, store::Store};
pub(super) use claims::admit as admit_claim;
use serde_json::Value;
use std::{cell::Cell, time::Duration};

/// What a controller sees and may do.
pub(super) struct Context<'a> {
    /// The objects.
    pub(super) store: &'a Store,
    /// How the cluster was made.
    pub(super) options: &'a LocalOptions,
    /// Which nodes have power.
    pub(super) nodes: &'a Nodes,
    wake: Cell<Option<Duration>>,
}

impl<'a> Context<'a> {
    /// For one round of looks.
    pub(super) fn new(store: &'a Store, options: &'a LocalOptions, nodes: &'a Nodes) -> Self {
        Self { store, options, nodes, wake: Cell::new(None) }
    }

    /// Asks for another look after so long, even if nothing changes.
    fn look_again(&self, after: Duration) {
        let after = after.max(Duration::from_millis(1));
        self.wake.set(Some(self.wake.get().map_or(after, |wake| wake.min(after))));
    }

    /// Changes the status of an object: `change` gets the whole object.
    fn update(&self, object: &Value, change: impl FnOnce(&mut Value)) {
        self.store.update_uid(&super::json::key(object), &object["metadata"]["uid"], change);
    }
}

/// Every controller looks once; the answer is when to look again though nothing changes.
pub(super) fn look(context: &Context<'_>) -> Option<Duration> {
    for controller in [
        nodes::look,
        garbage::look,
        deployment::look,
        replica_set::look,
        stateful_set::look,
        daemon_set::look,
        job::look,
        disruption::look,
        scheduler::look,
        claims::look,
        endpoints::look,
    ] {
        controller(context);
    }
    context.wake.get()
}
