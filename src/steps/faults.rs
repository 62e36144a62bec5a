//! Phrases that break something, each with proof that it broke.

use super::{
    Failure, Step, World,
    claims::Growth,
    promise::{End, Means},
    workload::{NODE_MONITOR, Redis, belongs, eviction_limit, is_of},
};
use crate::{
    fault::{self, Deletion, FaultError, condition, key_of},
    manifest::{Object, Workload},
    target::{Capability, ContainerRef, Kill},
    wait::{Look, Until},
};
use cucumber::{then, when};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

/// What was broken in this scenario.
#[derive(Debug, Default)]
pub(super) struct FaultLog {
    /// When the last fault began.
    pub(super) began: Option<Instant>,
    /// How Redis was ended.
    pub(super) end: Option<End>,
    /// Which instance was ended: it counts as ready no more, whatever its status still says.
    ended: Option<Instance>,
    /// By what means data is kept, as Redis said before anything was broken.
    pub(super) means: Option<Means>,
    /// The node that is gone.
    node: Option<String>,
    /// The frozen container and its pod.
    frozen: Option<Frozen>,
    /// Each time that several Redis served at once, their run ids.
    together: Vec<BTreeSet<String>>,
    /// A rollout was watched from its beginning to its end.
    watched: bool,
    /// An attempt to make a claim larger.
    pub(super) growth: Option<Growth>,
}

/// One run of a container: a pod, and how often its container had been restarted.
#[derive(Clone, Debug)]
pub(super) struct Instance {
    uid: String,
    restarts: u64,
}

impl Instance {
    /// The run that the pod's status shows now.
    fn of(pod: &Value, container: &str) -> Self {
        Self { uid: pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned(), restarts: restarts(pod, container) }
    }

    /// Whether the status still shows this run, or an earlier one.
    pub(super) fn is_shown_by(&self, pod: &Value, container: &str) -> bool {
        pod["metadata"]["uid"] == self.uid.as_str() && restarts(pod, container) <= self.restarts
    }
}

fn restarts(pod: &Value, container: &str) -> u64 {
    let statuses = pod["status"]["containerStatuses"].as_array().into_iter().flatten();
    statuses.filter(|status| status["name"] == container).find_map(|status| status["restartCount"].as_u64()).unwrap_or(0)
}

impl FaultLog {
    /// The instance that a fault has ended.
    pub(super) fn ended(&self) -> Option<Instance> {
        self.ended.clone()
    }
}

#[derive(Debug)]
struct Frozen {
    container: ContainerRef,
    address: Value,
    restarts: u32,
    at: Instant,
}

impl From<FaultError> for Failure {
    fn from(error: FaultError) -> Self {
        match error {
            FaultError::Target(error) => error.into(),
            // Not proved is not done: nothing that follows would mean anything.
            unproved @ FaultError::Unproved(_) => Self::broken(unproved.to_string()),
        }
    }
}

impl World {
    /// Remembers which run of Redis is about to end.
    async fn redis_is_about_to_end(&mut self) -> Step {
        let (pod, redis) = (self.redis_pod().await?, self.redis()?);
        self.fault.ended = Some(Instance::of(&pod, &redis.container));
        Ok(())
    }

    fn a_fault_begins(&mut self, what: &str) {
        self.fault.began = Some(Instant::now());
        self.evidence().timeline("fault", json!({ "fault": what }));
    }

    async fn delete_redis_pod(&mut self, how: Deletion) -> Step {
        self.redis_is_about_to_end().await?;
        let pod = self.redis_pod().await?;
        self.a_fault_begins(&format!("pod {} deleted {how:?}", pod["metadata"]["name"]));
        self.fault.end = Some(match how {
            Deletion::InOrder => End::PodDeleted,
            Deletion::ByForce => End::PodDeletedByForce,
        });
        let target = self.target().await?;
        fault::delete_pod(target.as_ref(), &pod, how).await?;
        Ok(())
    }

    async fn kill_redis_container(&mut self, how: Kill) -> Step {
        self.redis_is_about_to_end().await?;
        let container = self.redis_container().await?;
        self.a_fault_begins(&format!("{container} killed {how:?}"));
        self.fault.end = Some(match how {
            Kill::Term => End::ContainerTerminated,
            Kill::Kill => End::ContainerKilled,
        });
        if self.case.is_generic() && how == Kill::Term {
            return self.end_as_the_kubelet_does(&container).await;
        }
        let target = self.target().await?;
        fault::kill_container(target.as_ref(), &container, how).await?;
        Ok(())
    }
}

