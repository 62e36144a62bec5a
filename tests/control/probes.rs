//! Probes by their literal exit codes and periods, and what follows from them.

use crate::scene::{Scene, is_ready, name, of, pod, service, workload};
use anyhow::{Context, Result, ensure};
use redis_conformance::{
    target::Kill,
    wait::{Look, Until},
};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

crate::tests![
    a_frozen_redis_leaves_its_service_and_is_restarted,
    a_frozen_redis_still_takes_tcp_connections,
    a_startup_probe_holds_the_others_back,
    a_startup_probe_that_never_succeeds_restarts_the_container,
    a_probe_over_http_needs_a_good_status,
    a_probe_that_cannot_be_run_kills_nothing,
    a_container_that_keeps_ending_backs_off,
    a_container_that_is_not_ready_is_no_endpoint_unless_published,
];

fn ping(period: u32, failures: u32) -> Value {
    json!({ "exec": { "command": ["redis-cli", "ping"] }, "periodSeconds": period, "failureThreshold": failures })
}

async fn a_frozen_redis_leaves_its_service_and_is_restarted() -> Result<()> {
    let scene = Scene::new().await?;
    scene
        .put(&[
            service("redis", json!({})),
            workload("Deployment", "redis", json!({ "readinessProbe": ping(1, 1), "livenessProbe": ping(2, 2) })),
        ])
        .await?;
    let pod = scene.ready_pod("redis").await?;
    let container = of(name(&pod), "redis");
    let before = scene.process(&container).await?;
    scene.freeze(&container).await?;
    ensure!(scene.process(&container).await?.frozen);
    let endpoints = |object: &Value| object["subsets"][0]["addresses"].is_null();
    scene.until("Endpoints", "redis", 5, endpoints).await?;
    let client = scene.client(crate::scene::NAMESPACE).await?;
    let wait = Until::within(Duration::from_secs(3));
    wait.met("the Service to refuse", || async {
        // The packet filter is a moment behind the endpoints; what gets through meanwhile hangs.
        let answer = scene.exec(&client, &["sh", "-c", "timeout 0.5 redis-cli -h redis ping 2>&1"], &[]).await?;
        let said = String::from_utf8_lossy(&answer.stdout).into_owned();
        Ok::<_, anyhow::Error>(if said.contains("refused") { Look::Ready(()) } else { Look::NotYet(said) })
    })
    .await?;
    let begun = Instant::now();
    let restarted =
        scene.until("Pod", name(&pod), 30, |pod| pod["status"]["containerStatuses"][0]["restartCount"] == 1 && is_ready(pod)).await?;
    // Two failures of a period of 2 s, a time-out of 1 s, and the whole grace, since a frozen process notices no SIGTERM.
    ensure!((3..20).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    ensure!(restarted["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 137, "{restarted}");
    ensure!(scene.process(&container).await?.started > before.started);
    scene.told(name(&pod), "Unhealthy", "Liveness probe failed: command timed out: \"redis-cli ping\" timed out after 1s").await?;
    scene.told(name(&pod), "Killing", "Container redis failed liveness probe, will be restarted").await?;
    scene.end().await
}

async fn a_frozen_redis_still_takes_tcp_connections() -> Result<()> {
    let scene = Scene::new().await?;
    let probe = json!({ "tcpSocket": { "port": "redis" }, "periodSeconds": 1, "failureThreshold": 1 });
    let container = json!({ "ports": [{ "name": "redis", "containerPort": 6379 }], "livenessProbe": probe, "readinessProbe": probe });
    scene.put(&[workload("Deployment", "redis", container)]).await?;
    let pod = scene.ready_pod("redis").await?;
    scene.freeze(&of(name(&pod), "redis")).await?;
    redis_conformance::wait::pause(Duration::from_secs(3)).await;
    ensure!(is_ready(&scene.object("Pod", name(&pod)).await?));
    scene.thaw(&of(name(&pod), "redis")).await?;
    ensure!(!scene.process(&of(name(&pod), "redis")).await?.frozen);
    ensure!(scene.redis("redis", &["ping"]).await? == "PONG");
    scene.end().await
}

async fn a_startup_probe_holds_the_others_back() -> Result<()> {
    let scene = Scene::new().await?;
    let container = json!({ "command": ["sh", "-c", "sleep 2; exec redis-server"], "startupProbe": ping(1, 10), "livenessProbe": ping(1, 1), "readinessProbe": ping(1, 1) });
    scene.put(&[workload("Deployment", "redis", container)]).await?;
    let pod = scene.ready_pod("redis").await?;
    ensure!(pod["status"]["containerStatuses"][0]["restartCount"] == 0, "{pod}");
    scene.end().await
}

async fn a_startup_probe_that_never_succeeds_restarts_the_container() -> Result<()> {
    let scene = Scene::new().await?;
    let startup = json!({ "exec": { "command": ["false"] }, "periodSeconds": 1, "failureThreshold": 2 });
    scene.put(&[workload("Deployment", "redis", json!({ "startupProbe": startup }))]).await?;
    scene.told("redis", "Killing", "Container redis failed startup probe, will be restarted").await?;
    scene.until_pods("redis", 1, 10, |pod| pod["status"]["containerStatuses"][0]["restartCount"] == 1).await?;
    scene.end().await
}

async fn a_probe_over_http_needs_a_good_status() -> Result<()> {
    let scene = Scene::new().await?;
    // Redis answers HTTP with an error of its own and closes: no good status.
    let probe = json!({ "httpGet": { "port": 6379, "path": "/health" }, "periodSeconds": 1, "failureThreshold": 1 });
    scene.put(&[workload("Deployment", "redis", json!({ "readinessProbe": probe }))]).await?;
    scene.told("redis", "Unhealthy", "Readiness probe failed: Get \"http://10.244.").await?;
    ensure!(!is_ready(scene.pods("redis").await?.first().context("a pod")?));
    scene.end().await
}

async fn a_probe_that_cannot_be_run_kills_nothing() -> Result<()> {
    let scene = Scene::new().await?;
    let probe = json!({ "exec": { "command": ["no-such-program"] }, "periodSeconds": 1, "failureThreshold": 1 });
    scene.put(&[workload("Deployment", "redis", json!({ "livenessProbe": probe }))]).await?;
    scene.told("redis", "Unhealthy", "Liveness probe errored and resulted in unknown state").await?;
    let pod = scene.ready_pod("redis").await?;
    ensure!(pod["status"]["containerStatuses"][0]["restartCount"] == 0);
    scene.end().await
}

async fn a_container_that_keeps_ending_backs_off() -> Result<()> {
    let scene = Scene::new().await?;
    scene.put(&[pod("redis", json!({ "containers": [{ "name": "redis", "image": "redis:7" }] }))]).await?;
    scene.ready_pod("redis").await?;
    scene.kill_and_wait("redis", "redis", Kill::Kill).await?;
    scene.ready_pod("redis").await?;
    let begun = Instant::now();
    scene.kill(&of("redis", "redis"), Kill::Kill).await?;
    let waiting = |pod: &Value| pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "CrashLoopBackOff";
    let waits = scene.until("Pod", "redis", 5, waiting).await?;
    ensure!(waits["status"]["phase"] == "Running" && !is_ready(&waits), "{waits}");
    scene.told("redis", "BackOff", "Back-off restarting failed container redis in pod redis_shop(").await?;
    let back = scene.until("Pod", "redis", 20, is_ready).await?;
    ensure!(back["status"]["containerStatuses"][0]["restartCount"] == 2);
    ensure!((10..14).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    scene.end().await
}

async fn a_container_that_is_not_ready_is_no_endpoint_unless_published() -> Result<()> {
    let scene = Scene::new().await?;
    let probe = json!({ "exec": { "command": ["false"] }, "periodSeconds": 1 });
    let mut published = service("published", json!({ "clusterIP": "None", "publishNotReadyAddresses": true }));
    published["spec"]["selector"]["app"] = "redis".into();
    scene
        .put(&[
            service("redis", json!({ "clusterIP": "None" })),
            published,
            workload("Deployment", "redis", json!({ "readinessProbe": probe })),
        ])
        .await?;
    scene.until("Endpoints", "published", 10, |endpoints| endpoints["subsets"][0]["addresses"].is_array()).await?;
    let withheld =
        |endpoints: &Value| endpoints["subsets"][0]["notReadyAddresses"].is_array() && endpoints["subsets"][0]["addresses"].is_null();
    scene.until("Endpoints", "redis", 10, withheld).await?;
    let client = scene.client(crate::scene::NAMESPACE).await?;
    ensure!(scene.run(&client.pod, &client.container, &["redis-cli", "-h", "published", "ping"]).await? == "PONG");
    let output = scene.exec(&client, &["redis-cli", "-h", "redis", "ping"], &[]).await?;
    ensure!(output.code != 0, "{output:?}");
    scene.end().await
}
