//! `kubectl logs`.

use super::{
    Call, Halt,
    access::{list, name, namespace, number, text},
    flags::{Args, Flag, switch, value},
    pods, select,
};
use crate::target::ContainerRef;
use serde_json::Value;

pub(super) const FLAGS: &[Flag] = &[
    switch("previous").or('p'),
    value("container").or('c'),
    value("tail"),
    value("selector").or('l'),
    switch("all-containers"),
    switch("prefix"),
];

/// Shows what containers wrote.
pub(super) async fn run(call: &mut Call, args: Args) -> Result<(), Halt> {
    let mut tail = args.number("tail")?.filter(|tail| *tail >= 0);
    let pods = match (args.words.as_slice(), args.one("selector")) {
        ([], Some(_)) => {
            tail = tail.or_else(|| args.one("tail").is_none().then_some(10));
            let (found, _) = select::all(call, &args, &[String::from("pods")]).await?;
            found.into_iter().map(|found| found.object).collect()
        }
        ([pod], None) => vec![pods::pod(call, args.namespace(), pod).await?],
        ([pod, container], None) if args.one("container").is_none() => {
            let pod = pods::pod(call, args.namespace(), pod).await?;
            let container = pods::container(call, &pod, Some(container), args.namespace()).await?;
            return show(call, &args, &pod, container, tail).await;
        }
        _ => return Err(Halt::error("expected 'logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]'")),
    };
    if pods.is_empty() {
        return call.warn(format!("No resources found in {} namespace.", args.namespace())).await;
    }
    for pod in &pods {
        if args.is("all-containers", false)? {
            for container in list(pod, "/spec/initContainers").iter().chain(list(pod, "/spec/containers")) {
                let container = text(container, "/name").to_owned();
                let container = ContainerRef { namespace: namespace(pod).to_owned(), pod: name(pod).to_owned(), container };
                show(call, &args, pod, container, tail).await?;
            }
        } else {
            let container = pods::container(call, pod, args.one("container"), args.namespace()).await?;
            show(call, &args, pod, container, tail).await?;
        }
    }
    Ok(())
}

async fn show(call: &Call, args: &Args, pod: &Value, container: ContainerRef, tail: Option<i64>) -> Result<(), Halt> {
    let previous = args.is("previous", false)?;
    let statuses = ["/status/containerStatuses", "/status/initContainerStatuses"];
    let status = statuses.iter().flat_map(|pointer| list(pod, pointer)).find(|status| text(status, "/name") == container.container);
    if previous && status.is_none_or(|status| number(status, "/restartCount") == 0) {
        let words = format!("previous terminated container \"{}\" in pod \"{}\" not found", container.container, container.pod);
        return Err(Halt::Says(format!("Error from server (BadRequest): {words}")));
    }
    let log = call.target.logs(&container, previous).await?;
    let lines: Vec<_> = log.split_inclusive(|byte| *byte == b'\n').collect();
    let first = tail.map_or(0, |tail| lines.len().saturating_sub(usize::try_from(tail).unwrap_or(usize::MAX)));
    let mut shown = Vec::new();
    for line in &lines[first..] {
        if args.is("prefix", false)? {
            shown.extend(format!("[pod/{}/{}] ", container.pod, container.container).into_bytes());
        }
        shown.extend_from_slice(line);
    }
    call.out(shown).await
}
