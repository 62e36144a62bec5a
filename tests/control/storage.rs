//! Claims, classes and volumes.

use crate::scene::{Scene, claim, is_ready, key, name, pod};
use anyhow::{Result, ensure};
use redis_conformance::target::{
    Capability,
    local::control::{DISK, LocalOptions},
};
use serde_json::{Value, json};

crate::tests![
    a_claim_waits_for_its_first_consumer_and_stays_on_its_node,
    a_claim_of_an_unknown_class_stays_pending_and_says_so,
    a_claim_without_a_class_and_without_a_default_stays_pending_and_says_so,
    a_pod_of_a_missing_claim_is_not_scheduled,
    a_claim_in_use_is_deleted_only_after_its_pod,
    a_volume_made_by_hand_is_bound_and_kept,
    a_disk_belongs_to_root_until_a_group_is_asked_for,
    a_shared_disk_follows_its_pod,
    a_claim_grows_where_its_class_has_a_resizer,
    a_claim_of_a_fixed_class_may_not_grow,
    a_local_path_is_for_one_node_at_a_time,
    a_host_path_is_the_nodes_own,
    an_ephemeral_volume_goes_with_its_pod,
    two_pods_on_one_node_share_a_claim,
];

fn with_claim(app: &str, claim: &str, spec: Value) -> Value {
    let mut object = pod(
        app,
        json!({ "containers": [{ "name": "redis", "image": "redis:7-alpine", "args": ["--appendonly", "yes"], "volumeMounts": [{ "name": "data", "mountPath": "/data" }] }],
            "volumes": [{ "name": "data", "persistentVolumeClaim": { "claimName": claim } }] }),
    );
    crate::scene::merge(&mut object["spec"], spec);
    object
}

async fn a_claim_waits_for_its_first_consumer_and_stays_on_its_node() -> Result<()> {
    let scene = Scene::new().await?;
    scene.put(&[claim("data", json!({}))]).await?;
    scene.told("data", "WaitForFirstConsumer", "waiting for first consumer to be created before binding").await?;
    scene.put(&[with_claim("redis", "data", json!({ "nodeName": null, "nodeSelector": { "kubernetes.io/hostname": "node-2" } }))]).await?;
    scene.ready_pod("redis").await?;
    let bound = scene.object("PersistentVolumeClaim", "data").await?;
    ensure!(
        bound["status"]["phase"] == "Bound"
            && bound["spec"]["storageClassName"] == "standard"
            && bound["status"]["capacity"]["storage"] == "1Gi",
        "{bound}"
    );
    ensure!(scene.run("redis", "redis", &["stat", "-c", "%a", "/data"]).await? == "777");
    scene.put(&[with_claim("other", "data", json!({ "nodeSelector": { "kubernetes.io/hostname": "node-1" } }))]).await?;
    scene.told("other", "FailedScheduling", "1 node(s) didn't match PersistentVolume's node affinity").await?;
    scene.end().await
}

async fn a_claim_of_an_unknown_class_stays_pending_and_says_so() -> Result<()> {
    let scene = Scene::new().await?;
    scene.put(&[claim("data", json!({ "storageClassName": "fast-ssd" })), with_claim("redis", "data", json!({}))]).await?;
    scene.told("data", "ProvisioningFailed", "storageclass.storage.k8s.io \"fast-ssd\" not found").await?;
    scene.told("redis", "FailedScheduling", "pod has unbound immediate PersistentVolumeClaims").await?;
    let class = LocalOptions::class("fast-ssd", DISK, &json!({}));
    scene.put(&[class]).await?;
    scene.ready_pod("redis").await?;
    scene.end().await
}

async fn a_claim_without_a_class_and_without_a_default_stays_pending_and_says_so() -> Result<()> {
    let scene = Scene::with(|options| options.classes.clear()).await?;
    scene.put(&[claim("data", json!({})), with_claim("redis", "data", json!({}))]).await?;
    scene.told("data", "FailedBinding", "no persistent volumes available for this claim and no storage class is set").await?;
    ensure!(scene.object("PersistentVolumeClaim", "data").await?["status"]["phase"] == "Pending");
    scene.put(&[LocalOptions::standard()]).await?;
    scene.ready_pod("redis").await?;
    scene.end().await
}

async fn a_pod_of_a_missing_claim_is_not_scheduled() -> Result<()> {
    let scene = Scene::new().await?;
    scene.put(&[with_claim("redis", "data", json!({}))]).await?;
    scene.told("redis", "FailedScheduling", "persistentvolumeclaim \"data\" not found").await?;
    let pod = scene.object("Pod", "redis").await?;
    ensure!(pod["status"]["phase"] == "Pending" && pod["status"]["conditions"][0]["reason"] == "Unschedulable", "{pod}");
    scene.put(&[claim("data", json!({}))]).await?;
    scene.ready_pod("redis").await?;
    scene.end().await
}

