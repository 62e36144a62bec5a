//! Phrases about jobs on the bus: the dispatcher takes them, reports them, and ends their streams.

use super::{Failure, Step, World, obstacles::nothing_stands_for, servers};
use crate::{
    manifest::{ManifestSet, ObjectKey, Place, Roles, Workload, json::holds},
    traffic::{Client, HttpRequest},
    wait::{Look, Until},
};
use cucumber::{given, then, when};
use serde_json::{Value, json};
use std::{
    ops::RangeInclusive,
    time::{Duration, Instant},
};

/// A dispatcher at rest answers at once; two busy cores and a reconnecting client may take a few seconds.
const ANSWER: Duration = Duration::from_secs(30);

/// A job that an earlier step submitted.
#[derive(Clone, Debug)]
pub(super) struct Job {
    id: String,
    stream: String,
}

/// The workload that takes jobs, and where it answers: the client of Redis that a Service leads to.
async fn dispatcher(world: &mut World) -> Step<(ObjectKey, String)> {
    let (set, redis) = (world.set()?, world.redis()?);
    let roles = Roles::of(set.as_ref());
    let candidates = roles.clients.iter().filter(|client| !client.ends && client.id.workload.namespace == redis.workload.namespace);
    let found = candidates.filter_map(|client| Some((client, servers::ports_of(set.as_ref(), &client.id.workload)?))).next();
    let Some((client, (service, port))) = found else {
        let failure = Failure::violated("no workload behind a Service connects to this Redis: there is no dispatcher");
        return Err(failure.pointing_to(led_astray(set.as_ref())));
    };
    if let Some(without) = world.applied()?.without_program.iter().find(|without| without.owner == client.id.workload) {
        return Err(nothing_stands_for(without, "dispatcher"));
    }
    let (workload, fixtures) = (client.id.workload.clone(), world.applied()?.fixtures.clone());
    for fixture in fixtures.iter().filter(|fixture| fixture.owner == workload) {
        world.helped_by(&fixture.program);
    }
    Ok((workload, format!("http://{}.{}:{port}", service.name, service.namespace)))
}

/// Where an address of some Redis stands that a workload is given; asked only where none of them leads to this one.
fn led_astray(set: &ManifestSet) -> Option<Place> {
    let containers = set.workloads().flat_map(|workload| workload.containers().collect::<Vec<_>>());
    let mut variables = containers.flat_map(|container| set.environment(&container));
    let is_address = |value: &str| ["redis://", "rediss://"].iter().any(|scheme| value.trim().starts_with(scheme));
    variables.find(|variable| variable.value.as_deref().is_some_and(is_address)).map(|variable| variable.place)
}

/// One request to the dispatcher: status and body, or what came instead.
async fn ask(world: &mut World, method: &str, path: &str, body: Option<Value>) -> Step<Result<(u16, Value), String>> {
    let url = format!("{}{path}", dispatcher(world).await?.1);
    let client = world.client().await?;
    let body = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
    let answer = client.http(&HttpRequest { method: method.into(), url, body, ..HttpRequest::default() }).await?;
    Ok(answer.map(|answer| (answer.status, serde_json::from_slice(&answer.body).unwrap_or(Value::Null))))
}

#[given("the dispatcher is ready")]
async fn the_dispatcher_is_ready(world: &mut World) -> Step {
    let (workload, base) = dispatcher(world).await?;
    let set = world.set()?;
    let labels = set.get(&workload).and_then(Workload::of).map(|workload| workload.labels().clone()).unwrap_or_default();
    let target = world.target().await?;
    Until::within(Duration::from_secs(60))
        .on(target.changes())
        .met::<_, Failure, _>(format!("a ready pod of {workload}"), || async {
            let pods = target.list("Pod", Some(&workload.namespace)).await?;
            let of_it = |pod: &&Value| labels.iter().all(|(name, value)| pod["metadata"]["labels"][name] == *value);
            let ready = pods.iter().filter(of_it).any(|pod| holds(pod, "Ready"));
            Ok(if ready { Look::Ready(()) } else { Look::NotYet(format!("{} pods, none of them ready", pods.len())) })
        })
        .await?;
    // Ready is not yet reachable: its Service learns of it a moment later.
    let client = world.client().await?;
    let request = HttpRequest { method: "GET".into(), url: format!("{base}/jobs"), ..HttpRequest::default() };
    Until::within(ANSWER)
        .met::<_, Failure, _>(format!("{workload} to answer"), || async {
            Ok(match client.http(&request).await? {
                Ok(answer) if answer.status == 200 => Look::Ready(()),
                Ok(answer) => Look::NotYet(format!("status {}", answer.status)),
                Err(reason) => Look::NotYet(reason),
            })
        })
        .await
}

