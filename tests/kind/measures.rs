//! How long things take on a cluster, printed on request (`--ignored`): nothing here is asserted.

use crate::cluster::Cluster;
use kube::{
    Api, Client, Config,
    api::{Patch, PatchParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use redis_conformance::{
    manifest::{Object, ObjectKey, Place},
    target::{
        Target,
        image::Programs,
        kube::{
            Journal,
            source::{self, Made, Maker},
        },
    },
    wait::{Look, Until},
};
use serde_json::{Value, json};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

const TIMES: u32 = 200;

/// From a change of an object to the step that waits for it. The change is made by another client; the API server has told of it at the
/// latest when it answers that one, and at the earliest when it was asked.
pub(crate) fn from_event_to_step(cluster: &Cluster) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let (mut since_asked, mut since_answered) = runtime.block_on(measure(cluster)).expect("measured");
    told("event to step, since the API server was asked", &mut since_asked);
    told("event to step, since the API server answered", &mut since_answered);
}

async fn measure(cluster: &Cluster) -> anyhow::Result<(Vec<Duration>, Vec<Duration>)> {
    let (this, run) = (std::process::id(), format!("measure-{:x}", std::process::id()));
    let journal = Arc::new(Journal::begin(&run)?);
    let made = Made::named(Maker::Kind, cluster.name.clone(), true, cluster.folder.path().to_path_buf())?;
    let reached = source::reach(Arc::new(made), &run, Programs::find(), Arc::clone(&journal)).await?;
    let target = reached.scenario(false).await;
    let object = |json: Value| Object::made(json, Place::default());
    let namespace = object(json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "clock" } }));
    let clock = object(
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "clock", "namespace": "clock" }, "data": { "tick": "" } }),
    );
    target.apply(&[namespace, clock]).await?;
    let file = Kubeconfig::read_from(cluster.kubeconfig())?;
    let client = Client::try_from(Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?)?;
    let api: Api<k8s_openapi::api::core::v1::ConfigMap> = Api::namespaced(client, &format!("clock-{this:x}-1"));
    let (mut asked, mut answered) = (Vec::new(), Vec::new());
    for tick in 0..TIMES {
        let seen = step(target.as_ref(), tick);
        let write = async {
            let begun = Instant::now();
            let patch = json!({ "data": { "tick": tick.to_string() } });
            api.patch("clock", &PatchParams::default(), &Patch::Merge(&patch)).await?;
            anyhow::Ok((begun, Instant::now()))
        };
        let (seen, (begun, ended)) = tokio::try_join!(seen, write)?;
        asked.push(seen.saturating_duration_since(begun));
        answered.push(seen.saturating_duration_since(ended));
    }
    target.down().await?;
    reached.clear().await?;
    reached.forget()?;
    journal.end()?;
    Ok((asked, answered))
}

/// As steps wait: woken by changes, looking at the target. When it saw the tick.
async fn step(target: &dyn Target, tick: u32) -> anyhow::Result<Instant> {
    let key = ObjectKey { kind: "ConfigMap".into(), namespace: "clock".into(), name: "clock".into() };
    let tick = json!(tick.to_string());
    let look = || async {
        let now = target.get(&key).await?.unwrap_or_default();
        Ok::<_, anyhow::Error>(if now["data"]["tick"] == tick {
            Look::Ready(Instant::now())
        } else {
            Look::NotYet(now["data"].to_string())
        })
    };
    Until::within(Duration::from_secs(20)).on(target.changes()).met("the tick", look).await
}

fn told(what: &str, times: &mut [Duration]) {
    times.sort();
    let at = |percent: usize| times.get((times.len() * percent / 100).min(times.len().saturating_sub(1))).copied().unwrap_or_default();
    println!("{what:<56} p50 {:.2?}  p95 {:.2?}  worst {:.2?}  ({} times, budget 50 ms)", at(50), at(95), at(100), times.len());
}
