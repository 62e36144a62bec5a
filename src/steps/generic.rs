//! How any set at hand is tried: one pod of one Redis, reached at its Service or at its own address, decided as soon as it can be.

use super::{
    Failure, Step, World,
    data::Data,
    live::{describe, is_ending},
    obstacles::{no_program, replicas_place, topology, without_redis},
    workload::{Obstacle, Redis, START, hopeless},
};
use crate::{
    fault::{self, key_of},
    manifest::{
        Object, Place, Roles, Workload,
        json::{condition, holds},
    },
    target::{Capability, ContainerRef, Kill},
    traffic::{Answer, Endpoint},
    wait::{Look, Until},
};
use serde_json::Value;
use std::{
    cell::Cell,
    sync::Arc,
    time::{Duration, Instant},
};

/// How long a pod may have no place before no waiting helps: volumes are made and old pods go in less.
const SETTLED: Duration = Duration::from_secs(8);

/// How long a ready Redis may take to answer at an address that the manifests do not tell for certain.
const GUESSED: Duration = Duration::from_secs(20);

/// How many lines of a container's last words are told.
const LAST_WORDS: usize = 6;

/// What a wait for the chosen pod came to.
enum Found {
    Serving(Box<Value>),
    Hopeless { pod: String, obstacle: Obstacle, seen: String },
}

impl World {
    /// Applies the set and waits until the chosen pod of its Redis serves; what stands in the way is told at once, with its place.
    pub(super) async fn run_any_set(&mut self) -> Step {
        let set = self.take_set(".").await?;
        if Roles::of(&set).redis.is_empty() {
            return Err(Failure::skipped(without_redis(&set)));
        }
        let redis = self.redis()?;
        let missing = self.missing(&redis).await?;
        if let Some(why) = topology(&set, &redis) {
            let reasons: Vec<String> = std::iter::once(why).chain(missing).collect();
            return Err(Failure::skipped(reasons.join("; moreover ")));
        }
        let (policies, objects): (Vec<&Object>, Vec<&Object>) = set.objects.iter().partition(|object| object.kind() == "NetworkPolicy");
        if !policies.is_empty() {
            let names: Vec<String> = policies.iter().map(|policy| format!("{} ({})", policy.key(), policy.place)).collect();
            self.note(format!("left out, since who may connect does not change what is kept: {}", names.join(", ")));
        }
        let objects: Vec<Object> = objects.into_iter().cloned().collect();
        self.apply(&objects).await?;
        if let Some((without, place)) = self.without_program(&redis)? {
            return Err(no_program(&without, &place, &missing));
        }
        if !missing.is_empty() {
            return Err(Failure::skipped(format!("Redis cannot start: {}", missing.join("; moreover "))));
        }
        if redis.role.replicas != Some(1) {
            let count = redis.role.replicas.unwrap_or_default();
            let place = replicas_place(&set, &redis);
            let shared = redis.service_address().map(|(name, _)| format!(" behind Service {name}")).unwrap_or_default();
            self.note(format!("{count} masters that do not know each other{shared} ({place}): the first pod was tried by itself"));
        }
        self.redis_becomes_ready(None).await
    }

    /// The name of the pod that is tried, where several have names that outlive them.
    pub(super) fn chosen_pod(&self) -> Step<Option<String>> {
        if !self.case.is_generic() {
            return Ok(None);
        }
        let redis = self.redis()?;
        let object = self.redis_object()?;
        Ok(chosen(&redis, &object))
    }

