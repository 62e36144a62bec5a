//! What a container is: its image, environment, user, files, hooks and end.

use crate::scene::{Scene, is_ready, key, of, pod, service, workload};
use anyhow::{Result, ensure};
use redis_conformance::{
    target::{Capability, Kill, TargetError},
    wait::{Look, Until},
};
use serde_json::{Value, json};
use std::time::Duration;

crate::tests![
    the_official_image_runs_as_redis_in_its_data_directory,
    a_command_replaces_the_entry_point_and_stays_root,
    protected_mode_is_off_unless_the_file_says_otherwise,
    what_is_written_outside_volumes_goes_with_the_container,
    the_environment_has_services_maps_secrets_and_fields,
    a_missing_map_holds_the_container_up_until_it_is_there,
    a_missing_volume_source_is_told_until_it_is_there,
    a_security_context_is_carried_out,
    an_image_of_root_may_not_run_as_non_root,
    secret_files_have_their_modes_and_the_pods_group,
    a_sub_path_mounts_one_file,
    init_containers_run_in_order_before_the_others,
    a_failing_init_container_is_tried_again,
    a_sidecar_runs_from_before_to_after_the_others,
    hooks_run_after_the_start_and_before_the_end,
    logs_are_of_the_running_and_of_the_previous_instance,
    a_program_that_is_missing_is_a_start_error,
    a_container_without_a_program_is_listed_and_left_out,
    a_container_over_its_memory_limit_is_killed_for_it,
    the_client_pod_has_this_program,
];

fn bare(app: &str, container: Value) -> Value {
    let mut main = json!({ "name": "redis", "image": "redis:7-alpine" });
    crate::scene::merge(&mut main, container);
    pod(app, json!({ "containers": [main] }))
}

async fn the_official_image_runs_as_redis_in_its_data_directory() -> Result<()> {
    let scene = Scene::new().await?;
    if scene.capability(Capability::RunAsUser).await.is_err() {
        return scene.end().await;
    }
    scene.put(&[bare("redis", json!({ "args": ["--maxmemory", "10mb"] }))]).await?;
    scene.ready_pod("redis").await?;
    let shell = async |line: &str| scene.run("redis", "redis", &["sh", "-c", line]).await;
    ensure!(scene.run("redis", "redis", &["redis-cli", "ping"]).await? == "PONG");
    ensure!(shell("grep ^Uid /proc/1/status").await?.split_whitespace().nth(1) == Some("999"));
    ensure!(shell("cat /proc/1/comm").await? == "redis-server");
    ensure!(shell("grep ^Umask /proc/1/status").await?.ends_with("0077"));
    ensure!(shell("pwd").await? == "/data");
    ensure!(shell("stat -c %u:%g /data").await? == "999:1000");
    ensure!(shell("id -u").await? == "0");
    ensure!(shell("redis-cli config get maxmemory | tail -1").await? == "10485760");
    scene.end().await
}

async fn a_command_replaces_the_entry_point_and_stays_root() -> Result<()> {
    let scene = Scene::new().await?;
    scene.put(&[bare("redis", json!({ "image": "docker.io/library/redis:7.2", "command": ["redis-server", "--port", "6380"] }))]).await?;
    scene.ready_pod("redis").await?;
    let status = scene.run("redis", "redis", &["grep", "^Uid", "/proc/1/status"]).await?;
    ensure!(status.split_whitespace().nth(1) == Some("0"), "{status}");
    ensure!(scene.run("redis", "redis", &["redis-cli", "-p", "6380", "config", "get", "port"]).await? == "port\n6380");
    scene.end().await
}

async fn protected_mode_is_off_unless_the_file_says_otherwise() -> Result<()> {
    let scene = Scene::new().await?;
    let config = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "config" }, "data": { "redis.conf": "protected-mode yes\n", "plain.conf": "maxmemory 1mb\n" } });
    let with = |app: &str, arguments: Value| {
        let mut pod = bare(app, json!({ "args": arguments, "volumeMounts": [{ "name": "config", "mountPath": "/etc/redis" }] }));
        pod["spec"]["volumes"] = json!([{ "name": "config", "configMap": { "name": "config" } }]);
        pod
    };
    scene
        .put(&[
            config,
            with("off", json!([])),
            with("file", json!(["/etc/redis/redis.conf"])),
            with("plain", json!(["/etc/redis/plain.conf"])),
            with("said", json!(["--protected-mode", "yes"])),
        ])
        .await?;
    for (app, expected) in [("off", "no"), ("file", "yes"), ("plain", "no"), ("said", "yes")] {
        scene.ready_pod(app).await?;
        let found = scene.run(app, "redis", &["redis-cli", "config", "get", "protected-mode"]).await?;
        ensure!(found.ends_with(expected), "{app}: {found}");
    }
    scene.end().await
}