#[when("the Redis pod is deleted")]
async fn the_redis_pod_is_deleted(world: &mut World) -> Step {
    world.delete_redis_pod(Deletion::InOrder).await
}

#[when("the Redis pod is deleted in order")]
async fn the_redis_pod_is_deleted_in_order(world: &mut World) -> Step {
    world.delete_redis_pod(Deletion::InOrder).await
}

#[when("the Redis pod is deleted by force")]
async fn the_redis_pod_is_deleted_by_force(world: &mut World) -> Step {
    world.delete_redis_pod(Deletion::ByForce).await
}

#[when("the Redis pod is killed")]
async fn the_redis_pod_is_killed(world: &mut World) -> Step {
    world.kill_redis_container(Kill::Kill).await
}

#[when("the Redis container is killed")]
async fn the_redis_container_is_killed(world: &mut World) -> Step {
    world.kill_redis_container(Kill::Kill).await
}

#[when("the Redis container is terminated")]
async fn the_redis_container_is_terminated(world: &mut World) -> Step {
    world.kill_redis_container(Kill::Term).await
}

#[then(expr = "Redis is ready again within {int} seconds")]
async fn redis_is_ready_again(world: &mut World, seconds: u64) -> Step {
    world.redis_becomes_ready(Some(Duration::from_secs(seconds))).await?;
    if let Some(began) = world.fault.began {
        world.note(format!("ready and answering {:.1} s after the fault", began.elapsed().as_secs_f64()));
    }
    Ok(())
}

#[then("Redis serves again within the time that its manifests give")]
async fn redis_serves_again(world: &mut World) -> Step {
    // The kubelet waits 10 s before it starts a container again that has ended before.
    let limit = world.start_limit()? + world.grace()? + Duration::from_secs(10);
    world.redis_becomes_ready(Some(limit)).await?;
    if let Some(began) = world.fault.began {
        world.note(format!(
            "serves again {:.1} s after the fault; its manifests give it {} s",
            began.elapsed().as_secs_f64(),
            limit.as_secs()
        ));
    }
    Ok(())
}

#[when("the whole cluster is stopped and started")]
async fn the_whole_cluster_is_restarted(world: &mut World) -> Step {
    world.redis_is_about_to_end().await?;
    let before = world.redis_pod().await?;
    let container = world.redis_container().await?;
    let target = world.target().await?;
    let process = target.process(&container).await?;
    world.a_fault_begins("everything stopped, only volumes kept");
    target.restart_everything().await?;
    let redis = world.redis()?;
    Until::within(Duration::from_secs(120))
        .on(target.changes())
        .met::<_, Failure, _>("another process of Redis than before the restart", || async {
            for pod in target.list("Pod", Some(&redis.workload.namespace)).await?.iter().filter(|pod| belongs(pod, &redis)) {
                let key = key_of(pod);
                let now = ContainerRef { namespace: key.namespace, pod: key.name, container: redis.container.clone() };
                if pod["metadata"]["uid"] != before["metadata"]["uid"] {
                    return Ok(Look::Ready(()));
                }
                if target.process(&now).await.is_ok_and(|now| now.started > process.started) {
                    return Ok(Look::Ready(()));
                }
            }
            Ok(Look::NotYet("the pod of before".into()))
        })
        .await
}

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
            let event = super::claims::last_event(&events, &key_of(pod));
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