    /// Waits until Redis' own container is ready and it answers; other containers of the pod may be without a program.
    pub(super) async fn chosen_redis_serves(&mut self, limit: Duration) -> Step {
        let (redis, object) = (self.redis()?, self.redis_object()?);
        let chosen = chosen(&redis, &object);
        // Before a fault an end at the start and another one after the restart are enough; a fault is an end of its own.
        let after_fault = self.fault.began.is_some();
        let restarts = if after_fault { 2 } else { 1 };
        let ended = self.fault.ended();
        let target = self.target().await?;
        let namespace = redis.workload.namespace.clone();
        let unplaced = Cell::new(None::<Instant>);
        let what = format!("container {} of {} to be ready", redis.container, redis.workload);
        let serving = Until::within(limit).on(target.changes()).met::<_, Failure, _>(what, || async {
            let mut pods = redis.pods(target.as_ref()).await?;
            pods.retain(|pod| chosen.as_ref().is_none_or(|name| pod["metadata"]["name"] == name.as_str()));
            let ending = pods.iter().any(is_ending);
            let serves = |pod: &&Value| {
                is_ready(pod, &redis.container) && !ended.as_ref().is_some_and(|ended| ended.is_shown_by(pod, &redis.container))
            };
            if let Some(pod) = pods.iter().find(serves).filter(|_| !ending) {
                return Ok(Look::Ready(Found::Serving(Box::new(pod.clone()))));
            }
            let seen = describe(&pods, &target.list("Event", Some(&namespace)).await?, &redis.workload);
            if pods.is_empty() && redis.workload.kind == "Pod" && after_fault {
                let why = "no controller makes it anew, and nobody can ask it what it kept";
                return Err(Failure::skipped(format!("{} is a Pod by itself: once it is gone, {why} ({})", redis.workload, object.place)));
            }
            if let Some((pod, obstacle)) = pods.iter().find_map(|pod| Some((pod, hopeless(pod, &redis, restarts)?))) {
                return Ok(Look::Ready(Found::Hopeless { pod: key_of(pod).name, obstacle, seen }));
            }
            let without_a_place = pods.is_empty()
                || pods.iter().any(|pod| condition(pod, "PodScheduled").is_some_and(|scheduled| scheduled["status"] == "False"));
            unplaced.set(unplaced.get().filter(|_| without_a_place).or_else(|| without_a_place.then(Instant::now)));
            match unplaced.get() {
                Some(since) if !ending && since.elapsed() > SETTLED => {
                    Err(Failure::skipped(format!("Redis finds no place on this cluster: {} ({seen})", object.place)))
                }
                _ => Ok(Look::NotYet(seen)),
            }
        });
        // The client comes up beside Redis; what keeps it from that matters only where Redis itself does.
        let (found, client) = tokio::join!(serving, Data::client_or_new(self.data.known_client(), Arc::clone(&target), &namespace));
        // Where not even a client finds a place, what keeps both out is the cluster's.
        if found.is_err() && unplaced.get().is_some() {
            client.as_ref().map_err(Clone::clone)?;
        }
        let pod = match found? {
            Found::Serving(pod) => pod,
            Found::Hopeless { pod, obstacle, seen } => {
                return Err(self.does_not_start(&redis, &object, &pod, &obstacle, &seen).await);
            }
        };
        self.data.keep_client(client?);
        let others = unready(&pod);
        if !others.is_empty() {
            let others = others.join(", ");
            self.note(format!("Redis is ready and its pod is not, so that no Service leads to it: container {others} is not ready"));
        }
        self.chosen_redis_answers().await
    }

    /// What is told of a Redis that does not start: its last words, and the line of the manifests that they speak of.
    async fn does_not_start(&mut self, redis: &Redis, object: &Object, pod: &str, obstacle: &Obstacle, seen: &str) -> Failure {
        let Some(ending) = &obstacle.ending else {
            let text = format!("Redis does not start: {}, at {} ({seen})", obstacle.words, obstacle.place(object));
            return if obstacle.missing {
                Failure::skipped(format!("{text}; add what is missing to the manifests"))
            } else {
                Failure::violated(text)
            };
        };
        if obstacle.words.contains("executable file not found") || obstacle.words.contains("no such file or directory") {
            let place = container_place(object, ending).unwrap_or_else(|| object.place.clone());
            let image = redis.role.id.image.to_string();
            // What an image holds beside Redis is not known here: a typing error and a missing tool look alike.
            return Failure::unsupported(Capability::Program(image), format!("{}, at {place}", obstacle.words));
        }
        let container = ContainerRef { namespace: redis.workload.namespace.clone(), pod: pod.to_owned(), container: ending.clone() };
        let words = self.last_words(&container).await;
        let place = words.as_deref().and_then(|words| place_of_directive(redis, words)).or_else(|| container_place(object, ending));
        let place = place.unwrap_or_else(|| object.place.clone());
        let said = words.map_or_else(|| "it says nothing".to_owned(), |words| format!("its last words: {words}"));
        Failure::violated(format!("Redis does not start: {}, at {place}; {said}", obstacle.words.trim_end_matches([':', ' '])))
    }