async fn a_claim_in_use_is_deleted_only_after_its_pod() -> Result<()> {
    let scene = Scene::new().await?;
    scene.put(&[claim("data", json!({})), with_claim("redis", "data", json!({}))]).await?;
    scene.ready_pod("redis").await?;
    scene.delete(&key("PersistentVolumeClaim", "data"), None).await?;
    ensure!(!scene.object("PersistentVolumeClaim", "data").await?["metadata"]["deletionTimestamp"].is_null());
    ensure!(scene.redis("redis", &["ping"]).await? == "PONG");
    scene.delete(&key("Pod", "redis"), None).await?;
    scene.until_gone("PersistentVolumeClaim", "data", 10).await?;
    let deadline = std::time::Instant::now();
    while !scene.list("PersistentVolume", None).await?.is_empty() {
        ensure!(deadline.elapsed().as_secs() < 10, "the volume is still there");
        scene.changes().changed().await?;
    }
    scene.end().await
}

async fn a_volume_made_by_hand_is_bound_and_kept() -> Result<()> {
    let scene = Scene::new().await?;
    let volume = |name: &str, size: &str| {
        json!({ "apiVersion": "v1", "kind": "PersistentVolume", "metadata": { "name": name },
            "spec": { "capacity": { "storage": size }, "accessModes": ["ReadWriteOnce"], "storageClassName": "manual", "hostPath": { "path": format!("/mnt/{name}") } } })
    };
    scene.put(&[volume("large", "10Gi"), volume("small", "2Gi"), volume("tiny", "1Mi")]).await?;
    scene.put(&[claim("data", json!({ "storageClassName": "manual" })), with_claim("redis", "data", json!({}))]).await?;
    scene.ready_pod("redis").await?;
    let bound = scene.object("PersistentVolumeClaim", "data").await?;
    ensure!(bound["spec"]["volumeName"] == "small" && bound["status"]["capacity"]["storage"] == "2Gi", "{bound}");
    scene.delete(&key("Pod", "redis"), None).await?;
    scene.until_gone("Pod", "redis", 10).await?;
    scene.delete(&key("PersistentVolumeClaim", "data"), None).await?;
    scene.until("PersistentVolume", "small", 5, |volume| volume["status"]["phase"] == "Released").await?;
    scene.end().await
}

