//! The resources that a command line can name: their plurals, groups and short names.

use super::Halt;
use crate::manifest::{ObjectKey, kinds::is_cluster_scoped};

/// A kind of objects as `kubectl` knows it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Resource {
    /// `Deployment`.
    pub(super) kind: &'static str,
    /// `deployments`.
    pub(super) plural: &'static str,
    /// `apps`; empty for the core group.
    pub(super) group: &'static str,
    /// `deploy`.
    short: &'static [&'static str],
}

const fn of(kind: &'static str, plural: &'static str, group: &'static str, short: &'static [&'static str]) -> Resource {
    Resource { kind, plural, group, short }
}

const RESOURCES: &[Resource] = &[
    of("Pod", "pods", "", &["po"]),
    of("Service", "services", "", &["svc"]),
    of("Endpoints", "endpoints", "", &["ep"]),
    of("ConfigMap", "configmaps", "", &["cm"]),
    of("Secret", "secrets", "", &[]),
    of("ServiceAccount", "serviceaccounts", "", &["sa"]),
    of("PersistentVolumeClaim", "persistentvolumeclaims", "", &["pvc"]),
    of("Event", "events", "", &["ev"]),
    of("LimitRange", "limitranges", "", &["limits"]),
    of("ResourceQuota", "resourcequotas", "", &["quota"]),
    of("PersistentVolume", "persistentvolumes", "", &["pv"]),
    of("Namespace", "namespaces", "", &["ns"]),
    of("Node", "nodes", "", &["no"]),
    of("Deployment", "deployments", "apps", &["deploy"]),
    of("StatefulSet", "statefulsets", "apps", &["sts"]),
    of("ReplicaSet", "replicasets", "apps", &["rs"]),
    of("DaemonSet", "daemonsets", "apps", &["ds"]),
    of("ControllerRevision", "controllerrevisions", "apps", &[]),
    of("Job", "jobs", "batch", &[]),
    of("CronJob", "cronjobs", "batch", &["cj"]),
    of("EndpointSlice", "endpointslices", "discovery.k8s.io", &[]),
    of("NetworkPolicy", "networkpolicies", "networking.k8s.io", &["netpol"]),
    of("Ingress", "ingresses", "networking.k8s.io", &["ing"]),
    of("PodDisruptionBudget", "poddisruptionbudgets", "policy", &["pdb"]),
    of("HorizontalPodAutoscaler", "horizontalpodautoscalers", "autoscaling", &["hpa"]),
    of("Role", "roles", "rbac.authorization.k8s.io", &[]),
    of("RoleBinding", "rolebindings", "rbac.authorization.k8s.io", &[]),
    of("ClusterRole", "clusterroles", "rbac.authorization.k8s.io", &[]),
    of("ClusterRoleBinding", "clusterrolebindings", "rbac.authorization.k8s.io", &[]),
    of("StorageClass", "storageclasses", "storage.k8s.io", &["sc"]),
    of("PriorityClass", "priorityclasses", "scheduling.k8s.io", &["pc"]),
    of("ServiceMonitor", "servicemonitors", "monitoring.coreos.com", &["smon"]),
    of("PrometheusRule", "prometheusrules", "monitoring.coreos.com", &["promrule"]),
];

/// What `all` stands for.
const ALL: &[&str] = &["Pod", "Service", "DaemonSet", "Deployment", "ReplicaSet", "StatefulSet", "Job", "CronJob"];

impl Resource {
    /// `pod`, `deployment.apps`: how messages begin.
    pub(super) fn singular(&self) -> String {
        self.with_group(&self.kind.to_lowercase())
    }

    /// `pods`, `deployments.apps`: how errors name it.
    pub(super) fn plural(&self) -> String {
        self.with_group(self.plural)
    }

    /// Whether its objects live in namespaces.
    pub(super) fn is_namespaced(&self) -> bool {
        !is_cluster_scoped(self.kind)
    }

    fn with_group(&self, name: &str) -> String {
        if self.group.is_empty() { name.to_owned() } else { format!("{name}.{}", self.group) }
    }

    /// What names an object of this kind.
    pub(super) fn key(&self, namespace: &str, name: &str) -> ObjectKey {
        let namespace = if self.is_namespaced() { namespace } else { "" };
        ObjectKey { kind: self.kind.to_owned(), namespace: namespace.to_owned(), name: name.to_owned() }
    }
}

/// The resource of a kind's exact name.
pub(super) fn of_kind(kind: &str) -> Option<&'static Resource> {
    RESOURCES.iter().find(|resource| resource.kind == kind)
}

/// The resources that words such as `po`, `deployments.apps`, `pods,svc` or `all` mean.
pub(super) fn named(words: &str) -> Result<Vec<&'static Resource>, Halt> {
    let mut found = Vec::new();
    for word in words.split(',') {
        match word {
            "all" => found.extend(ALL.iter().filter_map(|kind| of_kind(kind))),
            _ => found.push(one(word)?),
        }
    }
    Ok(found)
}

/// The resource that a word means.
pub(super) fn one(word: &str) -> Result<&'static Resource, Halt> {
    let lower = word.to_lowercase();
    let (name, group) = lower.split_once('.').map_or((lower.as_str(), None), |(name, group)| (name, Some(group)));
    let fits = |resource: &&Resource| {
        let named = resource.plural == name || resource.short.contains(&name) || resource.kind.to_lowercase() == name;
        named && group.is_none_or(|group| group == resource.group || group.strip_prefix("v1.").is_some_and(|group| group == resource.group))
    };
    RESOURCES.iter().find(fits).ok_or_else(|| Halt::error(format!("the server doesn't have a resource type \"{word}\"")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("po", "Pod")]
    #[case("pods", "Pod")]
    #[case("Pod", "Pod")]
    #[case("pvc", "PersistentVolumeClaim")]
    #[case("svc", "Service")]
    #[case("deploy", "Deployment")]
    #[case("deployment.apps", "Deployment")]
    #[case("deployments.v1.apps", "Deployment")]
    #[case("sts", "StatefulSet")]
    #[case("sc", "StorageClass")]
    #[case("pdb", "PodDisruptionBudget")]
    #[case("ep", "Endpoints")]
    #[case("secret", "Secret")]
    fn a_resource_has_many_names(#[case] word: &str, #[case] kind: &str) {
        assert_eq!(one(word).expect("known").kind, kind);
    }

    #[test]
    fn an_unknown_resource_is_told_as_the_server_tells_it() {
        assert_eq!(one("pdos").expect_err("unknown").to_string(), "error: the server doesn't have a resource type \"pdos\"");
        assert!(one("pods.apps").is_err());
        let several = named("pods,svc").expect("known");
        assert_eq!(several.iter().map(|resource| resource.kind).collect::<Vec<_>>(), ["Pod", "Service"]);
        assert_eq!(named("all").expect("known").len(), ALL.len());
    }
}
