//! Phrases about memory: eviction under pressure, and head-room over the store.

use super::{Failure, Step, World};
use crate::{
    manifest::ObjectKey,
    target::{ContainerRef, Process, Target, TargetError},
    traffic::{Client, Endpoint, Load, Tally},
    wait::{Look, Until},
};
use cucumber::{then, when};
use std::{ops::Range, sync::Arc, time::Duration};

/// Bytes of a value: large enough to fill a store of hundreds of megabytes in a second or two, small against it, and with its header
/// still in the largest of jemalloc's small classes, 14 KiB: what is larger takes a page more than itself, a quarter of it.
const VALUE: usize = 14_000;
/// Bytes of the values of a bus that carries jobs of every kind: all lengths from the one to the other, mixed. A bus whose values become
/// shorter or longer all at once needs far more for some seconds: the allocator gives freed memory back only after ten of them.
const MIXED: Range<usize> = 100..12_000;
/// Entries that each stream is given, in one command.
const ENTRIES: u64 = 10;

/// Which settings decide on what is evicted.
const POLICY: [&str; 2] = ["maxmemory-policy", "maxmemory"];

/// What an earlier step did to the store.
#[derive(Debug, Default)]
pub(super) struct Pressure {
    idle_gone: u64,
    busy_gone: u64,
    fresh_gone: u64,
    torn: u64,
    evicted: u64,
    /// More than so many were to be evicted.
    wanted: u64,
    refused: Tally,
    /// How Redis came to its end under it, if it did.
    death: Option<Death>,
}

/// The end of a Redis over a full store.
#[derive(Debug)]
struct Death {
    /// Bytes of unread replies that clients held, or were about to; 0 while the store was being filled.
    unread: u64,
    /// `state.terminated.reason` of its container: `OOMKilled`.
    reason: String,
}

impl Death {
    fn when(&self) -> String {
        match self.unread {
            0 => "while the store was filled".into(),
            bytes => format!("with {} MB of unread replies", bytes >> 20),
        }
    }
}

/// A number that `INFO` gives.
async fn figure(world: &mut World, endpoint: &Endpoint, name: &str) -> Step<u64> {
    let info = world.command(endpoint, &["INFO", "all"]).await?;
    let text = info.as_str().unwrap_or_default();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.and_then(|value| value.trim().parse().ok()).ok_or_else(|| Failure::broken(format!("INFO has no {name}")))
}

/// The bytes that bound the store.
async fn bound(world: &mut World) -> Step<u64> {
    let most: u64 = world.setting("maxmemory").await?.parse().map_err(|_| Failure::broken("maxmemory is no number"))?;
    if most == 0 {
        let failure = Failure::violated("maxmemory is 0: nothing bounds the store, so that nothing is ever evicted");
        return Err(failure.pointing_to(world.place_of_setting(&["maxmemory"])));
    }
    Ok(most)
}

async fn load(client: &Client, endpoint: &Endpoint, load: Load, all: &mut Tally) -> Step<Tally> {
    let tally = client.load(endpoint, load).await?;
    for (reason, count) in &tally.refused {
        *all.refused.entry(reason.clone()).or_default() += count;
    }
    all.acknowledged += tally.acknowledged;
    all.unknown += tally.unknown;
    Ok(tally)
}

/// How many keys of the range are gone.
async fn gone(client: &Client, endpoint: &Endpoint, key: &str, range: Range<u64>) -> Step<u64> {
    let there = client.load(endpoint, Load::command(&["EXISTS", key], range.clone())).await?;
    Ok((range.end - range.start).saturating_sub(there.hit_count()))
}

