//! The live Redis of a scenario: its pods, its container, whether it is ready, and what stands in its way.

use super::{Failure, Step, World, claims::last_event, data::Data};
use crate::{
    fault::{condition, key_of},
    manifest::{
        ManifestSet, Object, ObjectKey, Place, Roles, Workload,
        roles::{self, Volume},
    },
    target::{Capability, ContainerRef},
    wait::{Look, Until},
};
use serde_json::Value;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Redis as its manifests have it.
#[derive(Clone, Debug)]
pub(super) struct Redis {
    /// Its role, as it was found.
    pub(super) role: roles::Redis,
    /// The Deployment, StatefulSet or Pod.
    pub(super) workload: ObjectKey,
    /// The container's name.
    pub(super) container: String,
    /// The pointer to the pod template; empty for a Pod.
    pub(super) template: String,
    /// The pod template's labels.
    labels: Vec<(String, String)>,
}

impl Redis {
    /// The only one, or the one of that number.
    ///
    /// # Errors
    /// A violated promise where there is none, or several.
    pub(super) fn in_set(set: &ManifestSet, index: Option<usize>) -> Step<Self> {
        let roles = Roles::of(set);
        let role = match (index, &roles.redis[..]) {
            (Some(index), all) => all.get(index).ok_or_else(|| Failure::broken("the set has fewer Redis than when it was read"))?,
            (None, [only]) => only,
            (None, []) => return Err(Failure::violated("no container of the manifests runs Redis")),
            (None, several) => {
                let names: Vec<String> = several.iter().map(|redis| format!("{} at {}", redis.id.workload, redis.id.place)).collect();
                return Err(Failure::violated(format!(
                    "{} containers run Redis, and the document knows one: {}",
                    several.len(),
                    names.join(", ")
                )));
            }
        };
        let object = set.get(&role.id.workload).ok_or_else(|| Failure::broken(format!("{} is not in its set", role.id.workload)))?;
        let workload = Workload::of(object).ok_or_else(|| Failure::broken(format!("{} has no pod template", role.id.workload)))?;
        Ok(Self {
            role: role.clone(),
            workload: role.id.workload.clone(),
            container: role.id.name.clone(),
            template: workload.template.to_owned(),
            labels: workload.labels().iter().filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect(),
        })
    }

    /// The pointer to its container in the workload.
    pub(super) fn container_pointer(&self) -> &str {
        &self.role.id.pointer
    }

    /// The claim under its data directory.
    pub(super) fn claim(&self) -> Option<&str> {
        match &self.role.data.volume {
            Volume::Claim { name, .. } => Some(name),
            _ => None,
        }
    }

    /// The Services that lead to it.
    pub(super) fn services(&self) -> impl Iterator<Item = &ObjectKey> {
        self.role.services.iter().map(|service| &service.key)
    }

    /// Host and port of the Service by which clients of its own namespace reach it.
    pub(super) fn service_address(&self) -> Option<(String, u16)> {
        let services = &self.role.services;
        let service = services.iter().find(|service| !service.headless).or_else(|| services.first())?;
        Some((service.key.name.clone(), service.port))
    }
}

/// What a start may take beyond the manifests' own fields: image at hand, an empty or small data set, two busy cores.
pub(super) const START: Duration = Duration::from_secs(60);

impl World {
    /// The only Redis of the set, or the one of several that a generic case speaks of.
    pub(super) fn redis(&self) -> Step<Redis> {
        Redis::in_set(self.set()?.as_ref(), self.case.redis)
    }

    /// The object that Redis runs from.
    pub(super) fn redis_object(&self) -> Step<Object> {
        let redis = self.redis()?;
        let set = self.set()?;
        set.objects
            .iter()
            .find(|object| object.key() == redis.workload)
            .cloned()
            .ok_or_else(|| Failure::broken(format!("{} is not in its set", redis.workload)))
    }

    /// Every live pod of Redis, those that are ending included.
    pub(super) async fn redis_pods(&mut self) -> Step<Vec<Value>> {
        let redis = self.redis()?;
        let pods = self.target().await?.list("Pod", Some(&redis.workload.namespace)).await?;
        Ok(pods.into_iter().filter(|pod| belongs(pod, &redis)).collect())
    }

