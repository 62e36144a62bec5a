//! Refuses objects and changes in the API server's words.

mod change;
mod create;

use super::{json::text, store::Refusal};
pub(super) use change::check as check_change;
pub(super) use create::check as check_new;
use serde_json::Value;

/// `Deployment.apps "redis" is invalid: …`
fn invalid(object: &Value, what: impl std::fmt::Display) -> Refusal {
    let group = text(object, "/apiVersion").split_once('/').map(|(group, _)| format!(".{group}")).unwrap_or_default();
    Refusal::Invalid(format!("{}{group} {:?} is invalid: {what}", text(object, "/kind"), text(object, "/metadata/name")))
}
