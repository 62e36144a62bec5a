//! Phrases about data: what clients write, and what is still there.

use super::{Failure, Step, World};
use crate::{
    target::Target,
    traffic::{Answer, Client, Comparison, Endpoint, Kind, Ledger, Limits, Place, Secret, Workload, Writing},
    wait::{Look, Until},
};
use cucumber::{given, then, when};
use serde_json::Value;
use std::{collections::BTreeSet, sync::Arc, time::Duration};

/// Acknowledged writes after which writers are under way: two rounds of four writers over three databases.
const UNDER_WAY: u64 = 24;
/// Writes a second of clients that keep writing: so many that an outage is measured to some milliseconds, and so few that a minute of
/// them leaves the cores to Redis.
const PACE: f64 = 500.0;

/// Two servers behind one address are both met by so many connections, but for one case in half a million.
const CONNECTIONS: usize = 20;

/// What clients of this scenario have written.
#[derive(Debug, Default)]
pub(super) struct Data {
    client: Option<Arc<Client>>,
    writing: Option<Writing>,
    ledger: Ledger,
    /// An address that an earlier step named.
    pub(super) address: Option<String>,
    /// Servers whose keys were written, with their databases.
    pub(super) servers: Vec<(String, u64)>,
    /// Jobs and eviction: what an earlier step began.
    pub(super) job: Option<super::bus::Job>,
    pub(super) pressure: Option<super::memory::Pressure>,
}

impl Data {
    /// The client pod of this scenario, if it was made already.
    pub(super) fn known_client(&self) -> Option<Arc<Client>> {
        self.client.clone()
    }

    pub(super) fn keep_client(&mut self, client: Arc<Client>) {
        self.client = Some(client);
    }

    /// The client that is there, or a new one: apart from the world, so that something else can go on meanwhile.
    pub(super) async fn client_or_new(known: Option<Arc<Client>>, target: Arc<dyn Target>, namespace: &str) -> Step<Arc<Client>> {
        match known {
            // One whose pod or way was cut off is attached anew.
            Some(client) if !client.has_ended() => Ok(client),
            _ => Ok(Arc::new(Client::attach(target, namespace).await?)),
        }
    }

    /// Ends writers that a failed step left behind.
    pub(super) async fn stop_writing(&mut self) {
        if let Some(writing) = self.writing.take()
            && let Err(error) = writing.stop().await
        {
            tracing::debug!(%error, "writers of a scenario that is over");
        }
    }
}

/// How long clients may take until they have found a Redis that answers: some connections that time out.
const SETTLED: Duration = Duration::from_secs(20);

impl World {
    /// The client pod of this scenario, made at the first call.
    pub(super) async fn client(&mut self) -> Step<Arc<Client>> {
        let namespace = self.redis()?.workload.namespace;
        let client = Data::client_or_new(self.data.known_client(), self.target().await?, &namespace).await?;
        self.data.keep_client(Arc::clone(&client));
        Ok(client)
    }

    /// Redis' password, if its manifests give one.
    pub(super) fn password(&self) -> Step<Option<Secret>> {
        let password = self.redis()?.role.password.and_then(|password| password.value).map(Secret::from);
        if let Some(password) = &password {
            self.evidence().secret(password.expose());
        }
        Ok(password)
    }

    /// Where clients find Redis: its Service by name, or the pod itself where no Service leads to it.
    pub(super) async fn endpoint(&mut self, database: u64) -> Step<Endpoint> {
        if self.case.is_generic() {
            return self.chosen_endpoint(database).await;
        }
        let redis = self.redis()?;
        let password = self.password()?;
        let db = u32::try_from(database).map_err(|_| Failure::broken(format!("{database} is no database number")))?;
        let (host, port) = match redis.service_address() {
            Some((host, port)) => (host, port),
            None => {
                self.note(format!("no Service leads to {}: clients connect to its pod", redis.workload));
                let pod = self.redis_pod().await?;
                let host = pod["status"]["podIP"].as_str().ok_or_else(|| Failure::broken("the pod of Redis has no address"))?.to_owned();
                (host, redis.role.port)
            }
        };
        Ok(Endpoint { host, port, db, password, ..Endpoint::default() })
    }

    /// One command to Redis, which must answer; errors of Redis itself come back as an object with `error`.
    pub(super) async fn command(&mut self, endpoint: &Endpoint, words: &[&str]) -> Step<Value> {
        let client = self.client().await?;
        match client.command(endpoint, words).await?.answer {
            Answer::Value(value) => Ok(value.to_json()),
            Answer::Refused(reason) => Err(Failure::violated(format!("{} is refused: {reason}", words.join(" ")))),
            Answer::Unknown(reason) => Err(Failure::violated(format!("{} gets no answer: {reason}", words.join(" ")))),
        }
    }

