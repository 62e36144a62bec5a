//! `kubectl run`: a bare pod for one command, whose output is shown and which is taken away again with `--rm`.

use super::{
    Call, Halt,
    access::{list, number, text},
    apply,
    delete::gone,
    exec::ended,
    flags::{Args, Flag, switch, value},
    kinds,
    select::Found,
    wait::EVERY,
};
use crate::{
    manifest::{Object, ObjectKey, Place},
    target::ContainerRef,
    wait::{Look, Until},
};
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, time::Duration};

pub(super) const FLAGS: &[Flag] = &[
    value("image"),
    switch("rm"),
    switch("stdin").or('i'),
    switch("tty").or('t'),
    switch("attach"),
    switch("quiet").or('q'),
    switch("command"),
    value("restart"),
    value("env"),
    value("labels").or('l'),
    value("port"),
    value("image-pull-policy"),
    value("pod-running-timeout"),
];

const A_WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

/// Makes the pod; with `-i` or `--attach` shows its output. Its standard input is empty: a runbook types nothing.
pub(super) async fn run(call: &mut Call, args: Args) -> Result<(), Halt> {
    args.only("restart", &["Always", "OnFailure", "Never"])?;
    let attach = args.is("attach", args.is("stdin", false)? || args.is("tty", false)?)?;
    if args.is("rm", false)? && !attach {
        return Err(Halt::error("--rm should only be used for attached containers"));
    }
    let [name] = args.words.as_slice() else { return Err(Halt::error("NAME is required for run")) };
    let image = args.one("image").ok_or_else(|| Halt::error("required flag(s) \"image\" not set"))?;
    let resource = kinds::one("pod")?;
    let key = resource.key(args.namespace(), name);
    if call.target.get(&key).await?.is_some() {
        return Err(Halt::Says(format!("Error from server (AlreadyExists): pods \"{name}\" already exists")));
    }
    let place = Place::of_file(format!("kubectl run {name}"));
    let object = Object::made(pod(&args, &key, image)?, place);
    let applied = call.target.apply(&[object]).await?;
    apply::say_remarks(call, &applied).await?;
    if !attach {
        return call.line(format!("pod/{name} created")).await;
    }
    let shown = show(call, &args, &key).await;
    if args.is("rm", false)?
        && let Some(object) = call.target.get(&key).await?
    {
        call.target.delete(&key, None).await?;
        if !args.is("quiet", false)? {
            call.line(format!("pod \"{name}\" deleted")).await?;
        }
        gone(call, &Found { resource, object }, A_WEEK).await?;
    }
    shown
}

fn pod(args: &Args, key: &ObjectKey, image: &str) -> Result<Value, Halt> {
    let mut container = Map::new();
    container.insert(String::from("name"), json!(key.name));
    container.insert(String::from("image"), json!(image));
    if let Some(command) = args.command.as_ref().filter(|command| !command.is_empty()) {
        let field = if args.is("command", false)? { "command" } else { "args" };
        container.insert(String::from(field), json!(command));
    }
    let pair = |text: &str| text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    let env: Option<Vec<_>> = args.all("env").map(pair).collect();
    let env = env.ok_or_else(|| Halt::error("--env wants NAME=VALUE"))?;
    if !env.is_empty() {
        container.insert(String::from("env"), env.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect());
    }
    if let Some(port) = args.number("port")? {
        container.insert(String::from("ports"), json!([{ "containerPort": port }]));
    }
    if let Some(policy) = args.one("image-pull-policy") {
        container.insert(String::from("imagePullPolicy"), json!(policy));
    }
    let labels: Option<BTreeMap<_, _>> = match args.one("labels") {
        None => Some(BTreeMap::from([(String::from("run"), key.name.clone())])),
        Some(labels) => labels.split(',').map(pair).collect(),
    };
    let labels = labels.ok_or_else(|| Halt::error("--labels wants KEY=VALUE,…"))?;
    Ok(json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": key.name, "namespace": key.namespace, "labels": labels },
        "spec": { "containers": [container], "restartPolicy": args.one("restart").unwrap_or("Always") },
    }))
}

/// Waits for the end of the container's first process, shows what it wrote, and ends as it ended unless it is started again.
async fn show(call: &Call, args: &Args, key: &ObjectKey) -> Result<(), Halt> {
    let limit = args.time("pod-running-timeout")?.unwrap_or(Duration::from_secs(60));
    let begun = |status: &Value| status.pointer("/state/running").is_some() || ended_state(status).is_some();
    status(call, key, limit, "to run", begun).await?;
    let status_at_end = status(call, key, A_WEEK, "to end", |status| ended_state(status).is_some()).await?;
    let container = ContainerRef { namespace: key.namespace.clone(), pod: key.name.clone(), container: key.name.clone() };
    let restarts = |status: &Value| number(status, "/restartCount");
    let previous = status_at_end.pointer("/state/terminated").is_none();
    let mut log = call.target.logs(&container, previous).await?;
    // Where it was started again meanwhile, that was the log of the wrong process.
    let now = status(call, key, limit, "to be there", |_| true).await?;
    if !previous && restarts(&now) > restarts(&status_at_end) {
        log = call.target.logs(&container, true).await?;
    }
    call.out(log).await?;
    let code = ended_state(&status_at_end).map_or(0, |ended| number(ended, "/exitCode"));
    if matches!(args.one("restart"), Some("Never" | "OnFailure")) && code != 0 {
        let reason = ended_state(&status_at_end).map_or("", |ended| text(ended, "/reason"));
        call.warn(format!("pod {}/{} terminated ({reason})", key.namespace, key.name)).await?;
        return match ended(i32::try_from(code).unwrap_or(i32::MAX)) {
            Err(Halt::Command(code)) => Err(Halt::Silent(code)),
            other => other,
        };
    }
    Ok(())
}

fn ended_state(status: &Value) -> Option<&Value> {
    ["/state/terminated", "/lastState/terminated"].iter().find_map(|pointer| status.pointer(pointer)).filter(|ended| !ended.is_null())
}

/// The container's status once it is as wanted.
async fn status(call: &Call, key: &ObjectKey, limit: Duration, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value, Halt> {
    let wanted = &wanted;
    let look = || async move {
        let pod = call.target.get(key).await?.ok_or_else(|| Halt::not_found("pods", &key.name))?;
        let status = list(&pod, "/status/containerStatuses").first().cloned().unwrap_or_default();
        let seen = format!("{} {}", super::pods::status_word(&pod), text(&status, "/state/waiting/message"));
        Ok::<_, Halt>(if wanted(&status) { Look::Ready(status) } else { Look::NotYet(seen) })
    };
    match Until::within(limit).every(EVERY).on(call.target.changes()).met(format!("{key} {what}"), look).await {
        Err(Halt::TimedOut(timed_out)) => {
            call.warn(format!("redis-conformance: last saw: {}", timed_out.last)).await?;
            Err(Halt::error("timed out waiting for the condition"))
        }
        other => other,
    }
}