#[when(expr = "keys are written until more than {int} have been evicted, while half of the keys are read again and again")]
async fn keys_are_written_under_pressure(world: &mut World, evictions: u64) -> Step {
    let endpoint = world.endpoint(0).await?;
    let client = world.client().await?;
    // Two of these leave a tenth of the store free.
    let half = bound(world).await? * 45 / 100 / VALUE as u64;
    let mut all = Tally::default();
    load(&client, &endpoint, Load::set("idle:{}", 0..half, VALUE), &mut all).await?;
    load(&client, &endpoint, Load::set("busy:{}", 0..half, VALUE), &mut all).await?;
    // Redis counts idle time in whole seconds: before that all keys look alike to it. A key that is evicted already says nothing: the
    // next look asks for the next one.
    let mut asked = 0;
    Until::within(Duration::from_secs(20))
        .every(Duration::from_millis(200))
        .met::<_, Failure, _>("keys to have been idle for three seconds", || {
            let key = format!("idle:{asked}");
            asked = (asked + 1) % half.max(1);
            let (client, endpoint) = (&client, &endpoint);
            async move {
                let answer = client.command(endpoint, &["OBJECT", "IDLETIME", &key]).await?;
                Ok(match answer.number() {
                    Some(idle) if idle >= 3 => Look::Ready(()),
                    _ => Look::NotYet(format!("{key}: {answer}")),
                })
            }
        })
        .await?;
    let mut written = 0;
    // Four stores full are more than any eviction needs; without one the loop would be endless.
    let most = half * 8;
    let mut evicted = 0;
    while evicted <= evictions && written < most && all.refusals() == 0 {
        client.load(&endpoint, Load::command(&["EXISTS", "busy:{}"], 0..half)).await?;
        client.load(&endpoint, Load::command(&["GETRANGE", "busy:{}", "0", "0"], 0..half)).await?;
        load(&client, &endpoint, Load::set("fresh:{}", written..written + half / 20, VALUE), &mut all).await?;
        written += half / 20;
        evicted = figure(world, &endpoint, "evicted_keys").await?;
    }
    world.data.pressure = Some(Pressure {
        idle_gone: gone(&client, &endpoint, "idle:{}", 0..half).await?,
        busy_gone: gone(&client, &endpoint, "busy:{}", 0..half).await?,
        fresh_gone: gone(&client, &endpoint, "fresh:{}", 0..written).await?,
        evicted,
        wanted: evictions,
        refused: all,
        ..Pressure::default()
    });
    Ok(())
}

impl Pressure {
    /// A handful of evictions says nothing about their order.
    fn suffices(&self) -> Step {
        if self.evicted > self.wanted {
            return Ok(());
        }
        Err(Failure::violated(format!("only {} keys were evicted, and more than {} were to be", self.evicted, self.wanted)))
    }
}

fn pressure(world: &World) -> Step<&Pressure> {
    world.data.pressure.as_ref().ok_or_else(|| Failure::broken("no earlier step put the store under pressure"))
}

#[then("no write was refused")]
async fn no_write_was_refused(world: &mut World) -> Step {
    refused_none(pressure(world)?).map_err(|failure| failure.pointing_to(world.place_of_setting(&POLICY)))
}

/// Whether every write of the step was acknowledged.
fn refused_none(pressure: &Pressure) -> Step {
    let tally = &pressure.refused;
    if tally.acknowledged == 0 {
        return Err(Failure::broken("no write was acknowledged at all"));
    }
    match tally.refused.iter().next() {
        Some((reason, count)) => Err(Failure::violated(format!("{count} writes were refused: {reason}"))),
        None if tally.unknown > 0 => Err(Failure::violated(format!("{} writes got no answer", tally.unknown))),
        None => Ok(()),
    }
}

#[then(expr = "at least {int} percent of the evicted keys had been idle")]
async fn evicted_keys_had_been_idle(world: &mut World, percent: u64) -> Step {
    let pressure = pressure(world)?;
    let all = pressure.idle_gone + pressure.busy_gone + pressure.fresh_gone;
    if all == 0 {
        return Err(Failure::violated("no key was evicted").pointing_to(world.place_of_setting(&POLICY)));
    }
    pressure.suffices()?;
    let share = pressure.idle_gone * 100 / all;
    let text = format!("{share} percent of {all} evicted keys had been idle ({} busy, {} fresh)", pressure.busy_gone, pressure.fresh_gone);
    if share < percent {
        return Err(Failure::violated(text).pointing_to(world.place_of_setting(&POLICY)));
    }
    world.note(text);
    Ok(())
}