    /// Lets clients write so many writes, all of which are then in the ledger.
    async fn write(&mut self, workload: Workload) -> Step {
        let endpoint = self.endpoint(0).await?;
        let client = self.client().await?;
        // Nothing is measured here, and whoever gives a busy machine too little time would blame Redis for it.
        let workload = Workload { limits: Limits::PATIENT, ..workload };
        let ledger = client.write(&endpoint, workload).await?.finished().await?;
        if ledger.workloads.iter().any(|planned| !planned.complete) {
            return Err(Failure::broken("the clients ended before they had written everything"));
        }
        // Nothing is broken yet: a Redis that takes only some of the writes would be held to those alone.
        if let Some(outage) = ledger.outage() {
            let of = ledger.writes.len();
            return Err(Failure::violated(format!(
                "{} of {of} writes failed before anything was broken: {}",
                outage.refused + outage.unknown,
                outage.reason
            )));
        }
        self.data.ledger.extend(ledger);
        self.nothing_is_held_back(&endpoint).await
    }

    /// Waits until Redis has handed every write to the system: under `everysec` it may answer up to two seconds earlier while its disk is
    /// busy, and a kill in that time loses what nobody promised to keep.
    async fn nothing_is_held_back(&mut self, endpoint: &Endpoint) -> Step {
        let client = self.client().await?;
        Until::within(Duration::from_secs(20))
            .met::<_, Failure, _>("Redis to write what it holds back of its append-only file", || async {
                // Without INFO (renamed, forbidden) there is nothing to ask.
                let Some(info) = client.command(endpoint, &["INFO", "persistence"]).await?.text() else { return Ok(Look::Ready(())) };
                let held: u64 = info
                    .lines()
                    .find_map(|line| line.trim().strip_prefix("aof_buffer_length:"))
                    .and_then(|length| length.parse().ok())
                    .unwrap_or(0);
                Ok(if held == 0 { Look::Ready(()) } else { Look::NotYet(format!("{held} bytes are held back")) })
            })
            .await
    }

    /// Lets clients write until the ledger is asked for.
    async fn keep_writing(&mut self, workload: Workload) -> Step {
        let endpoint = self.endpoint(0).await?;
        let client = self.client().await?;
        let writing = client.write(&endpoint, workload).await?;
        // Every writer has been through every database by then.
        writing.acknowledged(UNDER_WAY, Duration::from_secs(20)).await?;
        self.data.writing = Some(writing);
        Ok(())
    }

    /// Ends the writers and gives everything that was written, which must be something.
    pub(super) async fn ledger(&mut self) -> Step<Ledger> {
        if let Some(writing) = self.data.writing.take() {
            // A client that still waits for its connection is without Redis: stopped now it would leave an outage without an end. Where
            // writes do not come through again, the ledger says so.
            if !writing.settled(SETTLED).await {
                tracing::debug!(?writing, "writes do not come through again");
            }
            let ledger = writing.stop().await?;
            self.data.ledger.extend(ledger);
        }
        let ledger = self.data.ledger.clone();
        self.evidence().file("ledger.jsonl", ledger.to_json_lines());
        if ledger.acknowledged() == 0 {
            return Err(Failure::broken("no write was acknowledged, so that nothing is proved"));
        }
        Ok(ledger)
    }

    /// Holds the ledger against what Redis has now.
    pub(super) async fn comparison(&mut self) -> Step<(Ledger, Comparison)> {
        let ledger = self.ledger().await?;
        let endpoint = self.endpoint(0).await?;
        let client = self.client().await?;
        let comparison = client.compare(&ledger, &endpoint).await?;
        self.evidence().timeline("comparison", serde_json::to_value(&comparison)?);
        if let Some(outage) = ledger.outage() {
            self.note(outage.with_loss(&comparison).to_string());
        }
        Ok((ledger, comparison))
    }
}

/// Tenants: small documents under many keys, in the databases of the servers.
fn tenants() -> Workload {
    Workload {
        places: vec![
            Place::new(0, "mcp:postgres:tenant:{}"),
            Place::new(1, "mcp:minio:tenant:{}"),
            Place::new(2, "mcp:pdf-generator:tenant:{}"),
        ],
        kind: Kind::Strings,
        ..Workload::default()
    }
}

/// Streams with a group and entries that were delivered and never acknowledged.
fn streams() -> Workload {
    Workload { places: vec![Place::new(0, "stream:{}")], kind: Kind::Streams, ..Workload::default() }
}

#[given("clients have written tenants to databases 0, 1 and 2")]
async fn clients_have_written_tenants(world: &mut World) -> Step {
    world.write(tenants().count(300)).await
}