async fn what_is_written_outside_volumes_goes_with_the_container() -> Result<()> {
    let scene = Scene::new().await?;
    scene.put(&[bare("redis", json!({ "args": ["--appendonly", "yes"] }))]).await?;
    scene.ready_pod("redis").await?;
    scene.run("redis", "redis", &["redis-cli", "set", "k", "v"]).await?;
    scene.kill_and_wait("redis", "redis", Kill::Term).await?;
    scene.ready_pod("redis").await?;
    ensure!(scene.run("redis", "redis", &["redis-cli", "dbsize"]).await? == "0");
    let pod = scene.object("Pod", "redis").await?;
    let status = &pod["status"]["containerStatuses"][0];
    ensure!(status["restartCount"] == 1 && status["lastState"]["terminated"]["reason"] == "Completed", "{status}");
    scene.end().await
}

async fn the_environment_has_services_maps_secrets_and_fields() -> Result<()> {
    let scene = Scene::new().await?;
    let container = json!({
        "args": ["--maxmemory", "$(LIMIT)"], "envFrom": [{ "configMapRef": { "name": "config" } }],
        "env": [{ "name": "IP", "valueFrom": { "fieldRef": { "fieldPath": "status.podIP" } } },
            { "name": "PASSWORD", "valueFrom": { "secretKeyRef": { "name": "secret", "key": "password" } } },
            { "name": "URL", "value": "redis://$(REDIS_SERVICE_HOST):$(REDIS_SERVICE_PORT)" }]
    });
    scene
        .put(&[
            json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "config" }, "data": { "LIMIT": "3mb" } }),
            json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "secret" }, "stringData": { "password": "s/+=" } }),
            bare("redis", container),
            service("redis", json!({})),
        ])
        .await?;
    let pod = scene.ready_pod("redis").await?;
    let printed = scene.run("redis", "redis", &["env"]).await?;
    let value = |name: &str| printed.lines().find_map(|line| line.strip_prefix(&format!("{name}="))).unwrap_or_default().to_owned();
    let address = scene.object("Service", "redis").await?["spec"]["clusterIP"].as_str().unwrap_or_default().to_owned();
    ensure!(value("REDIS_PORT") == format!("tcp://{address}:6379"), "{printed}");
    ensure!(value("URL") == format!("redis://{address}:6379") && value("PASSWORD") == "s/+=");
    ensure!(value("IP") == pod["status"]["podIP"].as_str().unwrap_or_default() && value("HOSTNAME") == "redis");
    ensure!(value("KUBERNETES_SERVICE_HOST") == "10.96.0.1");
    ensure!(scene.run("redis", "redis", &["redis-cli", "config", "get", "maxmemory"]).await?.ends_with("3145728"));
    scene.end().await
}

async fn a_missing_map_holds_the_container_up_until_it_is_there() -> Result<()> {
    let scene = Scene::new().await?;
    scene.put(&[bare("redis", json!({ "envFrom": [{ "configMapRef": { "name": "later" } }] }))]).await?;
    let waiting = |pod: &Value| pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "CreateContainerConfigError";
    let pod = scene.until("Pod", "redis", 10, waiting).await?;
    ensure!(pod["status"]["phase"] == "Pending");
    scene.told("redis", "Failed", "configmap \"later\" not found").await?;
    scene.put(&[json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "later" }, "data": { "A": "1" } })]).await?;
    scene.ready_pod("redis").await?;
    scene.end().await
}

async fn a_missing_volume_source_is_told_until_it_is_there() -> Result<()> {
    let scene = Scene::new().await?;
    let mut pod = bare("redis", json!({ "volumeMounts": [{ "name": "v", "mountPath": "/v", "readOnly": true }] }));
    pod["spec"]["volumes"] = json!([{ "name": "v", "secret": { "secretName": "later" } }]);
    scene.put(&[pod]).await?;
    scene.told("redis", "FailedMount", "MountVolume.SetUp failed for volume \"v\" : secret \"later\" not found").await?;
    scene.put(&[json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "later" }, "stringData": { "a": "1" } })]).await?;
    scene.ready_pod("redis").await?;
    ensure!(scene.run("redis", "redis", &["cat", "/v/a"]).await? == "1");
    ensure!(scene.run("redis", "redis", &["touch", "/v/b"]).await.is_err());
    scene.end().await
}

