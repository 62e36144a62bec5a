//! Why a manifest set could not be loaded: each error names what, where and the remedy.

use super::Place;
use std::path::PathBuf;

/// A path that gives no manifest set.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// There is nothing at the path.
    #[error("{path} does not exist: give a file, a folder of manifests, or a folder with a kustomization.yaml", path = .path.display())]
    Missing {
        /// As the user gave it.
        path: PathBuf,
    },
    /// The operating system refuses.
    #[error("cannot read {path}", path = .path.display())]
    Unreadable {
        /// As the user would name it.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// A pipe, a socket or a device.
    #[error("{path} is neither a file nor a folder", path = .path.display())]
    NotAFile {
        /// As the user would name it.
        path: PathBuf,
    },
    /// A file beyond the limit.
    #[error("{path} has more than {limit_mib} MiB, too much for a manifest: is it the right file?", path = .path.display())]
    TooLarge {
        /// As the user would name it.
        path: PathBuf,
        /// In MiB.
        limit_mib: u64,
    },
    /// Bytes that are no text.
    #[error("{place}: not UTF-8 text: save the file as UTF-8, or name the manifests' folder itself")]
    NotText {
        /// The first wrong byte's line.
        place: Place,
    },
    /// Text that is not the YAML that Kubernetes reads.
    #[error("{place}: {words}")]
    NotYaml {
        /// Where reading ended.
        place: Place,
        /// The parser's words.
        words: String,
    },
    /// An object that kubectl would not send.
    #[error("{place}: {words}")]
    NotAnObject {
        /// Where it begins.
        place: Place,
        /// kubectl's words.
        words: String,
    },
    /// A Helm chart, which is no manifest before it is rendered.
    #[error("{place}: a template of the Helm chart {chart}: render it first (`helm template {chart} > rendered.yaml`) and give that file", chart = .chart.display())]
    Chart {
        /// The first template's line.
        place: Place,
        /// The chart's folder.
        chart: PathBuf,
    },
    /// A folder with more than one kustomization that nothing in it refers to.
    #[error("{path} holds several kustomizations: name one of {names}", path = .path.display(), names = listed(.candidates))]
    Several {
        /// As the user gave it.
        path: PathBuf,
        /// The folders to choose from.
        candidates: Vec<PathBuf>,
    },
    /// There was something to read, but no object in it.
    #[error("{path} holds no Kubernetes object{why}; name the file or folder in which the manifests are", path = .path.display())]
    Empty {
        /// As the user gave it.
        path: PathBuf,
        /// What was skipped, beginning with `: `; empty where nothing was.
        why: String,
    },
    /// No program renders kustomizations.
    #[error("{path} is a kustomization, but neither `kubectl` nor `kustomize` is on the PATH: install one of them", path = .path.display())]
    NoKustomize {
        /// The kustomization's folder.
        path: PathBuf,
    },
    /// The kustomization does not build: a finding about the set, not about us.
    #[error("{path} does not build: {words}", path = .path.display())]
    Kustomize {
        /// The kustomization file.
        path: PathBuf,
        /// kustomize's own words.
        words: String,
    },
}

impl ManifestError {
    /// Whether the set itself is wrong, as `kubectl apply` would find it, so that its guarantees fail one by one; else the path or this machine is.
    #[must_use]
    pub fn is_a_finding(&self) -> bool {
        match self {
            Self::Kustomize { .. } | Self::NotYaml { .. } | Self::NotAnObject { .. } => true,
            Self::Missing { .. }
            | Self::Unreadable { .. }
            | Self::NotAFile { .. }
            | Self::TooLarge { .. }
            | Self::NotText { .. }
            | Self::Chart { .. }
            | Self::Several { .. }
            | Self::Empty { .. }
            | Self::NoKustomize { .. } => false,
        }
    }

    /// Where to look.
    #[must_use]
    pub fn place(&self) -> Place {
        match self {
            Self::NotText { place } | Self::NotYaml { place, .. } | Self::NotAnObject { place, .. } | Self::Chart { place, .. } => {
                place.clone()
            }
            Self::Missing { path }
            | Self::Unreadable { path, .. }
            | Self::NotAFile { path }
            | Self::TooLarge { path, .. }
            | Self::Several { path, .. }
            | Self::Empty { path, .. }
            | Self::NoKustomize { path }
            | Self::Kustomize { path, .. } => Place::of_file(path),
        }
    }
}

fn listed(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}
