//! The live Redis of a scenario: its pods, its container, whether it is ready, and what stands in its way.

use super::{
    Failure, Step, World,
    data::Data,
    live::{describe, is_ending, is_of},
    obstacles::nothing_stands_for,
};
use crate::{
    fault::key_of,
    manifest::{
        ManifestSet, Object, ObjectKey, Place, Roles, Workload,
        json::holds,
        roles::{self, Volume},
    },
    target::{ContainerRef, Target, TargetError},
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
            (None, []) if !roles.undecided.is_empty() => return Err(Failure::skipped(undecided(&roles))),
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

    /// Why clients may look for it in the wrong place or with the wrong password; `None` where the manifests tell both.
    pub(super) fn unknown_address(&self) -> Option<String> {
        let config = &self.role.config;
        let unknown = ["port", "requirepass"].iter().find_map(|name| config.unknown(name));
        let unknown = unknown.map(|unknown| (unknown.why, unknown.place));
        let hidden = || {
            let (what, place) = self.role.hidden_start.clone()?;
            Some((format!("a part of its start is {what}, which no file of these manifests holds"), place))
        };
        let (why, place) = unknown.or_else(hidden)?;
        Some(format!("it did not answer, and the manifests do not tell where and to whom it does: {why} ({place})"))
    }

    /// The Services that lead to it.
    pub(super) fn services(&self) -> impl Iterator<Item = &ObjectKey> {
        self.role.services.iter().map(|service| &service.key)
    }

    /// Whether the live pod is one of its workload.
    pub(super) fn owns(&self, pod: &Value) -> bool {
        if self.workload.kind == "Pod" {
            return pod["metadata"]["name"] == self.workload.name.as_str();
        }
        let labelled = !self.labels.is_empty() && self.labels.iter().all(|(name, value)| pod["metadata"]["labels"][name] == value.as_str());
        labelled && is_of(pod, &self.workload)
    }

    /// Every live pod of its workload, those that are ending included.
    pub(super) async fn pods(&self, target: &dyn Target) -> Result<Vec<Value>, TargetError> {
        let mut pods = target.list("Pod", Some(&self.workload.namespace)).await?;
        pods.retain(|pod| self.owns(pod));
        Ok(pods)
    }

    /// Its container in a live pod.
    pub(super) fn container_in(&self, pod: &Value) -> ContainerRef {
        let key = key_of(pod);
        ContainerRef { namespace: key.namespace, pod: key.name, container: self.container.clone() }
    }

    /// Host and port of the Service by which clients of its own namespace reach it.
    pub(super) fn service_address(&self) -> Option<(String, u16)> {
        let services = &self.role.services;
        let service = services.iter().find(|service| !service.headless).or_else(|| services.first())?;
        Some((service.key.name.clone(), service.port))
    }
}

/// Which containers may be Redis, and why nobody can tell before they run.
pub(super) fn undecided(roles: &Roles) -> String {
    let one = |undecided: &roles::Undecided| {
        format!(
            "container {} of {} may run Redis: {} ({})",
            undecided.id.name, undecided.id.workload, undecided.unknown.why, undecided.unknown.place
        )
    };
    let all: Vec<String> = roles.undecided.iter().map(one).collect();
    format!("the manifests do not tell which container runs Redis: {}", all.join("; "))
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
        Ok(redis.pods(self.target().await?.as_ref()).await?)
    }

    /// The one pod of Redis that is not ending.
    pub(super) async fn redis_pod(&mut self) -> Step<Value> {
        let mut pods: Vec<Value> = self.redis_pods().await?.into_iter().filter(|pod| !is_ending(pod)).collect();
        if let Some(name) = self.chosen_pod()? {
            pods.retain(|pod| pod["metadata"]["name"] == name.as_str());
        }
        pods.sort_by_key(|pod| std::cmp::Reverse(holds(pod, "Ready")));
        pods.into_iter().next().ok_or_else(|| Failure::violated("there is no pod of Redis"))
    }

    /// The container of that pod in which Redis runs.
    pub(super) async fn redis_container(&mut self) -> Step<ContainerRef> {
        let redis = self.redis()?;
        Ok(redis.container_in(&self.redis_pod().await?))
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
            return Err(nothing_stands_for(without, "redis-server"));
        }
        let object = self.redis_object()?;
        let wanted = usize::try_from(object.json.pointer("/spec/replicas").and_then(Value::as_u64).unwrap_or(1)).unwrap_or(usize::MAX);
        let ended = self.fault.ended();
        let target = self.target().await?;
        let namespace = redis.workload.namespace.clone();
        let began = Instant::now();
        let ready =
            Until::within(limit).on(target.changes()).met::<_, Failure, _>(format!("{wanted} ready pod of {}", redis.workload), || async {
                let pods = redis.pods(target.as_ref()).await?;
                let ending = pods.iter().filter(|pod| is_ending(pod)).count();
                let ready = pods
                    .iter()
                    .filter(|pod| !is_ending(pod) && holds(pod, "Ready"))
                    .filter(|pod| !ended.as_ref().is_some_and(|ended| ended.is_shown_by(pod, &redis.container)))
                    .count();
                if ready >= wanted && ending == 0 {
                    return Ok(Look::Ready(()));
                }
                let events = target.list("Event", Some(&namespace)).await?;
                let seen = describe(&pods, &events, &redis.workload);
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