async fn a_security_context_is_carried_out() -> Result<()> {
    let scene = Scene::new().await?;
    if scene.capability(Capability::RunAsUser).await.is_err() {
        return scene.end().await;
    }
    let context = json!({ "runAsUser": 999, "runAsNonRoot": true, "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": { "drop": ["ALL"] } });
    let mut pod = bare("redis", json!({ "securityContext": context, "volumeMounts": [{ "name": "v", "mountPath": "/data" }] }));
    pod["spec"]["volumes"] = json!([{ "name": "v", "emptyDir": {} }]);
    pod["spec"]["securityContext"] = json!({ "fsGroup": 2000, "supplementalGroups": [7] });
    scene.put(&[pod]).await?;
    scene.ready_pod("redis").await?;
    let status = scene.run("redis", "redis", &["cat", "/proc/1/status"]).await?;
    let field = |name: &str| {
        status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
    };
    ensure!(field("Uid:").starts_with("999 999") && field("Gid:").starts_with("1000") && field("Groups:") == "7 2000", "{status}");
    ensure!(field("NoNewPrivs:") == "1" && field("CapBnd:") == "0000000000000000");
    ensure!(scene.run("redis", "redis", &["stat", "-c", "%g %a", "/data"]).await? == "2000 2777");
    ensure!(scene.run("redis", "redis", &["touch", "/x"]).await.is_err());
    scene.run("redis", "redis", &["touch", "/data/x"]).await?;
    scene.end().await
}

async fn an_image_of_root_may_not_run_as_non_root() -> Result<()> {
    let scene = Scene::new().await?;
    scene.put(&[bare("redis", json!({ "securityContext": { "runAsNonRoot": true } }))]).await?;
    scene.told("redis", "Failed", "container has runAsNonRoot and image will run as root").await?;
    let pod = scene.object("Pod", "redis").await?;
    ensure!(pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "CreateContainerConfigError", "{pod}");
    scene.end().await
}

async fn secret_files_have_their_modes_and_the_pods_group() -> Result<()> {
    let scene = Scene::new().await?;
    if scene.capability(Capability::RunAsUser).await.is_err() {
        return scene.end().await;
    }
    let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "secret" }, "stringData": { "password": "pw" } });
    let make = |app: &str, group: Value| {
        let mut pod = bare(app, json!({ "volumeMounts": [{ "name": "s", "mountPath": "/s" }] }));
        pod["spec"]["volumes"] = json!([{ "name": "s", "secret": { "secretName": "secret", "defaultMode": 0o400 } }]);
        pod["spec"]["securityContext"] = group;
        pod
    };
    scene.put(&[secret, make("without", json!({})), make("with", json!({ "fsGroup": 999 }))]).await?;
    for (app, expected) in [("without", "0:0 400"), ("with", "0:999 440")] {
        scene.ready_pod(app).await?;
        let found = scene.run(app, "redis", &["stat", "-L", "-c", "%u:%g %a", "/s/password"]).await?;
        ensure!(found == expected, "{app}: {found}");
    }
    scene.end().await
}

async fn a_sub_path_mounts_one_file() -> Result<()> {
    let scene = Scene::new().await?;
    let config =
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "config" }, "data": { "redis.conf": "maxmemory 2mb\n" } });
    let mut pod = bare(
        "redis",
        json!({ "args": ["/etc/redis/redis.conf"], "volumeMounts": [{ "name": "c", "mountPath": "/etc/redis/redis.conf", "subPath": "redis.conf" },
        { "name": "d", "mountPath": "/data", "subPathExpr": "$(HOSTNAME)/data" }] }),
    );
    pod["spec"]["volumes"] = json!([{ "name": "c", "configMap": { "name": "config" } }, { "name": "d", "emptyDir": {} }]);
    scene.put(&[config, pod]).await?;
    scene.ready_pod("redis").await?;
    ensure!(scene.run("redis", "redis", &["ls", "/etc/redis"]).await? == "redis.conf");
    ensure!(scene.run("redis", "redis", &["redis-cli", "config", "get", "maxmemory"]).await?.ends_with("2097152"));
    scene.end().await
}