    /// The one pod of Redis that is not ending.
    pub(super) async fn redis_pod(&mut self) -> Step<Value> {
        let mut pods: Vec<Value> =
            self.redis_pods().await?.into_iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null()).collect();
        if let Some(name) = self.chosen_pod()? {
            pods.retain(|pod| pod["metadata"]["name"] == name.as_str());
        }
        pods.sort_by_key(|pod| std::cmp::Reverse(condition(pod, "Ready") == Some("True".into())));
        pods.into_iter().next().ok_or_else(|| Failure::violated("there is no pod of Redis"))
    }

    /// The container of that pod in which Redis runs.
    pub(super) async fn redis_container(&mut self) -> Step<ContainerRef> {
        let redis = self.redis()?;
        let pod = key_of(&self.redis_pod().await?);
        Ok(ContainerRef { namespace: pod.namespace, pod: pod.name, container: redis.container })
    }

    /// How long the manifests let Redis take from the start of its container until it is ready.
    pub(super) fn start_limit(&self) -> Step<Duration> {
        let (object, redis) = (self.redis_object()?, self.redis()?);
        let seconds = |probe: &str, field: &str, default: u64| {
            object.json.pointer(&format!("{}/{probe}/{field}", redis.container_pointer())).and_then(Value::as_u64).unwrap_or(default)
        };
        let probed = |probe: &str| object.json.pointer(&format!("{}/{probe}", redis.container_pointer())).is_some();
        let mut total = 0;
        if probed("startupProbe") {
            total += seconds("startupProbe", "initialDelaySeconds", 0)
                + seconds("startupProbe", "periodSeconds", 10) * seconds("startupProbe", "failureThreshold", 3);
        }
        if probed("readinessProbe") {
            total += seconds("readinessProbe", "initialDelaySeconds", 0)
                + seconds("readinessProbe", "periodSeconds", 10) * seconds("readinessProbe", "successThreshold", 1);
        }
        total += object.json.pointer("/spec/minReadySeconds").and_then(Value::as_u64).unwrap_or(0);
        Ok(Duration::from_secs(total) + START)
    }

    /// The grace period of Redis' pod.
    pub(super) fn grace(&self) -> Step<Duration> {
        let (object, redis) = (self.redis_object()?, self.redis()?);
        let pointer = format!("{}/spec/terminationGracePeriodSeconds", redis.template);
        Ok(Duration::from_secs(object.json.pointer(&pointer).and_then(Value::as_u64).unwrap_or(30)))
    }

    /// Waits until every replica is ready and Redis answers through its Service; by default for as long as the manifests let it take.
    pub(super) async fn redis_becomes_ready(&mut self, limit: Option<Duration>) -> Step {
        let limit = match limit {
            Some(limit) => limit,
            None => self.start_limit()?,
        };
        if self.case.is_generic() {
            return self.chosen_redis_serves(limit).await;
        }
        let redis = self.redis()?;
        if let Some(without) =
            self.applied()?.without_program.iter().find(|without| without.owner == redis.workload && without.container == redis.container)
        {
            let reason = format!(
                "no program here stands for it; name one in redis-conformance.yaml:  images: {{ \"{}\": /path/to/redis-server }}",
                without.image
            );
            return Err(Failure::unsupported(Capability::Program(without.image.clone()), reason));
        }
        let object = self.redis_object()?;
        let wanted = usize::try_from(object.json.pointer("/spec/replicas").and_then(Value::as_u64).unwrap_or(1)).unwrap_or(usize::MAX);
        let ended = self.fault.ended();
        let target = self.target().await?;
        let namespace = redis.workload.namespace.clone();
        let began = Instant::now();
        let ready =
            Until::within(limit).on(target.changes()).met::<_, Failure, _>(format!("{wanted} ready pod of {}", redis.workload), || async {
                let pods: Vec<Value> = target.list("Pod", Some(&namespace)).await?.into_iter().filter(|pod| belongs(pod, &redis)).collect();
                let ending = pods.iter().filter(|pod| !pod["metadata"]["deletionTimestamp"].is_null()).count();
                let ready = pods
                    .iter()
                    .filter(|pod| pod["metadata"]["deletionTimestamp"].is_null() && condition(pod, "Ready").as_deref() == Some("True"))
                    .filter(|pod| !ended.as_ref().is_some_and(|ended| ended.is_shown_by(pod, &redis.container)))
                    .count();
                if ready >= wanted && ending == 0 {
                    return Ok(Look::Ready(()));
                }
                let events = target.list("Event", Some(&namespace)).await?;
                let seen = describe(&pods, &events, &redis);
                // Twice may be a race with another pod at the start; three ends in a row are the container's own.
                match pods.iter().find_map(|pod| hopeless(pod, &redis, 2)) {
                    Some(obstacle) => {
                        let place = obstacle.place(&object);
                        Err(Failure::violated(format!("Redis does not start: {}, at {place} ({seen})", obstacle.words)))
                    }
                    None => Ok(Look::NotYet(format!("{ready} of {wanted} ready; {seen}"))),
                }
            });
        // The client comes up beside Redis; what keeps it from that matters only where Redis itself does.
        let client = Data::client_or_new(self.data.known_client(), Arc::clone(&target), &namespace);
        let (ready, client) = tokio::join!(ready, client);
        ready?;
        self.data.keep_client(client?);
        // Within the same limit: a Redis that is ready and cannot be reached is not there for clients. A moment is for the last look.
        self.redis_answers(limit.saturating_sub(began.elapsed()).max(Duration::from_secs(5))).await
    }
}

