//! Scheduling, nodes that lose power, and everything losing it at once.

use crate::scene::{Scene, claim, is_ready, key, name, service, workload};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::time::Duration;

crate::tests![
    pods_that_avoid_one_another_need_a_node_each,
    a_pod_goes_only_where_its_selector_and_tolerations_let_it,
    pods_of_one_owner_spread_over_nodes,
    a_pod_with_a_claim_of_a_lost_node_waits_for_it_and_finds_its_data,
    a_pod_without_storage_is_replaced_on_another_node,
    a_stateful_pod_of_a_lost_node_is_not_replaced,
    a_node_that_comes_back_in_time_restarts_its_pods_in_place,
    after_a_restart_of_everything_claims_are_kept_and_the_rest_is_not,
    a_client_survives_every_fault,
    a_budget_keeps_as_many_pods_as_it_says,
    two_budgets_for_one_pod_refuse_it_and_none_lets_it_go,
];

async fn pods_that_avoid_one_another_need_a_node_each() -> Result<()> {
    let scene = Scene::new().await?;
    let mut deployment = workload("Deployment", "redis", json!({}));
    deployment["spec"]["replicas"] = json!(3);
    deployment["spec"]["template"]["spec"]["affinity"] = json!({ "podAntiAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [
        { "labelSelector": { "matchLabels": { "app": "redis" } }, "topologyKey": "kubernetes.io/hostname" }] } });
    scene.put(&[deployment]).await?;
    scene.told("redis", "FailedScheduling", "0/2 nodes are available: 2 node(s) didn't match pod anti-affinity rules").await?;
    let pods = scene.until_pods("redis", 3, 10, |pod| !pod["status"]["conditions"].is_null()).await?;
    ensure!(pods.iter().filter(|pod| pod["spec"]["nodeName"].is_string()).count() == 2);
    scene.end().await
}

async fn a_pod_goes_only_where_its_selector_and_tolerations_let_it() -> Result<()> {
    let scene = Scene::new().await?;
    scene
        .patch(&key("Node", "node-1"), &json!({ "spec": { "taints": [{ "key": "only", "value": "redis", "effect": "NoSchedule" }] } }))
        .await?;
    scene.patch(&key("Node", "node-2"), &json!({ "spec": { "unschedulable": true } })).await?;
    let mut plain = workload("Deployment", "plain", json!({}));
    plain["spec"]["template"]["spec"]["nodeSelector"] = json!({ "kubernetes.io/os": "linux" });
    let mut tolerant = workload("Deployment", "tolerant", json!({}));
    tolerant["spec"]["template"]["spec"]["tolerations"] = json!([{ "key": "only", "operator": "Exists" }]);
    scene.put(&[plain, tolerant]).await?;
    let pod = scene.ready_pod("tolerant").await?;
    ensure!(pod["spec"]["nodeName"] == "node-1");
    scene.told("plain", "FailedScheduling", "1 node(s) had untolerated taint {only: redis}, 1 node(s) were unschedulable").await?;
    scene.patch(&key("Node", "node-2"), &json!({ "spec": { "unschedulable": null } })).await?;
    ensure!(scene.ready_pod("plain").await?["spec"]["nodeName"] == "node-2");
    scene.end().await
}

async fn pods_of_one_owner_spread_over_nodes() -> Result<()> {
    let scene = Scene::with(|options| options.nodes = 3).await?;
    let mut deployment = workload("Deployment", "redis", json!({}));
    deployment["spec"]["replicas"] = json!(3);
    scene.put(&[deployment]).await?;
    let pods = scene.until_pods("redis", 3, 10, is_ready).await?;
    let nodes: std::collections::BTreeSet<_> = pods.iter().filter_map(|pod| pod["spec"]["nodeName"].as_str()).collect();
    ensure!(nodes.len() == 3, "{nodes:?}");
    scene.end().await
}

/// A cluster that notices a lost node after one second and bears it for one more.
async fn quick() -> Result<Scene> {
    Scene::with(|options| (options.monitor_grace, options.toleration) = (Duration::from_secs(1), Duration::from_secs(1))).await
}

fn persistent(kind: &str) -> Value {
    let mut object = workload(
        kind,
        "redis",
        json!({ "args": ["--appendonly", "yes", "--appendfsync", "always"],
            "readinessProbe": { "exec": { "command": ["redis-cli", "ping"] }, "periodSeconds": 1 }, "volumeMounts": [{ "name": "data", "mountPath": "/data" }] }),
    );
    object["spec"]["template"]["spec"]["volumes"] = json!([{ "name": "data", "persistentVolumeClaim": { "claimName": "data" } }]);
    object
}

fn node_of(pod: &Value) -> Result<String> {
    Ok(pod["spec"]["nodeName"].as_str().context("a node")?.to_owned())
}

