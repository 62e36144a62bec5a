//! A frozen Redis: who notices, and when.

use crate::{
    fault,
    steps::{Failure, Step, World, workload::Redis},
    target::ContainerRef,
    wait::{Look, Until},
};
use cucumber::{then, when};
use serde_json::Value;
use std::time::{Duration, Instant};

/// A probe that takes longer than this to notice is told so at once: nobody waits for such a verdict.
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// The frozen container, and what there was of it before.
#[derive(Debug)]
pub(super) struct Frozen {
    container: ContainerRef,
    address: Value,
    restarts: u32,
    at: Instant,
}

#[when("Redis is frozen")]
async fn redis_is_frozen(world: &mut World) -> Step {
    world.redis_is_about_to_end().await?;
    let container = world.redis_container().await?;
    let pod = world.redis_pod().await?;
    let target = world.target().await?;
    let (address, redis) = (pod["status"]["podIP"].clone(), world.redis()?);
    // What is not in the Service cannot leave it.
    Until::within(Duration::from_secs(10))
        .on(target.changes())
        .met::<_, Failure, _>(format!("{address} to be among the ready endpoints of a Service"), || async {
            let slices = target.list("EndpointSlice", Some(&redis.workload.namespace)).await?;
            let serving = address.is_string() && serves(&slices, &redis, &address);
            Ok(if serving { Look::Ready(()) } else { Look::NotYet(format!("{} slices, none of which has it", slices.len())) })
        })
        .await?;
    world.a_fault_begins(&format!("{container} frozen"));
    let at = Instant::now();
    let before = fault::freeze(target.as_ref(), &container).await?;
    world.fault.frozen = Some(Frozen { container, address, restarts: before.restarts, at });
    Ok(())
}

/// Whether a Service of Redis leads to the address.
fn serves(slices: &[Value], redis: &Redis, address: &Value) -> bool {
    slices
        .iter()
        .filter(|slice| redis.services().any(|service| slice["metadata"]["labels"]["kubernetes.io/service-name"] == service.name.as_str()))
        .flat_map(|slice| slice["endpoints"].as_array().into_iter().flatten())
        .any(|endpoint| {
            endpoint["addresses"].as_array().is_some_and(|all| all.contains(address)) && endpoint["conditions"]["ready"] != false
        })
}

/// The longest that a probe may take to see a failure: the rest of a period, and then `failureThreshold` periods with the last one's time-out.
fn probe_limit(world: &World, name: &str) -> Step<Option<Duration>> {
    let (object, redis) = (world.redis_object()?, world.redis()?);
    let Some(probe) = object.json.pointer(&format!("{}/{name}", redis.container_pointer())) else { return Ok(None) };
    let field = |field: &str, default: u64| probe.get(field).and_then(Value::as_u64).unwrap_or(default);
    let seconds =
        // A probe that hangs for longer than a period puts off the next one.
        field("initialDelaySeconds", 0)
            + field("periodSeconds", 10)
            + field("periodSeconds", 10).max(field("timeoutSeconds", 1)) * field("failureThreshold", 3)
            + field("timeoutSeconds", 1);
    let limit = Duration::from_secs(seconds);
    if limit > LONGEST {
        let words = format!("the fields of {name} give it {seconds} s, and no scenario waits longer than {} s", LONGEST.as_secs());
        return Err(Failure::broken(words).pointing_to(world.place_of_field(&format!("/{name}"))));
    }
    Ok(Some(limit))
}

/// Two busy cores may hold a probe up: a stated tenth, at least two seconds.
fn with_slack(limit: Duration) -> Duration {
    limit + (limit / 10).max(Duration::from_secs(2))
}