#[then("used memory stays within maxmemory and one write")]
async fn used_memory_stays_within_maxmemory(world: &mut World) -> Step {
    let endpoint = world.endpoint(0).await?;
    let used = figure(world, &endpoint, "used_memory").await?;
    let not_counted = figure(world, &endpoint, "mem_not_counted_for_evict").await?;
    let most = figure(world, &endpoint, "maxmemory").await?;
    // One write: the value, its key and their overhead.
    let write = VALUE as u64 + 4096;
    let counted = used.saturating_sub(not_counted);
    if counted > most + write {
        let failure = Failure::violated(format!("{counted} bytes count, over maxmemory {most} and one write of {write}"));
        return Err(failure.pointing_to(world.place_of_setting(&["maxmemory"])));
    }
    world.note(format!("{counted} bytes of at most {most} are used"));
    Ok(())
}

#[when(expr = "streams are written until more than {int} keys have been evicted")]
async fn streams_are_written_under_pressure(world: &mut World, evictions: u64) -> Step {
    let endpoint = world.endpoint(0).await?;
    let client = world.client().await?;
    let per_stream = VALUE / 8;
    let batch = bound(world).await? / (per_stream as u64 * ENTRIES) / 5;
    // One command a stream: a stream that is evicted between two of its entries would begin anew with the later ones.
    let script = format!("for i=1,{ENTRIES} do redis.call('XADD', KEYS[1], '*', 'value', ARGV[1]) end return 1");
    let mut all = Tally::default();
    let (mut written, mut evicted) = (0, 0);
    while evicted <= evictions && written < batch * 40 && all.refusals() == 0 {
        let write = Load::command(&["EVAL", &script, "1", "stream:{}", "{value}"], written..written + batch).value(per_stream);
        load(&client, &endpoint, write, &mut all).await?;
        written += batch;
        evicted = figure(world, &endpoint, "evicted_keys").await?;
    }
    let look = format!("local n = redis.call('XLEN', KEYS[1]) if n == 0 or n == {ENTRIES} then return 0 end return n");
    let torn = client.load(&endpoint, Load::command(&["EVAL", &look, "1", "stream:{}"], 0..written)).await?;
    if torn.unknown > 0 || torn.refusals() > 0 {
        let why = torn.refused.keys().next().or(torn.first_unknown.as_ref()).cloned().unwrap_or_default();
        return Err(Failure::broken(format!("{} streams could not be looked at: {why}", torn.unknown + torn.refusals())));
    }
    world.data.pressure = Some(Pressure { torn: torn.hit_count(), evicted, wanted: evictions, refused: all, ..Pressure::default() });
    Ok(())
}

#[then("each stream is whole or gone")]
async fn each_stream_is_whole_or_gone(world: &mut World) -> Step {
    let pressure = pressure(world)?;
    let policy = || world.place_of_setting(&POLICY);
    refused_none(pressure).map_err(|failure| failure.pointing_to(policy()))?;
    pressure.suffices().map_err(|failure| failure.pointing_to(policy()))?;
    if pressure.torn > 0 {
        return Err(Failure::violated(format!("{} streams have lost some of their entries", pressure.torn)));
    }
    let note = format!("refuted as written: {} whole streams were evicted, no single entry", pressure.evicted);
    world.note(note);
    Ok(())
}

/// One step of unread replies, and the most that is tried.
const REPLIES: u64 = 16 << 20;
const MOST: u64 = 512 << 20;

#[when("the store is filled, fragmented, and clients hold 64 MB of unread replies")]
async fn the_store_is_filled(world: &mut World) -> Step {
    let endpoint = world.endpoint(0).await?;
    let client = world.client().await?;
    let most = bound(world).await?;
    // As many as fill the store twice: every key of the first filling makes room for one of another length.
    let mean = (MIXED.start + MIXED.end) as u64 / 2;
    let twice = most * 2 / mean;
    let container = world.redis_container().await?;
    let target = world.target().await?;
    // Before the first write: filling the store may be enough to be killed.
    let before = target.process(&container).await?;
    let mut all = Tally::default();
    let mixed = Load::set("key:{}", 0..twice, MIXED.start).spread(MIXED.end - MIXED.start);
    load(&client, &endpoint, mixed, &mut all).await?;
    let mut death = None;
    if is_alive(&target, &container, &before, &client, &endpoint).await? {
        let used = figure(world, &endpoint, "used_memory").await?;
        if used < most / 10 * 9 {
            return Err(Failure::broken(format!("the store holds {used} bytes of {most}, and was to be full")));
        }
        let resident = figure(world, &endpoint, "used_memory_rss").await?;
        world.note(format!("the full store of {} MB takes {} MB of memory", used >> 20, resident >> 20));
    } else {
        death = Some(world.death(&container, &before, 0).await?);
    }
    let mut held = Vec::new();
    let mut bytes = 0;
    while death.is_none() && bytes < MOST {
        let holding = client.hold(&endpoint, REPLIES).await;
        bytes += REPLIES;
        if is_alive(&target, &container, &before, &client, &endpoint).await? {
            held.push(holding?);
        } else {
            death = Some(world.death(&container, &before, bytes).await?);
        }
    }
    for holding in held {
        holding.release().await?;
    }
    world.data.pressure = Some(Pressure { death, refused: all, ..Pressure::default() });
    Ok(())
}