/// Submits a job and waits until it is what the step needs.
async fn submit(world: &mut World, steps: u32, milliseconds: u64) -> Step<Job> {
    let body = json!({ "steps": steps, "duration_ms": milliseconds });
    match ask(world, "POST", "/jobs", Some(body)).await? {
        Ok((status, answer)) if (200..300).contains(&status) => {
            let text = |name: &str| answer[name].as_str().map(ToOwned::to_owned);
            let id = text("id").ok_or_else(|| Failure::broken(format!("the dispatcher answers a job without an id: {answer}")))?;
            let stream =
                text("stream").ok_or_else(|| Failure::broken(format!("the dispatcher answers a job without its stream: {answer}")))?;
            Ok(Job { id, stream })
        }
        Ok((status, answer)) => Err(Failure::violated(format!("the dispatcher refuses a job with {status}: {answer}"))),
        Err(reason) => Err(Failure::violated(format!("the dispatcher does not take a job: {reason}"))),
    }
}

/// What the dispatcher says of a job: its state, or what came instead.
async fn state_of(client: &Client, base: &str, job: &Job) -> Step<Result<String, String>> {
    let request = HttpRequest { method: "GET".into(), url: format!("{base}/jobs/{}", job.id), ..HttpRequest::default() };
    Ok(match client.http(&request).await? {
        Ok(answer) => {
            let body: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
            body["state"].as_str().map(ToOwned::to_owned).ok_or_else(|| format!("the dispatcher answers {}: {body}", answer.status))
        }
        Err(reason) => Err(format!("the dispatcher does not answer: {reason}")),
    })
}

/// Waits until the job is in the state.
async fn job_is(world: &mut World, job: &Job, wanted: &str) -> Step {
    let (_, base) = dispatcher(world).await?;
    let client = world.client().await?;
    Until::within(ANSWER)
        .met::<_, Failure, _>(format!("job {} to be {wanted}", job.id), || async {
            Ok(match state_of(&client, &base, job).await? {
                Ok(state) if state == wanted => Look::Ready(()),
                Ok(state) => Look::NotYet(format!("the job is {state}")),
                Err(instead) => Look::NotYet(instead),
            })
        })
        .await
}

#[given("a job is in flight")]
#[when("a job is in flight")]
async fn a_job_is_in_flight(world: &mut World) -> Step {
    // Longer than any of these scenarios: it cannot end by itself. Each half second it adds an entry to its stream.
    let job = submit(world, 1200, 600_000).await?;
    job_is(world, &job, "running").await?;
    world.data.job = Some(job);
    Ok(())
}

#[when("a job has completed")]
async fn a_job_has_completed(world: &mut World) -> Step {
    // Long enough to be seen on a busy machine: a stream that never was is gone from the beginning.
    let job = submit(world, 10, 5_000).await?;
    its_stream_is_seen(world, &job).await?;
    job_is(world, &job, "done").await?;
    world.data.job = Some(job);
    Ok(())
}

/// Waits until Redis has the stream of a job that is not done.
async fn its_stream_is_seen(world: &mut World, job: &Job) -> Step {
    let (_, base) = dispatcher(world).await?;
    let (client, endpoint) = (world.client().await?, world.endpoint(0).await?);
    Until::within(ANSWER)
        .met::<_, Failure, _>(format!("the stream {}", job.stream), || async {
            let answer = client.command(&endpoint, &["EXISTS", &job.stream]).await?;
            if answer.number() == Some(1) {
                return Ok(Look::Ready(()));
            }
            Ok(Look::NotYet(match state_of(&client, &base, job).await? {
                Ok(state) if state == "done" => {
                    return Err(Failure::violated(format!("the job is done and Redis never had a stream {}", job.stream)));
                }
                Ok(state) => format!("the job is {state}, EXISTS answers {answer}"),
                Err(instead) => instead,
            }))
        })
        .await
}

fn submitted(world: &World) -> Step<Job> {
    world.data.job.clone().ok_or_else(|| Failure::broken("no job was submitted by an earlier step"))
}

