//! Which provider a target's name stands for.

#[cfg(feature = "kube")]
mod cluster;
mod local;

use super::{Problem, what::What};
use crate::{config::Config, run::Provider};
use clap::Args;
use std::{path::PathBuf, sync::Arc};

/// The names of targets, and the feature of the package that brings each.
const TARGETS: &[(&str, &str)] = &[("local", ""), ("docker", "docker"), ("kind", "kind"), ("k3d", "k3d"), ("cluster", "kind")];

/// Where to run.
#[derive(Clone, Debug, Args)]
pub(super) struct Place {
    /// Where to run: local, kind, k3d, or cluster, which is one that is there already.
    #[arg(long, value_name = "TARGET", default_value = "local", value_parser = known)]
    pub(super) target: String,

    /// cluster: the context to use; it is never the current one by itself.
    #[arg(long, value_name = "NAME", required_if_eq("target", "cluster"))]
    pub(super) context: Option<String>,

    /// cluster: the kubeconfig file that has the context; without it the user's own.
    #[arg(long, value_name = "FILE", requires = "context")]
    pub(super) kubeconfig: Option<PathBuf>,

    /// cluster: the one namespace that the run may use, for those who may make none; it must be there and hold nobody's work. Scenarios then
    /// run one after the other, and none is kept.
    #[arg(long, value_name = "NAME", requires = "context")]
    pub(super) namespace: Option<String>,

    /// cluster: the image of the client pods, from a registry that the cluster pulls from; `redis-conformance image` makes it.
    #[arg(long, value_name = "IMAGE")]
    pub(super) client_image: Option<String>,

    /// kind, k3d: the cluster of this name; used if it is there, and then left, else made for the run.
    #[arg(long, value_name = "NAME")]
    pub(super) cluster_name: Option<String>,
}

fn known(name: &str) -> Result<String, String> {
    let Some((_, feature)) = TARGETS.iter().find(|(target, _)| *target == name) else {
        let names: Vec<&str> = TARGETS.iter().map(|(target, _)| *target).collect();
        return Err(format!("there is no such target; there are {}", names.join(", ")));
    };
    let built_in = [("", true), ("kind", cfg!(feature = "kind")), ("k3d", cfg!(feature = "k3d"))];
    if built_in.contains(&(*feature, true)) {
        Ok(name.into())
    } else {
        Err(format!("target {name} comes with feature `{feature}`, which is not built in"))
    }
}

impl Place {
    /// The arguments that lead to the same place; none to this machine, which is where a run happens if nobody says otherwise. A cluster
    /// that was made for the run is gone, and another is made for the next.
    pub(super) fn chosen_by(&self) -> Vec<String> {
        if self.is_local() {
            return Vec::new();
        }
        let file = self.kubeconfig.as_ref().map(|path| path.display().to_string());
        let named = [
            ("--target", Some(&self.target)),
            ("--cluster-name", self.cluster_name.as_ref()),
            ("--context", self.context.as_ref()),
            ("--kubeconfig", file.as_ref()),
            ("--namespace", self.namespace.as_ref()),
            ("--client-image", self.client_image.as_ref()),
        ];
        named.into_iter().filter_map(|(name, value)| Some([name.to_owned(), value?.clone()])).flatten().collect()
    }

    /// Whether the run is to happen in the node, apart from the rest of this machine.
    pub(super) fn is_local(&self) -> bool {
        self.target == "local"
    }
}

/// The provider that was chosen; `keep` leaves a cluster that is made for the run.
///
/// # Errors
/// It cannot be used at all here.
pub(super) fn provider(what: &What, config: &Config, keep: bool) -> Result<Arc<dyn Provider>, Problem> {
    let place = what.place();
    #[cfg(feature = "kube")]
    if !place.is_local() {
        return Ok(Arc::new(cluster::Shared::new(place, config, keep)));
    }
    let _only_clusters_are_kept = (place, keep);
    Ok(Arc::new(local::Local::new(config)?))
}
