//! Deployments, StatefulSets, Services and volumes with real Redis.

use crate::scene::{Scene, claim, name, service, workload};
use anyhow::{Result, ensure};
use redis_conformance::target::Kill;
use serde_json::json;

crate::tests![redis_of_a_deployment_answers_through_its_service_and_keeps_its_claim];

async fn redis_of_a_deployment_answers_through_its_service_and_keeps_its_claim() -> Result<()> {
    let scene = Scene::new().await?;
    let mut deployment = workload(
        "Deployment",
        "redis",
        json!({ "args": ["--appendonly", "yes", "--appendfsync", "always"], "ports": [{ "name": "redis", "containerPort": 6379 }],
            "readinessProbe": { "exec": { "command": ["redis-cli", "ping"] }, "periodSeconds": 1 },
            "livenessProbe": { "exec": { "command": ["redis-cli", "ping"] } },
            "volumeMounts": [{ "name": "data", "mountPath": "/data" }, { "name": "scratch", "mountPath": "/scratch" }] }),
    );
    deployment["spec"]["strategy"] = json!({ "type": "Recreate" });
    deployment["spec"]["template"]["spec"]["volumes"] =
        json!([{ "name": "data", "persistentVolumeClaim": { "claimName": "data" } }, { "name": "scratch", "emptyDir": {} }]);
    scene
        .put(&[claim("data", json!({})), service("redis", json!({ "ports": [{ "port": 6379, "targetPort": "redis" }] })), deployment])
        .await?;
    let pod = scene.ready_pod("redis").await?;
    ensure!(scene.redis("redis", &["-h", "redis", "set", "k", "v"]).await? == "OK");
    scene.run(name(&pod), "redis", &["touch", "/scratch/mark"]).await?;
    scene.kill_and_wait(name(&pod), "redis", Kill::Kill).await?;
    ensure!(scene.redis("redis", &["get", "k"]).await? == "v");
    scene.run(name(&pod), "redis", &["test", "-e", "/scratch/mark"]).await?;
    scene.delete(&crate::scene::key("Pod", name(&pod)), None).await?;
    scene.until_gone("Pod", name(&pod), 10).await?;
    let next = scene.ready_pod("redis").await?;
    ensure!(next["metadata"]["uid"] != pod["metadata"]["uid"]);
    ensure!(scene.redis("redis", &["-h", "redis.shop.svc.cluster.local", "get", "k"]).await? == "v");
    ensure!(scene.run(name(&next), "redis", &["test", "-e", "/scratch/mark"]).await.is_err());
    scene.end().await
}