#[then("it leaves the Service within the time that its readiness probe gives")]
async fn it_leaves_the_service(world: &mut World) -> Step {
    let Some(limit) = probe_limit(world, "readinessProbe")? else {
        let failure = Failure::violated("there is no readiness probe, so that a frozen Redis is still in the Service");
        return Err(failure.pointing_to(world.place_of_field("/readinessProbe")));
    };
    let redis = world.redis()?;
    let frozen = world.fault.frozen.as_ref().ok_or_else(|| Failure::broken("nothing was frozen by an earlier step"))?;
    let (address, at, container, restarts) = (frozen.address.clone(), frozen.at, frozen.container.clone(), frozen.restarts);
    let target = world.target().await?;
    Until::within(with_slack(limit).saturating_sub(at.elapsed()))
        .on(target.changes())
        .met::<_, Failure, _>(format!("{address} to leave the Service of {}", redis.workload), || async {
            // Asked before: one that was restarted meanwhile has left by its liveness, whatever its readiness said.
            let restarted = !target.process(&container).await.is_ok_and(|now| now.frozen && now.restarts == restarts);
            let slices = target.list("EndpointSlice", Some(&redis.workload.namespace)).await?;
            if serves(&slices, &redis, &address) {
                return Ok(Look::NotYet(format!("{address} is still among the ready endpoints")));
            }
            if restarted {
                return Err(Failure::violated(format!("{address} was still among the ready endpoints when its container was restarted")));
            }
            Ok(Look::Ready(()))
        })
        .await
        .map_err(|failure| failure.pointing_to(world.place_of_field("/readinessProbe")))?;
    world.note(format!("a frozen Redis left the Service after {:.1} s of at most {} s", at.elapsed().as_secs_f64(), limit.as_secs()));
    Ok(())
}

/// How long a container has to end that the probe gives up: the probe's own time, or its pod's.
fn grace_of(world: &World, probe: &str) -> Step<Duration> {
    let own = format!("{}/{probe}/terminationGracePeriodSeconds", world.redis()?.container_pointer());
    match world.redis_object()?.at(&own).and_then(Value::as_u64) {
        Some(seconds) => Ok(Duration::from_secs(seconds)),
        None => world.grace(),
    }
}

#[then("it is restarted within the time that its liveness probe and grace period give")]
async fn it_is_restarted(world: &mut World) -> Step {
    let Some(limit) = probe_limit(world, "livenessProbe")? else {
        let failure = Failure::violated("there is no liveness probe, so that nothing restarts a frozen Redis");
        return Err(failure.pointing_to(world.place_of_field("/livenessProbe")));
    };
    let limit = limit + grace_of(world, "livenessProbe")?;
    let frozen = world.fault.frozen.take().ok_or_else(|| Failure::broken("nothing was frozen by an earlier step"))?;
    let target = world.target().await?;
    Until::within(with_slack(limit).saturating_sub(frozen.at.elapsed()))
        .on(target.changes())
        .met::<_, Failure, _>(format!("{} to be restarted", frozen.container), || async {
            Ok(match target.process(&frozen.container).await {
                Ok(now) if now.restarts > frozen.restarts => Look::Ready(()),
                Ok(now) => Look::NotYet(format!("restarts {}, frozen {}", now.restarts, now.frozen)),
                Err(error) => Look::NotYet(error.to_string()),
            })
        })
        .await
        .map_err(|failure| failure.pointing_to(world.place_of_field("/livenessProbe")))?;
    world.note(format!("it was restarted after {:.1} s of at most {} s", frozen.at.elapsed().as_secs_f64(), limit.as_secs()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_service_leads_to_nobody_without_a_slice_of_its_own() {
        let address = json!("10.0.0.1");
        let slice = |service: &str, ready: bool| {
            json!({
                "metadata": { "labels": { "kubernetes.io/service-name": service } },
                "endpoints": [{ "addresses": ["10.0.0.1"], "conditions": { "ready": ready } }],
            })
        };
        let set = crate::manifest::ManifestSet::parse(REDIS, std::path::Path::new("a.yaml")).expect("manifests");
        let redis = Redis::in_set(&set, None).expect("a Redis");
        assert!(serves(&[slice("redis", true)], &redis, &address));
        assert!(!serves(&[slice("redis", false)], &redis, &address) && !serves(&[slice("other", true)], &redis, &address));
        assert!(!serves(&[], &redis, &address));
    }

    const REDIS: &str = "apiVersion: apps/v1
kind: Deployment
metadata: { name: redis, namespace: a }
spec:
  selector: { matchLabels: { app: redis } }
  template:
    metadata: { labels: { app: redis } }
    spec: { containers: [{ name: redis, image: 'redis:7' }] }
---
apiVersion: v1
kind: Service
metadata: { name: redis, namespace: a }
spec: { selector: { app: redis }, ports: [{ port: 6379 }] }
";
}
