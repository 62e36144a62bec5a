//! A target in memory: objects that follow their owners, and containers whose commands run right here.

use async_trait::async_trait;
use redis_conformance::{
    manifest::{Object, ObjectKey},
    target::{Applied, Attached, Capability, ContainerRef, ExecOutput, Kill, Process, Target, TargetError, Unsupported},
    wait,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{io::AsyncWriteExt, process::Command, sync::watch};

/// How long a deleted object is still there.
const DYING: Duration = Duration::from_millis(60);

#[derive(Clone)]
pub(super) struct Fake {
    objects: Arc<Mutex<BTreeMap<ObjectKey, Value>>>,
    changes: watch::Sender<u64>,
    logs: Arc<Mutex<BTreeMap<(String, bool), String>>>,
    /// Commands in containers are not run; they succeed with no output.
    dry: bool,
}

impl Fake {
    /// One Deployment `redis` in `mcp` with its pod, claim and Service, and a StatefulSet's pod with two containers.
    pub(super) fn new() -> Self {
        let fake = Self { objects: Arc::default(), changes: watch::Sender::new(0), logs: Arc::default(), dry: false };
        let labels = json!({ "app": "redis" });
        fake.put(json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "redis", "namespace": "mcp" },
            "spec": { "replicas": 1, "selector": { "matchLabels": labels }, "template": { "metadata": { "labels": labels } } },
        }));
        fake.put(json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": { "name": "redis-data-pvc", "namespace": "mcp" },
            "spec": { "accessModes": ["ReadWriteOnce"], "storageClassName": "standard", "volumeName": "pv-1", "resources": { "requests": { "storage": "10Gi" } } },
            "status": { "phase": "Bound", "capacity": { "storage": "10Gi" }, "accessModes": ["ReadWriteOnce"] },
        }));
        for (name, default) in [("standard", "true"), ("fast-ssd", "false")] {
            fake.put(json!({
                "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "provisioner": "x", "reclaimPolicy": "Delete", "volumeBindingMode": "Immediate",
                "metadata": { "name": name, "annotations": { "storageclass.kubernetes.io/is-default-class": default } },
            }));
        }
        fake.put(json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "redis-0", "namespace": "aikernel", "labels": { "app": "redis" } },
            "spec": { "containers": [{ "name": "redis", "image": "redis:8.2" }, { "name": "sentinel", "image": "redis:8.2" }] },
            "status": { "phase": "Running", "containerStatuses": [{ "name": "redis", "ready": true, "restartCount": 1, "state": { "running": {} } }] },
        }));
        fake.put(json!({
            "apiVersion": "v1", "kind": "Event", "metadata": { "name": "e1", "namespace": "mcp" }, "type": "Normal", "reason": "Bound", "message": "all is well",
            "involvedObject": { "kind": "PersistentVolumeClaim", "name": "redis-data-pvc" }, "lastTimestamp": "2026-01-01T00:00:00Z",
        }));
        fake
    }

    /// One that runs no commands.
    pub(super) fn without_commands() -> Self {
        Self { dry: true, ..Self::new() }
    }

    /// Lets a container, `pod/container`, have written something.
    pub(super) fn writes(&self, container: &str, previous: bool, text: &str) {
        self.logs.lock().expect("no panic").insert((container.to_owned(), previous), text.to_owned());
    }

    /// Puts an object in, with the server's own fields, and lets controllers act.
    pub(super) fn put(&self, mut object: Value) {
        let version = *self.changes.borrow() + 1;
        let metadata = &mut object["metadata"];
        if metadata.get("uid").is_none() {
            metadata["uid"] = json!(format!("uid-{version}"));
        }
        metadata["resourceVersion"] = json!(version.to_string());
        self.objects.lock().expect("no panic").insert(key(&object), object);
        self.changes.send_modify(|changes| *changes += 1);
        self.reconcile();
    }

    /// Makes Deployments' pods as many as wanted, and their status true.
    fn reconcile(&self) {
        let deployments: Vec<Value> = self.of("Deployment");
        for mut deployment in deployments {
            let (namespace, name) =
                (deployment["metadata"]["namespace"].clone(), deployment["metadata"]["name"].as_str().unwrap_or_default().to_owned());
            let wanted = usize::try_from(deployment["spec"]["replicas"].as_u64().unwrap_or(1)).expect("small");
            let pods: Vec<_> =
                self.of("Pod").into_iter().filter(|pod| pod["metadata"]["ownerReferences"][0]["name"] == name.as_str()).collect();
            let living: Vec<_> = pods.iter().filter(|pod| pod["metadata"].get("deletionTimestamp").is_none()).cloned().collect();
            let status = json!({ "replicas": wanted, "updatedReplicas": wanted, "availableReplicas": wanted, "readyReplicas": wanted });
            if deployment["status"] != status {
                deployment["status"] = status;
                return self.put(deployment);
            }
            if let Some(pod) = living.get(wanted) {
                return self.kill(&key(pod));
            }
            if living.len() < wanted {
                let version = *self.changes.borrow();
                return self.put(json!({
                    "apiVersion": "v1", "kind": "Pod",
                    "metadata": { "name": format!("{name}-{version}"), "namespace": namespace, "labels": deployment["spec"]["selector"]["matchLabels"],
                        "ownerReferences": [{ "kind": "ReplicaSet", "name": name }] },
                    "spec": {
                        "containers": [{ "name": "redis", "image": "redis:7-alpine", "volumeMounts": [{ "name": "redis-data", "mountPath": "/data" }] }],
                        "volumes": [{ "name": "redis-data", "persistentVolumeClaim": { "claimName": "redis-data-pvc" } }],
                    },
                    "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }],
                        "containerStatuses": [{ "name": "redis", "ready": true, "restartCount": 0, "state": { "running": { "startedAt": "2026-01-01T00:00:00Z" } } }] },
                }));
            }
        }
    }

    fn of(&self, kind: &str) -> Vec<Value> {
        self.objects.lock().expect("no panic").values().filter(|object| object["kind"] == kind).cloned().collect()
    }

    pub(super) fn object(&self, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        let key = ObjectKey { kind: kind.to_owned(), namespace: namespace.to_owned(), name: name.to_owned() };
        self.objects.lock().expect("no panic").get(&key).cloned()
    }

    /// Marks an object as going, and takes it away a little later.
    fn kill(&self, key: &ObjectKey) {
        let Some(mut object) = self.object(&key.kind, &key.namespace, &key.name) else { return };
        object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        let (own, own_key) = (self.clone(), key.clone());
        tokio::spawn(async move {
            wait::pause(DYING).await;
            own.objects.lock().expect("no panic").remove(&own_key);
            own.changes.send_modify(|changes| *changes += 1);
        });
        self.put(object);
    }
}

