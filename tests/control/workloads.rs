//! Deployments, StatefulSets, DaemonSets, Jobs and bare pods.

use crate::scene::{Scene, claim, key, name, pod, service, workload};
use anyhow::{Result, ensure};
use redis_conformance::target::Kill;
use serde_json::{Value, json};
use std::time::Duration;

crate::tests![
    redis_of_a_deployment_answers_through_its_service_and_keeps_its_claim,
    a_rolling_update_runs_two_pods_at_once,
    a_recreated_pod_starts_only_when_the_old_one_is_gone,
    a_rollout_that_never_gets_ready_keeps_the_old_pod,
    a_deployment_is_scaled_and_restarted_by_patches,
    a_deleted_deployment_takes_its_pods_along,
    a_stateful_set_starts_in_order_and_keeps_each_claim,
    a_parallel_stateful_set_does_not_wait,
    a_stateful_set_is_updated_from_its_last_pod_down_to_its_partition,
    a_stateful_set_scales_down_from_the_last_and_keeps_the_claims,
    a_daemon_set_runs_on_each_node,
    a_job_runs_until_it_succeeded,
    a_bare_pod_is_not_made_again,
    a_deleted_pod_gets_its_grace_and_a_forced_one_does_not,
    a_pod_of_a_missing_service_account_is_told,
    nothing_is_left_of_a_cluster_that_was_taken_down,
];

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
    scene.delete(&key("Pod", name(&pod)), None).await?;
    scene.until_gone("Pod", name(&pod), 10).await?;
    let next = scene.ready_pod("redis").await?;
    ensure!(next["metadata"]["uid"] != pod["metadata"]["uid"]);
    ensure!(scene.redis("redis", &["-h", "redis.shop.svc.cluster.local", "get", "k"]).await? == "v");
    ensure!(scene.run(name(&next), "redis", &["test", "-e", "/scratch/mark"]).await.is_err());
    scene.end().await
}

/// A Deployment that takes a second to get ready.
fn slow(app: &str) -> Value {
    let probe = json!({ "exec": { "command": ["redis-cli", "ping"] }, "initialDelaySeconds": 1, "periodSeconds": 1 });
    workload("Deployment", app, json!({ "readinessProbe": probe }))
}

fn restarted(when: &str) -> Value {
    json!({ "spec": { "template": { "metadata": { "annotations": { "kubectl.kubernetes.io/restartedAt": when } } } } })
}

