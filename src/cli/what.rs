//! What a run is about, as `verify` and `mutate` share it: systems, manifests, guarantees, target, and where evidence goes.

use super::{
    Problem,
    home::{home, near},
    target::Place,
};
use crate::{
    config::Config,
    run::Subject,
    spec::{BUILT_IN, Document, System, SystemError},
};
use clap::Args;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    thread::available_parallelism,
};

/// Where evidence goes when nobody says where.
const EVIDENCE: &str = ".redis-conformance/evidence";

#[derive(Clone, Debug, Args)]
pub(super) struct What {
    /// Systems (mcp, agentsmith, those of the config file) or paths of manifests: a file, a folder or a kustomization.
    #[arg(value_name = "SYSTEM|PATH")]
    names: Vec<String>,

    /// Hold the system's document against these manifests instead of its own.
    #[arg(long, value_name = "DIR")]
    manifests: Option<PathBuf>,

    /// Only this guarantee; may be given several times.
    #[arg(long = "guarantee", value_name = "ID")]
    guarantees: Vec<String>,

    #[command(flatten)]
    place: Place,

    /// How many scenarios run at once; they mostly wait, so that it is 8 for each core, at most 32, if nothing is said; on a cluster one for each core and one more.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,

    /// Where evidence goes.
    #[arg(long, value_name = "DIR", default_value = EVIDENCE)]
    evidence: PathBuf,
}

fn jobs(place: &Place) -> u16 {
    let cores = available_parallelism().map_or(1, |cores| u16::try_from(cores.get()).unwrap_or(u16::MAX));
    // Pods of a cluster are heavy, and its kubelets and controllers work for each.
    if place.is_local() { cores.saturating_mul(8).clamp(4, 32) } else { (cores + 1).clamp(2, 8) }
}

impl What {
    /// The same, or where no system was named all that come with the product, one of them for the generic features as well.
    pub(super) fn or_everything(&self) -> Self {
        if !self.names.is_empty() {
            return self.clone();
        }
        let systems = BUILT_IN.iter().map(|(system, _)| (*system).to_owned());
        let generic = Some("k8s/mcp").filter(|path| Path::new(path).is_dir()).map(ToOwned::to_owned);
        Self { names: systems.chain(generic).collect(), ..self.clone() }
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    pub(super) fn jobs(&self) -> usize {
        self.jobs.unwrap_or_else(|| jobs(&self.place)).into()
    }

    pub(super) fn evidence(&self) -> &Path {
        &self.evidence
    }

    /// Whether a guarantee was asked for.
    pub(super) fn takes(&self, guarantee: &str) -> bool {
        self.guarantees.is_empty() || self.guarantees.iter().any(|wanted| wanted.trim_start_matches('@').eq_ignore_ascii_case(guarantee))
    }

    /// The arguments beside the systems that somebody needs who wants to try again.
    pub(super) fn chosen_by(&self, config: Option<&Path>) -> Vec<String> {
        let mut arguments = Vec::new();
        for (name, path) in [("--manifests", self.manifests.as_deref()), ("--config", config)] {
            if let Some(path) = path {
                arguments.extend([name.to_owned(), path.display().to_string()]);
            }
        }
        arguments.extend(self.place.chosen_by());
        arguments
    }

    /// The names that were asked for, checked without reading a feature.
    ///
    /// # Errors
    /// A usage problem that names what there is and what may have been meant.
    pub(super) fn names(&self, config: &Config) -> Result<Vec<String>, Problem> {
        let built_in = BUILT_IN.iter().map(|(name, _)| *name);
        let known: Vec<&str> = config.systems.keys().map(String::as_str).chain(built_in).collect();
        let names: Vec<String> = if self.names.is_empty() { config.systems.keys().cloned().collect() } else { self.names.clone() };
        if names.is_empty() {
            let known = known.join(", ");
            return Err(Problem::usage(format!("say what to run: a system ({known}) or a path of manifests")));
        }
        for name in &names {
            let is_path = Path::new(name).exists() || name.contains('/') || name.starts_with('.');
            if !known.contains(&name.as_str()) && !is_path {
                let near = near(name, known.iter().copied());
                let hint = if near.is_empty() { String::new() } else { format!("; did you mean {}?", near.join(" or ")) };
                let known = known.join(", ");
                return Err(Problem::usage(format!("there is no system and no path {name:?}; systems are {known}{hint}")));
            }
            if !known.contains(&name.as_str()) && !Path::new(name).exists() {
                let wanted = "give a file, a folder of manifests, or a folder with a kustomization.yaml";
                return Err(Problem::usage(format!("{name} does not exist: {wanted}")));
            }
        }
        if let Some(manifests) = &self.manifests {
            let [name] = names.as_slice() else {
                return Err(Problem::usage("--manifests goes with one system: its document is held against them"));
            };
            if !known.contains(&name.as_str()) {
                return Err(Problem::usage(format!("--manifests goes with a system, and {name} is a path; leave one of them out")));
            }
            if !manifests.exists() {
                return Err(Problem::usage(format!("--manifests names {}, which does not exist", manifests.display())));
            }
        }
        Ok(names)
    }

    /// The systems with their documents; `spare` holds what comes with the program where the current folder is no checkout.
    ///
    /// # Errors
    /// A problem with a feature, or a guarantee that no document has.
    pub(super) fn subjects(&self, config: &Config, spare: &Path) -> Result<Vec<Arc<Subject>>, Problem> {
        let names = self.names(config)?;
        let home = home(spare)?;
        let systems: Vec<System> = names.iter().map(|name| self.system(name, config, &home)).collect::<Result<_, _>>()?;
        let ids: Vec<&str> = systems
            .iter()
            .flat_map(|system| &system.documents)
            .flat_map(|document| &document.guarantees)
            .map(|guarantee| guarantee.id.as_str())
            .collect();
        for wanted in &self.guarantees {
            let wanted = wanted.trim_start_matches('@');
            if !ids.iter().any(|id| id.eq_ignore_ascii_case(wanted)) {
                let near = near(wanted, ids.iter().copied());
                let hint = if near.is_empty() { ids.join(", ") } else { format!("did you mean {}?", near.join(" or ")) };
                return Err(Problem::usage(format!("{} has no guarantee {wanted}; {hint}", names.join(" and "))));
            }
        }
        Ok(systems.into_iter().map(Subject::new).collect())
    }

    fn system(&self, name: &str, config: &Config, home: &Path) -> Result<System, Problem> {
        if let Some(paths) = config.systems.get(name) {
            let manifests = self.manifests.clone().unwrap_or_else(|| paths.manifests.clone());
            let documents = Document::read_all(&paths.features).map_err(|error| Problem::from(anyhow::Error::from(error)))?;
            return Ok(System { name: name.into(), documents, tree: manifests.clone(), manifests });
        }
        System::find(name, home, self.manifests.as_deref()).map_err(|error| match error {
            unknown @ SystemError::Unknown { .. } => Problem::usage(unknown),
            other => Problem::from(anyhow::Error::from(other)),
        })
    }
}
