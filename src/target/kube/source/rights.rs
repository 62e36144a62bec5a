//! The rights that a run needs on a cluster that is somebody's, and which of them the user lacks.

use anyhow::Context as _;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, ResourceRule, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec, SelfSubjectRulesReview,
    SelfSubjectRulesReviewSpec,
};
use kube::{Api, Client, api::PostParams};

/// Everything that a scenario may do with what its manifests hold.
const ALL: &[&str] = &["get", "list", "watch", "create", "patch", "delete"];
const SEE: &[&str] = &["get", "list", "watch"];

/// A rule: API group, resources, verbs.
type Rule = (&'static str, &'static [&'static str], &'static [&'static str]);

/// Namespaces are the run's own, which nobody knows beforehand: a ClusterRole gives these rights.
const OWN_NAMESPACES: &[Rule] = &[("", &["namespaces"], ALL), ("", &["pods"], &["deletecollection"])];
/// What the run sees of the cluster.
const CLUSTER: &[Rule] = &[("", &["nodes"], SEE), ("storage.k8s.io", &["storageclasses"], SEE)];
/// What it does in a namespace.
const NAMESPACE: &[Rule] = &[
    ("", &["pods"], ALL),
    // The library asks by GET, kubectl by POST.
    ("", &["pods/exec"], &["get", "create"]),
    ("", &["pods/log"], &["get"]),
    ("", &["configmaps", "persistentvolumeclaims", "secrets", "serviceaccounts", "services"], ALL),
    ("", &["events"], SEE),
    ("apps", &["daemonsets", "deployments", "replicasets", "statefulsets"], ALL),
    ("batch", &["cronjobs", "jobs"], ALL),
    ("discovery.k8s.io", &["endpointslices"], SEE),
    ("networking.k8s.io", &["ingresses", "networkpolicies"], ALL),
    ("policy", &["poddisruptionbudgets"], ALL),
    ("rbac.authorization.k8s.io", &["rolebindings", "roles"], ALL),
];

/// One right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Right {
    group: &'static str,
    resource: &'static str,
    verb: &'static str,
}

impl std::fmt::Display for Right {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { group, resource, verb } = self;
        if group.is_empty() { write!(f, "{verb} {resource}") } else { write!(f, "{verb} {resource}.{group}") }
    }
}

fn each(rules: &'static [Rule]) -> impl Iterator<Item = Right> {
    rules.iter().flat_map(|(group, resources, verbs)| {
        resources.iter().flat_map(move |resource| verbs.iter().map(move |verb| Right { group, resource, verb }))
    })
}

/// Asks which rights are lacking, in the one namespace that was lent or anywhere: all at once, and one by one where the cluster does not
/// know all rules of the user.
///
/// # Errors
/// Some are lacking, each is named; or the cluster does not tell.
pub(super) async fn check(client: &Client, lent: Option<&str>) -> anyhow::Result<()> {
    let (own, role) = match lent {
        Some(_) => (&[][..], "docs/namespace-role.yaml"),
        None => (OWN_NAMESPACES, "docs/cluster-role.yaml"),
    };
    let ask = SelfSubjectRulesReview {
        spec: SelfSubjectRulesReviewSpec { namespace: Some(lent.unwrap_or("default").to_owned()) },
        ..SelfSubjectRulesReview::default()
    };
    let review = Api::<SelfSubjectRulesReview>::all(client.clone()).create(&PostParams::default(), &ask).await;
    let status = review.context("the cluster does not tell which rights this user has")?.status.unwrap_or_default();
    let mut lacking = Vec::new();
    for (right, namespace) in [(own, None), (CLUSTER, None), (NAMESPACE, lent)]
        .into_iter()
        .flat_map(|(rules, namespace)| each(rules).map(move |right| (right, namespace)))
    {
        // What is in no namespace may stand among a namespace's rules, which do not give it.
        let rules_tell = namespace.is_some() == lent.is_some();
        let has = rules_tell && given(&status.resource_rules, right)
            || (status.incomplete || !rules_tell) && may(client, right, namespace).await?;
        if !has {
            lacking.push(namespace.map_or_else(|| format!("  {right}"), |namespace| format!("  {right} in namespace {namespace}")));
        }
    }
    anyhow::ensure!(lacking.is_empty(), "this user lacks rights that a run needs; {role} gives all of them:\n{}", lacking.join("\n"));
    Ok(())
}

fn given(rules: &[ResourceRule], right: Right) -> bool {
    let has = |list: &Option<Vec<String>>, wanted: &str| list.iter().flatten().any(|item| item == "*" || item == wanted);
    rules.iter().any(|rule| {
        let is_for_all = rule.resource_names.as_ref().is_none_or(Vec::is_empty);
        let verb = rule.verbs.iter().any(|verb| verb == "*" || verb == right.verb);
        is_for_all && verb && has(&rule.api_groups, right.group) && has(&rule.resources, right.resource)
    })
}

async fn may(client: &Client, right: Right, namespace: Option<&str>) -> anyhow::Result<bool> {
    let (resource, subresource) = right.resource.split_once('/').unwrap_or((right.resource, ""));
    let attributes = ResourceAttributes {
        namespace: namespace.map(ToOwned::to_owned),
        group: Some(right.group.to_owned()),
        resource: Some(resource.to_owned()),
        subresource: Some(subresource.to_owned()).filter(|name| !name.is_empty()),
        verb: Some(right.verb.to_owned()),
        ..ResourceAttributes::default()
    };
    let ask = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..SelfSubjectAccessReviewSpec::default() },
        ..SelfSubjectAccessReview::default()
    };
    let review = Api::<SelfSubjectAccessReview>::all(client.clone()).create(&PostParams::default(), &ask).await;
    let status = review.with_context(|| format!("the cluster does not tell whether this user may {right}"))?.status;
    Ok(status.is_some_and(|status| status.allowed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::ManifestSet;
    use rstest::rstest;

    fn rule(groups: &[&str], resources: &[&str], verbs: &[&str]) -> ResourceRule {
        let owned = |list: &[&str]| list.iter().map(|&item| item.to_owned()).collect::<Vec<_>>();
        ResourceRule { api_groups: Some(owned(groups)), resources: Some(owned(resources)), verbs: owned(verbs), resource_names: None }
    }

    #[test]
    fn a_right_is_given_by_name_or_by_star_and_not_for_single_objects() {
        let right = Right { group: "apps", resource: "deployments", verb: "patch" };
        assert!(given(&[rule(&["apps"], &["deployments"], &["get", "patch"])], right));
        assert!(given(&[rule(&["*"], &["*"], &["*"])], right));
        assert!(!given(&[rule(&[""], &["deployments"], &["patch"])], right), "another group");
        assert!(!given(&[rule(&["apps"], &["deployments"], &["get"])], right), "another verb");
        let one = ResourceRule { resource_names: Some(vec!["redis".into()]), ..rule(&["apps"], &["deployments"], &["*"]) };
        assert!(!given(&[one], right), "one object only");
    }

    #[rstest]
    #[case::anywhere(include_str!("../../../../docs/cluster-role.yaml"), "ClusterRole", &[OWN_NAMESPACES, CLUSTER, NAMESPACE])]
    #[case::in_the_namespace(include_str!("../../../../docs/namespace-role.yaml"), "Role", &[NAMESPACE])]
    #[case::around_it(include_str!("../../../../docs/namespace-role.yaml"), "ClusterRole", &[CLUSTER])]
    fn the_roles_that_we_hand_out_give_what_is_needed_and_no_more(
        #[case] text: &str,
        #[case] kind: &str,
        #[case] needed: &[&'static [Rule]],
    ) {
        let set = ManifestSet::parse(text, "a role").expect("a manifest");
        let role = set.objects.iter().find(|object| object.kind() == kind).expect("a role");
        let rules: Vec<ResourceRule> = serde_json::from_value(role.json["rules"].clone()).expect("rules");
        let needed: Vec<Right> = needed.iter().copied().flat_map(each).collect();
        let lacking: Vec<String> = needed.iter().filter(|right| !given(&rules, **right)).map(ToString::to_string).collect();
        assert!(lacking.is_empty(), "{lacking:?}");
        let count: usize = rules.iter().map(|rule| rule.resources.iter().flatten().count() * rule.verbs.len()).sum();
        assert_eq!(count, needed.len());
    }
}
