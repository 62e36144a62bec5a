//! What is tried: a system, its rendered manifests and their variants, each rendered once a run.

use crate::{
    manifest::{ManifestError, ManifestSet, Roles, roles::ContainerId},
    spec::System,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Arc, PoisonError},
};
use tokio::sync::Mutex;

/// A rendered set, or why there is none.
pub type Rendered = Result<Arc<ManifestSet>, Arc<ManifestError>>;

/// A variant that a feature names, such as `emptydir`.
#[derive(Clone, Debug)]
pub enum Variant {
    /// The tree has an overlay of that name.
    Overlay(PathBuf, Rendered),
    /// The tree has none: the step makes it by a change of the set.
    Derived,
}

/// A system whose manifests are rendered at most once.
#[derive(Debug)]
pub struct Subject {
    /// The system.
    pub system: System,
    rendered: Mutex<BTreeMap<PathBuf, Rendered>>,
    remarks: std::sync::Mutex<BTreeSet<String>>,
}

impl Subject {
    /// Nothing is rendered yet.
    #[must_use]
    pub fn new(system: System) -> Arc<Self> {
        Arc::new(Self { system, rendered: Mutex::default(), remarks: std::sync::Mutex::default() })
    }

    /// Something that the reader must know of the system as a whole; said once, however many scenarios see it.
    pub fn remark(&self, remark: impl Into<String>) {
        self.remarks.lock().unwrap_or_else(PoisonError::into_inner).insert(remark.into());
    }

    /// All of these.
    #[must_use]
    pub fn remarks(&self) -> Vec<String> {
        self.remarks.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// The set that is applied.
    pub async fn manifests(&self) -> Rendered {
        self.render(&self.system.manifests.clone()).await
    }

    /// The Redis of the set that is applied, in its order, each by a name of its own; none where the set cannot be read.
    pub async fn redis(&self) -> Vec<String> {
        let Ok(set) = self.manifests().await else { return Vec::new() };
        let all: Vec<ContainerId> = Roles::of(&set).redis.into_iter().map(|redis| redis.id).collect();
        let several = |id: &ContainerId| all.iter().filter(|other| other.workload == id.workload).count() > 1;
        all.iter().map(|id| if several(id) { format!("{}, container {}", id.workload, id.name) } else { id.workload.to_string() }).collect()
    }

    /// The overlay of that name, if the tree has one.
    pub async fn variant(&self, name: &str) -> Variant {
        let overlay = self.system.tree.join("overlays").join(name);
        if overlay.is_dir() {
            let rendered = self.render(&overlay).await;
            return Variant::Overlay(overlay, rendered);
        }
        Variant::Derived
    }

    /// A set given by its path.
    pub async fn render(&self, path: &Path) -> Rendered {
        // Held while rendering: scenarios that want the same set wait for the one that renders it.
        let mut rendered = self.rendered.lock().await;
        if let Some(known) = rendered.get(path) {
            return known.clone();
        }
        let set = ManifestSet::load(path).await.map(Arc::new).map_err(Arc::new);
        rendered.insert(path.to_path_buf(), set.clone());
        set
    }
}
