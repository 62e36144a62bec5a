//! Which kinds the API server serves, under which group and version.

use kube::{
    Client,
    core::{ApiResource, gvk::GroupVersion},
    discovery::{ApiCapabilities, Discovery, Scope, verbs},
};
use serde_json::Value;
use std::collections::BTreeMap;

/// A kind that is served.
#[derive(Clone, Debug)]
pub(super) struct Kind {
    pub(super) resource: ApiResource,
    pub(super) namespaced: bool,
    /// Its objects can be listed and deleted, which those cannot that only answer a question.
    kept: bool,
}

impl Kind {
    fn of(resource: ApiResource, capabilities: &ApiCapabilities) -> Self {
        let kept = [verbs::LIST, verbs::DELETE].into_iter().all(|verb| capabilities.supports_operation(verb));
        Self { namespaced: capabilities.scope == Scope::Namespaced, kept, resource }
    }
}

/// All of them.
#[derive(Debug)]
pub(super) struct Kinds {
    /// By the name alone: the core group first, so that an `Event` is the one that everybody means.
    by_name: BTreeMap<String, Kind>,
    /// By `apiVersion` and name.
    by_version: BTreeMap<(String, String), Kind>,
    /// Each kind of each group once, those included whose name another group has as well: OpenShift's Role hides the one of RBAC.
    of_groups: Vec<Kind>,
}

impl Kinds {
    /// Asks the API server.
    pub(super) async fn discover(client: &Client) -> kube::Result<Self> {
        let discovery = Discovery::new(client.clone()).run_aggregated().await?;
        let mut kinds = Self { by_name: BTreeMap::new(), by_version: BTreeMap::new(), of_groups: Vec::new() };
        for group in discovery.groups_alphabetical() {
            for (resource, capabilities) in group.recommended_resources() {
                let kind = Kind::of(resource, &capabilities);
                kinds.by_name.entry(kind.resource.kind.clone()).or_insert(kind);
            }
            kinds.of_groups.extend(group.resources_by_stability().into_iter().map(|(resource, able)| Kind::of(resource, &able)));
            for version in group.versions() {
                for (resource, capabilities) in group.versioned_resources(version) {
                    let kind = Kind::of(resource, &capabilities);
                    kinds.by_version.insert((kind.resource.api_version.clone(), kind.resource.kind.clone()), kind);
                }
            }
        }
        Ok(kinds)
    }

    /// The kind of that name; `None` where it is not served.
    pub(super) fn named(&self, kind: &str) -> Option<&Kind> {
        self.by_name.get(kind)
    }

    /// Those whose objects live in namespaces, each in one version.
    pub(super) fn in_namespaces(&self) -> impl Iterator<Item = &Kind> {
        self.of_groups.iter().filter(|kind| kind.namespaced && kind.kept)
    }

    /// Those whose objects live in none.
    pub(super) fn in_no_namespace(&self) -> impl Iterator<Item = &Kind> {
        self.of_groups.iter().filter(|kind| !kind.namespaced && kind.kept)
    }

    /// The kind of an object; `None` where it is not served in its version.
    pub(super) fn of(&self, object: &Value) -> Option<&Kind> {
        let text = |field: &str| object[field].as_str().unwrap_or_default().to_owned();
        self.by_version.get(&(text("apiVersion"), text("kind")))
    }

    /// Whether the group is served at all, in whatever version.
    pub(super) fn has_group(&self, api_version: &str) -> bool {
        let group = |version: &str| version.parse::<GroupVersion>().map(|parsed| parsed.group).unwrap_or_default();
        self.by_version.keys().any(|(version, _)| group(version) == group(api_version))
    }
}