async fn a_disk_belongs_to_root_until_a_group_is_asked_for() -> Result<()> {
    let scene = Scene::with(|options| options.classes.push(LocalOptions::class("disk", DISK, &json!({})))).await?;
    if scene.capability(Capability::RunAsUser).await.is_err() {
        return scene.end().await;
    }
    let user = json!({ "securityContext": { "runAsUser": 999 } });
    let mut grouped = user.clone();
    grouped["securityContext"]["fsGroup"] = json!(999);
    let disk = json!({ "storageClassName": "disk" });
    scene.put(&[claim("a", disk.clone()), claim("b", disk), with_claim("refused", "a", user), with_claim("allowed", "b", grouped)]).await?;
    scene.ready_pod("allowed").await?;
    scene.run("allowed", "redis", &["redis-cli", "set", "k", "v"]).await?;
    ensure!(scene.run("allowed", "redis", &["stat", "-c", "%u:%g %a", "/data"]).await? == "0:999 2775");
    let crashed = scene.until("Pod", "refused", 10, |pod| pod["status"]["containerStatuses"][0]["restartCount"] == 1).await?;
    ensure!(crashed["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 1, "{crashed}");
    scene.end().await
}

async fn a_shared_disk_follows_its_pod() -> Result<()> {
    let scene = Scene::with(|options| options.classes.push(LocalOptions::class("shared", DISK, &json!({ "shared": "true" })))).await?;
    scene.capability(Capability::SharedStorage).await?;
    let at = |node: &str| json!({ "nodeSelector": { "kubernetes.io/hostname": node } });
    scene.put(&[claim("data", json!({ "storageClassName": "shared" })), with_claim("one", "data", at("node-1"))]).await?;
    scene.ready_pod("one").await?;
    scene.run("one", "redis", &["touch", "/data/mark"]).await?;
    scene.delete(&key("Pod", "one"), None).await?;
    scene.until_gone("Pod", "one", 10).await?;
    scene.put(&[with_claim("two", "data", at("node-2"))]).await?;
    scene.ready_pod("two").await?;
    scene.run("two", "redis", &["test", "-e", "/data/mark"]).await?;
    scene.end().await
}

fn asks(size: &str) -> Value {
    json!({ "spec": { "resources": { "requests": { "storage": size } } } })
}

async fn a_claim_grows_where_its_class_has_a_resizer() -> Result<()> {
    let scene = Scene::new().await?;
    ensure!(scene.capability(Capability::VolumeExpansion).await.is_err());
    let mut growing = LocalOptions::class("growing", DISK, &json!({ "resizer": "true" }));
    let mut alone = LocalOptions::class("alone", DISK, &json!({}));
    growing["allowVolumeExpansion"] = json!(true);
    alone["allowVolumeExpansion"] = json!(true);
    scene.put(&[growing, alone]).await?;
    scene.capability(Capability::VolumeExpansion).await?;
    for class in ["growing", "alone"] {
        scene.put(&[claim(class, json!({ "storageClassName": class })), with_claim(&format!("redis-{class}"), class, json!({}))]).await?;
        scene.ready_pod(&format!("redis-{class}")).await?;
        scene.patch(&key("PersistentVolumeClaim", class), &asks("2Gi")).await?;
    }
    scene.until("PersistentVolumeClaim", "growing", 5, |claim| claim["status"]["capacity"]["storage"] == "2Gi").await?;
    scene.told("alone", "ExternalExpanding", "waiting for an external controller").await?;
    ensure!(scene.object("PersistentVolumeClaim", "alone").await?["status"]["capacity"]["storage"] == "1Gi");
    scene.end().await
}

async fn a_claim_of_a_fixed_class_may_not_grow() -> Result<()> {
    let scene = Scene::new().await?;
    scene.put(&[claim("data", json!({})), with_claim("redis", "data", json!({}))]).await?;
    scene.ready_pod("redis").await?;
    let refused = scene.patch(&key("PersistentVolumeClaim", "data"), &asks("20Gi")).await.expect_err("refused").to_string();
    ensure!(
        refused
            .contains("only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize"),
        "{refused}"
    );
    scene.end().await
}

async fn a_local_path_is_for_one_node_at_a_time() -> Result<()> {
    let scene = Scene::new().await?;
    scene.put(&[claim("data", json!({ "accessModes": ["ReadWriteMany"] })), with_claim("redis", "data", json!({}))]).await?;
    scene.told("data", "ProvisioningFailed", "NodePath only supports ReadWriteOnce and ReadWriteOncePod").await?;
    scene.end().await
}

async fn a_host_path_is_the_nodes_own() -> Result<()> {
    let scene = Scene::new().await?;
    let at = |app: &str, node: &str| {
        pod(
            app,
            json!({ "nodeName": node, "volumes": [{ "name": "h", "hostPath": { "path": "/var/data", "type": "DirectoryOrCreate" } }],
                "containers": [{ "name": "redis", "image": "redis:7", "volumeMounts": [{ "name": "h", "mountPath": "/h" }] }] }),
        )
    };
    scene.put(&[at("one", "node-1"), at("two", "node-1"), at("far", "node-2")]).await?;
    for app in ["one", "two", "far"] {
        scene.ready_pod(app).await?;
    }
    scene.run("one", "redis", &["touch", "/h/mark"]).await?;
    scene.run("two", "redis", &["test", "-e", "/h/mark"]).await?;
    ensure!(scene.run("far", "redis", &["test", "-e", "/h/mark"]).await.is_err());
    scene.end().await
}

async fn an_ephemeral_volume_goes_with_its_pod() -> Result<()> {
    let scene = Scene::new().await?;
    let template = json!({ "volumeClaimTemplate": { "spec": claim("x", json!({}))["spec"] } });
    let mut object = with_claim("redis", "x", json!({}));
    object["spec"]["volumes"] = json!([{ "name": "data", "ephemeral": template }]);
    scene.put(&[object]).await?;
    scene.ready_pod("redis").await?;
    ensure!(scene.object("PersistentVolumeClaim", "redis-data").await?["status"]["phase"] == "Bound");
    scene.delete(&key("Pod", "redis"), None).await?;
    scene.until_gone("PersistentVolumeClaim", "redis-data", 10).await?;
    scene.end().await
}

/// Two Redis on one append-only file would not live long.
fn sleeper(app: &str) -> Value {
    let mut pod = with_claim(app, "data", json!({}));
    pod["spec"]["containers"][0]["command"] = json!(["sleep"]);
    pod["spec"]["containers"][0]["args"] = json!(["100"]);
    pod
}

async fn two_pods_on_one_node_share_a_claim() -> Result<()> {
    let scene = Scene::new().await?;
    scene.put(&[claim("data", json!({})), sleeper("one"), sleeper("two")]).await?;
    let (one, two) = (scene.ready_pod("one").await?, scene.ready_pod("two").await?);
    ensure!(is_ready(&one) && one["spec"]["nodeName"] == two["spec"]["nodeName"], "{} {}", name(&one), name(&two));
    scene.run("one", "redis", &["touch", "/data/mark"]).await?;
    scene.run("two", "redis", &["test", "-e", "/data/mark"]).await?;
    scene.end().await
}