    /// The end of what a container wrote, on one line; `None` where it wrote nothing.
    async fn last_words(&mut self, container: &ContainerRef) -> Option<String> {
        let target = self.target().await.ok()?;
        for previous in [false, true] {
            let Ok(log) = target.logs(container, previous).await else { continue };
            let log = String::from_utf8_lossy(&log);
            let lines: Vec<&str> = log.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
            if !lines.is_empty() {
                return Some(lines[lines.len().saturating_sub(LAST_WORDS)..].join(" / "));
            }
        }
        None
    }

    /// Where clients find the chosen pod: its Service where that leads to this one alone, else its address.
    pub(super) async fn chosen_endpoint(&mut self, database: u64) -> Step<Endpoint> {
        let redis = self.redis()?;
        let password = self.password()?;
        let db = u32::try_from(database).map_err(|_| Failure::broken(format!("{database} is no database number")))?;
        let pod = self.redis_pod().await?;
        let ready = holds(&pod, "Ready");
        let set = self.set()?;
        let roles = Roles::of(&set);
        let others: Vec<String> = roles
            .redis
            .iter()
            .filter(|other| other.id.workload != redis.workload)
            .filter(|other| other.services.iter().any(|service| redis.services().any(|own| *own == service.key)))
            .map(|other| format!("{} ({})", other.id.workload, other.id.place))
            .collect();
        match redis.service_address() {
            Some((host, port)) if ready && redis.role.replicas == Some(1) && others.is_empty() => {
                return Ok(Endpoint { host, port, db, password, ..Endpoint::default() });
            }
            Some((host, _)) if !others.is_empty() => {
                self.note(format!("Service {host} leads to other Redis as well, {}: clients connect to the pod itself", others.join(", ")));
            }
            Some(_) => {}
            None => self.note(format!("no Service leads to {}: clients connect to its pod", redis.workload)),
        }
        let host = pod["status"]["podIP"].as_str().ok_or_else(|| Failure::broken("the pod of Redis has no address"))?.to_owned();
        Ok(Endpoint { host, port: redis.role.port, db, password, ..Endpoint::default() })
    }

    /// Waits for PONG; a refusal that only a password mends is told at once.
    async fn chosen_redis_answers(&mut self) -> Step {
        let client = self.client().await?;
        let endpoint = self.chosen_endpoint(0).await?;
        let redis = self.redis()?;
        let guessed = if self.fault.began.is_none() { redis.unknown_address() } else { None };
        let limit = if guessed.is_some() { GUESSED } else { START };
        let answered = Until::within(limit)
            .met::<_, Failure, _>(format!("PONG from {}:{}", endpoint.host, endpoint.port), || async {
                let reply = client.command(&endpoint, &["PING"]).await?;
                if reply.is_pong() {
                    return Ok(Look::Ready(()));
                }
                match &reply.answer {
                    Answer::Refused(reason) if ["NOAUTH", "WRONGPASS", "NOPERM"].iter().any(|word| reason.contains(word)) => {
                        let place = redis.role.password.as_ref().map_or(&redis.role.id.place, |password| &password.place);
                        Err(Failure::skipped(format!("Redis asks for a password that these manifests do not tell ({place}): {reason}")))
                    }
                    Answer::Refused(reason) if reason.contains("DENIED") => {
                        Err(Failure::violated(format!("Redis serves no client of another pod ({}): {reason}", redis.role.id.place)))
                    }
                    _ => Ok(Look::NotYet(reply.to_string())),
                }
            })
            .await;
        answered.map_err(|silent| silent.unless(guessed))
    }

    /// SIGTERM and, as the kubelet does, SIGKILL to what still runs when the grace period is over.
    pub(super) async fn end_as_the_kubelet_does(&mut self, container: &ContainerRef) -> Step {
        let (target, grace) = (self.target().await?, self.grace()?);
        let before = target.process(container).await?;
        target.kill(container, Kill::Term).await?;
        let ended = Until::within(grace)
            .on(target.changes())
            .met::<_, Failure, _>(format!("{container} to end by SIGTERM"), || async {
                Ok(match target.process(container).await {
                    Ok(now) if now.restarts == before.restarts && now.started == before.started => Look::NotYet("it runs".into()),
                    _ => Look::Ready(()),
                })
            })
            .await;
        if ended.is_err() {
            self.fault.outlived_its_grace = true;
            self.note(format!("SIGTERM did not end it in the {} s of its grace period: it was killed", grace.as_secs()));
            fault::kill_container(target.as_ref(), container, Kill::Kill).await?;
        }
        Ok(())
    }
}