async fn a_rolling_update_runs_two_pods_at_once() -> Result<()> {
    let scene = Scene::new().await?;
    scene.put(&[slow("redis")]).await?;
    let old = scene.ready_pod("redis").await?;
    scene.patch(&key("Deployment", "redis"), &restarted("now")).await?;
    scene.until_pods("redis", 2, 10, |pod| pod["status"]["phase"] == "Running").await?;
    let new = scene.ready_pod("redis").await?;
    ensure!(new["metadata"]["labels"]["pod-template-hash"] != old["metadata"]["labels"]["pod-template-hash"]);
    let deployment = scene
        .until("Deployment", "redis", 10, |deployment| {
            deployment["status"]["updatedReplicas"] == 1 && deployment["status"]["replicas"] == 1
        })
        .await?;
    ensure!(deployment["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2", "{deployment}");
    scene.told("redis", "ScalingReplicaSet", "from 0 to 1").await?;
    scene.end().await
}

async fn a_recreated_pod_starts_only_when_the_old_one_is_gone() -> Result<()> {
    let scene = Scene::new().await?;
    let mut deployment =
        workload("Deployment", "redis", json!({ "command": ["sh", "-c", "trap 'sleep 1; exit 0' TERM; while true; do sleep 0.1; done"] }));
    deployment["spec"]["strategy"] = json!({ "type": "Recreate" });
    scene.put(&[deployment]).await?;
    let old = scene.ready_pod("redis").await?;
    scene.patch(&key("Deployment", "redis"), &restarted("now")).await?;
    scene.until("Pod", name(&old), 5, |pod| !pod["metadata"]["deletionTimestamp"].is_null()).await?;
    let mut most = 0;
    while scene.get(&key("Pod", name(&old))).await?.is_some() {
        most = most.max(scene.pods("redis").await?.len());
        scene.changes().changed().await?;
    }
    ensure!(most == 1, "{most} pods at once");
    scene.ready_pod("redis").await?;
    scene.end().await
}

async fn a_rollout_that_never_gets_ready_keeps_the_old_pod() -> Result<()> {
    let scene = Scene::new().await?;
    let mut deployment = slow("redis");
    deployment["spec"]["progressDeadlineSeconds"] = json!(3);
    scene.put(&[deployment.clone()]).await?;
    let old = scene.ready_pod("redis").await?;
    deployment["spec"]["template"]["spec"]["containers"][0]["readinessProbe"]["exec"]["command"] = json!(["false"]);
    scene.put(&[deployment]).await?;
    let exceeded = |deployment: &Value| deployment["status"]["conditions"].to_string().contains("ProgressDeadlineExceeded");
    scene.until("Deployment", "redis", 20, exceeded).await?;
    ensure!(crate::scene::is_ready(&scene.object("Pod", name(&old)).await?));
    ensure!(scene.pods("redis").await?.len() == 2);
    scene.end().await
}

async fn a_deployment_is_scaled_and_restarted_by_patches() -> Result<()> {
    let scene = Scene::new().await?;
    scene.put(&[workload("Deployment", "redis", json!({}))]).await?;
    scene.ready_pod("redis").await?;
    scene.patch(&key("Deployment", "redis"), &json!({ "spec": { "replicas": 3 } })).await?;
    scene.until_pods("redis", 3, 10, crate::scene::is_ready).await?;
    scene.until("Deployment", "redis", 5, |deployment| deployment["status"]["availableReplicas"] == 3).await?;
    scene.patch(&key("Deployment", "redis"), &json!({ "spec": { "replicas": 0 } })).await?;
    scene.until_pods("redis", 0, 10, |_| true).await?;
    scene.end().await
}

async fn a_deleted_deployment_takes_its_pods_along() -> Result<()> {
    let scene = Scene::new().await?;
    scene.put(&[workload("Deployment", "redis", json!({}))]).await?;
    scene.ready_pod("redis").await?;
    scene.delete(&key("Deployment", "redis"), None).await?;
    scene.until_pods("redis", 0, 10, |_| true).await?;
    ensure!(scene.list("ReplicaSet", None).await?.is_empty());
    scene.end().await
}

fn set(app: &str, replicas: u32) -> Value {
    let mut set = workload(
        "StatefulSet",
        app,
        json!({ "args": ["--appendonly", "yes"], "readinessProbe": { "exec": { "command": ["redis-cli", "ping"] }, "periodSeconds": 1 },
            "volumeMounts": [{ "name": "data", "mountPath": "/data" }] }),
    );
    set["spec"]["replicas"] = replicas.into();
    let template = json!({ "metadata": { "name": "data" }, "spec": claim("data", json!({}))["spec"] });
    set["spec"]["volumeClaimTemplates"] = json!([template]);
    set
}

async fn a_stateful_set_starts_in_order_and_keeps_each_claim() -> Result<()> {
    let scene = Scene::new().await?;
    scene.put(&[service("redis", json!({ "clusterIP": "None" })), set("redis", 3)]).await?;
    let pods = scene.until_pods("redis", 3, 30, crate::scene::is_ready).await?;
    let made = |index: usize| pods[index]["metadata"]["resourceVersion"].clone();
    ensure!(pods.iter().map(name).collect::<Vec<_>>() == ["redis-0", "redis-1", "redis-2"], "{:?}", made(0));
    for pod in &pods {
        scene.run(name(pod), "redis", &["redis-cli", "set", "who", name(pod)]).await?;
        let full = format!("{}.redis.shop.svc.cluster.local", name(pod));
        ensure!(scene.run("redis-0", "redis", &["redis-cli", "-h", &full, "get", "who"]).await? == name(pod));
        ensure!(scene.run(name(pod), "redis", &["hostname"]).await? == name(pod));
    }
    scene.delete(&key("Pod", "redis-1"), None).await?;
    let gone = pods[1]["metadata"]["uid"].clone();
    scene.until("Pod", "redis-1", 20, |pod| pod["metadata"]["uid"] != gone && crate::scene::is_ready(pod)).await?;
    ensure!(scene.run("redis-1", "redis", &["redis-cli", "get", "who"]).await? == "redis-1");
    ensure!(scene.object("PersistentVolumeClaim", "data-redis-2").await?["status"]["phase"] == "Bound");
    scene.end().await
}

async fn a_parallel_stateful_set_does_not_wait() -> Result<()> {
    let scene = Scene::new().await?;
    let mut parallel = set("redis", 3);
    parallel["spec"]["podManagementPolicy"] = "Parallel".into();
    parallel["spec"]["template"]["spec"]["containers"][0]["readinessProbe"]["exec"]["command"] = json!(["false"]);
    let mut ordered = parallel.clone();
    ordered["metadata"]["name"] = "ordered".into();
    for pointer in ["/spec/selector/matchLabels/app", "/spec/template/metadata/labels/app"] {
        *ordered.pointer_mut(pointer).expect("a label") = "ordered".into();
    }
    ordered["spec"]["podManagementPolicy"] = "OrderedReady".into();
    scene.put(&[parallel, ordered]).await?;
    scene.until_pods("redis", 3, 20, |pod| pod["status"]["phase"] == "Running").await?;
    scene.until_pods("ordered", 1, 20, |pod| pod["status"]["phase"] == "Running").await?;
    scene.end().await
}

async fn a_stateful_set_is_updated_from_its_last_pod_down_to_its_partition() -> Result<()> {
    let scene = Scene::new().await?;
    let mut updated = set("redis", 3);
    updated["spec"]["updateStrategy"] = json!({ "type": "RollingUpdate", "rollingUpdate": { "partition": 1 } });
    scene.put(&[updated.clone()]).await?;
    scene.until_pods("redis", 3, 30, crate::scene::is_ready).await?;
    updated["spec"]["template"]["metadata"]["annotations"] = json!({ "changed": "yes" });
    scene.put(&[updated]).await?;
    scene.until("StatefulSet", "redis", 30, |set| set["status"]["updatedReplicas"] == 2 && set["status"]["readyReplicas"] == 3).await?;
    let changed: Vec<bool> = scene.pods("redis").await?.iter().map(|pod| pod["metadata"]["annotations"]["changed"] == "yes").collect();
    ensure!(changed == [false, true, true], "{changed:?}");
    let events = scene.list("Event", None).await?;
    let deleted: Vec<&str> =
        events.iter().filter(|event| event["reason"] == "SuccessfulDelete").filter_map(|event| event["message"].as_str()).collect();
    ensure!(deleted.len() == 2, "{deleted:?}");
    scene.end().await
}

async fn a_stateful_set_scales_down_from_the_last_and_keeps_the_claims() -> Result<()> {
    let scene = Scene::new().await?;
    scene.put(&[set("redis", 2)]).await?;
    scene.until_pods("redis", 2, 30, crate::scene::is_ready).await?;
    scene.patch(&key("StatefulSet", "redis"), &json!({ "spec": { "replicas": 1 } })).await?;
    scene.until_gone("Pod", "redis-1", 10).await?;
    ensure!(scene.object("PersistentVolumeClaim", "data-redis-1").await?["status"]["phase"] == "Bound");
    ensure!(scene.pods("redis").await?.len() == 1);
    scene.end().await
}

async fn a_daemon_set_runs_on_each_node() -> Result<()> {
    let scene = Scene::with(|options| options.nodes = 3).await?;
    let mut set = workload("DaemonSet", "redis", json!({}));
    set["spec"].as_object_mut().expect("a spec").remove("replicas");
    scene.put(&[set]).await?;
    let pods = scene.until_pods("redis", 3, 10, crate::scene::is_ready).await?;
    let mut nodes: Vec<_> = pods.iter().filter_map(|pod| pod["spec"]["nodeName"].as_str()).collect();
    nodes.sort_unstable();
    ensure!(nodes == ["node-1", "node-2", "node-3"]);
    scene.until("DaemonSet", "redis", 5, |set| set["status"]["numberReady"] == 3).await?;
    scene.end().await
}

async fn a_job_runs_until_it_succeeded() -> Result<()> {
    let scene = Scene::new().await?;
    let template = json!({ "metadata": { "labels": { "app": "job" } }, "spec": { "restartPolicy": "OnFailure", "volumes": [{ "name": "v", "emptyDir": {} }], "containers": [{
        "name": "redis", "image": "redis:7", "command": ["sh", "-c", "test -e /v/tried || { touch /v/tried; exit 3; }"], "volumeMounts": [{ "name": "v", "mountPath": "/v" }] }] } });
    scene
        .put(&[json!({ "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": "job" }, "spec": { "template": template } })])
        .await?;
    let job = scene.until("Job", "job", 20, |job| job["status"]["succeeded"] == 1).await?;
    ensure!(job["status"]["conditions"][0]["type"] == "Complete", "{job}");
    let pod = scene.pods("job").await?.remove(0);
    ensure!(pod["status"]["phase"] == "Succeeded" && pod["status"]["containerStatuses"][0]["restartCount"] == 1, "{pod}");
    scene.end().await
}

