//! One cluster as a run uses it: how it is reached, what it can do, and what of the run is on it.

use super::{
    error::broken,
    images::Images,
    journal::{Debt, Healing, Journal},
    kinds::{Kind, Kinds},
    lent::Lent,
    names::RUN_LABEL,
    nodes::Nodes,
    probe::Probed,
    scenario::Scenario,
    source::Source,
    watches,
};
use crate::{
    manifest::json,
    target::{DEFAULT_CLASS, Target, TargetError, image::Programs},
    wait::{Look, Until, at_most},
};
use anyhow::Context as _;
use kube::{
    Api, Client, Config,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
    core::DynamicObject,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::{OnceCell, RwLock};

/// The node that is for clients alone, where there is one.
pub(super) const OBSERVER: &str = "redis-conformance.io/observer";
/// Until a namespace is gone: its pods' grace, its claims, and what a loaded machine adds.
const GONE: Duration = Duration::from_secs(180);

/// How a cluster is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// The file that says so.
    pub kubeconfig: PathBuf,
    /// The context in it; never merely the current one.
    pub context: String,
}

/// What a source knows of the cluster that it gives.
pub struct Given {
    /// The target's name: `kind`.
    pub target: &'static str,
    /// How it is reached.
    pub access: Access,
    /// Its nodes, where we have power over them.
    pub nodes: Option<Nodes>,
    /// The run may disturb the whole cluster: nobody else uses it.
    pub owned: bool,
    /// The one namespace that the run may use, which must be there and hold nobody's work; `None` where it may make its own.
    pub lent: Option<String>,
    /// The image of the client pods.
    pub client_image: String,
}

/// One cluster.
pub struct Cluster {
    pub(super) target: &'static str,
    pub(super) access: Access,
    pub(super) client: Client,
    pub(super) kinds: Arc<Kinds>,
    pub(super) run: String,
    pub(super) nodes: Option<Nodes>,
    pub(super) owned: bool,
    pub(super) lent: Option<String>,
    pub(super) client_image: String,
    pub(super) has_observer: bool,
    pub(super) images: Images,
    pub(super) journal: Arc<Journal>,
    pub(super) probed: OnceCell<Probed>,
    /// Held for reading by scenarios that share the cluster, for writing by one that disturbs it.
    pub(super) gate: Arc<RwLock<()>>,
    scenarios: AtomicUsize,
    /// What the run has made on the cluster.
    debt: Debt,
    /// Namespaces that were told to go.
    pub(super) going: Mutex<BTreeSet<String>>,
}

impl Cluster {
    /// Reaches the cluster and asks what it serves.
    ///
    /// # Errors
    /// There is no such context, the server does not answer, or the journal cannot be written.
    pub async fn reach(
        given: Given,
        source: Arc<dyn Source>,
        run: &str,
        programs: Programs,
        journal: Arc<Journal>,
    ) -> anyhow::Result<Arc<Self>> {
        let Access { kubeconfig, context } = &given.access;
        let client = connect(&given.access).await?;
        let kinds = Kinds::discover(&client)
            .await
            .with_context(|| format!("the cluster of context {context} in {} does not answer", kubeconfig.display()))?;
        let nodes = kinds.named("Node").context("the cluster serves no nodes")?;
        let has_observer = match watches::api(&client, nodes, "").list(&ListParams::default().labels(OBSERVER)).await {
            Ok(observers) => !observers.items.is_empty(),
            // Whoever may not see the nodes has no observer to choose.
            Err(kube::Error::Api(status)) if status.is_forbidden() => false,
            Err(error) => return Err(error).context("the cluster does not tell its nodes"),
        };
        let (access, lent) = (given.access.clone(), given.lent.clone());
        let debt = journal.owes(Healing::DeleteObjects { access, run: run.into(), lent })?;
        Ok(Arc::new(Self {
            target: given.target,
            has_observer,
            access: given.access,
            images: Images::new(programs, source),
            debt,
            client,
            kinds: Arc::new(kinds),
            run: run.to_owned(),
            nodes: given.nodes,
            owned: given.owned,
            lent: given.lent,
            client_image: given.client_image,
            journal,
            probed: OnceCell::new(),
            gate: Arc::default(),
            scenarios: AtomicUsize::new(1),
            going: Mutex::default(),
        }))
    }

