//! Reads manifest sets: objects as `kubectl apply` would send them, each field with its file, line and column.

mod difference;
mod error;
mod files;
mod image;
pub mod json;
pub mod kinds;
mod kustomization;
mod kustomize;
mod load;
mod object;
mod objects;
mod origin;
pub mod pointer;
pub mod quantity;
mod refusal;
pub mod roles;
mod scalar;
pub mod selector;
mod set;
mod strict;
mod tree;
mod workload;
mod yaml;

pub use difference::Difference;
pub use error::ManifestError;
pub use image::{ImageRef, Version};
pub use kustomization::home;
pub use kustomize::{kubectl, renderer};
pub use quantity::Quantity;
pub use refusal::Refusal;
pub use roles::Roles;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};
pub use workload::{Container, Workload};

/// Where something stands: file, line and column, both from 1.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The file, as the user would name it.
    pub file: Arc<PathBuf>,
    /// From 1; 0 where only the file is known.
    pub line: u64,
    /// From 1; 0 where only the line is known.
    pub column: u64,
}

impl Place {
    /// A file of which nothing more is known.
    #[must_use]
    pub fn of_file(path: impl AsRef<Path>) -> Self {
        Self { file: Arc::new(path.as_ref().to_owned()), line: 0, column: 0 }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        if self.column > 0 {
            write!(f, ":{}", self.column)?;
        }
        Ok(())
    }
}

/// What names an object in a cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ObjectKey {
    /// `Deployment`.
    pub kind: String,
    /// Empty for objects without a namespace.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.namespace.as_str() {
            "" => write!(f, "{} {}", self.kind, self.name),
            namespace => write!(f, "{} {namespace}/{}", self.kind, self.name),
        }
    }
}

/// One object of a manifest set.
#[derive(Clone, Debug)]
pub struct Object {
    /// The whole object as JSON; namespaced objects always have `metadata.namespace`.
    pub json: Value,
    /// JSON pointer (`/spec/template/spec/containers/0/image`) → where the field's key (or the list's entry) stands.
    pub places: BTreeMap<String, Place>,
    /// Where the object begins.
    pub place: Place,
}

/// Objects as `kubectl apply` would send them.
#[derive(Clone, Debug, Default)]
pub struct ManifestSet {
    /// In the order of the source.
    pub objects: Vec<Object>,
    /// What is odd but not fatal: YAML 1.1 booleans, duplicates; one sentence each.
    pub remarks: Vec<(Place, String)>,
}
