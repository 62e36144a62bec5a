//! Jobs: pods until enough of them succeeded.

use super::{
    super::{
        clock,
        events::{self, Level},
        json::{self, holds, number, set_condition, text},
        pods,
    },
    Context,
};
use serde_json::{Value, json};
use std::time::Duration;

pub(super) fn look(context: &Context<'_>) {
    for job in context.store.list("Job", None) {
        if !json::has(&job, "/metadata/deletionTimestamp") && !holds(&job, "Complete") && !holds(&job, "Failed") {
            one(context, &job);
        }
    }
}

fn one(context: &Context<'_>, job: &Value) {
    let pods = pods::of(context.store, job);
    let phase = |wanted: &str| pods.iter().filter(|pod| text(pod, "/status/phase") == wanted).count();
    let (succeeded, failed) = (phase("Succeeded"), phase("Failed"));
    let active = pods.iter().filter(|pod| pods::is_active(pod)).count();
    let count =
        |field: &str, default: usize| number(job, &format!("/spec/{field}")).map_or(default, |count| usize::try_from(count).unwrap_or(0));
    let (completions, parallelism, limit) = (count("completions", 1), count("parallelism", 1), count("backoffLimit", 6));
    let restarts: i64 =
        pods.iter().flat_map(|pod| json::list(pod, "/status/containerStatuses")).filter_map(|status| number(status, "/restartCount")).sum();
    let given_up = failed > limit || usize::try_from(restarts).unwrap_or(0) > limit;
    let mut wanted = parallelism.min(completions.saturating_sub(succeeded));
    if given_up || job["spec"]["suspend"] == true {
        wanted = 0;
        for pod in pods.iter().filter(|pod| pods::is_active(pod)) {
            pods::delete(context.store, pod, None);
        }
    }
    if active < wanted && backed_off(context, &pods, failed) {
        for _ in active..wanted {
            let mut pod = pods::from_template(job, &job["spec"]["template"], &pods::generated_name(job));
            for label in ["batch.kubernetes.io/job-name", "job-name"] {
                json::set(&mut pod, &format!("/metadata/labels/{}", label.replace('/', "~1")), job["metadata"]["name"].clone());
            }
            match pods::create(context.store, pod, context.options.toleration) {
                Ok(pod) => {
                    let words = format!("Created pod: {}", text(&pod, "/metadata/name"));
                    events::tell(context.store, job, Level::Normal, "SuccessfulCreate", &words, "job-controller");
                }
                Err(refusal) => {
                    events::tell_once(
                        context.store,
                        job,
                        Level::Warning,
                        "FailedCreate",
                        &format!("Error creating: {refusal}"),
                        "job-controller",
                    );
                    break;
                }
            }
        }
    }
    context.update(job, |job| {
        for (field, count) in [("active", active), ("succeeded", succeeded), ("failed", failed)] {
            job["status"][field] = json!(count);
        }
        if !json::has(job, "/status/startTime") {
            job["status"]["startTime"] = clock::now();
        }
        if succeeded >= completions {
            job["status"]["completionTime"] = clock::now();
            set_condition(job, "Complete", "True", "CompletionsReached", "Reached expected number of succeeded pods");
        } else if given_up {
            set_condition(job, "Failed", "True", "BackoffLimitExceeded", "Job has reached the specified backoff limit");
        }
    });
}

/// After failures a Job waits: 10 s, doubled with each, six minutes at most.
fn backed_off(context: &Context<'_>, pods: &[std::sync::Arc<Value>], failed: usize) -> bool {
    if failed == 0 {
        return true;
    }
    let wait = Duration::from_secs(10 << (failed - 1).min(6)).min(Duration::from_secs(360));
    let ended = pods
        .iter()
        .flat_map(|pod| json::list(pod, "/status/containerStatuses"))
        .filter_map(|status| status.pointer("/state/terminated/finishedAt"));
    let ago = ended.map(clock::since).min().unwrap_or(wait);
    if ago < wait {
        context.look_again(wait.saturating_sub(ago));
    }
    ago >= wait
}
