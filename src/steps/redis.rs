//! Phrases about Redis itself: that it runs, what it answers, under which user.

use super::{Failure, Step, World, live::last_event};
use crate::{
    fault::key_of,
    manifest::{Place, json::holds},
    target::ContainerRef,
    traffic::{Answer, Endpoint, Limits},
    wait::{Look, Until},
};
use cucumber::{given, then, when};
use serde_json::Value;
use std::time::Duration;

/// How long one look at whether Redis can be reached waits; several fit into every limit.
const REACHED: Limits = Limits { connect_ms: 5000, answer_ms: 5000 };

impl World {
    /// Waits until Redis answers PING through its Service: ready is not yet reachable on every cluster.
    pub(super) async fn redis_answers(&mut self, limit: Duration) -> Step {
        let endpoint = self.endpoint(0).await?;
        let client = self.client().await?;
        // A Service follows its pods within milliseconds here; a refused connection costs nobody anything.
        Until::within(limit)
            .every(Duration::from_millis(5))
            .met::<_, Failure, _>(format!("PONG from {}:{}", endpoint.host, endpoint.port), || async {
                // Short, since a packet to a pod that has gone is never answered, and the next try may reach the new one.
                Ok(match client.command_within(&endpoint, &["PING"], REACHED).await? {
                    answer if answer.is_pong() => Look::Ready(()),
                    other => Look::NotYet(other.to_string()),
                })
            })
            .await
    }

    /// `redis-cli` in Redis' own container, with its password if it has one.
    pub(super) async fn redis_cli(&mut self, container: &ContainerRef, words: &[&str]) -> Step<String> {
        let password = self.password()?;
        let mut command = vec!["redis-cli", "--no-auth-warning"];
        if let Some(password) = &password {
            command.extend(["-a", password.expose()]);
        }
        command.extend(words);
        self.ask(container, &command).await
    }

    /// Where the manifests decide on one of these settings: the line that sets it, else the container of Redis.
    pub(super) fn place_of_setting(&self, names: &[&str]) -> Option<Place> {
        let role = self.redis().ok()?.role;
        Some(names.iter().find_map(|name| role.config.setting(name)).map_or(role.id.place, |setting| setting.place.clone()))
    }

    /// Where the manifests say under which data directory lies what.
    pub(super) fn place_of_data(&self) -> Option<Place> {
        self.redis().ok().map(|redis| redis.role.data.place)
    }

    /// Where a field of the Redis container stands, or would.
    pub(super) fn place_of_field(&self, field: &str) -> Option<Place> {
        let (object, redis) = (self.redis_object().ok()?, self.redis().ok()?);
        Some(object.place_of(&format!("{}{field}", redis.container_pointer())))
    }

    /// Where the Services of Redis stand; its workload where it has none.
    fn place_of_service(&self) -> Option<Place> {
        let (set, redis) = (self.set().ok()?, self.redis().ok()?);
        let service = redis.services().find_map(|key| set.get(key)).map(|service| service.place_of("/metadata/name"));
        Some(service.unwrap_or(redis.role.id.place))
    }

    /// One setting of the running Redis.
    pub(super) async fn setting(&mut self, name: &str) -> Step<String> {
        let endpoint = self.endpoint(0).await?;
        let reply = self.client().await?.command(&endpoint, &["CONFIG", "GET", name]).await?;
        let answer = match reply.answer {
            Answer::Value(value) => value.to_json(),
            // A Redis that tells nobody its settings may be set well or ill.
            Answer::Refused(reason) => {
                return Err(Failure::broken(format!("what {name} is cannot be told, since CONFIG GET is refused: {reason}")));
            }
            Answer::Unknown(reason) => return Err(Failure::violated(format!("CONFIG GET {name} gets no answer: {reason}"))),
        };
        match answer.as_array().and_then(|pair| pair.get(1)).and_then(Value::as_str) {
            Some(value) => Ok(value.to_owned()),
            None => Err(Failure::violated(format!("Redis answers CONFIG GET {name} with {answer}"))),
        }
    }
}

#[given("Redis runs from the manifests")]
async fn redis_runs_from_the_manifests(world: &mut World) -> Step {
    if world.case.is_generic() {
        return world.run_any_set().await;
    }
    let set = world.take_set(".").await?;
    world.apply(&set.objects).await?;
    world.redis_becomes_ready(None).await
}

#[when("the manifests are applied")]
async fn the_manifests_are_applied(world: &mut World) -> Step {
    let set = world.take_set(".").await?;
    world.apply(&set.objects).await
}