fn key(object: &Value) -> ObjectKey {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    ObjectKey { kind: text(&object["kind"]), namespace: text(&object["metadata"]["namespace"]), name: text(&object["metadata"]["name"]) }
}

fn merge(into: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else { return patch.clone_into(into) };
    if !into.is_object() {
        *into = json!({});
    }
    for (key, value) in patch {
        match value {
            Value::Null => drop(into.as_object_mut().expect("made one").remove(key)),
            value => merge(&mut into[key], value),
        }
    }
}

fn unsupported<T>(what: &str) -> Result<T, TargetError> {
    Err(Unsupported { capability: Capability::Field(what.to_owned()), reason: String::from("a fake cannot") }.into())
}

#[async_trait]
impl Target for Fake {
    fn name(&self) -> &'static str {
        "fake"
    }

    async fn capability(&self, _: Capability) -> Result<(), TargetError> {
        Ok(())
    }

    async fn apply(&self, objects: &[Object]) -> Result<Applied, TargetError> {
        for object in objects {
            if object.at("/spec/hostNetwork").is_some() {
                return unsupported("hostNetwork");
            }
            let before = self.get(&object.key()).await?;
            let mut after = before.clone().unwrap_or_else(|| json!({}));
            merge(&mut after, &object.json);
            if object.kind() == "Pod" && before.is_none() {
                let name = object.str_at("/spec/containers/0/name").unwrap_or_default();
                let running = json!({ "name": name, "ready": true, "restartCount": 0, "state": { "running": {} } });
                let ended = json!({ "name": name, "ready": false, "restartCount": 0, "state": { "terminated": { "exitCode": 3, "reason": "Error" } } });
                let status = if object.at("/spec/containers/0/args").is_some() { ended } else { running };
                after["status"] =
                    json!({ "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }], "containerStatuses": [status] });
            }
            if Some(&after) != before.as_ref() {
                self.put(after);
            }
        }
        Ok(Applied { without_program: Vec::new(), fixtures: Vec::new(), remarks: vec![String::from("rights are not enforced here")] })
    }

    async fn get(&self, key: &ObjectKey) -> Result<Option<Value>, TargetError> {
        Ok(self.objects.lock().expect("no panic").get(key).cloned())
    }

    async fn list(&self, kind: &str, namespace: Option<&str>) -> Result<Vec<Value>, TargetError> {
        Ok(self
            .of(kind)
            .into_iter()
            .filter(|object| namespace.is_none_or(|namespace| object["metadata"]["namespace"] == namespace))
            .collect())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    async fn delete(&self, key: &ObjectKey, _: Option<Duration>) -> Result<(), TargetError> {
        self.kill(key);
        Ok(())
    }

    async fn evict(&self, pod: &ObjectKey) -> Result<(), TargetError> {
        self.kill(pod);
        Ok(())
    }

    async fn patch(&self, key: &ObjectKey, patch: &Value) -> Result<Value, TargetError> {
        let before = self.get(key).await?.ok_or_else(|| TargetError::Missing(key.to_string()))?;
        let mut after = before.clone();
        merge(&mut after, patch);
        if let Some(size) = patch.pointer("/spec/resources/requests/storage") {
            after["status"]["capacity"]["storage"] = size.clone();
        }
        if after != before {
            self.put(after);
        }
        Ok(self.get(key).await?.unwrap_or_default())
    }

    /// Runs the command on this machine: paths "in the container" are a test's own directory.
    async fn exec(&self, container: &ContainerRef, command: &[&str], stdin: &[u8]) -> Result<ExecOutput, TargetError> {
        if self.dry {
            return Ok(ExecOutput { code: 0, stdout: Vec::new(), stderr: Vec::new() });
        }
        let mut program = Command::new(command[0]);
        program.args(&command[1..]).env("CONTAINER", &container.container).env("POD", &container.pod).kill_on_drop(true);
        program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut program = program.spawn().map_err(|error| TargetError::broken("starting a command", error))?;
        let mut input = program.stdin.take().expect("piped");
        // A command that reads nothing may be gone already.
        let _taken = input.write_all(stdin).await;
        drop(input);
        let output = program.wait_with_output().await.map_err(|error| TargetError::broken("following a command", error))?;
        Ok(ExecOutput { code: output.status.code().unwrap_or(255), stdout: output.stdout, stderr: output.stderr })
    }

    async fn attach(&self, _: &ContainerRef, _: &[&str]) -> Result<Attached, TargetError> {
        unsupported("attach")
    }

    async fn logs(&self, container: &ContainerRef, previous: bool) -> Result<Vec<u8>, TargetError> {
        let name = format!("{}/{}", container.pod, container.container);
        Ok(self.logs.lock().expect("no panic").get(&(name, previous)).cloned().unwrap_or_default().into_bytes())
    }

    async fn process(&self, _: &ContainerRef) -> Result<Process, TargetError> {
        unsupported("process")
    }

    async fn kill(&self, _: &ContainerRef, _: Kill) -> Result<(), TargetError> {
        unsupported("kill")
    }

    async fn freeze(&self, _: &ContainerRef) -> Result<(), TargetError> {
        unsupported("freeze")
    }

    async fn thaw(&self, _: &ContainerRef) -> Result<(), TargetError> {
        unsupported("thaw")
    }

    async fn restart_everything(&self) -> Result<(), TargetError> {
        unsupported("restart_everything")
    }

    async fn client(&self, _: &str) -> Result<ContainerRef, TargetError> {
        unsupported("client")
    }

    async fn down(&self) -> Result<(), TargetError> {
        Ok(())
    }
}