/// Why a pod of Redis will never become ready by waiting.
pub(super) struct Obstacle {
    pub(super) words: String,
    /// The manifests ask for something that is not in them, and may be elsewhere.
    pub(super) missing: bool,
    /// The container that ends again and again.
    pub(super) ending: Option<String>,
}

impl Obstacle {
    fn of(words: String) -> Self {
        Self { words, missing: false, ending: None }
    }

    /// Where the manifests name what the words quote; else where the object begins.
    pub(super) fn place(&self, object: &Object) -> Place {
        quoted(&self.words).and_then(|name| place_of_text(object, name)).unwrap_or_else(|| object.place.clone())
    }
}

/// A reason that no waiting mends: a container has been started again `restarts` times and ends again, or what it asks for is not there.
pub(super) fn hopeless(pod: &Value, redis: &Redis, restarts: u64) -> Option<Obstacle> {
    let statuses =
        ["initContainerStatuses", "containerStatuses"].into_iter().flat_map(|list| pod["status"][list].as_array().into_iter().flatten());
    for status in statuses {
        let name = status["name"].as_str().unwrap_or_default();
        let waiting = &status["state"]["waiting"];
        let reason = waiting["reason"].as_str().unwrap_or_default();
        let message = waiting["message"].as_str().unwrap_or_default();
        match reason {
            "CreateContainerConfigError" => {
                return Some(Obstacle { missing: message.contains("not found"), ..Obstacle::of(format!("container {name}: {message}")) });
            }
            "RunContainerError" | "CreateContainerError" | "InvalidImageName" => {
                return Some(Obstacle::of(format!("container {name}: {reason}: {message}")));
            }
            "ErrImagePull" | "ImagePullBackOff" if name == redis.container => {
                return Some(Obstacle { missing: true, ..Obstacle::of(format!("container {name}: {message}")) });
            }
            "CrashLoopBackOff" if status["restartCount"].as_u64().unwrap_or(0) >= restarts => {
                let last = &status["lastState"]["terminated"];
                let words = format!(
                    "container {name} ends again and again: {} with exit code {}: {}",
                    last["reason"].as_str().unwrap_or_default(),
                    last["exitCode"],
                    last["message"].as_str().unwrap_or_default().trim()
                );
                return Some(Obstacle { ending: Some(name.to_owned()), ..Obstacle::of(words) });
            }
            _ => {}
        }
    }
    None
}

/// Where the manifests name it.
fn place_of_text(object: &Object, text: &str) -> Option<Place> {
    object.places.keys().find(|pointer| object.str_at(pointer) == Some(text)).map(|pointer| object.place_of(pointer))
}

/// The first text in double quotes.
fn quoted(words: &str) -> Option<&str> {
    let (_, rest) = words.split_once('"')?;
    rest.split_once('"').map(|(name, _)| name)
}