#[then(expr = "Redis is ready within {int} seconds")]
async fn redis_is_ready_within(world: &mut World, seconds: u64) -> Step {
    world.redis_becomes_ready(Some(Duration::from_secs(seconds))).await
}

#[then("clients reach Redis through a Service")]
async fn clients_reach_redis_through_a_service(world: &mut World) -> Step {
    let redis = world.redis()?;
    let Some((host, port)) = redis.service_address() else {
        return Err(Failure::violated(format!(
            "no Service leads to port {} of {}: its selector or its target port leads elsewhere",
            redis.role.port, redis.workload
        )));
    };
    world.redis_answers(Duration::from_secs(10)).await?;
    world.note(format!("clients reach Redis at {host}:{port}"));
    Ok(())
}

#[then("the Redis pod waits for its claim")]
async fn the_redis_pod_waits_for_its_claim(world: &mut World) -> Step {
    let target = world.target().await?;
    let redis = world.redis()?;
    let claim = redis
        .claim()
        .ok_or_else(|| Failure::violated_at(redis.role.data.place.clone(), format!("Redis mounts no claim at {}", redis.role.data.dir)))?
        .to_owned();
    let told = Until::within(Duration::from_secs(30))
        .on(target.changes())
        .met::<_, Failure, _>(format!("a pod of {} that is Pending since {claim} is missing", redis.workload), || async {
            let pods = redis.pods(target.as_ref()).await?;
            let events = target.list("Event", Some(&redis.workload.namespace)).await?;
            let Some(pod) = pods.first() else { return Ok(Look::NotYet("no pod".into())) };
            let event = last_event(&events, &key_of(pod));
            Ok(if pod["status"]["phase"] == "Pending" && event.contains(&claim) { Look::Ready(event) } else { Look::NotYet(event) })
        })
        .await?;
    world.note(format!("the pod is Pending: {told}"));
    Ok(())
}

#[then(expr = "Redis answers CONFIG GET {string} with {string}")]
async fn redis_answers_config_get(world: &mut World, name: String, expected: String) -> Step {
    let value = world.setting(&name).await?;
    if value == expected {
        return Ok(());
    }
    Err(Failure::violated(format!("{name} is {value:?} and not {expected:?}")).pointing_to(world.place_of_setting(&[&name])))
}

#[then(expr = "the directory in which Redis saves lies on the claim {string}")]
async fn the_directory_lies_on_the_claim(world: &mut World, claim: String) -> Step {
    let directory = world.setting("dir").await?;
    on_claim(world, &directory, &claim).await
}

/// Whether a path of the running Redis container lies on the claim, by the live pod's own mounts.
async fn on_claim(world: &mut World, directory: &str, claim: &str) -> Step {
    let (pod, redis) = (world.redis_pod().await?, world.redis()?);
    let volumes = pod["spec"]["volumes"].as_array().cloned().unwrap_or_default();
    let containers = pod["spec"]["containers"].as_array().cloned().unwrap_or_default();
    let mounts = containers
        .iter()
        .find(|container| container["name"] == redis.container.as_str())
        .and_then(|container| container["volumeMounts"].as_array().cloned());
    let mounts = mounts.unwrap_or_default();
    let deepest = mounts
        .iter()
        .filter(|mount| mount["mountPath"].as_str().is_some_and(|path| std::path::Path::new(directory).starts_with(path)))
        .max_by_key(|mount| mount["mountPath"].as_str().map_or(0, str::len));
    let Some(mount) = deepest else {
        let failure = Failure::violated(format!("Redis saves in {directory}, where no volume is mounted"));
        return Err(failure.pointing_to(world.place_of_data()));
    };
    match volumes.iter().find(|volume| volume["name"] == mount["name"]) {
        Some(volume) if volume["persistentVolumeClaim"]["claimName"] == claim => Ok(()),
        Some(volume) => {
            Err(Failure::violated(format!("Redis saves in {directory}, on the volume {volume}")).pointing_to(world.place_of_data()))
        }
        None => Err(Failure::broken(format!("the pod mounts {} and has no such volume", mount["name"]))),
    }
}

