//! A node lost and given back.

use crate::{
    fault::{self, condition, key_of},
    steps::{
        Failure, Step, World,
        claims::last_event,
        promise::End,
        workload::{NODE_MONITOR, belongs, eviction_limit},
    },
    target::Capability,
    wait::{Look, Until},
};
use cucumber::{then, when};

#[when("the node that runs Redis is lost")]
async fn the_node_is_lost(world: &mut World) -> Step {
    let target = world.target().await?;
    target.capability(Capability::NodeFaults).await?;
    world.redis_is_about_to_end().await?;
    let pod = world.redis_pod().await?;
    let node = pod["spec"]["nodeName"].as_str().ok_or_else(|| Failure::broken("the pod of Redis is on no node"))?.to_owned();
    world.a_fault_begins(&format!("node {node} lost"));
    world.fault.node = Some(node.clone());
    world.fault.end = Some(End::NodeLost);
    fault::lose_node(target.as_ref(), &node, NODE_MONITOR).await?;
    let (key, uid) = (key_of(&pod), pod["metadata"]["uid"].clone());
    Until::within(NODE_MONITOR)
        .on(target.changes())
        .met::<_, Failure, _>(format!("{key} not to be ready any more"), || async {
            let ready = match target.get(&key).await? {
                Some(now) if now["metadata"]["uid"] == uid => condition(&now, "Ready").unwrap_or_default(),
                _ => return Ok(Look::Ready(())),
            };
            Ok(if ready == "True" { Look::NotYet("Ready is True".into()) } else { Look::Ready(()) })
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
            let pods = target.list("Pod", Some(&redis.workload.namespace)).await?;
            let events = target.list("Event", Some(&redis.workload.namespace)).await?;
            let waiting = pods
                .iter()
                .find(|pod| belongs(pod, &redis) && pod["spec"]["nodeName"].is_null() && pod["metadata"]["deletionTimestamp"].is_null());
            let Some(pod) = waiting else {
                // A StatefulSet makes no second pod of a name before it is sure that the first one has ended.
                let held = pods.iter().find(|pod| {
                    belongs(pod, &redis) && pod["spec"]["nodeName"] == lost.as_str() && !pod["metadata"]["deletionTimestamp"].is_null()
                });
                if let Some(held) = held.filter(|_| redis.workload.kind == "StatefulSet") {
                    let name = held["metadata"]["name"].as_str().unwrap_or_default();
                    return Ok(Look::Ready(format!(
                        "{name} is Terminating, and its StatefulSet makes no other before {lost} tells that it has ended"
                    )));
                }
                if let Some(elsewhere) = pods.iter().find(|pod| belongs(pod, &redis) && condition(pod, "Ready").as_deref() == Some("True"))
                {
                    return Err(Failure::violated(format!(
                        "{} is ready on {}: its volume is not bound to the lost node",
                        elsewhere["metadata"]["name"], elsewhere["spec"]["nodeName"]
                    )));
                }
                return Ok(Look::NotYet(format!("{} pods, none waits for a node", pods.len())));
            };
            let event = last_event(&events, &key_of(pod));
            Ok(if event.contains("volume node affinity") || event.contains("node affinity") {
                Look::Ready(event)
            } else {
                Look::NotYet(event)
            })
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
