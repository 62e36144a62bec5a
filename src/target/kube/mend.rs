//! Mends what runs left that were killed: what they had broken first, then what they had made.

use super::{
    cluster::{Access, connect, mark_default, sweep, uncordon},
    journal::{self, Healing},
    kinds::Kinds,
    program::{PATIENCE, Program},
    source,
};
use anyhow::Context as _;

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
        let is_whole = |healing: &Healing| matches!(healing, Healing::DeleteCluster { .. });
        // A cluster that is deleted as a whole needs no mending.
        let cluster_goes = left.debts.iter().any(is_whole);
        let mut mended = Vec::new();
        for healing in left.debts.iter().filter(|healing| !cluster_goes || is_whole(healing)) {
            let problem = mend(healing, &left.debts).await.err().map(|error| format!("{error:#}"));
            mended.push(Mended { what: words(healing), problem });
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
        Healing::Uncordon { node } => format!("node {node} takes pods again"),
        Healing::DefaultClass { class, default } => {
            format!("storage class {class} is {} the default", if *default { "again" } else { "not" })
        }
        Healing::DeleteCluster { tool, name } => format!("{tool} cluster {name} is deleted"),
        Healing::DeleteObjects { access, run } => format!("what run {run} made on context {} is deleted", access.context),
    }
}

async fn mend(healing: &Healing, all: &[Healing]) -> anyhow::Result<()> {
    match healing {
        Healing::StartNode { node } => Program::find("docker")?.run(&["start", node], PATIENCE).await.map(drop),
        Healing::Uncordon { node } => {
            let client = connect(access(all)?).await?;
            uncordon(&client, &Kinds::discover(&client).await?, node).await
        }
        Healing::DefaultClass { class, default } => {
            let client = connect(access(all)?).await?;
            mark_default(&client, &Kinds::discover(&client).await?, class, Some(&default.to_string())).await
        }
        Healing::DeleteCluster { tool, name } => source::delete(tool, name).await,
        Healing::DeleteObjects { access, run } => {
            let client = connect(access).await?;
            sweep(&client, &Kinds::discover(&client).await?, run).await
        }
    }
}

/// How the cluster is reached on which a run owes something: its journal tells that first of all.
fn access(debts: &[Healing]) -> anyhow::Result<&Access> {
    let told = debts.iter().find_map(|debt| match debt {
        Healing::DeleteObjects { access, .. } => Some(access),
        _ => None,
    });
    told.context("the journal does not say on which cluster")
}
