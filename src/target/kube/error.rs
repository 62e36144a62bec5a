//! The client library's errors in the target's words.

use crate::{
    manifest::{ObjectKey, Place},
    target::TargetError,
};
use kube::core::Status;

/// What this cluster forbids beside Kubernetes itself: that says nothing about the manifests elsewhere.
const HOUSE_RULES: &[&str] =
    &["exceeded quota", "admission webhook", "ValidatingAdmissionPolicy", "violates PodSecurity", "is forbidden: User "];

/// Something of the cluster does not work. Of what the API server answers its own words are told, and not how the library holds them.
pub(super) fn broken(doing: impl Into<String>, cause: impl Into<anyhow::Error>) -> TargetError {
    let cause = cause.into();
    let said = cause.chain().find_map(|link| match link.downcast_ref::<kube::Error>() {
        Some(kube::Error::Api(status)) => {
            Some(anyhow::anyhow!("the API server says: {} ({} {})", status.message, status.code, status.reason))
        }
        _ => None,
    });
    let Some(said) = said else { return TargetError::broken(doing, cause) };
    let contexts: Vec<String> =
        cause.chain().take_while(|link| link.downcast_ref::<kube::Error>().is_none()).map(ToString::to_string).collect();
    TargetError::broken(doing, contexts.into_iter().rev().fold(said, anyhow::Error::context))
}

/// What the API server says to an object: no, or nothing that makes sense.
pub(super) fn refused(key: &ObjectKey, place: &Place, told: impl FnOnce(String) -> String) -> impl FnOnce(kube::Error) -> TargetError {
    let (key, place) = (key.clone(), place.clone());
    move |error| match error {
        kube::Error::Api(status) if status.is_not_found() && !status.message.contains("namespaces") => {
            TargetError::Missing(key.to_string())
        }
        kube::Error::Api(status) if HOUSE_RULES.iter().any(|rule| status.message.contains(rule)) => broken(
            format!("applying {key} ({place}), which this cluster's own rules forbid"),
            anyhow::anyhow!(told(status.message.clone())),
        ),
        // An overloaded or stopping server says nothing about the object.
        kube::Error::Api(status) if (400..500).contains(&status.code) && status.code != 429 => {
            TargetError::Refused { key, place, reason: told(status.message.clone()) }
        }
        error => broken(format!("telling the API server of {key}"), error),
    }
}

/// What the API server says to an eviction: a budget keeps the pod (429, with the budget as the cause), or two do (500).
pub(super) fn kept(pod: &ObjectKey, told: impl FnOnce(String) -> String) -> impl FnOnce(kube::Error) -> TargetError {
    let pod = pod.clone();
    move |error| match error {
        kube::Error::Api(status) if status.is_not_found() => TargetError::Missing(pod.to_string()),
        kube::Error::Api(status) if is_of_a_budget(&status) => {
            let causes = status.details.iter().flat_map(|details| &details.causes).map(|cause| cause.message.as_str());
            let reason = [status.message.as_str()].into_iter().chain(causes).collect::<Vec<_>>().join(" ");
            TargetError::Kept { pod, reason: told(reason) }
        }
        error => broken(format!("evicting {pod}"), error),
    }
}

/// An overloaded server says 429 as well, of no budget.
fn is_of_a_budget(status: &Status) -> bool {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes.map(|cause| cause.reason.as_str()).any(|reason| reason == "DisruptionBudget") || status.message.contains("PodDisruptionBudget")
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::Status;
    use rstest::rstest;

    #[test]
    fn what_the_server_answers_is_told_in_its_own_words() {
        let words = "pods \"a\" is forbidden: exceeded quota: small";
        let error = kube::Error::Api(Status::failure(words, "Forbidden").with_code(403).boxed());
        let told = format!("{:#}", anyhow::Error::from(broken("making a pod", error)));
        assert_eq!(told, format!("making a pod: the API server says: {words} (403 Forbidden)"));
        let error = kube::Error::Api(Status::failure(words, "Forbidden").with_code(403).boxed());
        let within = anyhow::Error::from(error).context("deleting each Pod of run r");
        let told = format!("{:#}", anyhow::Error::from(broken("clearing", within)));
        assert_eq!(told, format!("clearing: deleting each Pod of run r: the API server says: {words} (403 Forbidden)"));
    }

    #[rstest]
    #[case::the_object_is_wrong(422, "Invalid", "Deployment.apps \"a\" is invalid: spec.replicas: must be positive", "refused")]
    #[case::a_quota(403, "Forbidden", "pods \"a\" is forbidden: exceeded quota: small, requested: pods=1", "broken")]
    #[case::a_webhook(400, "BadRequest", "admission webhook \"no.example\" denied the request: no", "broken")]
    #[case::it_is_not_there(404, "NotFound", "deployments.apps \"a\" not found", "missing")]
    #[case::a_right_is_lacking(403, "Forbidden", "deployments.apps \"a\" is forbidden: User \"u\" cannot patch resource", "broken")]
    #[case::the_server_is_busy(429, "TooManyRequests", "slow down", "broken")]
    #[case::the_server_is_ill(500, "InternalError", "etcd is gone", "broken")]
    fn an_answer_is_about_the_object_the_cluster_or_the_server(
        #[case] code: u16,
        #[case] reason: &str,
        #[case] words: &str,
        #[case] is: &str,
    ) {
        let key = ObjectKey { kind: "Deployment".into(), namespace: "n".into(), name: "a".into() };
        let error = kube::Error::Api(Status::failure(words, reason).with_code(code).boxed());
        let found = match refused(&key, &Place::default(), |words| words)(error) {
            TargetError::Refused { reason, .. } if reason == words => "refused",
            TargetError::Missing(_) => "missing",
            TargetError::Broken { cause, .. } if format!("{cause:#}").contains(words) => "broken",
            other => panic!("{other:?}"),
        };
        assert_eq!(found, is);
    }
}