fn shell(name: &str, line: &str) -> Value {
    json!({ "name": name, "image": "redis:7", "command": ["sh", "-c", line], "volumeMounts": [{ "name": "v", "mountPath": "/v" }] })
}

async fn init_containers_run_in_order_before_the_others() -> Result<()> {
    let scene = Scene::new().await?;
    let spec = json!({ "volumes": [{ "name": "v", "emptyDir": {} }], "containers": [shell("redis", "echo main >> /v/log; exec sleep 100")],
        "initContainers": [shell("first", "sleep 0.2; echo first >> /v/log"), shell("second", "echo second >> /v/log")] });
    scene.put(&[pod("redis", spec)]).await?;
    let pod = scene.ready_pod("redis").await?;
    ensure!(scene.run("redis", "redis", &["cat", "/v/log"]).await? == "first\nsecond\nmain");
    ensure!(pod["status"]["initContainerStatuses"][1]["state"]["terminated"]["reason"] == "Completed", "{pod}");
    scene.end().await
}

async fn a_failing_init_container_is_tried_again() -> Result<()> {
    let scene = Scene::new().await?;
    let spec = json!({ "volumes": [{ "name": "v", "emptyDir": {} }], "containers": [shell("redis", "exec sleep 100")],
        "initContainers": [shell("first", "test -e /v/tried || { touch /v/tried; exit 1; }")] });
    scene.put(&[pod("redis", spec)]).await?;
    let pod = scene.ready_pod("redis").await?;
    ensure!(pod["status"]["initContainerStatuses"][0]["restartCount"] == 1, "{pod}");
    scene.end().await
}

async fn a_sidecar_runs_from_before_to_after_the_others() -> Result<()> {
    let scene = Scene::new().await?;
    let mut sidecar = shell(
        "sidecar",
        "trap 'test -e /v/main-ended && echo last >> /v/order; exit 0' TERM; touch /v/sidecar; while true; do sleep 0.05; done",
    );
    sidecar["restartPolicy"] = "Always".into();
    sidecar["startupProbe"] = json!({ "exec": { "command": ["test", "-e", "/v/sidecar"] }, "periodSeconds": 1 });
    let main = shell("redis", "test -e /v/sidecar && echo after >> /v/order; touch /v/main-ended");
    let spec = json!({ "restartPolicy": "Never", "volumes": [{ "name": "v", "persistentVolumeClaim": { "claimName": "c" } }], "containers": [main], "initContainers": [sidecar] });
    scene.put(&[crate::scene::claim("c", json!({})), pod("first", spec)]).await?;
    scene.until("Pod", "first", 20, |pod| pod["status"]["phase"] == "Succeeded").await?;
    scene.put(&[pod("second", json!({ "volumes": [{ "name": "v", "persistentVolumeClaim": { "claimName": "c" } }], "containers": [shell("redis", "exec sleep 100")] }))]).await?;
    scene.ready_pod("second").await?;
    ensure!(scene.run("second", "redis", &["cat", "/v/order"]).await? == "after\nlast");
    scene.end().await
}

async fn hooks_run_after_the_start_and_before_the_end() -> Result<()> {
    let scene = Scene::new().await?;
    let mut main = shell("redis", "trap 'echo term >> /v/log; exit 0' TERM; while true; do sleep 0.05; done");
    main["lifecycle"] = json!({ "postStart": { "exec": { "command": ["sh", "-c", "echo started >> /v/log"] } }, "preStop": { "exec": { "command": ["sh", "-c", "echo stopping >> /v/log"] } } });
    let volumes = json!([{ "name": "v", "persistentVolumeClaim": { "claimName": "c" } }]);
    scene.put(&[crate::scene::claim("c", json!({})), pod("first", json!({ "volumes": volumes, "containers": [main] }))]).await?;
    scene.ready_pod("first").await?;
    scene.delete(&key("Pod", "first"), None).await?;
    scene.until_gone("Pod", "first", 10).await?;
    scene.put(&[pod("second", json!({ "volumes": volumes, "containers": [shell("redis", "exec sleep 100")] }))]).await?;
    scene.ready_pod("second").await?;
    ensure!(scene.run("second", "redis", &["cat", "/v/log"]).await? == "started\nstopping\nterm");
    scene.end().await
}

