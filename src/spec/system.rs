//! Which systems there are: a name, its features and its reference manifests.

use super::{Document, SpecError};
use std::path::{Path, PathBuf};

/// Something that promises: a name with features and manifests.
#[derive(Clone, Debug)]
pub struct System {
    /// As the user says it: `mcp`, or the path of a manifest set.
    pub name: String,
    /// Its documents.
    pub documents: Vec<Document>,
    /// The tree with its manifests.
    pub tree: PathBuf,
    /// What of the tree is applied.
    pub manifests: PathBuf,
}

/// A system cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SystemError {
    /// Neither a system nor a path.
    #[error("there is no system and no path {name:?}; systems are {}", .known.join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// Its features cannot be used.
    #[error(transparent)]
    Spec(#[from] SpecError),
}

/// Systems that come with the product: the name, and which kustomization its document applies.
pub const BUILT_IN: &[(&str, &str)] = &[("mcp", "."), ("agentsmith", "overlays/dev")];

impl System {
    /// A system that comes with the product, or any path with the generic features.
    ///
    /// `home` holds `features/` and `k8s/`; `manifests` replaces the system's own tree.
    ///
    /// # Errors
    /// [`SystemError`] when there is no such system or path, or its features cannot be read.
    pub fn find(name: &str, home: &Path, manifests: Option<&Path>) -> Result<Self, SystemError> {
        if let Some((_, entry)) = BUILT_IN.iter().find(|(system, _)| *system == name) {
            let tree = manifests.map_or_else(|| home.join("k8s").join(name), Path::to_path_buf);
            let documents = Document::read_all(&home.join("features").join(name))?;
            let named = tree.join(entry);
            // The document's own entry where the tree has it; another team's layout is taken as it is.
            let manifests = if *entry != "." && named.is_dir() { named } else { tree.clone() };
            return Ok(Self { name: name.into(), documents, tree, manifests });
        }
        let path = Path::new(name);
        if !path.exists() && !name.contains('/') {
            return Err(SystemError::Unknown { name: name.into(), known: BUILT_IN.iter().map(|(system, _)| (*system).into()).collect() });
        }
        let documents = Document::read_all(&home.join("features/generic"))?;
        Ok(Self { name: name.into(), documents, tree: path.into(), manifests: path.into() })
    }
}
