//! `--keep`: what did not hold stays up until the user has seen enough; it changes neither outcomes nor the exit code.

use super::{output::tell, session::Session};
use crate::{
    report::{Stay, Staying, Style, Way, staying_text},
    run::Kept,
    runbook::Front,
    target::{ContainerRef, local::node},
};
use futures::future::join_all;
use std::{env, path::Path, sync::Arc};

/// Most scenarios that stay up: each is a cluster or namespaces of its own, and a person looks at one after the other.
pub(super) const MOST: usize = 4;

/// Shows what stays up and how to look at it, waits until the user ends it, and takes it down.
///
/// Whoever interrupts the run itself wants everything to be gone, and waits for nothing more.
pub(super) fn hold(session: &Session, style: &Style) {
    let (mut kept, let_go) = session.kept();
    if session.interrupted() {
        return session.wait_for(down(kept));
    }
    let nothing = kept.is_empty();
    let (scenarios, fronts) = session.wait_for(stays(&mut kept));
    let staying =
        Staying { scenarios, let_go, most: MOST, process: node::started_by_user().or_else(|| i32::try_from(std::process::id()).ok()) };
    tell(staying_text(&staying, style).trim_end());
    if nothing {
        return;
    }
    session.wait_for(session.end_is_asked_for());
    drop(fronts);
    tell("taking down what was kept");
    session.wait_for(down(kept));
}

/// The ways to look at each, and the doors that must stay open for it.
async fn stays(kept: &mut [Kept]) -> (Vec<Stay>, Vec<Front>) {
    let (mut scenarios, mut fronts) = (Vec::new(), Vec::new());
    for kept in kept {
        let mut ways = Vec::new();
        if let Some((target, redis)) = kept.look().await {
            match Front::open(Arc::clone(&target), &env::temp_dir(), "kept").await {
                Ok(front) => {
                    ways.extend(by_kubectl(&front.kubectl(), redis.as_ref()));
                    fronts.push(front);
                }
                Err(error) => ways.push(Way { shows: "kubectl", command: Err(format!("{:#}", anyhow::Error::from(error))) }),
            }
            if let Some(redis) = &redis {
                let command = target.shell(redis).await.map_err(|error| format!("{:#}", anyhow::Error::from(error)));
                ways.push(Way { shows: "a shell there, as root", command });
            }
        }
        scenarios.push(Stay { result: kept.result.clone(), ways });
    }
    (scenarios, fronts)
}

fn by_kubectl(kubectl: &Path, redis: Option<&ContainerRef>) -> Vec<Way> {
    let kubectl = quoted(&kubectl.display().to_string());
    let way = |shows, words: String| Way { shows, command: Ok(format!("{kubectl} {words}")) };
    let mut ways = vec![way("all pods", "get pods -A".into())];
    if let Some(ContainerRef { namespace, pod, container }) = redis {
        ways.push(way("the Redis pod and its events", format!("describe pod {pod} -n {namespace}")));
        ways.push(way("its log", format!("logs {pod} -c {container} -n {namespace}")));
        ways.push(way("what Redis answers", format!("exec {pod} -c {container} -n {namespace} -- redis-cli INFO")));
    }
    ways
}

/// As a shell takes it for one word.
fn quoted(path: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+:@".contains(letter);
    if path.chars().all(plain) { path.to_owned() } else { format!("'{}'", path.replace('\'', "'\\''")) }
}

async fn down(kept: Vec<Kept>) {
    for failure in join_all(kept.into_iter().map(Kept::down)).await.into_iter().filter_map(Result::err) {
        // The kernel takes what is left, at the end of the node.
        tell(&format!("a kept scenario was not taken down in order: {failure}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines_can_be_pasted_whatever_the_path() {
        let redis = ContainerRef { namespace: "mcp".into(), pod: "redis-0".into(), container: "redis".into() };
        let ways = by_kubectl(Path::new("/tmp/a dir/it's/kubectl"), Some(&redis));
        let lines: Vec<String> = ways.into_iter().filter_map(|way| way.command.ok()).collect();
        assert_eq!(lines[0], r"'/tmp/a dir/it'\''s/kubectl' get pods -A");
        assert_eq!(lines[3], r"'/tmp/a dir/it'\''s/kubectl' exec redis-0 -c redis -n mcp -- redis-cli INFO");
        assert_eq!(quoted("/var/tmp/redis-conformance-0/run-1-2"), "/var/tmp/redis-conformance-0/run-1-2");
    }

    #[test]
    fn without_a_redis_pod_there_are_still_the_others() {
        assert_eq!(by_kubectl(Path::new("/k"), None).len(), 1);
    }
}
