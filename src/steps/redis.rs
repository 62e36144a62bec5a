//! Phrases about Redis itself: that it runs, what it answers, under which user.

use super::{Failure, Step, World, live::last_event_of};
use crate::{
    manifest::{Place, json::holds, roles::Data},
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
        let answered = Until::within(limit)
            .every(Duration::from_millis(5))
            .met::<_, Failure, _>(format!("PONG from {}:{}", endpoint.host, endpoint.port), || async {
                // Short, since a packet to a pod that has gone is never answered, and the next try may reach the new one.
                Ok(match client.command_within(&endpoint, &["PING"], REACHED).await? {
                    answer if answer.is_pong() => Look::Ready(()),
                    other => Look::NotYet(other.to_string()),
                })
            })
            .await;
        // Before anything is broken a Redis at an address that was guessed may be well.
        let guessed = if self.fault.began.is_none() { self.redis()?.unknown_address() } else { None };
        answered.map_err(|silent| silent.unless(guessed))
    }

    /// `redis-cli` in Redis' own container, with its port and its password if it has one: what it says, or with what it fails.
    pub(super) async fn redis_cli(&mut self, container: &ContainerRef, words: &[&str]) -> Step<Result<String, String>> {
        let (password, port) = (self.password()?, self.redis()?.role.port.to_string());
        let mut command = vec!["redis-cli", "-p", &port, "--no-auth-warning"];
        if let Some(password) = &password {
            command.extend(["-a", password.expose()]);
        }
        command.extend(words);
        let output = self.target().await?.exec(container, &command, b"").await?;
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        Ok(if output.code == 0 {
            Ok(said(&output.stdout))
        } else {
            Err(format!("{} {}", said(&output.stdout), said(&output.stderr)).trim().to_owned())
        })
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
        self.setting_if_known(name).await?.ok_or_else(|| Failure::violated(format!("Redis knows no setting {name}")))
    }

    /// One setting of the running Redis; `None` where its version has none of that name.
    async fn setting_if_known(&mut self, name: &str) -> Step<Option<String>> {
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
        match answer.as_array().map(Vec::as_slice) {
            Some([]) => Ok(None),
            Some([_, Value::String(value)]) => Ok(Some(value.clone())),
            _ => Err(Failure::violated(format!("Redis answers CONFIG GET {name} with {answer}"))),
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
            let event = last_event_of(&events, pod);
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
    let (directory, mut names) = data_directory(world).await?;
    let redis = world.redis()?;
    names.retain(|name| !is_shown(&redis.role.data, &format!("{}/{name}", directory.trim_end_matches('/'))));
    if names.is_empty() {
        return Ok(());
    }
    // What is found there tells which setting wrote it.
    let settings: &[&str] = if names.iter().any(|name| name.starts_with("appendonly")) { &["appendonly"] } else { &["save"] };
    Err(Failure::violated(format!("{directory} holds {}", names.join(", "))).pointing_to(world.place_of_setting(settings)))
}

/// Whether a path below the data directory is a file that a ConfigMap or Secret brings, or leads to one: nothing that Redis wrote.
fn is_shown(data: &Data, path: &str) -> bool {
    data.below.iter().any(|(mount, volume)| volume.is_read_only() && std::path::Path::new(mount).starts_with(path))
}

#[then("the log of the ended Redis tells that it saved nothing")]
async fn the_log_tells_that_it_saved_nothing(world: &mut World) -> Step {
    // The container's own directory is gone with the container; what Redis says of its last act is not, unless it was told to be quiet.
    world.redis_becomes_ready(None).await?;
    let save = world.setting("save").await?;
    if !save.is_empty() {
        return Err(Failure::violated(format!("save is {save:?}: at its end such a Redis saves what has changed")));
    }
    // Without a rule for snapshots Redis saves at its end only where it is told to; before version 7 it cannot be told.
    let at_the_end = world.setting_if_known("shutdown-on-sigterm").await?.unwrap_or_default();
    if at_the_end.split_whitespace().any(|word| word == "save") {
        let failure = Failure::violated(format!("shutdown-on-sigterm is {at_the_end:?}: such a Redis saves at its end whatever save says"));
        return Err(failure.pointing_to(world.place_of_setting(&["shutdown-on-sigterm"])));
    }
    if world.fault.outlived_its_grace {
        world.note("SIGTERM never reached it and it was killed, so that it saved nothing at its end");
        return Ok(());
    }
    let (level, file) = (world.setting("loglevel").await?, world.setting("logfile").await?);
    if !matches!(level.as_str(), "notice" | "verbose" | "debug") || !file.is_empty() {
        let by = if file.is_empty() { format!("loglevel {level}") } else { format!("logfile {file}") };
        world.note(format!("its log tells nothing of its end ({by}): that it saves nothing then is read from its settings"));
        return Ok(());
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
    match last_act(&log) {
        Ok(asked) => {
            world.note(format!("at its end it said only: {asked}"));
            Ok(())
        }
        Err(failure) => Err(failure.pointing_to(world.place_of_setting(&["save"]))),
    }
}

/// What a Redis says of being asked to end, if it saves nothing then; a log that does not speak of it proves nothing.
fn last_act(log: &str) -> Step<&str> {
    let asked = log.lines().rfind(|line| line.contains("SIGTERM") || line.contains("User requested shutdown"));
    let Some(asked) = asked else {
        let last = log.lines().last().unwrap_or("it is empty");
        return Err(Failure::broken(format!("the log of the ended Redis does not speak of its end: {last}")));
    };
    match log.lines().find(|line| line.contains("Saving the final RDB snapshot") || line.contains("DB saved on disk")) {
        Some(line) => Err(Failure::violated(format!("at its end Redis saved: {line}"))),
        None => Ok(asked),
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

/// The status of the process of Redis in its container: the first one, or one that a script has started.
async fn process_status(world: &mut World) -> Step<String> {
    let container = world.redis_container().await?;
    // A process may end between the listing and the look.
    let all = world.ask(&container, &["sh", "-c", "cat /proc/[0-9]*/status 2>/dev/null || true"]).await?;
    only_redis(&all).map_err(|why| Failure::broken(format!("{why} in {container}")))
}

/// The one status of a Redis server among those of all processes.
fn only_redis(all: &str) -> Result<String, String> {
    let mut statuses: Vec<String> = Vec::new();
    for line in all.lines() {
        if line.starts_with("Name:") {
            statuses.push(String::new());
        }
        if let Some(status) = statuses.last_mut() {
            status.push_str(line);
            status.push('\n');
        }
    }
    let names: Vec<String> = statuses.iter().map(|status| field(status, "Name:").to_owned()).collect();
    // While it saves Redis has a child of its own name: the first one is the server.
    let is_server = |status: &String| matches!(field(status, "Name:"), "redis-server" | "valkey-server" | "keydb-server");
    let server = statuses.into_iter().find(is_server);
    server.ok_or_else(|| format!("no process is a Redis server, there are {}", names.join(", ")))
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
                // A Redis that keeps its log in a file of its own takes its reason with it.
                if redis.role.config.value("logfile").is_some_and(|file| !file.is_empty())
                    && let Some(obstacle) = super::workload::hopeless(pod, &redis, 2)
                {
                    return Ok(Look::Ready(format!("{}; why stands in its log file alone", obstacle.words.trim_end_matches([':', ' ']))));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::Outcome;

    const SHELL: &str = "Name:\tsh\nUid:\t0\t0\t0\t0\n";
    const SERVER: &str = "Name:\tredis-server\nUid:\t999\t999\t999\t999\nNoNewPrivs:\t1\n";

    #[test]
    fn redis_is_found_beside_the_shell_that_started_it() {
        let found = only_redis(&format!("{SHELL}{SERVER}")).expect("there is one");
        assert_eq!((field(&found, "Uid:"), field(&found, "NoNewPrivs:")), ("999\t999\t999\t999", "1"));
        let without = only_redis(SHELL).expect_err("there is none");
        assert!(without.contains("sh"), "{without}");
    }

    #[rstest::rstest]
    #[case::nothing("1:M * Received SIGTERM scheduling shutdown...\n1:M # Redis is now ready to exit, bye bye...\n", Some(true))]
    #[case::saved("1:M * Received SIGTERM scheduling shutdown...\n1:M * Saving the final RDB snapshot before exiting.\n", Some(false))]
    #[case::killed("1:M * Ready to accept connections\n", None)]
    #[case::silent("", None)]
    fn a_log_that_does_not_speak_of_the_end_proves_nothing(#[case] log: &str, #[case] saved_nothing: Option<bool>) {
        let found = match last_act(log).map_err(|failure| failure.at(String::new())) {
            Ok(_) => Some(true),
            Err(Outcome::Failed { .. }) => Some(false),
            Err(_) => None,
        };
        assert_eq!(found, saved_nothing);
    }

    #[test]
    fn a_file_of_a_config_map_is_nothing_that_redis_wrote() {
        let set = crate::manifest::ManifestSet::parse(CONFIGURED, "a.yaml").expect("manifests");
        let data = crate::manifest::Roles::of(&set).redis.remove(0).data;
        assert!(is_shown(&data, "/data/redis.conf") && is_shown(&data, "/data/sub"));
        assert!(!is_shown(&data, "/data/dump.rdb") && !is_shown(&data, "/data/redis.con"));
        assert!(!is_shown(&data, "/data/own"), "an emptyDir can be written to");
    }

    const CONFIGURED: &str = "apiVersion: v1
kind: Pod
metadata: { name: redis }
spec:
  containers:
  - name: redis
    image: redis:7
    volumeMounts:
    - { name: conf, mountPath: /data/redis.conf, subPath: redis.conf }
    - { name: conf, mountPath: /data/sub/users.acl, subPath: users.acl }
    - { name: own, mountPath: /data/own }
  volumes: [{ name: conf, configMap: { name: c } }, { name: own, emptyDir: {} }]
";
}