async fn a_pod_with_a_claim_of_a_lost_node_waits_for_it_and_finds_its_data() -> Result<()> {
    let scene = quick().await?;
    scene.put(&[claim("data", json!({})), service("redis", json!({})), persistent("Deployment")]).await?;
    let pod = scene.ready_pod("redis").await?;
    scene.redis("redis", &["set", "k", "v"]).await?;
    let node = node_of(&pod)?;
    scene.stop_node(&node).await?;
    ensure!(is_ready(&scene.object("Pod", name(&pod)).await?), "the control plane knows already");
    scene.until("Node", &node, 10, |node| node["status"]["conditions"][0]["status"] == "Unknown").await?;
    scene.until("Endpoints", "redis", 5, |endpoints| endpoints["subsets"][0]["addresses"].is_null()).await?;
    scene
        .told(
            "redis",
            "FailedScheduling",
            "1 node(s) didn't match PersistentVolume's node affinity, 1 node(s) had untolerated taint {node.kubernetes.io/unreachable: }",
        )
        .await?;
    ensure!(!scene.object("Pod", name(&pod)).await?["metadata"]["deletionTimestamp"].is_null());
    scene.start_node(&node).await?;
    scene.until_gone("Pod", name(&pod), 10).await?;
    let next = scene.ready_pod("redis").await?;
    ensure!(next["metadata"]["uid"] != pod["metadata"]["uid"] && node_of(&next)? == node);
    ensure!(scene.redis("redis", &["get", "k"]).await? == "v");
    scene.end().await
}

async fn a_pod_without_storage_is_replaced_on_another_node() -> Result<()> {
    let scene = quick().await?;
    scene.put(&[workload("Deployment", "redis", json!({}))]).await?;
    let pod = scene.ready_pod("redis").await?;
    scene.stop_node(&node_of(&pod)?).await?;
    let pods = scene.until_pods("redis", 2, 20, |other| name(other) == name(&pod) || is_ready(other)).await?;
    ensure!(pods.iter().filter(|other| node_of(other).ok() == node_of(&pod).ok()).count() == 1);
    // The operator's word that the node is off lets its pods go.
    let taint =
        json!({ "spec": { "taints": [{ "key": "node.kubernetes.io/out-of-service", "value": "nodeshutdown", "effect": "NoExecute" }] } });
    scene.patch(&key("Node", &node_of(&pod)?), &taint).await?;
    scene.until_gone("Pod", name(&pod), 5).await?;
    scene.end().await
}

async fn a_stateful_pod_of_a_lost_node_is_not_replaced() -> Result<()> {
    let scene = quick().await?;
    scene.put(&[service("redis", json!({ "clusterIP": "None" })), workload("StatefulSet", "redis", json!({}))]).await?;
    let pod = scene.ready_pod("redis").await?;
    scene.stop_node(&node_of(&pod)?).await?;
    scene.until("Pod", "redis-0", 10, |pod| !pod["metadata"]["deletionTimestamp"].is_null()).await?;
    redis_conformance::wait::pause(Duration::from_secs(1)).await;
    ensure!(scene.object("Pod", "redis-0").await?["metadata"]["uid"] == pod["metadata"]["uid"]);
    scene.start_node(&node_of(&pod)?).await?;
    scene.until("Pod", "redis-0", 10, |next| next["metadata"]["uid"] != pod["metadata"]["uid"] && is_ready(next)).await?;
    scene.end().await
}

async fn a_node_that_comes_back_in_time_restarts_its_pods_in_place() -> Result<()> {
    let scene = Scene::new().await?;
    let mut deployment = workload(
        "Deployment",
        "redis",
        json!({ "volumeMounts": [{ "name": "disk", "mountPath": "/disk" }, { "name": "memory", "mountPath": "/memory" }] }),
    );
    deployment["spec"]["template"]["spec"]["volumes"] =
        json!([{ "name": "disk", "emptyDir": {} }, { "name": "memory", "emptyDir": { "medium": "Memory" } }]);
    scene.put(&[deployment]).await?;
    let pod = scene.ready_pod("redis").await?;
    scene.run(name(&pod), "redis", &["sh", "-c", "touch /disk/mark /memory/mark"]).await?;
    let node = node_of(&pod)?;
    scene.stop_node(&node).await?;
    ensure!(scene.exec(&crate::scene::of(name(&pod), "redis"), &["true"], &[]).await.is_err());
    scene.start_node(&node).await?;
    let back =
        scene.until("Pod", name(&pod), 10, |pod| pod["status"]["containerStatuses"][0]["restartCount"] == 1 && is_ready(pod)).await?;
    ensure!(back["metadata"]["uid"] == pod["metadata"]["uid"]);
    scene.run(name(&pod), "redis", &["test", "-e", "/disk/mark"]).await?;
    ensure!(scene.run(name(&pod), "redis", &["test", "-e", "/memory/mark"]).await.is_err());
    scene.end().await
}