    /// A place of its own for a scenario; one that disturbs the cluster waits until it is alone there, and the others wait for it. In the one
    /// namespace that was lent each is alone.
    pub async fn scenario(self: &Arc<Self>, alone: bool) -> Arc<dyn Target> {
        let number = self.scenarios.fetch_add(1, Ordering::Relaxed);
        Arc::new(Scenario::begin(Arc::clone(self), number, alone || self.lent.is_some()).await)
    }

    /// The namespace that was lent, if one was.
    pub(super) fn lent_namespace(&self) -> Option<Lent<'_>> {
        let namespace = self.lent.as_ref()?;
        Some(Lent { client: &self.client, kinds: &self.kinds, namespace })
    }

    /// Takes the namespace that was lent, and sees to it that client pods can be started.
    ///
    /// # Errors
    /// The cluster cannot be used: it says why. What was made meanwhile is still to be cleared.
    pub async fn make_ready(&self) -> anyhow::Result<()> {
        if let Some(lent) = self.lent_namespace() {
            lent.take(&self.run).await.map_err(|error| broken("taking the namespace that was lent", error))?;
        }
        if let Err(reason) = self.has_image(&self.client_image, "IfNotPresent").await? {
            anyhow::bail!(
                "the cluster cannot have the client image {}: {reason}; `redis-conformance image` makes it, --client-image names another",
                self.client_image
            );
        }
        Ok(())
    }

    /// Nothing of the run is on the cluster any more, or the cluster itself goes.
    ///
    /// # Errors
    /// That cannot be written down.
    pub fn forget(&self) -> anyhow::Result<()> {
        self.journal.healed(self.debt)
    }

    /// The kind of that name, which every cluster serves.
    pub(super) fn kind(&self, name: &str) -> Result<&Kind, TargetError> {
        self.kinds.named(name).ok_or_else(|| broken("asking for a kind", anyhow::anyhow!("the API server does not serve {name}")))
    }

    fn own_name(&self) -> String {
        format!("redis-conformance-{}", self.run)
    }

    /// Makes the namespace for what serves the run as a whole, at the first call; where one was lent it is that.
    pub(super) async fn own_namespace(&self) -> Result<String, TargetError> {
        if let Some(namespace) = &self.lent {
            return Ok(namespace.clone());
        }
        let name = self.own_name();
        let namespace: DynamicObject = serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name, "labels": { RUN_LABEL: self.run } }
        }))
        .map_err(|error| broken("making a namespace", error))?;
        match watches::api(&self.client, self.kind("Namespace")?, "").create(&PostParams::default(), &namespace).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.is_already_exists() => {}
            Err(error) => return Err(broken(format!("making namespace {name}"), error)),
        }
        Ok(name)
    }

    /// Tells a namespace to go; it is waited for at the end.
    pub(super) async fn let_go(&self, namespace: &str) -> Result<(), TargetError> {
        self.going.lock().unwrap_or_else(PoisonError::into_inner).insert(namespace.to_owned());
        // Nothing in it is needed any more: pods need not end in order.
        let pods = watches::api(&self.client, self.kind("Pod")?, namespace);
        let at_once = DeleteParams::default().grace_period(0);
        if let Err(error) = pods.delete_collection(&at_once, &ListParams::default()).await {
            tracing::debug!(%error, namespace, "its pods end with the namespace");
        }
        gone(watches::api(&self.client, self.kind("Namespace")?, "").delete(namespace, &DeleteParams::default()).await)
            .map_err(|error| broken(format!("deleting namespace {namespace}"), error))
    }

    /// Deletes what the run made, and waits until it is gone.
    ///
    /// # Errors
    /// Something stays: it is named, with what holds it.
    pub async fn clear(&self) -> Result<(), TargetError> {
        let of_namespace = match self.lent_namespace() {
            Some(lent) => lent.give_back(&self.run).await,
            None => self.let_go(&self.own_name()).await.map_err(Into::into),
        };
        let of_cluster = sweep(&self.client, &self.kinds, &self.run).await;
        of_namespace.and(of_cluster).map_err(|error| broken("clearing the cluster", error))?;
        let kind = self.kind("Namespace")?;
        let watch = watches::Watches::new(self.client.clone());
        let going = self.going.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // Whoever was lent a namespace need not be allowed to see any.
        if going.is_empty() {
            return Ok(());
        }
        Until::within(GONE)
            .on(watch.changes())
            .met("the run's namespaces to be gone", || async {
                let there = watch.list(kind, "").await?;
                let left: Vec<String> =
                    there.iter().filter(|namespace| going.contains(json::text(namespace, "/metadata/name"))).map(|it| held(it)).collect();
                Ok(if left.is_empty() { Look::Ready(()) } else { Look::NotYet(left.join("; ")) })
            })
            .await
    }
}

