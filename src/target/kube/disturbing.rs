//! What a scenario that has the cluster for itself changes of it: its nodes and its default class; each is put back.

use super::{
    cluster::OBSERVER,
    error::broken,
    journal::{Debt, Healing},
    mend::{Reach, mend},
    nodes::Nodes,
    scenario::{Scenario, Share, not_ours},
};
use crate::{
    manifest::{ObjectKey, json},
    target::{Capability, DEFAULT_CLASS, Target as _, TargetError, Unsupported},
    wait::{Look, Until},
};
use serde_json::{Value, json};
use std::{
    sync::{MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

/// A whole cluster is started anew.
const RESTART: Duration = Duration::from_secs(300);

/// What is to be put back, in the order in which it was changed.
#[derive(Default)]
pub(super) struct Disturbed(Vec<(Debt, Healing)>);

impl Scenario {
    fn disturbed(&self) -> MutexGuard<'_, Disturbed> {
        self.disturbed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this scenario may disturb the whole cluster.
    pub(super) fn may_disturb(&self, capability: Capability) -> Result<(), TargetError> {
        if !self.cluster.owned {
            let reason = "others use this cluster; kind and k3d make one that may be disturbed".into();
            return Err(Unsupported { capability, reason }.into());
        }
        if matches!(self.share, Share::WithOthers { .. }) {
            return Err(broken("disturbing the cluster", anyhow::anyhow!("other scenarios run on it at the same time")));
        }
        Ok(())
    }

    pub(super) fn nodes(&self) -> Result<&Nodes, Unsupported> {
        let reason = || "nobody can be asked to stop or start the nodes of this cluster".into();
        self.cluster.nodes.as_ref().ok_or_else(|| Unsupported { capability: Capability::NodeFaults, reason: reason() })
    }

    /// Writes down how a thing is put back, before it is changed.
    fn owe(&self, healing: Healing) -> Result<(), TargetError> {
        let debt = self.cluster.journal.owes(healing.clone()).map_err(|error| broken("writing down what must be mended", error))?;
        self.disturbed().0.push((debt, healing));
        Ok(())
    }

    /// It is as it was.
    fn healed(&self, debt: Debt) -> Result<(), TargetError> {
        self.disturbed().0.retain(|(other, _)| *other != debt);
        self.cluster.journal.healed(debt).map_err(|error| broken("writing down what is mended", error))
    }

    /// What is owed and is meant by this.
    fn owed(&self, is_meant: impl Fn(&Healing) -> bool) -> Vec<(Debt, Healing)> {
        self.disturbed().0.iter().filter(|(_, healing)| is_meant(healing)).cloned().collect()
    }

    async fn mend_one(&self, healing: &Healing) -> Result<(), TargetError> {
        let reach = Reach::By(&self.cluster.client, &self.cluster.kinds);
        mend(healing, &reach).await.map_err(|error| broken("putting back what a fault has changed", error))
    }

    /// Takes power from nodes.
    pub(super) async fn take_power(&self, nodes: &[&str]) -> Result<(), TargetError> {
        self.capability(Capability::NodeFaults).await?;
        let nodes = self.nodes()?.by_address(nodes).await?;
        self.owe(Healing::StartNodes { nodes: nodes.clone() })?;
        let names: Vec<&str> = nodes.iter().map(String::as_str).collect();
        self.nodes()?.power_off(&names, &self.cluster.journal).await
    }

    /// Gives it back to all nodes that were stopped with one of these.
    pub(super) async fn give_power(&self, nodes: &[&str]) -> Result<(), TargetError> {
        for (debt, healing) in self.owed(is_stop_of(nodes)) {
            self.mend_one(&healing).await?;
            self.healed(debt)?;
        }
        Ok(())
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
        let owed = self.owed(is_stop_of(&names));
        for (_, healing) in &owed {
            self.mend_one(healing).await?;
        }
        Until::within(RESTART)
            .on(self.changes())
            .met::<_, TargetError, _>("every node to tell that it is there again", || async {
                let now = self.list("Node", None).await?;
                let silent: Vec<&str> =
                    now.iter().filter(|node| !has_spoken(node, off)).filter_map(|it| it["metadata"]["name"].as_str()).collect();
                Ok(if silent.is_empty() { Look::Ready(()) } else { Look::NotYet(format!("not from {}", silent.join(", "))) })
            })
            .await?;
        // Not before: whoever mends in our place must know that the API server has but begun to start.
        owed.into_iter().try_for_each(|(debt, _)| self.healed(debt))
    }

    /// Objects of the whole cluster stay as they are, but for whether a class is the default and whether a node takes pods: how that is
    /// put back is written down before it is changed.
    pub(super) async fn will_change_the_cluster(&self, key: &ObjectKey, patch: &Value) -> Result<(), TargetError> {
        match key.kind.as_str() {
            "StorageClass" if mark(patch).is_some() => {
                self.may_disturb(Capability::StorageClasses)?;
                let is_owed = |healing: &Healing| matches!(healing, Healing::DefaultClass { class, .. } if *class == key.name);
                if !self.owed(is_owed).is_empty() {
                    return Ok(());
                }
                let class = self.get(key).await?.ok_or_else(|| TargetError::Missing(key.to_string()))?;
                let mark = mark(&class).and_then(|mark| mark.as_str().map(ToOwned::to_owned));
                self.owe(Healing::DefaultClass { class: key.name.clone(), mark })
            }
            "Node" if patch == &json!({ "spec": { "unschedulable": true } }) => {
                self.may_disturb(Capability::NodeFaults)?;
                self.owe(Healing::Uncordon { node: key.name.clone() })
            }
            "Node" if patch == &json!({ "spec": { "unschedulable": null } }) && !self.owed(is_cordon_of(&key.name)).is_empty() => Ok(()),
            _ => Err(not_ours(key)),
        }
    }

    /// A node that takes pods owes nothing any more.
    pub(super) fn has_changed_the_cluster(&self, object: &Value) -> Result<(), TargetError> {
        if object["kind"] != "Node" || object["spec"]["unschedulable"] == true {
            return Ok(());
        }
        for (debt, _) in self.owed(is_cordon_of(json::text(object, "/metadata/name"))) {
            self.healed(debt)?;
        }
        Ok(())
    }

    /// Puts back what is still as this scenario left it, the last first; the first problem is told, and nothing is left out for it.
    pub(super) async fn put_back(&self) -> Result<(), TargetError> {
        let mut first = Ok(());
        for (debt, healing) in self.owed(|_| true).into_iter().rev() {
            let done = self.mend_one(&healing).await.and_then(|()| self.healed(debt));
            if first.is_ok() {
                first = done;
            }
        }
        first
    }
}

fn is_stop_of(names: &[&str]) -> impl Fn(&Healing) -> bool {
    move |healing| matches!(healing, Healing::StartNodes { nodes } if nodes.iter().any(|node| names.contains(&node.as_str())))
}

fn is_cordon_of(name: &str) -> impl Fn(&Healing) -> bool {
    move |healing| matches!(healing, Healing::Uncordon { node } if node == name)
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