async fn after_a_restart_of_everything_claims_are_kept_and_the_rest_is_not() -> Result<()> {
    let scene = Scene::new().await?;
    let mut bare = crate::scene::pod(
        "bare",
        json!({ "containers": [{ "name": "redis", "image": "redis:7", "volumeMounts": [{ "name": "v", "mountPath": "/data" }] }] }),
    );
    bare["spec"]["volumes"] = json!([{ "name": "v", "emptyDir": {} }]);
    scene.put(&[claim("data", json!({})), service("redis", json!({})), persistent("Deployment"), bare]).await?;
    let before = scene.ready_pod("redis").await?;
    let bare_before = scene.ready_pod("bare").await?;
    scene.redis("redis", &["set", "k", "v"]).await?;
    scene.redis("bare", &["set", "k", "v"]).await?;
    scene.redis("bare", &["save"]).await?;
    scene.restart_everything().await?;
    let after = scene.ready_pod("redis").await?;
    ensure!(after["metadata"]["uid"] != before["metadata"]["uid"]);
    ensure!(scene.redis("redis", &["-h", "redis", "get", "k"]).await? == "v");
    ensure!(scene.ready_pod("bare").await?["metadata"]["uid"] != bare_before["metadata"]["uid"]);
    ensure!(scene.redis("bare", &["dbsize"]).await? == "0");
    scene.end().await
}

async fn a_client_survives_every_fault() -> Result<()> {
    let scene = quick().await?;
    let client = scene.client(crate::scene::NAMESPACE).await?;
    let before = scene.process(&client).await?;
    for node in ["node-1", "node-2"] {
        scene.stop_node(node).await?;
        scene.start_node(node).await?;
    }
    scene.restart_everything().await?;
    ensure!(scene.process(&client).await? == before);
    ensure!(scene.stop_node("observer").await.is_err() && scene.stop_node("node-9").await.is_err());
    scene.end().await
}

async fn a_budget_keeps_as_many_pods_as_it_says() -> Result<()> {
    let scene = Scene::new().await?;
    let mut deployment = workload("Deployment", "redis", json!({}));
    deployment["spec"]["replicas"] = json!(2);
    let budget = |spec: Value| {
        let mut spec = spec;
        spec["selector"] = json!({ "matchLabels": { "app": "redis" } });
        json!({ "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": { "name": "redis" }, "spec": spec })
    };
    scene.put(&[deployment, budget(json!({ "minAvailable": 2 }))]).await?;
    let pods = scene.until_pods("redis", 2, 10, is_ready).await?;
    let pod = key("Pod", name(&pods[0]));
    let refused = scene.evict(&pod).await.expect_err("both must stay").to_string();
    ensure!(refused.contains("The disruption budget redis needs 2 healthy pods and has 2 currently"), "{refused}");
    scene.until("PodDisruptionBudget", "redis", 5, |budget| budget["status"]["disruptionsAllowed"] == 0).await?;
    let told = |budget: &Value, pods: i64| {
        budget["status"]["disruptionsAllowed"] == pods && budget["status"]["observedGeneration"] == budget["metadata"]["generation"]
    };
    scene.put(&[budget(json!({ "minAvailable": null }))]).await?;
    scene.until("PodDisruptionBudget", "redis", 5, |budget| told(budget, 0) && budget["status"]["desiredHealthy"] == 0).await?;
    scene.evict(&pod).await.expect_err("a budget that asks for nothing lets none go");
    scene.put(&[budget(json!({ "minAvailable": null, "maxUnavailable": "50%" }))]).await?;
    scene.until("PodDisruptionBudget", "redis", 5, |budget| budget["status"]["disruptionsAllowed"] == 1).await?;
    scene.evict(&pod).await?;
    let second = key("Pod", name(&pods[1]));
    scene.evict(&second).await.expect_err("one is on its way already");
    scene.until_gone("Pod", name(&pods[0]), 10).await?;
    scene.until_pods("redis", 2, 10, is_ready).await?;
    scene.evict(&second).await?;
    scene.end().await
}

async fn two_budgets_for_one_pod_refuse_it_and_none_lets_it_go() -> Result<()> {
    let scene = Scene::new().await?;
    let budget = |name: &str| {
        let spec = json!({ "minAvailable": 0, "selector": { "matchLabels": { "app": "redis" } } });
        json!({ "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": { "name": name }, "spec": spec })
    };
    scene.put(&[workload("Deployment", "redis", json!({})), workload("Deployment", "other", json!({})), budget("a"), budget("b")]).await?;
    let (redis, other) = (scene.ready_pod("redis").await?, scene.ready_pod("other").await?);
    let refused = scene.evict(&key("Pod", name(&redis))).await.expect_err("two budgets").to_string();
    ensure!(refused.contains("more than one PodDisruptionBudget"), "{refused}");
    scene.evict(&key("Pod", name(&other))).await?;
    scene.until_gone("Pod", name(&other), 10).await?;
    scene.end().await
}
