//! A node lost and given back, and one drained that takes pods again.

use crate::{
    fault::{self, key_of},
    manifest::json::holds,
    steps::{
        Failure, Step, World,
        live::{is_ending, last_event_of},
        promise::End,
        workload::START,
    },
    target::{Capability, Target},
    wait::{Look, Until},
};
use cucumber::{then, when};
use serde_json::Value;
use std::{sync::Arc, time::Duration};

/// The controller manager's grace for a silent node is 50 s by default, and its round 5 s.
const NODE_MONITOR: Duration = Duration::from_secs(60);
/// As long as a drain asks again for a pod that a budget keeps: another pod of it becomes ready meanwhile, or none ever does.
const DRAIN: Duration = Duration::from_secs(60);

impl World {
    /// A fault of the node that runs Redis begins, which ends its pod in this way: the target, the pod, and the node.
    async fn a_fault_of_its_node_begins(&mut self, what: &str, end: End) -> Step<(Arc<dyn Target>, Value, String)> {
        let target = self.target().await?;
        target.capability(Capability::NodeFaults).await?;
        self.redis_is_about_to_end().await?;
        let pod = self.redis_pod().await?;
        let node = pod["spec"]["nodeName"].as_str().ok_or_else(|| Failure::broken("the pod of Redis is on no node"))?.to_owned();
        self.a_fault_begins(&format!("node {node} {what}"));
        self.fault.node = Some(node.clone());
        self.fault.end = Some(end);
        Ok((target, pod, node))
    }
}

#[when("the node that runs Redis is lost")]
async fn the_node_is_lost(world: &mut World) -> Step {
    let (target, pod, node) = world.a_fault_of_its_node_begins("lost", End::NodeLost).await?;
    fault::lose_node(target.as_ref(), &node, NODE_MONITOR).await?;
    let (key, uid) = (key_of(&pod), pod["metadata"]["uid"].clone());
    Until::within(NODE_MONITOR)
        .on(target.changes())
        .met::<_, Failure, _>(format!("{key} not to be ready any more"), || async {
            let ready = target.get(&key).await?.is_some_and(|now| now["metadata"]["uid"] == uid && holds(&now, "Ready"));
            Ok(if ready { Look::NotYet("Ready is True".into()) } else { Look::Ready(()) })
        })
        .await
}

#[then("the replacement is Pending, and the event tells that its volume is on another node")]
async fn the_replacement_is_pending(world: &mut World) -> Step {
    let target = world.target().await?;
    let redis = world.redis()?;
    let lost = world.fault.node.clone().ok_or_else(|| Failure::broken("no node was lost by an earlier step"))?;
    let limit = world.redis_pods().await?.first().map_or(NODE_MONITOR, eviction_limit);
    let told = Until::within(limit)
        .on(target.changes())
        .met::<_, Failure, _>(format!("a pod of {} that waits for a volume on {lost}", redis.workload), || async {
            let pods = redis.pods(target.as_ref()).await?;
            let events = target.list("Event", Some(&redis.workload.namespace)).await?;
            let Some(pod) = pods.iter().find(|pod| pod["spec"]["nodeName"].is_null() && !is_ending(pod)) else {
                // A StatefulSet makes no second pod of a name before it is sure that the first one has ended.
                let held = pods.iter().find(|pod| pod["spec"]["nodeName"] == lost.as_str() && is_ending(pod));
                if let Some(held) = held.filter(|_| redis.workload.kind == "StatefulSet") {
                    let name = held["metadata"]["name"].as_str().unwrap_or_default();
                    return Ok(Look::Ready(format!(
                        "{name} is Terminating, and its StatefulSet makes no other before {lost} tells that it has ended"
                    )));
                }
                if let Some(elsewhere) = pods.iter().find(|pod| holds(pod, "Ready")) {
                    let failure = Failure::violated(format!(
                        "{} is ready on {}: its volume is not bound to the node that it had",
                        elsewhere["metadata"]["name"], elsewhere["spec"]["nodeName"]
                    ));
                    return Err(failure.pointing_to(Some(redis.role.data.place.clone())));
                }
                return Ok(Look::NotYet(format!("{} pods, none waits for a node", pods.len())));
            };
            let event = last_event_of(&events, pod);
            Ok(if event.contains("node affinity") { Look::Ready(event) } else { Look::NotYet(event) })
        })
        .await?;
    world.note(format!("while the node is gone: {told}"));
    Ok(())
}

#[when("the lost node comes back")]
async fn the_lost_node_comes_back(world: &mut World) -> Step {
    let target = world.target().await?;
    let node = world.fault.node.take().ok_or_else(|| Failure::broken("no node was lost by an earlier step"))?;
    fault::return_node(target.as_ref(), &node, NODE_MONITOR).await?;
    Ok(())
}

#[when("the node that runs Redis is drained")]
async fn the_node_is_drained(world: &mut World) -> Step {
    let (target, pod, node) = world.a_fault_of_its_node_begins("drained", End::PodDeleted).await?;
    fault::drain_node(target.as_ref(), &node, DRAIN).await?;
    match target.get(&key_of(&pod)).await? {
        Some(now) if now["metadata"]["uid"] == pod["metadata"]["uid"] => {
            Err(Failure::skipped(format!("a drain leaves {} where it is", key_of(&pod))))
        }
        _ => Ok(()),
    }
}

#[when("the drained node takes pods again")]
async fn the_drained_node_takes_pods_again(world: &mut World) -> Step {
    let target = world.target().await?;
    let node = world.fault.node.take().ok_or_else(|| Failure::broken("no node was drained by an earlier step"))?;
    Ok(fault::uncordon_node(target.as_ref(), &node).await?)
}

/// How long the cluster takes to see that a node is gone, and then to evict its pods: the pod's own toleration and the slowest usual monitor.
fn eviction_limit(pod: &Value) -> Duration {
    let tolerated = pod["spec"]["tolerations"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|toleration| toleration["key"] == "node.kubernetes.io/unreachable")
        .find_map(|toleration| toleration["tolerationSeconds"].as_u64())
        .unwrap_or(300);
    Duration::from_secs(tolerated) + NODE_MONITOR + START
}