/// Whether the same Redis as before answers; a process that is being killed is still listed for a moment, and answers no more.
async fn is_alive(
    target: &Arc<dyn Target>,
    container: &ContainerRef,
    before: &Process,
    client: &Client,
    endpoint: &Endpoint,
) -> Step<bool> {
    Until::within(Duration::from_secs(60))
        .met::<_, Failure, _>("Redis to answer or to end", || async {
            match target.process(container).await {
                Ok(now) if now.restarts == before.restarts => {}
                Ok(_) | Err(TargetError::Missing(_)) => return Ok(Look::Ready(false)),
                Err(error) => return Err(error.into()),
            }
            let answer = client.command(endpoint, &["PING"]).await?;
            Ok(if answer.is_pong() { Look::Ready(true) } else { Look::NotYet(answer.to_string()) })
        })
        .await
}

impl World {
    /// What the container's status tells of the end of this process.
    async fn death(&mut self, container: &ContainerRef, before: &Process, unread: u64) -> Step<Death> {
        let target = self.target().await?;
        let key = ObjectKey { kind: "Pod".into(), namespace: container.namespace.clone(), name: container.pod.clone() };
        let reason = Until::within(Duration::from_secs(10))
            .on(target.changes())
            .met::<_, Failure, _>(format!("the status of {container} to tell of its end"), || async {
                let pod = target.get(&key).await?.unwrap_or_default();
                let statuses = pod["status"]["containerStatuses"].as_array().into_iter().flatten();
                let Some(status) = statuses.into_iter().find(|status| status["name"] == container.container.as_str()) else {
                    return Ok(Look::NotYet(format!("{key} has no status of it")));
                };
                // An earlier end is not this one.
                let earlier = u64::from(before.restarts);
                let states = [&status["state"]["terminated"], &status["lastState"]["terminated"]];
                let restarts = status["restartCount"].as_u64().unwrap_or_default();
                let ended = states.into_iter().zip([restarts >= earlier, restarts > earlier]);
                let reason = ended.filter(|(_, is_this)| *is_this).find_map(|(state, _)| state["reason"].as_str());
                Ok(reason.map_or_else(|| Look::NotYet(status.to_string()), |reason| Look::Ready(reason.to_owned())))
            })
            .await?;
        Ok(Death { unread, reason })
    }
}

#[then("Redis was not killed for memory")]
async fn redis_was_not_killed_for_memory(world: &mut World) -> Step {
    match &pressure(world)?.death {
        // Beyond that nothing is promised: a shell around a killed Redis ends by itself, for a reason of its own.
        Some(death) if death.unread > 64 << 20 => Ok(()),
        Some(death) if death.reason != "OOMKilled" => {
            Err(Failure::broken(format!("{}, Redis ended for another reason than memory: {}", death.when(), death.reason)))
        }
        Some(death) => {
            let failure = Failure::violated(format!("{} Redis ended: {}", death.when(), death.reason));
            Err(failure.pointing_to(world.place_of_field("/resources/limits/memory")))
        }
        None => Ok(()),
    }
}

#[then("it is told how much more it takes until Redis is killed")]
async fn it_is_told_when_redis_dies(world: &mut World) -> Step {
    let note = match &pressure(world)?.death {
        Some(death) if death.reason == "OOMKilled" => format!("killed for memory {} over a full, fragmented store", death.when()),
        Some(death) => format!("ended ({}) {} over a full, fragmented store", death.reason, death.when()),
        None => format!("not killed for memory with {} MB of unread replies over a full, fragmented store", MOST >> 20),
    };
    world.note(note);
    Ok(())
}