/// Whether the live pod is one of Redis' workload.
pub(super) fn belongs(pod: &Value, redis: &Redis) -> bool {
    if redis.workload.kind == "Pod" {
        return pod["metadata"]["name"] == redis.workload.name.as_str();
    }
    let labelled = !redis.labels.is_empty() && redis.labels.iter().all(|(name, value)| pod["metadata"]["labels"][name] == value.as_str());
    labelled && is_of(pod, &redis.workload)
}

/// Whether the live pod was made for the workload, by its owner: a neighbour may have the same labels, or a name that begins alike. A pod
/// that names no owner is known by its name.
pub(super) fn is_of(pod: &Value, workload: &ObjectKey) -> bool {
    let hashed = |name: &str| name.strip_prefix(&format!("{}-", workload.name)).is_some_and(|rest| !rest.is_empty() && !rest.contains('-'));
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    if pod["metadata"]["namespace"] != workload.namespace.as_str() {
        return false;
    }
    let Some(owner) = pod["metadata"]["ownerReferences"].as_array().and_then(|owners| owners.first()) else { return name == workload.name };
    let (kind, owner) = (owner["kind"].as_str().unwrap_or_default(), owner["name"].as_str().unwrap_or_default());
    match workload.kind.as_str() {
        "Deployment" => kind == "ReplicaSet" && hashed(owner),
        "CronJob" => kind == "Job" && hashed(owner),
        of => kind == of && owner == workload.name,
    }
}

/// What is seen of the pods, in one sentence each.
pub(super) fn describe(pods: &[Value], events: &[Value], redis: &Redis) -> String {
    if pods.is_empty() {
        return format!("no pod of {}; {}", redis.workload, last_event(events, &redis.workload));
    }
    pods.iter()
        .map(|pod| {
            let key = key_of(pod);
            let states: Vec<String> = pod["status"]["containerStatuses"].as_array().into_iter().flatten().map(state).collect();
            let ending = if pod["metadata"]["deletionTimestamp"].is_null() { "" } else { ", ending" };
            format!(
                "{} is {}{ending} [{}]; {}",
                key.name,
                pod["status"]["phase"].as_str().unwrap_or("without a phase"),
                states.join(", "),
                last_event(events, &key)
            )
        })
        .collect::<Vec<_>>()
        .join(" | ")
}

fn state(status: &Value) -> String {
    let name = status["name"].as_str().unwrap_or_default();
    let ready = if status["ready"] == true { "ready" } else { "not ready" };
    let state = status["state"].as_object().and_then(|state| state.iter().next());
    let text = state.map_or_else(String::new, |(kind, detail)| {
        format!("{kind} {} {}", detail["reason"].as_str().unwrap_or_default(), detail["message"].as_str().unwrap_or_default())
    });
    format!("{name} {ready}, {}, restarts {}", text.trim(), status["restartCount"])
}

/// How long the cluster takes to see that a node is gone, and then to evict its pods: the pod's own toleration and the slowest usual monitor.
pub(super) fn eviction_limit(pod: &Value) -> Duration {
    let tolerated = pod["spec"]["tolerations"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|toleration| toleration["key"] == "node.kubernetes.io/unreachable")
        .find_map(|toleration| toleration["tolerationSeconds"].as_u64())
        .unwrap_or(300);
    Duration::from_secs(tolerated) + NODE_MONITOR + START
}

/// The controller manager's grace for a silent node is 50 s by default, and its round 5 s.
pub(super) const NODE_MONITOR: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[rstest::rstest]
    #[case::of_a_deployment("Deployment", "redis", "ReplicaSet", "redis-7c9f", true)]
    #[case::of_another_deployment("Deployment", "redis", "ReplicaSet", "redis-replica-7c9f", false)]
    #[case::of_a_stateful_set_with_the_same_labels("Deployment", "redis", "StatefulSet", "redis", false)]
    #[case::of_a_stateful_set("StatefulSet", "redis", "StatefulSet", "redis", true)]
    fn a_pod_belongs_to_the_workload_that_owns_it(
        #[case] kind: &str,
        #[case] name: &str,
        #[case] owner: &str,
        #[case] owner_name: &str,
        #[case] belongs: bool,
    ) {
        let pod = json!({ "metadata": { "namespace": "n", "ownerReferences": [{ "kind": owner, "name": owner_name }] } });
        assert_eq!(is_of(&pod, &ObjectKey { kind: kind.into(), namespace: "n".into(), name: name.into() }), belongs);
    }
}
