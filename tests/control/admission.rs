//! What is refused: by the API server's rules, or by name because it is not carried out here.

use crate::scene::{Scene, claim, key, service, workload};
use anyhow::{Result, ensure};
use redis_conformance::target::{Capability, TargetError};
use serde_json::{Value, json};

crate::tests![
    an_object_of_a_missing_namespace_is_refused,
    an_unknown_field_is_refused,
    an_immutable_field_is_refused,
    a_switch_to_recreate_over_defaulted_limits_is_refused,
    applying_again_changes_what_differs,
    what_is_not_carried_out_is_refused_by_name,
    what_cannot_matter_is_kept_with_a_remark,
    a_deleted_namespace_takes_all_along,
    services_get_addresses_and_defaults,
];

async fn refusal(scene: &Scene, object: Value) -> String {
    match scene.put(&[object]).await {
        Err(TargetError::Refused { reason, .. }) => reason,
        other => format!("not refused: {other:?}"),
    }
}

async fn an_object_of_a_missing_namespace_is_refused() -> Result<()> {
    let scene = Scene::new().await?;
    let mut object = claim("data", json!({}));
    object["metadata"]["namespace"] = "nowhere".into();
    ensure!(refusal(&scene, object).await == "namespaces \"nowhere\" not found");
    scene.end().await
}

async fn an_unknown_field_is_refused() -> Result<()> {
    let scene = Scene::new().await?;
    let reason = refusal(&scene, workload("Deployment", "redis", json!({ "comand": ["x"] }))).await;
    ensure!(reason == ".spec.template.spec.containers[0].comand: field not declared in schema", "{reason}");
    scene.end().await
}

async fn an_immutable_field_is_refused() -> Result<()> {
    let scene = Scene::new().await?;
    scene.put(&[workload("Deployment", "redis", json!({})), claim("data", json!({}))]).await?;
    let mut changed = workload("Deployment", "redis", json!({}));
    for pointer in ["/spec/selector/matchLabels", "/spec/template/metadata/labels"] {
        changed.pointer_mut(pointer).expect("labels")["tier"] = "cache".into();
    }
    let reason = refusal(&scene, changed).await;
    ensure!(
        reason.starts_with("Deployment.apps \"redis\" is invalid: spec.selector: Invalid value:") && reason.ends_with("field is immutable"),
        "{reason}"
    );
    let reason = refusal(&scene, claim("data", json!({ "accessModes": ["ReadOnlyMany"] }))).await;
    ensure!(reason.contains("spec is immutable after creation except resources.requests"), "{reason}");
    scene.end().await
}

async fn a_switch_to_recreate_over_defaulted_limits_is_refused() -> Result<()> {
    let scene = Scene::new().await?;
    scene.put(&[workload("Deployment", "redis", json!({}))]).await?;
    let mut changed = workload("Deployment", "redis", json!({}));
    changed["spec"]["strategy"] = json!({ "type": "Recreate" });
    ensure!(refusal(&scene, changed.clone()).await.contains("may not be specified when strategy `type` is 'Recreate'"));
    scene.patch(&key("Deployment", "redis"), &json!({ "spec": { "strategy": { "type": "Recreate", "rollingUpdate": null } } })).await?;
    scene.end().await
}

async fn applying_again_changes_what_differs() -> Result<()> {
    let scene = Scene::new().await?;
    let config = |data: Value| json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "config" }, "data": data });
    scene.put(&[config(json!({ "a": "1", "b": "2" })), service("redis", json!({}))]).await?;
    let before = scene.object("Service", "redis").await?;
    scene.put(&[config(json!({ "a": "3" })), service("redis", json!({}))]).await?;
    ensure!(scene.object("ConfigMap", "config").await?["data"] == json!({ "a": "3" }));
    ensure!(scene.object("Service", "redis").await? == before);
    scene.end().await
}

async fn what_is_not_carried_out_is_refused_by_name() -> Result<()> {
    let scene = Scene::new().await?;
    let mut host = workload("Deployment", "redis", json!({}));
    host["spec"]["template"]["spec"]["hostNetwork"] = json!(true);
    let policy = json!({ "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": { "name": "policy" }, "spec": { "podSelector": { "matchLabels": { "app": "redis" } } } });
    let custom = json!({ "apiVersion": "redis.example.org/v1", "kind": "RedisCluster", "metadata": { "name": "redis" } });
    for (objects, named) in [
        (vec![host], "spec.template.spec.hostNetwork"),
        (vec![policy, workload("Deployment", "redis", json!({}))], "NetworkPolicy shop.policy"),
        (vec![custom], "RedisCluster shop.redis"),
    ] {
        match scene.put(&objects).await {
            Err(TargetError::Unsupported(unsupported)) => {
                ensure!(matches!(&unsupported.capability, Capability::Field(field) if field.contains(named)), "{unsupported}");
            }
            other => anyhow::bail!("{named}: {other:?}"),
        }
    }
    ensure!(scene.get(&key("Deployment", "redis")).await?.is_none(), "all or nothing");
    scene.end().await
}

async fn what_cannot_matter_is_kept_with_a_remark() -> Result<()> {
    let scene = Scene::new().await?;
    let monitor =
        json!({ "apiVersion": "monitoring.coreos.com/v1", "kind": "ServiceMonitor", "metadata": { "name": "redis" }, "spec": {} });
    let policy = json!({ "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": { "name": "policy" }, "spec": { "podSelector": { "matchLabels": { "app": "other" } } } });
    let applied = scene.put(&[monitor, policy, workload("Deployment", "redis", json!({}))]).await?;
    ensure!(applied.remarks.iter().any(|remark| remark.starts_with("ServiceMonitor shop/redis")), "{:?}", applied.remarks);
    ensure!(applied.remarks.iter().any(|remark| remark.starts_with("NetworkPolicy shop/policy")), "{:?}", applied.remarks);
    scene.ready_pod("redis").await?;
    scene.end().await
}

async fn a_deleted_namespace_takes_all_along() -> Result<()> {
    let scene = Scene::new().await?;
    scene.put(&[workload("Deployment", "redis", json!({})), claim("data", json!({}))]).await?;
    scene.ready_pod("redis").await?;
    scene.delete(&key("Namespace", crate::scene::NAMESPACE), None).await?;
    scene.until_gone("Namespace", crate::scene::NAMESPACE, 10).await?;
    ensure!(scene.list("Pod", None).await?.is_empty());
    scene.end().await
}

async fn services_get_addresses_and_defaults() -> Result<()> {
    let scene = Scene::new().await?;
    scene
        .put(&[service("a", json!({})), service("b", json!({ "type": "NodePort" })), service("c", json!({ "clusterIP": "None" }))])
        .await?;
    let (a, b, c) = (scene.object("Service", "a").await?, scene.object("Service", "b").await?, scene.object("Service", "c").await?);
    ensure!(a["spec"]["clusterIP"] != b["spec"]["clusterIP"] && c["spec"]["clusterIP"] == "None");
    ensure!(a["spec"]["type"] == "ClusterIP" && a["spec"]["ports"][0]["targetPort"] == 6379 && a["spec"]["ports"][0]["nodePort"].is_null());
    ensure!(b["spec"]["ports"][0]["nodePort"].as_i64().is_some_and(|port| (30_000..=32_767).contains(&port)), "{b}");
    scene.end().await
}
