//! `kubectl delete`: by name, selector or file; waits until the objects are gone.

use super::{
    Call, Halt,
    access::{name, namespace, text},
    apply,
    flags::{Args, Flag, switch, value},
    select::{self, Found, Meant},
    wait::EVERY,
};
use crate::wait::{Look, Until};
use std::time::Duration;

pub(super) const FLAGS: &[Flag] = &[
    value("selector").or('l'),
    value("field-selector"),
    switch("all"),
    switch("all-namespaces").or('A'),
    switch("wait"),
    switch("force"),
    switch("now"),
    value("grace-period"),
    value("timeout"),
    value("cascade"),
    switch("ignore-not-found"),
    value("filename").or('f'),
    value("kustomize").or('k'),
    value("output").or('o'),
];

/// As long as `kubectl` itself waits at most.
const A_WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

/// Deletes objects.
pub(super) async fn run(call: &mut Call, args: Args) -> Result<(), Halt> {
    args.only("cascade", &["background"])?;
    args.only("output", &["name"])?;
    let (found, missing) = meant(call, &args).await?;
    let force = args.is("force", false)?;
    let grace = grace(&args, force)?;
    let missing = if args.is("ignore-not-found", false)? { Vec::new() } else { missing };
    if found.is_empty() && missing.is_empty() && !matches!(args.words.len(), 2..) {
        call.line("No resources found").await?;
    }
    if force {
        call.warn("Warning: Immediate deletion does not wait for confirmation that the running resource has been terminated. The resource may continue to run on the cluster indefinitely.").await?;
    }
    for found in &found {
        call.target.delete(&found.resource.key(namespace(&found.object), name(&found.object)), grace).await?;
        let line = match (args.one("output"), force) {
            (Some(_), _) => found.label(),
            (None, true) => format!("{} \"{}\" force deleted", found.resource.singular(), name(&found.object)),
            (None, false) => format!("{} \"{}\" deleted", found.resource.singular(), name(&found.object)),
        };
        call.line(line).await?;
    }
    if args.is("wait", true)? {
        let limit = args.time("timeout")?.filter(|limit| !limit.is_zero()).unwrap_or(A_WEEK);
        for found in &found {
            gone(call, found, limit).await?;
        }
    }
    for halt in &missing {
        call.warn(halt.to_string()).await?;
    }
    if missing.is_empty() { Ok(()) } else { Err(Halt::Silent(1)) }
}

async fn meant(call: &mut Call, args: &Args) -> Result<(Vec<Found>, Vec<Halt>), Halt> {
    if args.one("filename").is_some() || args.one("kustomize").is_some() {
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for object in apply::objects(call, args).await? {
            let (resource, key) = apply::known(&object)?;
            match call.target.get(&key).await? {
                Some(object) => found.push(Found { resource, object }),
                None => missing.push(Halt::not_found(&resource.plural(), &key.name)),
            }
        }
        return Ok((found, missing));
    }
    let narrowed = args.one("selector").is_some() || args.one("field-selector").is_some() || args.is("all", false)?;
    if matches!(select::meant(&args.words)?, Meant::Kinds(_)) && !narrowed {
        return Err(Halt::error("resource(s) were provided, but no name was specified"));
    }
    select::all(call, args, &args.words).await
}

fn grace(args: &Args, force: bool) -> Result<Option<Duration>, Halt> {
    if args.is("now", false)? {
        return Ok(Some(Duration::from_secs(1)));
    }
    let seconds = args.number("grace-period")?.and_then(|seconds| u64::try_from(seconds).ok());
    match (seconds, force) {
        (Some(0), false) => Err(Halt::error("--grace-period=0 needs --force, or the pod may run on unseen; --grace-period=1 needs none")),
        (Some(seconds), _) => Ok(Some(Duration::from_secs(seconds))),
        (None, true) => Ok(Some(Duration::ZERO)),
        (None, false) => Ok(None),
    }
}

/// Waits until the object is gone; another under its name is not it.
pub(super) async fn gone(call: &Call, found: &Found, limit: Duration) -> Result<(), Halt> {
    let key = found.resource.key(namespace(&found.object), name(&found.object));
    let uid = text(&found.object, "/metadata/uid");
    let look = || async {
        Ok::<_, Halt>(match call.target.get(&key).await? {
            Some(object) if text(&object, "/metadata/uid") == uid => Look::NotYet(String::from("it is still there")),
            _ => Look::Ready(()),
        })
    };
    match Until::within(limit).every(EVERY).on(call.target.changes()).met(format!("{key} to be gone"), look).await {
        Err(Halt::TimedOut(_)) => {
            Err(Halt::error(format!("timed out waiting for the condition on {}/{}", found.resource.plural, key.name)))
        }
        other => other,
    }
}
