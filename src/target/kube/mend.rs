//! Mends what runs left that were killed: what they had broken first, then what they had made.

use super::{
    cluster::{Access, connect, sweep},
    journal::{self, Healing},
    kinds::Kinds,
    program::{PATIENCE, Program},
    source, watches,
};
use anyhow::Context as _;
use kube::{
    api::{Patch, PatchParams},
    core::DynamicObject,
};
use serde_json::json;
use std::path::{Path, PathBuf};

/// What became of one thing that a run had left.
#[derive(Debug)]
pub struct Mended {
    /// What it was, in words.
    pub what: String,
    /// Why it is still so.
    pub problem: Option<String>,
}

/// Mends everything that is written in journals of runs that are over; a journal goes when nothing in it is left.
///
/// # Errors
/// A journal cannot be read.
pub async fn mend_all() -> anyhow::Result<Vec<Mended>> {
    let mut all = Vec::new();
    for left in journal::left()? {
        let clusters_go: Vec<Healing> =
            left.debts.iter().filter(|healing| matches!(healing, Healing::DeleteCluster { .. })).cloned().collect();
        let mut mended = Vec::new();
        for healing in &left.debts {
            // A cluster that is deleted as a whole needs no mending.
            if clusters_go.is_empty() || clusters_go.contains(healing) {
                let problem = mend(healing, &left.debts).await.err().map(|error| format!("{error:#}"));
                mended.push(Mended { what: words(healing), problem });
            }
        }
        if mended.iter().all(|mended| mended.problem.is_none()) {
            left.forget()?;
        }
        all.extend(mended);
    }
    Ok(all)
}

fn words(healing: &Healing) -> String {
    match healing {
        Healing::StartNode { node } => format!("node {node} is started again"),
        Healing::DefaultClass { class, default } => {
            format!("storage class {class} is {} the default", if *default { "again" } else { "not" })
        }
        Healing::DeleteCluster { tool, name } => format!("{tool} cluster {name} is deleted"),
        Healing::DeleteObjects { context, run, .. } => format!("what run {run} made on context {context} is deleted"),
    }
}

async fn mend(healing: &Healing, all: &[Healing]) -> anyhow::Result<()> {
    match healing {
        Healing::StartNode { node } => Program::find("docker")?.run(&["start", node], PATIENCE).await.map(drop),
        Healing::DefaultClass { class, default } => {
            let access = all.iter().find_map(|other| match other {
                Healing::DeleteObjects { kubeconfig, context, .. } => {
                    Some(Access { kubeconfig: kubeconfig.clone(), context: context.clone() })
                }
                _ => None,
            });
            let client = connect(&access.context("the journal does not say on which cluster")?).await?;
            let kinds = Kinds::discover(&client).await?;
            let kind = kinds.named("StorageClass").context("the cluster has no storage classes")?;
            let patch = json!({ "metadata": { "annotations": { "storageclass.kubernetes.io/is-default-class": default.to_string() } } });
            let done: kube::Result<DynamicObject> =
                watches::api(&client, kind, "").patch(class, &PatchParams::default(), &Patch::Merge(&patch)).await;
            Ok(done.map(drop)?)
        }
        Healing::DeleteCluster { tool, name } => source::delete(tool, name).await,
        Healing::DeleteObjects { kubeconfig, context, run } => delete_objects(kubeconfig, context, run).await,
    }
}

async fn delete_objects(kubeconfig: &Path, context: &str, run: &str) -> anyhow::Result<()> {
    let client = connect(&Access { kubeconfig: PathBuf::from(kubeconfig), context: context.to_owned() }).await?;
    let kinds = Kinds::discover(&client).await?;
    sweep(&client, &kinds, run).await.map(drop)
}
