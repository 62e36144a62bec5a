//! One cluster: its objects, its network, its nodes, and the tasks that keep them in step.

use super::{
    addresses, controllers,
    json::{self, text},
    kubelet::Kubelets,
    machine,
    node::Nodes,
    options::LocalOptions,
    plane,
    store::Store,
};
use crate::{
    manifest::ObjectKey,
    target::{
        TargetError,
        local::runtime::{Names, Network, storage},
    },
    wait::pause,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    future::pending,
    sync::{Arc, Mutex},
};
use tokio::{sync::RwLock, task::JoinSet};

/// A node that no fault reaches: the client pods run there.
pub(super) const OBSERVER: &str = "observer";

/// One cluster.
pub(super) struct Cluster {
    pub(super) store: Store,
    pub(super) options: LocalOptions,
    pub(super) nodes: Nodes,
    pub(super) network: Arc<Network>,
    pub(super) kubelets: Kubelets,
    /// Held for writing while many objects come in at once: controllers then see all or none of them.
    pub(super) gate: RwLock<()>,
    /// What was applied last, by object.
    pub(super) applied: Mutex<BTreeMap<ObjectKey, Value>>,
}

impl Cluster {
    /// An empty cluster with its nodes, namespaces and classes.
    pub(super) async fn new(options: LocalOptions) -> Result<Arc<Self>, TargetError> {
        let network = Network::new(&options.name).await?;
        let names: Vec<String> = (1..=options.nodes).map(|number| format!("node-{number}")).collect();
        let cluster = Self {
            store: Store::new(),
            nodes: Nodes::new(names.iter().cloned().chain([OBSERVER.to_owned()])),
            network,
            kubelets: Kubelets::default(),
            gate: RwLock::default(),
            applied: Mutex::default(),
            options,
        };
        cluster.furnish(&names).map_err(|refusal| TargetError::broken("furnishing the cluster", refusal))?;
        Ok(Arc::new(cluster))
    }

    fn furnish(&self, nodes: &[String]) -> Result<(), super::store::Refusal> {
        for namespace in ["default", "kube-system", "kube-public", "kube-node-lease"] {
            self.add_namespace(json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } }))?;
        }
        for name in nodes {
            self.store.create(node(name))?;
        }
        for class in &self.options.classes {
            let mut class = class.clone();
            super::defaults::fill(&mut class);
            self.store.create(class)?;
        }
        for (namespace, name, address, port, protocol) in
            [("default", "kubernetes", addresses::KUBERNETES, 443, "TCP"), ("kube-system", "kube-dns", addresses::DNS, 53, "UDP")]
        {
            let mut service = json!({
                "apiVersion": "v1", "kind": "Service", "metadata": { "namespace": namespace, "name": name },
                "spec": { "clusterIP": address.to_string(), "clusterIPs": [address.to_string()], "ports": [{ "port": port, "protocol": protocol }] }
            });
            if name == "kubernetes" {
                service["spec"]["ports"][0]["name"] = "https".into();
            }
            super::defaults::fill(&mut service);
            self.store.create(service)?;
        }
        Ok(())
    }

    /// Makes a namespace with what is in every one.
    pub(super) fn add_namespace(&self, mut namespace: Value) -> Result<Arc<Value>, super::store::Refusal> {
        super::defaults::fill(&mut namespace);
        let name = text(&namespace, "/metadata/name").to_owned();
        let created = self.store.create(namespace)?;
        for object in [
            json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "namespace": name, "name": "default" } }),
            json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "namespace": name, "name": "kube-root-ca.crt" }, "data": { "ca.crt": "" } }),
        ] {
            self.store.create(object)?;
        }
        Ok(created)
    }

    /// Starts the tasks that keep the cluster in step.
    pub(super) fn run(self: &Arc<Self>, tasks: &mut JoinSet<()>) {
        tasks.spawn(control(self.clone()));
        tasks.spawn(carry(self.clone()));
        tasks.spawn(host(self.clone()));
    }
}