/// A namespace that stays, and what it says of the reason.
fn held(namespace: &Value) -> String {
    let conditions = json::list(namespace, "/status/conditions").iter().filter(|condition| condition["status"] == "True");
    let told: Vec<&str> = conditions.filter_map(|condition| condition["message"].as_str()).collect();
    format!("namespace {} is {}: {}", json::text(namespace, "/metadata/name"), json::text(namespace, "/status/phase"), told.join(", "))
}

/// What is not there any more is as good as deleted.
pub(super) fn gone<T>(deleted: kube::Result<T>) -> kube::Result<()> {
    match deleted {
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
        other => other.map(drop),
    }
}

/// A client of the API server: it repeats nothing by itself, since a refusal is an answer here.
pub(super) async fn connect(access: &Access) -> anyhow::Result<Client> {
    let Access { kubeconfig, context } = access;
    let shown = || kubeconfig.display().to_string();
    let file = Kubeconfig::read_from(kubeconfig).with_context(|| format!("the kubeconfig {} cannot be read", shown()))?;
    let names: Vec<&str> = file.contexts.iter().map(|named| named.name.as_str()).collect();
    anyhow::ensure!(names.contains(&context.as_str()), "{} has no context {context:?}; it has {}", shown(), names.join(", "));
    let options = KubeConfigOptions { context: Some(context.clone()), ..KubeConfigOptions::default() };
    let mut config = Config::from_custom_kubeconfig(file, &options).await.with_context(|| format!("context {context} of {}", shown()))?;
    config.default_retry = false;
    Client::try_from(config).with_context(|| format!("context {context} of {}", shown()))
}

/// Deletes everything of a run that its label names: namespaces, and objects that are in none. One kind that its server cannot serve keeps
/// nobody from deleting the others.
pub(super) async fn sweep(client: &Client, kinds: &Kinds, run: &str) -> anyhow::Result<()> {
    const LIMIT: Duration = Duration::from_secs(60);
    let labelled = ListParams::default().labels(&format!("{RUN_LABEL}={run}"));
    let mut swept = Ok(());
    for kind in kinds.in_no_namespace() {
        let api: Api<DynamicObject> = watches::api(client, kind, "");
        let work = async {
            for object in api.list(&labelled).await?.items {
                let object = object.metadata.name.unwrap_or_default();
                gone(api.delete(&object, &DeleteParams::default()).await)?;
            }
            Ok::<_, kube::Error>(())
        };
        let doing = || format!("deleting each {} of run {run}", kind.resource.kind);
        swept = swept.and(match at_most(LIMIT, "what a run left on the cluster to be deleted", work).await {
            Some(Err(error)) if holds_nothing_of_ours(&error) => Ok(()),
            Some(done) => done.with_context(doing),
            None => Err(anyhow::anyhow!("the API server did not answer within {} s", LIMIT.as_secs())).with_context(doing),
        });
    }
    swept
}

/// Whether a kind's objects cannot be ours, since they could not be listed: whoever may not see such objects has not made any, and a kind
/// that is gone took them with it.
pub(super) fn holds_nothing_of_ours(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_forbidden() || status.is_not_found() || status.code == 405)
}

/// Makes a storage class the default or not, as the annotation says; `None` takes it away.
pub(super) async fn mark_default(client: &Client, kinds: &Kinds, class: &str, mark: Option<&str>) -> anyhow::Result<()> {
    let kind = kinds.named("StorageClass").context("the cluster has no storage classes")?;
    let patch = json!({ "metadata": { "annotations": { DEFAULT_CLASS: mark } } });
    let done = watches::api(client, kind, "").patch(class, &PatchParams::default(), &Patch::Merge(&patch)).await;
    done.map(drop).with_context(|| format!("marking storage class {class}"))
}

/// Lets a node take pods again.
pub(super) async fn uncordon(client: &Client, kinds: &Kinds, node: &str) -> anyhow::Result<()> {
    let kind = kinds.named("Node").context("the cluster serves no nodes")?;
    let patch = json!({ "spec": { "unschedulable": null } });
    let done = watches::api(client, kind, "").patch(node, &PatchParams::default(), &Patch::Merge(&patch)).await;
    done.map(drop).with_context(|| format!("letting node {node} take pods again"))
}
