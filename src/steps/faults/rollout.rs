//! A rollout watched from its beginning to its end.

use crate::{
    fault::key_of,
    manifest::json::holds,
    steps::{Failure, Step, World},
    traffic::{Endpoint, Limits},
    wait::{Look, Until},
};
use cucumber::{then, when};
use futures::future::join_all;
use serde_json::{Value, json};
use std::{cell::RefCell, collections::BTreeSet, time::Duration};

/// One look at who serves: a packet to a pod that has gone is never answered, and must not hide what the other one does meanwhile.
const LOOK: Limits = Limits { connect_ms: 500, answer_ms: 1000 };

/// What was seen of a rollout.
#[derive(Debug)]
pub(super) struct Rollout {
    /// Each time that several Redis served at once, their run ids.
    together: Vec<BTreeSet<String>>,
}

#[when("Redis is rolled out anew")]
async fn redis_is_rolled_out_anew(world: &mut World) -> Step {
    let (redis, before) = (world.redis()?, world.redis_pod().await?);
    let limit = world.start_limit()? + world.grace()?;
    let (target, client) = (world.target().await?, world.client().await?);
    let address = Endpoint { port: redis.role.port, ..world.endpoint(0).await? };
    let of = |pod: &Value| Some(Endpoint { host: pod["status"]["podIP"].as_str()?.to_owned(), ..address.clone() });
    world.a_fault_begins("rollout restart");
    let stamp =
        json!({ "spec": { "template": { "metadata": { "annotations": { "redis-conformance/restarted": before["metadata"]["uid"] } } } } });
    target.patch(&redis.workload, &stamp).await?;
    if world.redis_object()?.at("/spec/updateStrategy/type").is_some_and(|kind| kind == "OnDelete") {
        // Whoever chose this strategy deletes the old pod by hand.
        target.delete(&key_of(&before), None).await?;
    }
    let uid = before["metadata"]["uid"].clone();
    let together = RefCell::new(Vec::<BTreeSet<String>>::new());
    Until::within(limit)
        .on(target.changes())
        // Two that serve at once may do so for a moment only.
        .every(Duration::from_millis(20))
        .met::<_, Failure, _>(format!("{} to run its new pod alone", redis.workload), || async {
            let pods = redis.pods(target.as_ref()).await?;
            let mut ids = BTreeSet::new();
            if pods.len() > 1 {
                let endpoints: Vec<Endpoint> = pods.iter().filter_map(of).collect();
                for reply in join_all(endpoints.iter().map(|endpoint| client.command_within(endpoint, &["PING"], LOOK))).await {
                    ids.extend(reply?.run_id);
                }
            }
            if ids.len() > 1 && together.borrow().last() != Some(&ids) {
                together.borrow_mut().push(ids);
            }
            let old = pods.iter().any(|pod| pod["metadata"]["uid"] == uid);
            let new = pods.iter().any(|pod| pod["metadata"]["uid"] != uid && holds(pod, "Ready"));
            Ok(if new && !old {
                Look::Ready(())
            } else {
                Look::NotYet(format!(
                    "{} pods, the old one {}, a new one ready: {new}",
                    pods.len(),
                    if old { "still there" } else { "gone" }
                ))
            })
        })
        .await?;
    world.fault.rollout = Some(Rollout { together: together.into_inner() });
    // Ready is not yet reachable: the Service follows a moment later, and a pod without probes is ready before its Redis listens.
    world.redis_answers(limit).await?;
    // A Redis that does not tell its id would never be seen beside another.
    let pod = world.redis_pod().await?;
    let told = match of(&pod) {
        Some(endpoint) => client.command(&endpoint, &["PING"]).await?.run_id,
        None => None,
    };
    if told.is_none() {
        let name = &pod["metadata"]["name"];
        return Err(Failure::broken(format!("{name} does not tell its run id, so that two Redis could not be told apart")));
    }
    Ok(())
}

#[then("never did two Redis serve at once")]
async fn never_did_two_redis_serve(world: &mut World) -> Step {
    let rollout = world.fault.rollout.as_ref().ok_or_else(|| Failure::broken("no rollout was watched by an earlier step"))?;
    match rollout.together.first() {
        Some(ids) => {
            let strategy = world.redis_object().ok().map(|object| object.place_of("/spec/strategy"));
            let ids: Vec<String> = ids.iter().cloned().collect();
            Err(Failure::violated(format!("two Redis served at once, run ids {}", ids.join(" and "))).pointing_to(strategy))
        }
        None => Ok(()),
    }
}
