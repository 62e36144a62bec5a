//! Mends what runs left that were killed: what they had broken first, then what they had made.

use super::{
    cluster::{connect, mark_default, sweep, uncordon},
    journal::{self, Healing},
    kinds::Kinds,
    lent::Lent,
    program::{PATIENCE, Program},
    source,
};
use crate::wait::{Look, Until};
use anyhow::Context as _;
use kube::Client;
use std::{sync::Arc, time::Duration};

/// A control plane that gets its power back answers within half a minute; a loaded machine takes longer.
const START: Duration = Duration::from_secs(120);
/// One that has power answers at once.
const ANSWER: Duration = Duration::from_secs(15);

/// What became of one thing that a run had left.
#[derive(Debug)]
pub struct Mended {
    /// What it was, in words.
    pub what: String,
    /// Why it is still so.
    pub problem: Option<String>,
}

/// Mends everything that is written in journals of runs that are over; a journal goes when nothing in it is left. One that cannot be read
/// keeps nobody from mending what stands in the others.
///
/// # Errors
/// The journals cannot be looked for, or one not be removed.
pub async fn mend_all() -> anyhow::Result<Vec<Mended>> {
    let mut all = Vec::new();
    for left in journal::left().await? {
        let debts = match &left.debts {
            Ok(debts) => debts,
            Err(error) => {
                let what = format!("what stands in {} is mended", left.path.display());
                all.push(Mended { what, problem: Some(format!("{error:#}")) });
                continue;
            }
        };
        let is_whole = |healing: &Healing| matches!(healing, Healing::DeleteCluster { .. });
        // A cluster that is deleted as a whole needs no mending.
        let cluster_goes = debts.iter().any(is_whole);
        let mut mended = Vec::new();
        for healing in debts.iter().filter(|healing| !cluster_goes || is_whole(healing)) {
            let problem = mend(healing, &Reach::From(debts)).await.err().map(|error| format!("{error:#}"));
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
        Healing::StartNodes { nodes } => format!("{} {} started again", nodes.join(", "), if nodes.len() == 1 { "is" } else { "are" }),
        Healing::Uncordon { node } => format!("node {node} takes pods again"),
        Healing::DefaultClass { class, mark } => {
            format!("storage class {class} is {} the default", if mark.as_deref() == Some("true") { "again" } else { "not" })
        }
        Healing::DeleteCluster { tool, name } => format!("{tool} cluster {name} is deleted"),
        Healing::DeleteObjects { access, run, .. } => format!("what run {run} made on context {} is deleted", access.context),
    }
}

/// How whoever mends reaches the cluster.
pub(super) enum Reach<'a> {
    /// As the scenario does that has broken something.
    By(&'a Client, &'a Arc<Kinds>),
    /// As the journal of a run tells that is over.
    From(&'a [Healing]),
}

/// Mends one thing; what is mended already stays as it is.
pub(super) async fn mend(healing: &Healing, reach: &Reach<'_>) -> anyhow::Result<()> {
    match healing {
        Healing::StartNodes { nodes } => {
            let nodes: Vec<&str> = nodes.iter().map(String::as_str).collect();
            Program::find("docker")?.run(&[&["start"], &nodes[..]].concat(), PATIENCE).await.map(drop)
        }
        Healing::Uncordon { node } => {
            let (client, kinds) = reach.open().await?;
            uncordon(&client, &kinds, node).await
        }
        Healing::DefaultClass { class, mark } => {
            let (client, kinds) = reach.open().await?;
            mark_default(&client, &kinds, class, mark.as_deref()).await
        }
        Healing::DeleteCluster { tool, name } => source::delete(tool, name).await,
        Healing::DeleteObjects { run, lent, .. } => {
            let (client, kinds) = reach.open().await?;
            let of_namespace = match lent {
                Some(namespace) => Lent { client: &client, kinds: &kinds, namespace }.give_back(run).await,
                None => Ok(()),
            };
            of_namespace.and(sweep(&client, &kinds, run).await)
        }
    }
}

impl Reach<'_> {
    async fn open(&self) -> anyhow::Result<(Client, Arc<Kinds>)> {
        match self {
            Self::By(client, kinds) => Ok(((*client).clone(), Arc::clone(kinds))),
            Self::From(debts) => open(debts).await,
        }
    }
}

/// Reaches the cluster on which a run owes something; one whose nodes were just started is given the time that its API server takes.
async fn open(debts: &[Healing]) -> anyhow::Result<(Client, Arc<Kinds>)> {
    let access = debts.iter().find_map(|debt| match debt {
        Healing::DeleteObjects { access, .. } => Some(access),
        _ => None,
    });
    let client = connect(access.context("the journal does not say on which cluster")?).await?;
    let started = debts.iter().any(|healing| matches!(healing, Healing::StartNodes { .. }));
    let kinds = Until::within(if started { START } else { ANSWER })
        .every(Duration::from_secs(1))
        .met::<_, anyhow::Error, _>("the API server to answer", || async {
            Ok(match Kinds::discover(&client).await {
                Ok(kinds) => Look::Ready(kinds),
                Err(error) => Look::NotYet(format!("{:#}", anyhow::Error::from(error))),
            })
        })
        .await?;
    Ok((client, Arc::new(kinds)))
}