#[given("clients have written to it")]
async fn clients_have_written(world: &mut World) -> Step {
    world.learn_means().await?;
    let mixed = Workload { places: vec![Place::new(0, "redis-conformance:{}")], kind: Kind::Mixed, ..Workload::default() };
    world.write(mixed.count(300)).await
}

#[given("clients have written streams with groups and pending entries")]
async fn clients_have_written_streams(world: &mut World) -> Step {
    world.write(streams().count(300)).await
}

#[given("tenants keep registering")]
async fn tenants_keep_registering(world: &mut World) -> Step {
    world.keep_writing(tenants().per_second(PACE)).await
}

#[given("clients keep writing streams")]
async fn clients_keep_writing_streams(world: &mut World) -> Step {
    world.keep_writing(streams().per_second(PACE)).await
}

#[then("every acknowledged write is still there")]
async fn every_write_is_still_there(world: &mut World) -> Step {
    let (_, comparison) = world.comparison().await?;
    if comparison.is_whole() {
        world.note(format!("{comparison}"));
        return Ok(());
    }
    Err(Failure::violated(comparison.to_string()).pointing_to(world.place_of_data()))
}

#[then("every acknowledged write is lost")]
async fn every_write_is_lost(world: &mut World) -> Step {
    let (_, comparison) = world.comparison().await?;
    if comparison.is_lost() {
        world.note(format!("{comparison}"));
        return Ok(());
    }
    let left = comparison.acknowledged - comparison.lost;
    let failure = Failure::violated(format!("{left} acknowledged writes are still there: {comparison}"));
    Err(failure.pointing_to(world.place_of_data()))
}

#[then("what was acknowledged is kept as far as the manifests promise")]
async fn kept_as_far_as_promised(world: &mut World) -> Step {
    let (_, comparison) = world.comparison().await?;
    let promise = world.promise()?;
    if comparison.is_whole() {
        world.note(format!("keeps: {comparison}"));
        return Ok(());
    }
    match promise {
        Some(promise) => Err(Failure::violated(format!("{promise}, and yet: {comparison}")).pointing_to(world.place_of_data())),
        None => {
            world.note(format!("loses, as the manifests promise nothing here: {comparison}"));
            Ok(())
        }
    }
}

#[then("clients were without Redis until the new pod was ready")]
async fn clients_were_without_redis(world: &mut World) -> Step {
    let ledger = world.ledger().await?;
    match ledger.outage() {
        Some(outage) if outage.recovered => {
            world.note(outage.to_string());
            Ok(())
        }
        Some(outage) => Err(Failure::violated(format!("writes never came through again: {outage}"))),
        None => Err(Failure::violated("no client missed Redis at all while its pod was away")),
    }
}

#[then("one single Redis answered at any time")]
async fn one_single_redis_answered(world: &mut World) -> Step {
    let ledger = world.ledger().await?;
    if ledger.servers() == 0 {
        return Err(Failure::broken("no Redis told its run id, so that two could not be told apart"));
    }
    let together = ledger.servers_at_once();
    if together.len() > 1 {
        return Err(Failure::violated(format!("{} Redis answered in turns, run ids {}", together.len(), together.join(", "))));
    }
    // A few long-lived connections may all have met the same of two by chance: so many new ones do not.
    let (endpoint, client) = (world.endpoint(0).await?, world.client().await?);
    let mut ids = BTreeSet::new();
    for _ in 0..CONNECTIONS {
        ids.extend(client.command(&endpoint, &["PING"]).await?.run_id);
    }
    if ids.len() > 1 {
        let ids: Vec<String> = ids.into_iter().collect();
        return Err(Failure::violated(format!("{} Redis answer behind one address, run ids {}", ids.len(), ids.join(", "))));
    }
    Ok(())
}

#[when(expr = "{int} keys are written")]
async fn keys_are_written(world: &mut World, count: u64) -> Step {
    let endpoint = world.endpoint(0).await?;
    let client = world.client().await?;
    let tally = client.load(&endpoint, crate::traffic::Load::set("bulk:{}", 0..count, 64)).await?;
    if tally.acknowledged < count {
        return Err(Failure::broken(format!("only {} of {count} writes were acknowledged", tally.acknowledged)));
    }
    Ok(())
}

#[when(expr = "the {int} seconds of the default save rule have passed")]
async fn the_seconds_have_passed(_world: &mut World, seconds: u64) -> Step {
    // The promise is about this very time: a snapshot that comes at its end must be seen, and Redis looks ten times a second.
    crate::wait::pause(Duration::from_secs(seconds + 5)).await;
    Ok(())
}