/// A StatefulSet's first pod keeps its name; any other workload has one pod, whatever it is called.
fn chosen(redis: &Redis, object: &Object) -> Option<String> {
    let first = object.at("/spec/ordinals/start").and_then(Value::as_u64).unwrap_or(0);
    (redis.workload.kind == "StatefulSet").then(|| format!("{}-{first}", redis.workload.name))
}

/// Redis' container is ready, and if its pod is not, another container of it is the cause and not its node.
fn is_ready(pod: &Value, container: &str) -> bool {
    let unready = unready(pod);
    holds(pod, "Ready") || !unready.is_empty() && !unready.contains(&container) && has(pod, container)
}

fn has(pod: &Value, container: &str) -> bool {
    pod["status"]["containerStatuses"].as_array().into_iter().flatten().any(|status| status["name"] == container)
}

/// The containers that keep a pod from being ready.
fn unready(pod: &Value) -> Vec<&str> {
    let statuses = pod["status"]["containerStatuses"].as_array().into_iter().flatten();
    statuses.filter(|status| status["ready"] != true).filter_map(|status| status["name"].as_str()).collect()
}

/// Redis quotes the line that it does not understand: `>>> 'save 900 1 # often'`.
fn place_of_directive(redis: &Redis, words: &str) -> Option<Place> {
    let (_, line) = words.split_once(">>> '")?;
    let line = line.split(['\'', '\n']).next()?;
    let mut parts = line.split_whitespace();
    let name = parts.next()?.trim_matches('"').to_lowercase();
    let first = parts.next().map(|value| value.trim_matches('"'));
    let settings = redis.role.config.settings(&name);
    let same = settings.iter().find(|setting| setting.values.first().map(String::as_str) == first);
    same.or(settings.first()).map(|setting| setting.place.clone())
}

fn container_place(object: &Object, name: &str) -> Option<Place> {
    let workload = Workload::of(object)?;
    let container = workload.containers().find(|container| container.name() == name)?;
    Some(object.place_of(&container.pointer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::ManifestSet;
    use serde_json::json;

    const SET: &str = "\
apiVersion: v1
kind: ConfigMap
metadata: { name: conf }
data:
  redis.conf: |
    appendonly yes
    save 300 10
    save 900 1 # often
---
apiVersion: apps/v1
kind: StatefulSet
metadata: { name: redis }
spec:
  selector: { matchLabels: { app: redis } }
  template:
    metadata: { labels: { app: redis } }
    spec:
      containers:
      - name: redis
        image: redis:7
        command: [redis-server, /etc/redis.conf]
        volumeMounts: [{ name: conf, mountPath: /etc/redis.conf, subPath: redis.conf }]
      volumes: [{ name: conf, configMap: { name: conf } }]
";

    #[test]
    fn the_line_that_redis_quotes_is_found_in_the_manifests() {
        let set = ManifestSet::parse(SET, "redis.yaml").expect("is read");
        let redis = Redis::in_set(&set, None).expect("there is one");
        let words = "Reading the configuration file, at line 3 / >>> 'save 900 1 # often' / Invalid save parameters";
        assert_eq!(place_of_directive(&redis, words).map(|place| place.line), Some(8));
        assert_eq!(place_of_directive(&redis, "Bad file format"), None);
    }

    #[test]
    fn the_first_pod_of_a_stateful_set_is_tried() {
        let set = ManifestSet::parse(SET, "redis.yaml").expect("is read");
        let redis = Redis::in_set(&set, None).expect("there is one");
        let object = set.get(&redis.workload).expect("is there");
        assert_eq!(chosen(&redis, object).as_deref(), Some("redis-0"));
    }

    #[rstest::rstest]
    #[case::all_ready("True", true, true, true)]
    #[case::a_side_car_without_a_program("False", true, false, true)]
    #[case::redis_is_not_ready("False", false, true, false)]
    #[case::the_node_is_lost("False", true, true, false)]
    fn redis_is_ready_when_only_other_containers_are_not(#[case] pod: &str, #[case] redis: bool, #[case] other: bool, #[case] ready: bool) {
        let pod = json!({ "status": {
            "conditions": [{ "type": "Ready", "status": pod }],
            "containerStatuses": [{ "name": "redis", "ready": redis }, { "name": "exporter", "ready": other }],
        }});
        assert_eq!(is_ready(&pod, "redis"), ready);
    }
}