#[then("the job in flight is reported lost")]
async fn the_job_is_reported_lost(world: &mut World) -> Step {
    let job = submitted(world)?;
    let Err(failure) = job_is(world, &job, "lost").await else { return Ok(()) };
    // What keeps the stream is a setting of Redis; what does not notice its loss is the dispatcher.
    let role = world.redis()?.role;
    let place = if role.config.is_on("appendonly", false) || !role.config.saves().is_empty() {
        world.place_of_setting(&["appendonly", "save"])
    } else {
        place_of_dispatcher(world, None).await
    };
    Err(failure.pointing_to(place))
}

/// Where the dispatcher's variable stands that gives it one of these numbers of seconds; its workload where there is none.
async fn place_of_dispatcher(world: &mut World, seconds: Option<RangeInclusive<i64>>) -> Option<Place> {
    let workload = dispatcher(world).await.ok()?.0;
    let set = world.set().ok()?;
    let object = set.get(&workload)?;
    let gives = |value: &str| value.parse().is_ok_and(|given| seconds.as_ref().is_some_and(|seconds| seconds.contains(&given)));
    let variables = Workload::of(object)?.containers().flat_map(|container| set.environment(&container)).collect::<Vec<_>>();
    let found = variables.into_iter().find(|variable| variable.value.as_deref().is_some_and(gives)).map(|variable| variable.place);
    Some(found.unwrap_or_else(|| object.place_of("/metadata/name")))
}

#[then("a new job completes")]
async fn a_new_job_completes(world: &mut World) -> Step {
    let job = submit(world, 4, 200).await?;
    job_is(world, &job, "done").await?;
    if let Some(began) = world.fault.began {
        world.note(format!("the first job after the fault is done {:.1} s after it", began.elapsed().as_secs_f64()));
    }
    Ok(())
}

#[then(expr = "its stream has a time to live of at most {int} seconds, which later entries do not renew")]
async fn its_stream_has_a_time_to_live(world: &mut World, most: i64) -> Step {
    let job = submitted(world)?;
    let endpoint = world.endpoint(0).await?;
    let first = world.command(&endpoint, &["PTTL", &job.stream]).await?.as_i64().unwrap_or(-2);
    let wrong = match first {
        -2 => Some(format!("there is no stream {}", job.stream)),
        -1 => Some(format!("the stream {} has no time to live", job.stream)),
        left if left > most * 1000 => Some(format!("the stream lives {left} ms more, over {most} s")),
        _ => None,
    };
    if let Some(wrong) = wrong {
        // The number of seconds that it was given, of which some have passed.
        let given = (first > 0).then(|| first / 1000..=first / 1000 + 60);
        let place = place_of_dispatcher(world, given).await;
        return Err(Failure::violated(wrong).pointing_to(place));
    }
    // XADD itself never renews it. Whoever writes the entries may: so it is the dispatcher's own later entries that are waited for.
    let asked = Instant::now();
    let length = world.command(&endpoint, &["XLEN", &job.stream]).await?;
    let before = length.as_i64().unwrap_or(0);
    let client = world.client().await?;
    Until::within(ANSWER)
        .met::<_, Failure, _>(format!("three more entries in {} than {before}", job.stream), || async {
            let answer = client.command(&endpoint, &["XLEN", &job.stream]).await?;
            Ok(if answer.number().is_some_and(|now| now >= before + 3) { Look::Ready(()) } else { Look::NotYet(answer.to_string()) })
        })
        .await?;
    let later = world.command(&endpoint, &["PTTL", &job.stream]).await?.as_i64().unwrap_or(-2);
    let passed = i64::try_from(asked.elapsed().as_millis()).unwrap_or(i64::MAX);
    // Renewed at the last entry it would have lost the time since that one alone, which is less than half.
    if later < 0 || first - later < passed / 2 {
        return Err(Failure::violated(format!("{first} ms were left, and {passed} ms and three entries later {later} ms")));
    }
    world.note(format!("the stream of {length} entries lives {} s more at most", first / 1000));
    Ok(())
}

#[then("its stream is gone")]
async fn its_stream_is_gone(world: &mut World) -> Step {
    let job = submitted(world)?;
    let endpoint = world.endpoint(0).await?;
    match world.command(&endpoint, &["EXISTS", &job.stream]).await?.as_i64() {
        Some(0) => Ok(()),
        found => Err(Failure::violated(format!("the job is done and EXISTS {} answers {found:?}", job.stream))),
    }
}
