//! Storage classes: which one a claim means, and what it can do.

use super::super::{
    super::{
        json::{key_of, text},
        options::DISK,
        store::Store,
    },
    Context,
};
use serde_json::Value;
use std::sync::Arc;

/// Volumes are only those that somebody made by hand.
pub(in super::super) const NO_PROVISIONER: &str = "kubernetes.io/no-provisioner";

const DEFAULT: &str = "/metadata/annotations/storageclass.kubernetes.io~1is-default-class";
const OLD_DEFAULT: &str = "/metadata/annotations/storageclass.beta.kubernetes.io~1is-default-class";

/// What a claim's class is.
pub(super) enum Class {
    /// It names none, or the empty one: no volume is made for it.
    None,
    /// There is none of that name.
    Unknown(String),
    /// This one.
    Known(Arc<Value>),
}

/// The class of a claim.
pub(super) fn of(store: &Store, claim: &Value) -> Class {
    let name = text(claim, "/spec/storageClassName");
    if name.is_empty() {
        return Class::None;
    }
    store.get(&key_of("StorageClass", "", name)).map_or_else(|| Class::Unknown(name.to_owned()), Class::Known)
}

/// The class of claims that name none: the youngest of those marked.
pub(super) fn default(store: &Store) -> Option<Arc<Value>> {
    let classes = store.list("StorageClass", None);
    let marked = classes.into_iter().filter(|class| text(class, DEFAULT) == "true" || text(class, OLD_DEFAULT) == "true");
    marked.max_by_key(|class| text(class, "/metadata/creationTimestamp").to_owned())
}

/// Whether the claim's volume is chosen or made only once a pod needs it.
pub(in super::super) fn waits_for_consumer(context: &Context<'_>, claim: &Value) -> bool {
    matches!(of(context.store, claim), Class::Known(class) if class["volumeBindingMode"] == "WaitForFirstConsumer")
}

/// Whether somebody here really expands volumes of the class.
pub(super) fn has_resizer(class: &Value) -> bool {
    class["provisioner"] == DISK && class["parameters"]["resizer"] == "true"
}