#[then(expr = "the append-only files lie on the claim {string} and hold bytes")]
async fn the_append_only_files_lie_on_the_claim(world: &mut World, claim: String) -> Step {
    let directory = world.setting("dir").await?;
    let folder = world.setting("appenddirname").await?;
    let files = format!("{directory}/{folder}");
    on_claim(world, &files, &claim).await?;
    let container = world.redis_container().await?;
    let listed = world.ask(&container, &["sh", "-c", &format!("cat {files}/*.aof | wc -c")]).await?;
    let bytes: u64 = listed.trim().parse().map_err(|_| Failure::broken(format!("wc answers {listed:?}")))?;
    if bytes == 0 {
        let failure = Failure::violated(format!("the files in {files} are empty although clients have written"));
        return Err(failure.pointing_to(world.place_of_setting(&["appendonly"])));
    }
    world.note(format!("{files} holds {bytes} bytes"));
    Ok(())
}

/// The names in Redis' data directory.
async fn data_directory(world: &mut World) -> Step<(String, Vec<String>)> {
    let directory = world.setting("dir").await?;
    let container = world.redis_container().await?;
    let listed = world.ask(&container, &["ls", "-A", &directory]).await?;
    Ok((directory, listed.lines().map(ToOwned::to_owned).collect()))
}

#[then(expr = "the data directory holds {string}")]
async fn the_data_directory_holds(world: &mut World, name: String) -> Step {
    let (directory, names) = data_directory(world).await?;
    if names.contains(&name) {
        return Ok(());
    }
    Err(Failure::violated(format!("{directory} holds {names:?}")).pointing_to(world.place_of_setting(&["appendonly"])))
}

#[then(expr = "the data directory does not hold {string}")]
async fn the_data_directory_does_not_hold(world: &mut World, name: String) -> Step {
    let (directory, names) = data_directory(world).await?;
    if names.contains(&name) {
        return Err(Failure::violated(format!("{directory} holds {names:?}")));
    }
    Ok(())
}

#[then("the data directory is empty")]
async fn the_data_directory_is_empty(world: &mut World) -> Step {
    let (directory, names) = data_directory(world).await?;
    if names.is_empty() {
        return Ok(());
    }
    // What is found there tells which setting wrote it.
    let settings: &[&str] = if names.iter().any(|name| name.starts_with("appendonly")) { &["appendonly"] } else { &["save"] };
    Err(Failure::violated(format!("{directory} holds {}", names.join(", "))).pointing_to(world.place_of_setting(settings)))
}

#[then("the log of the ended Redis tells that it saved nothing")]
async fn the_log_tells_that_it_saved_nothing(world: &mut World) -> Step {
    // The container's own directory is gone with the container; what Redis says of its last act is not, unless it was told to be quiet.
    world.redis_becomes_ready(None).await?;
    let save = world.setting("save").await?;
    if !save.is_empty() {
        return Err(Failure::violated(format!("save is {save:?}: at its end such a Redis saves what has changed")));
    }
    let level = world.setting("loglevel").await?;
    if !matches!(level.as_str(), "notice" | "verbose" | "debug") {
        return Err(Failure::broken(format!("loglevel is {level}: a Redis that saves at its end would not say so")));
    }
    let container = world.redis_container().await?;
    let target = world.target().await?;
    let log = Until::within(Duration::from_secs(30))
        .on(target.changes())
        .met::<_, Failure, _>("the log of the ended Redis", || async {
            Ok(match target.logs(&container, true).await {
                Ok(log) => Look::Ready(log),
                Err(error) => Look::NotYet(error.to_string()),
            })
        })
        .await?;
    let log = String::from_utf8_lossy(&log);
    let asked = log.lines().rfind(|line| line.contains("SIGTERM") || line.contains("User requested shutdown"));
    let Some(asked) = asked else {
        return Err(Failure::broken(format!(
            "the log of the ended Redis does not speak of its end: {}",
            log.lines().last().unwrap_or("it is empty")
        )));
    };
    match log.lines().find(|line| line.contains("Saving the final RDB snapshot") || line.contains("DB saved on disk")) {
        Some(line) => Err(Failure::violated(format!("at its end Redis saved: {line}")).pointing_to(world.place_of_setting(&["save"]))),
        None => {
            world.note(format!("at its end it said only: {asked}"));
            Ok(())
        }
    }
}

#[then(expr = "the process of Redis runs as user {int}")]
async fn the_process_runs_as(world: &mut World, user: u64) -> Step {
    let status = process_status(world).await?;
    let users: Vec<&str> = field(&status, "Uid:").split_whitespace().collect();
    if users.iter().all(|found| *found == user.to_string()) && !users.is_empty() {
        return Ok(());
    }
    Err(Failure::violated(format!("it runs with the user ids {} (real, effective, saved, file system)", users.join(", ")))
        .pointing_to(world.place_of_field("/securityContext/runAsUser")))
}

