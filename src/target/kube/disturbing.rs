//! What a scenario that has the cluster for itself changes of it: its nodes and its default class; each is put back.

use super::{
    cluster::{DEFAULT_CLASS, OBSERVER, mark_default, uncordon},
    error::broken,
    journal::{Debt, Healing},
    nodes::Nodes,
    scenario::{Scenario, Share, not_ours},
};
use crate::{
    manifest::{ObjectKey, json},
    target::{Capability, Target as _, TargetError, Unsupported},
    wait::{Look, Until},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

/// A whole cluster is started anew.
const RESTART: Duration = Duration::from_secs(300);

/// What is to be put back.
#[derive(Default)]
pub(super) struct Disturbed {
    /// Nodes without power, as they were stopped together.
    stopped: Vec<(Debt, Vec<String>)>,
    /// Nodes that take no pods.
    cordoned: BTreeMap<String, Debt>,
    /// Default classes that were changed, as they were.
    classes: BTreeMap<String, (Debt, Option<String>)>,
}

impl Scenario {
    fn disturbed(&self) -> MutexGuard<'_, Disturbed> {
        self.disturbed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this scenario may disturb the whole cluster.
    pub(super) fn may_disturb(&self, capability: Capability) -> Result<(), Unsupported> {
        let reason = if !self.cluster.owned {
            "others use this cluster; kind and k3d make one that may be disturbed"
        } else if matches!(self.share, Share::WithOthers { .. }) {
            "other scenarios run on this cluster at the same time; tag the scenario @disruptive, and it runs alone"
        } else {
            return Ok(());
        };
        Err(Unsupported { capability, reason: reason.into() })
    }

    pub(super) fn nodes(&self) -> Result<&Nodes, Unsupported> {
        let reason = || "nobody can be asked to stop or start the nodes of this cluster".into();
        self.cluster.nodes.as_ref().ok_or_else(|| Unsupported { capability: Capability::NodeFaults, reason: reason() })
    }

    fn heal(&self, healing: Healing) -> Result<Debt, TargetError> {
        self.cluster.journal.owes(healing).map_err(|error| broken("writing down what must be mended", error))
    }

    fn healed(&self, debt: Debt) -> Result<(), TargetError> {
        self.cluster.journal.healed(debt).map_err(|error| broken("writing down what is mended", error))
    }

    /// Takes power from nodes.
    pub(super) async fn take_power(&self, nodes: &[&str]) -> Result<(), TargetError> {
        self.capability(Capability::NodeFaults).await?;
        let nodes = self.nodes()?.by_address(nodes).await?;
        let debt = self.heal(Healing::StartNodes { nodes: nodes.clone() })?;
        self.disturbed().stopped.push((debt, nodes.clone()));
        self.nodes()?.power_off(&nodes.iter().map(String::as_str).collect::<Vec<_>>(), &self.cluster.journal).await
    }

    /// Gives it back to all nodes that were stopped with one of these.
    pub(super) async fn give_power(&self, nodes: &[&str]) -> Result<(), TargetError> {
        let is_meant = |stopped: &[String]| stopped.iter().any(|node| nodes.contains(&node.as_str()));
        let back: Vec<_> = self.disturbed().stopped.iter().filter(|(_, stopped)| is_meant(stopped)).cloned().collect();
        for (debt, nodes) in back {
            self.power_on(debt, &nodes).await?;
            self.disturbed().stopped.retain(|(other, _)| *other != debt);
        }
        Ok(())
    }

    async fn power_on(&self, debt: Debt, nodes: &[String]) -> Result<(), TargetError> {
        self.nodes()?.power_on(&nodes.iter().map(String::as_str).collect::<Vec<_>>()).await?;
        self.healed(debt)
    }

    /// Takes the power of all nodes but the clients', and gives it back: pods are started again in place, from what the nodes' disks kept.
    pub(super) async fn restart_nodes(&self) -> Result<(), TargetError> {
        let nodes: Vec<Value> = self.list("Node", None).await?;
        let nodes = nodes.iter().filter(|node| node["metadata"]["labels"][OBSERVER].is_null());
        let names: Vec<&str> = nodes.filter_map(|node| node["metadata"]["name"].as_str()).collect();
        self.take_power(&names).await?;
        let off = SystemTime::now();
        std::mem::take(&mut *self.cut.lock().unwrap_or_else(PoisonError::into_inner)).cancel();
        self.watches.forget();
        self.give_power(&names).await?;
        Until::within(RESTART)
            .on(self.changes())
            .met("every node to tell that it is there again", || async {
                let now = self.list("Node", None).await?;
                let silent: Vec<&str> =
                    now.iter().filter(|node| !has_spoken(node, off)).filter_map(|it| it["metadata"]["name"].as_str()).collect();
                Ok(if silent.is_empty() { Look::Ready(()) } else { Look::NotYet(format!("not from {}", silent.join(", "))) })
            })
            .await
    }

    /// Objects of the whole cluster stay as they are, but for whether a class is the default and whether a node takes pods: what puts that
    /// back is written down before it is changed.
    pub(super) async fn will_change_the_cluster(&self, key: &ObjectKey, patch: &Value) -> Result<(), TargetError> {
        match key.kind.as_str() {
            "StorageClass" if mark(patch).is_some() => {
                self.may_disturb(Capability::StorageClasses)?;
                if self.disturbed().classes.contains_key(&key.name) {
                    return Ok(());
                }
                let class = self.get(key).await?.ok_or_else(|| TargetError::Missing(key.to_string()))?;
                let was = mark(&class).and_then(|mark| mark.as_str().map(ToOwned::to_owned));
                let default = was.as_deref() == Some("true");
                let debt = self.heal(Healing::DefaultClass { class: key.name.clone(), default })?;
                self.disturbed().classes.insert(key.name.clone(), (debt, was));
                Ok(())
            }
            "Node" if !patch["spec"]["unschedulable"].is_null() => {
                self.may_disturb(Capability::NodeFaults)?;
                let debt = self.heal(Healing::Uncordon { node: key.name.clone() })?;
                let before = self.disturbed().cordoned.insert(key.name.clone(), debt);
                before.map_or(Ok(()), |debt| self.healed(debt))
            }
            "Node" if patch == &json!({ "spec": { "unschedulable": null } }) && self.disturbed().cordoned.contains_key(&key.name) => Ok(()),
            _ => Err(not_ours(key)),
        }
    }

    /// A node that takes pods owes nothing any more.
    pub(super) fn has_changed_the_cluster(&self, object: &Value) -> Result<(), TargetError> {
        if object["kind"] != "Node" || object["spec"]["unschedulable"] == true {
            return Ok(());
        }
        let debt = self.disturbed().cordoned.remove(json::text(object, "/metadata/name"));
        debt.map_or(Ok(()), |debt| self.healed(debt))
    }

    /// Puts back what is still as this scenario left it; the first problem is told, and nothing is left out for it.
    pub(super) async fn put_back(&self) -> Result<(), TargetError> {
        let Disturbed { stopped, cordoned, classes } = std::mem::take(&mut *self.disturbed());
        let (client, kinds) = (&self.cluster.client, &self.cluster.kinds);
        let mut first = Ok(());
        let mut note = |done: Result<(), TargetError>| {
            if first.is_ok() {
                first = done;
            }
        };
        for (debt, nodes) in stopped {
            note(self.power_on(debt, &nodes).await);
        }
        for (node, debt) in cordoned {
            let freed = uncordon(client, kinds, &node).await;
            note(freed.map_err(|error| broken("letting a node take pods again", error)).and_then(|()| self.healed(debt)));
        }
        for (class, (debt, value)) in classes {
            let marked = mark_default(client, kinds, &class, value.as_deref()).await;
            note(marked.map_err(|error| broken("putting the default class back", error)).and_then(|()| self.healed(debt)));
        }
        first
    }
}

/// Whether the annotation of the default class is there, and what it says.
fn mark(object: &Value) -> Option<Value> {
    object["metadata"]["annotations"].get(DEFAULT_CLASS).cloned()
}

/// Whether a node is Ready and has said so since then.
fn has_spoken(node: &Value, since: SystemTime) -> bool {
    let observer = !node["metadata"]["labels"][OBSERVER].is_null();
    let Some(ready) = json::condition(node, "Ready") else { return false };
    let spoke = ready["lastHeartbeatTime"].as_str().and_then(crate::time::read);
    ready["status"] == "True" && (observer || spoke.is_some_and(|spoke| spoke > since))
}