/// Controllers look at each change, and when one of them asked to.
async fn control(cluster: Arc<Cluster>) {
    let mut changes = cluster.store.changes();
    loop {
        changes.mark_unchanged();
        let again = {
            let _all_or_nothing = cluster.gate.read().await;
            look(&cluster)
        };
        let due = async {
            match again {
                Some(again) => pause(again).await,
                None => pending().await,
            }
        };
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = due => {}
        }
    }
}

fn look(cluster: &Cluster) -> Option<std::time::Duration> {
    controllers::look(&controllers::Context::new(&cluster.store, &cluster.options, &cluster.nodes))
}

/// The network follows the objects; disks of volumes that are gone are emptied.
async fn carry(cluster: Arc<Cluster>) {
    let mut changes = cluster.store.changes();
    let mut known = (Vec::new(), Names::default());
    let mut disks: BTreeMap<String, String> = BTreeMap::new();
    loop {
        changes.mark_unchanged();
        let wanted = plane::desired(&cluster.store);
        if wanted.1 != known.1 {
            cluster.network.set_names(wanted.1.clone());
        }
        if wanted.0 != known.0
            && let Err(error) = cluster.network.set_services(&wanted.0).await
        {
            tracing::error!("{:#}", anyhow::Error::from(error));
        }
        known = wanted;
        let now: BTreeMap<String, String> = cluster
            .store
            .list("PersistentVolume", None)
            .iter()
            .filter_map(|volume| Some((text(volume, "/metadata/uid").to_owned(), disk(&cluster.options.name, volume)?)))
            .collect();
        for (uid, directory) in std::mem::replace(&mut disks, now) {
            if !disks.contains_key(&uid) {
                let removed = tokio::task::spawn_blocking(move || storage::remove(&directory)).await;
                if let Ok(Err(error)) = removed {
                    tracing::warn!(%error, "a volume was not removed");
                }
            }
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}

/// The directory of a volume that a provisioner made and that goes with it.
fn disk(cluster: &str, volume: &Value) -> Option<String> {
    if volume["spec"]["persistentVolumeReclaimPolicy"] != "Delete"
        || !json::has(volume, "/metadata/annotations/pv.kubernetes.io~1provisioned-by")
    {
        return None;
    }
    let handle = text(volume, "/spec/csi/volumeHandle");
    if !handle.is_empty() {
        return Some(format!("{cluster}/disks/{handle}"));
    }
    let node = text(volume, "/spec/nodeAffinity/required/nodeSelectorTerms/0/matchExpressions/0/values/0");
    let path = text(volume, "/spec/hostPath/path").trim_start_matches('/');
    (!node.is_empty() && !path.is_empty()).then(|| format!("{cluster}/nodes/{node}/{path}"))
}

/// Kubelets look at each change.
async fn host(cluster: Arc<Cluster>) {
    let mut changes = cluster.store.changes();
    loop {
        changes.mark_unchanged();
        {
            let _all_or_nothing = cluster.gate.read().await;
            cluster.kubelets.look(&cluster);
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}

fn node(name: &str) -> Value {
    let capacity = json!({
        "cpu": machine::allocatable("cpu").unwrap_or(1).to_string(), "memory": machine::allocatable("memory").unwrap_or(0).to_string(), "pods": "110"
    });
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": { "name": name, "labels": { "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": architecture() } },
        "spec": { "podCIDR": "10.244.0.0/16" },
        "status": {
            "capacity": capacity, "allocatable": capacity, "nodeInfo": { "architecture": architecture(), "operatingSystem": "linux", "kubeletVersion": "v1.34.0" },
            "addresses": [{ "type": "InternalIP", "address": Network::NODE.to_string() }, { "type": "Hostname", "address": name }],
            "conditions": [{ "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "kubelet is posting ready status",
                "lastTransitionTime": super::clock::now() }]
        }
    })
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