async fn a_bare_pod_is_not_made_again() -> Result<()> {
    let scene = Scene::new().await?;
    scene.put(&[pod("redis", json!({ "restartPolicy": "Never", "containers": [{ "name": "redis", "image": "redis:7" }] }))]).await?;
    // Before it listens it has no handler for the signal either.
    ensure!(scene.redis("redis", &["ping"]).await? == "PONG");
    scene.kill(&crate::scene::of("redis", "redis"), Kill::Term).await?;
    let pod = scene.until("Pod", "redis", 10, |pod| pod["status"]["phase"] == "Succeeded").await?;
    ensure!(pod["status"]["containerStatuses"][0]["state"]["terminated"]["reason"] == "Completed", "{pod}");
    scene.delete(&key("Pod", "redis"), None).await?;
    scene.until_gone("Pod", "redis", 5).await?;
    scene.end().await
}

async fn a_deleted_pod_gets_its_grace_and_a_forced_one_does_not() -> Result<()> {
    let scene = Scene::new().await?;
    // A shell as first process notices no SIGTERM without a trap.
    let spec = json!({ "terminationGracePeriodSeconds": 2, "containers": [{ "name": "redis", "image": "redis:7", "command": ["sh", "-c", "while true; do sleep 0.1; done"] }] });
    scene.put(&[pod("slow", spec.clone()), pod("forced", spec)]).await?;
    scene.ready_pod("slow").await?;
    scene.ready_pod("forced").await?;
    scene.delete(&key("Pod", "forced"), Some(Duration::ZERO)).await?;
    ensure!(scene.get(&key("Pod", "forced")).await?.is_none());
    let begun = std::time::Instant::now();
    scene.delete(&key("Pod", "slow"), None).await?;
    scene.until_gone("Pod", "slow", 10).await?;
    ensure!((1900..4000).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    scene.end().await
}

async fn a_pod_of_a_missing_service_account_is_told() -> Result<()> {
    let scene = Scene::new().await?;
    let mut deployment = workload("Deployment", "redis", json!({}));
    deployment["spec"]["template"]["spec"]["serviceAccountName"] = "worker".into();
    scene.put(&[deployment]).await?;
    scene.told("redis", "FailedCreate", "error looking up service account shop/worker").await?;
    scene.put(&[json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "worker" } })]).await?;
    scene.ready_pod("redis").await?;
    scene.end().await
}

async fn nothing_is_left_of_a_cluster_that_was_taken_down() -> Result<()> {
    let mut cluster = String::new();
    let scene = Scene::with(|options| cluster.clone_from(&options.name)).await?;
    scene.put(&[claim("data", json!({})), set("leftover", 2)]).await?;
    scene.until_pods("leftover", 2, 20, crate::scene::is_ready).await?;
    let run = redis_conformance::target::local::node::run_directory();
    let left = || -> Result<Vec<String>> {
        let entries =
            std::fs::read_dir(run.join("containers"))?.filter_map(Result::ok).map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut left: Vec<String> = entries.filter(|entry| entry.contains("leftover")).collect();
        left.extend(["volumes", "logs"].into_iter().filter(|place| run.join(place).join(&cluster).exists()).map(str::to_owned));
        Ok(left)
    };
    ensure!(left()?.len() == 4, "{:?}", left()?);
    scene.end().await?;
    ensure!(left()?.is_empty(), "{:?}", left()?);
    Ok(())
}