#[when("Redis is rolled out anew")]
async fn redis_is_rolled_out_anew(world: &mut World) -> Step {
    let (redis, before) = (world.redis()?, world.redis_pod().await?);
    let limit = world.start_limit()? + world.grace()?;
    let target = world.target().await?;
    let port = redis.role.port.to_string();
    let mut ask = vec!["redis-cli", "-p", &port, "--no-auth-warning"];
    let password = world.password()?;
    if let Some(password) = &password {
        ask.extend(["-a", password.expose()]);
    }
    ask.extend(["info", "server"]);
    world.a_fault_begins("rollout restart");
    let stamp =
        json!({ "spec": { "template": { "metadata": { "annotations": { "redis-conformance/restarted": before["metadata"]["uid"] } } } } });
    target.patch(&redis.workload, &stamp).await?;
    let uid = before["metadata"]["uid"].clone();
    let mut together: Vec<BTreeSet<String>> = Vec::new();
    let seen = std::sync::Mutex::new(&mut together);
    Until::within(limit)
        .on(target.changes())
        // Two that serve at once may do so for a moment only.
        .every(Duration::from_millis(20))
        .met::<_, Failure, _>(format!("{} to run its new pod alone", redis.workload), || async {
            let pods: Vec<Value> =
                target.list("Pod", Some(&redis.workload.namespace)).await?.into_iter().filter(|pod| belongs(pod, &redis)).collect();
            let mut ids = BTreeSet::new();
            if pods.len() > 1 {
                for pod in &pods {
                    let key = key_of(pod);
                    let container = ContainerRef { namespace: key.namespace, pod: key.name, container: redis.container.clone() };
                    if let Ok(info) = target.exec(&container, &ask, b"").await
                        && let Some(id) = String::from_utf8_lossy(&info.stdout).lines().find_map(|line| line.strip_prefix("run_id:"))
                    {
                        ids.insert(id.trim().to_owned());
                    }
                }
            }
            if ids.len() > 1
                && let Ok(mut together) = seen.lock()
                && together.last() != Some(&ids)
            {
                together.push(ids);
            }
            let old = pods.iter().any(|pod| pod["metadata"]["uid"] == uid);
            let new = pods.iter().any(|pod| pod["metadata"]["uid"] != uid && condition(pod, "Ready").as_deref() == Some("True"));
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
    // A Redis that does not tell its id would never be seen beside another.
    let container = world.redis_container().await?;
    let info = target.exec(&container, &ask, b"").await?;
    if !String::from_utf8_lossy(&info.stdout).contains("run_id:") {
        return Err(Failure::broken(format!("{container} does not tell its run id, so that two Redis could not be told apart")));
    }
    world.fault.together = together;
    world.fault.watched = true;
    // Ready is not yet reachable: the Service follows a moment later.
    world.redis_answers(limit).await
}

#[then("never did two Redis serve at once")]
async fn never_did_two_redis_serve(world: &mut World) -> Step {
    if !world.fault.watched {
        return Err(Failure::broken("no rollout was watched by an earlier step"));
    }
    match world.fault.together.first() {
        Some(ids) => {
            let strategy = world.redis_object().ok().map(|object| object.place_of("/spec/strategy"));
            let ids: Vec<String> = ids.iter().cloned().collect();
            Err(Failure::violated(format!("two Redis served at once, run ids {}", ids.join(" and "))).pointing_to(strategy))
        }
        None => Ok(()),
    }
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
fn probe_limit(world: &World, probe: &str) -> Step<Option<Duration>> {
    let (object, redis) = (world.redis_object()?, world.redis()?);
    let Some(probe) = object.json.pointer(&format!("{}/{probe}", redis.container_pointer())) else { return Ok(None) };
    let field = |name: &str, default: u64| probe.get(name).and_then(Value::as_u64).unwrap_or(default);
    let seconds =
        // A probe that hangs for longer than a period puts off the next one.
        field("initialDelaySeconds", 0)
            + field("periodSeconds", 10)
            + field("periodSeconds", 10).max(field("timeoutSeconds", 1)) * field("failureThreshold", 3)
            + field("timeoutSeconds", 1);
    Ok(Some(Duration::from_secs(seconds)))
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

#[then("it is restarted within the time that its liveness probe and grace period give")]
async fn it_is_restarted(world: &mut World) -> Step {
    let Some(limit) = probe_limit(world, "livenessProbe")? else {
        let failure = Failure::violated("there is no liveness probe, so that nothing restarts a frozen Redis");
        return Err(failure.pointing_to(world.place_of_field("/livenessProbe")));
    };
    let limit = limit + world.grace()?;
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

#[then("every pod has the account and the configuration that it asks for")]
async fn every_pod_has_what_it_asks_for(world: &mut World) -> Step {
    let set = world.set()?;
    let target = world.target().await?;
    // What asks for no pod now has none: scaled to zero, or due at another time.
    let asks = |object: &&Object| object.kind() != "CronJob" && Workload::of(object).is_some_and(|workload| workload.replicas() != Some(0));
    let workloads: Vec<_> = set.objects.iter().filter(asks).map(Object::key).collect();
    if workloads.is_empty() {
        return Err(Failure::violated("the set has no pod at all"));
    }
    Until::within(Duration::from_secs(60))
        .on(target.changes())
        .met::<_, Failure, _>("every workload to have its pods", || async {
            for key in &workloads {
                let events = target.list("Event", Some(&key.namespace)).await?;
                let pods = target.list("Pod", Some(&key.namespace)).await?;
                let own: Vec<&Value> = pods.iter().filter(|pod| is_of(pod, key)).collect();
                // What makes the pods: the workload itself, or its replica set, `name-hash`.
                let makes =
                    |name: &str| name == key.name || name.strip_prefix(&format!("{}-", key.name)).is_some_and(|rest| !rest.contains('-'));
                let about = |event: &&Value| {
                    let involved = &event["involvedObject"];
                    match involved["kind"].as_str() {
                        Some("Pod") => own.iter().any(|pod| involved["name"] == pod["metadata"]["name"]),
                        _ => involved["name"].as_str().is_some_and(makes),
                    }
                };
                let refused = events.iter().filter(about).find(|event| {
                    matches!(event["reason"].as_str(), Some("FailedCreate" | "FailedMount"))
                        || event["message"].as_str().is_some_and(|text| text.contains("not found") && event["reason"] == "Failed")
                });
                if let Some(event) = refused {
                    return Err(Failure::violated(format!("{key}: {}", event["message"].as_str().unwrap_or_default())));
                }
                if own.is_empty() {
                    return Ok(Look::NotYet(format!("{key} has no pod")));
                }
                // A pod that its kubelet has not tried to start yet has not shown what it lacks.
                if let Some(untried) = own.iter().find(|pod| !was_tried(pod)) {
                    return Ok(Look::NotYet(format!("{} has not been started", untried["metadata"]["name"])));
                }
            }
            Ok(Look::Ready(()))
        })
        .await
}

/// Whether the kubelet has taken up every container of the pod: it runs, has ended, or waits for its image or after an end.
fn was_tried(pod: &Value) -> bool {
    let wanted = pod["spec"]["containers"].as_array().map_or(0, Vec::len);
    let statuses: Vec<&Value> = pod["status"]["containerStatuses"].as_array().into_iter().flatten().collect();
    let tried = |status: &&&Value| match status["state"]["waiting"]["reason"].as_str() {
        None => !status["state"]["running"].is_null() || !status["state"]["terminated"].is_null(),
        Some(reason) => matches!(reason, "ErrImagePull" | "ImagePullBackOff" | "CrashLoopBackOff"),
    };
    wanted > 0 && statuses.iter().filter(tried).count() >= wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_pod_shows_of_the_time_before_the_fault_is_known_by_uid_and_restarts() {
        let pod = |uid: &str, restarts: u64| json!({ "metadata": { "uid": uid }, "status": { "containerStatuses": [{ "name": "redis", "restartCount": restarts }] } });
        let ended = Instance::of(&pod("a", 1), "redis");
        assert!(ended.is_shown_by(&pod("a", 1), "redis"));
        assert!(!ended.is_shown_by(&pod("a", 2), "redis"), "restarted in place");
        assert!(!ended.is_shown_by(&pod("b", 0), "redis"), "another pod");
    }
    #[rstest::rstest]
    #[case(json!({ "running": { "startedAt": "now" } }), true)]
    #[case(json!({ "waiting": { "reason": "ImagePullBackOff" } }), true)]
    #[case(json!({ "waiting": { "reason": "ContainerCreating" } }), false)]
    #[case(json!({ "waiting": { "reason": "CreateContainerConfigError" } }), false)]
    fn a_pod_shows_what_it_lacks_when_its_containers_are_taken_up(#[case] state: Value, #[case] tried: bool) {
        let pod = json!({ "spec": { "containers": [{}] }, "status": { "containerStatuses": [{ "state": state }] } });
        assert_eq!(was_tried(&pod), tried);
        assert!(!was_tried(&json!({ "spec": { "containers": [{}] } })), "no status yet");
    }

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