#[then("it cannot gain privileges")]
async fn it_cannot_gain_privileges(world: &mut World) -> Step {
    let status = process_status(world).await?;
    let found = field(&status, "NoNewPrivs:");
    if found == "1" {
        return Ok(());
    }
    Err(Failure::violated(format!("NoNewPrivs is {found}")).pointing_to(world.place_of_field("/securityContext/allowPrivilegeEscalation")))
}

/// `/proc/1/status` of the Redis container, whose first process must be Redis.
async fn process_status(world: &mut World) -> Step<String> {
    let container = world.redis_container().await?;
    let status = world.ask(&container, &["cat", "/proc/1/status"]).await?;
    match field(&status, "Name:") {
        "redis-server" => Ok(status),
        other => Err(Failure::broken(format!("the first process of the container is {other}, not redis-server"))),
    }
}

fn field<'text>(status: &'text str, name: &str) -> &'text str {
    status.lines().find_map(|line| line.strip_prefix(name)).map_or("", str::trim)
}

/// An address for a step that names host and port itself.
fn address(world: &World, host: &str, port: u16) -> Step<Endpoint> {
    Ok(Endpoint { host: host.to_owned(), port, password: world.password()?, ..Endpoint::default() })
}

#[then(expr = "PING from a client pod to {string} port {int} is answered with PONG")]
async fn ping_is_answered(world: &mut World, host: String, port: u16) -> Step {
    let endpoint = address(world, &host, port)?;
    ping(world, &endpoint).await
}

#[then("PING from a client pod to that address is answered with PONG")]
async fn ping_to_that_address_is_answered(world: &mut World) -> Step {
    let address = world.data.address.clone().ok_or_else(|| Failure::broken("no earlier step named an address"))?;
    let endpoint: Endpoint = address.parse().map_err(|error| Failure::violated(format!("the address is none: {error}")))?;
    ping(world, &endpoint).await
}

async fn ping(world: &mut World, endpoint: &Endpoint) -> Step {
    let client = world.client().await?;
    match client.command(endpoint, &["PING"]).await? {
        answer if answer.is_pong() => Ok(()),
        other => Err(Failure::violated(format!("PING to {}:{} is answered with {other}", endpoint.host, endpoint.port))
            .pointing_to(world.place_of_service())),
    }
}

#[then("Redis may not write and does not start, unless its manifests let it write to a volume of root's")]
async fn redis_may_not_write(world: &mut World) -> Step {
    if may_write_to_a_volume_of_roots(world)? {
        world.redis_becomes_ready(None).await?;
        world.note("the document's change alone is enough here: root or a group of the pod may write to a fresh volume");
        return Ok(());
    }
    let target = world.target().await?;
    let redis = world.redis()?;
    let said = Until::within(Duration::from_secs(60))
        .on(target.changes())
        .met::<_, Failure, _>("Redis to say that it may not write", || async {
            let pods = redis.pods(target.as_ref()).await?;
            for pod in &pods {
                let container = redis.container_in(pod);
                for previous in [false, true] {
                    let Ok(log) = target.logs(&container, previous).await else { continue };
                    let log = String::from_utf8_lossy(&log).into_owned();
                    if let Some(line) = log.lines().find(|line| line.contains("Permission denied")) {
                        return Ok(Look::Ready(line.to_owned()));
                    }
                }
                if holds(pod, "Ready") {
                    return Err(Failure::violated("Redis became ready with the document's change alone, although nothing lets it write"));
                }
            }
            Ok(Look::NotYet(format!("{} pods, none of which says so", pods.len())))
        })
        .await?;
    world.note(format!("refuted as written: {said}"));
    Ok(())
}

/// Whether a volume whose directory belongs to root can be written: by root itself, or by the pod's group for volumes.
fn may_write_to_a_volume_of_roots(world: &World) -> Step<bool> {
    let (object, redis) = (world.redis_object()?, world.redis()?);
    let pod = format!("{}/spec/securityContext", redis.template);
    let of_pod = |field: &str| object.json.pointer(&format!("{pod}/{field}")).and_then(Value::as_u64);
    let own = object.json.pointer(&format!("{}/securityContext/runAsUser", redis.container_pointer())).and_then(Value::as_u64);
    let user = own.or_else(|| of_pod("runAsUser"));
    Ok(of_pod("fsGroup").is_some() || user.is_none_or(|user| user == 0))
}