async fn logs_are_of_the_running_and_of_the_previous_instance() -> Result<()> {
    let scene = Scene::new().await?;
    scene
        .put(&[bare(
            "redis",
            json!({ "command": ["sh", "-c", "trap 'echo ended; exit 1' TERM; echo begun; while true; do sleep 0.05; done"] }),
        )])
        .await?;
    scene.ready_pod("redis").await?;
    ensure!(scene.logs(&of("redis", "redis"), true).await.is_err());
    let begun = Until::within(Duration::from_secs(5)).met("the first words", || async {
        let log = scene.logs(&of("redis", "redis"), false).await?;
        Ok::<_, anyhow::Error>(if log.is_empty() { Look::NotYet("nothing".into()) } else { Look::Ready(log) })
    });
    ensure!(begun.await? == b"begun\n");
    scene.kill_and_wait("redis", "redis", Kill::Term).await?;
    ensure!(String::from_utf8(scene.logs(&of("redis", "redis"), true).await?)? == "begun\nended\n");
    let state = scene.object("Pod", "redis").await?["status"]["containerStatuses"][0]["lastState"]["terminated"].clone();
    ensure!(state["exitCode"] == 1 && state["reason"] == "Error", "{state}");
    scene.end().await
}

async fn a_program_that_is_missing_is_a_start_error() -> Result<()> {
    let scene = Scene::new().await?;
    scene.put(&[bare("redis", json!({ "command": ["no-such-program"] }))]).await?;
    scene.told("redis", "Failed", "exec: \"no-such-program\": executable file not found in $PATH").await?;
    let backs_off = |pod: &Value| pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "CrashLoopBackOff";
    let pod = scene.until("Pod", "redis", 10, backs_off).await?;
    ensure!(pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["reason"] == "StartError", "{pod}");
    let output = scene.exec(&of("redis", "redis"), &["true"], &[]).await;
    ensure!(matches!(output, Err(TargetError::Missing(_))), "{output:?}");
    scene.end().await
}

async fn a_container_without_a_program_is_listed_and_left_out() -> Result<()> {
    let scene = Scene::new().await?;
    let mut deployment = workload("Deployment", "redis", json!({}));
    let containers = deployment.pointer_mut("/spec/template/spec/containers").and_then(Value::as_array_mut).expect("containers");
    containers.push(json!({ "name": "exporter", "image": "oliver006/redis_exporter:v1", "livenessProbe": { "grpc": { "port": 1 } } }));
    let mut other = workload("Deployment", "shop", json!({ "image": "example.org/shop:1" }));
    other["spec"]["template"]["spec"]["containers"][0]["name"] = "shop".into();
    let applied = scene.put(&[deployment, other]).await?;
    let listed: Vec<&str> = applied.without_program.iter().map(|without| without.image.as_str()).collect();
    ensure!(listed == ["oliver006/redis_exporter:v1", "example.org/shop:1"], "{listed:?}");
    scene.ready_pod("redis").await?;
    let pod = scene.until_pods("shop", 1, 10, |pod| !pod["status"]["containerStatuses"].is_null()).await?.remove(0);
    ensure!(pod["status"]["phase"] == "Pending" && !is_ready(&pod), "{pod}");
    ensure!(scene.capability(Capability::Program("example.org/shop:1".into())).await.is_err());
    scene.end().await
}

async fn a_container_over_its_memory_limit_is_killed_for_it() -> Result<()> {
    let scene = Scene::new().await?;
    if scene.capability(Capability::MemoryLimit).await.is_err() {
        return scene.end().await;
    }
    scene.put(&[bare("redis", json!({ "resources": { "limits": { "memory": "32Mi" } } }))]).await?;
    scene.ready_pod("redis").await?;
    // Without a probe the pod is ready before Redis listens. The command itself gets no answer: Redis is killed over it.
    let fill = "until redis-cli ping | grep -q PONG; do :; done; redis-cli setrange k 100000000 x";
    drop(scene.exec(&of("redis", "redis"), &["sh", "-c", fill], &[]).await);
    let killed = |pod: &Value| pod["status"]["containerStatuses"][0].to_string().contains("OOMKilled");
    scene.until("Pod", "redis", 20, killed).await?;
    scene.end().await
}

async fn the_client_pod_has_this_program() -> Result<()> {
    let scene = Scene::new().await?;
    let client = scene.client(crate::scene::NAMESPACE).await?;
    ensure!(scene.client(crate::scene::NAMESPACE).await? == client);
    scene.run(&client.pod, &client.container, &["test", "-x", "/usr/local/bin/redis-conformance"]).await?;
    scene.delete(&key("Pod", &client.pod), None).await?;
    scene.until_gone("Pod", &client.pod, 5).await?;
    scene.end().await
}
