//! Which fields of API objects hold names, and how; it translates none.

use super::NAMESPACE;

/// The label by which a namespace is selected by its name.
pub(super) const METADATA_NAME: &str = "kubernetes.io/metadata.name";

/// What a field holds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Field {
    /// Fields below it, each with a pattern as in [`FIELDS`].
    Within(&'static [(&'static str, Field)]),
    /// The name of an object of this kind.
    Name(&'static str),
    /// A map that names an object: `kind`, `name`, `namespace`.
    Reference,
    /// Whom a binding gives rights.
    Subject,
    /// A requirement of a selector of namespaces.
    Expression,
    /// A text in which host names of Services are rewritten.
    Text,
    /// The same, and nobody is told what it says.
    Secret,
    /// The same, as base64.
    Base64,
    /// Words that the cluster wrote: names are put back, none goes out.
    Words,
}

/// Kind (empty: all), pattern of the pointer (`*`: every entry of a list or map), and what the field holds.
pub(super) const FIELDS: &[(&str, &str, Field)] = &[
    ("", "/metadata/ownerReferences/*", Field::Reference),
    ("", "/status/conditions/*/message", Field::Words),
    ("ClusterRoleBinding", "", BINDING),
    ("ConfigMap", "/data/*", Field::Text),
    ("EndpointSlice", "/endpoints/*/targetRef", Field::Reference),
    ("Endpoints", "/subsets/*/*/*/targetRef", Field::Reference),
    ("Event", "/involvedObject", Field::Reference),
    ("Event", "/message", Field::Words),
    ("Event", "/note", Field::Words),
    ("Event", "/regarding", Field::Reference),
    ("Event", "/related", Field::Reference),
    ("Ingress", "/spec/ingressClassName", Field::Name("IngressClass")),
    ("MutatingAdmissionPolicyBinding", "/spec/policyName", Field::Name("MutatingAdmissionPolicy")),
    (NAMESPACE, "/metadata/labels/kubernetes.io~1metadata.name", Field::Name(NAMESPACE)),
    ("NetworkPolicy", "/spec/egress/*/to/*/namespaceSelector", SELECTOR),
    ("NetworkPolicy", "/spec/ingress/*/from/*/namespaceSelector", SELECTOR),
    ("PersistentVolume", "", CLAIM),
    ("PersistentVolume", "/spec/claimRef", Field::Reference),
    ("PersistentVolume", "/status/message", Field::Words),
    ("PersistentVolumeClaim", "", CLAIM),
    ("Pod", "/status/*/*/lastState/*/message", Field::Words),
    ("Pod", "/status/*/*/state/*/message", Field::Words),
    ("Pod", "/status/message", Field::Words),
    ("RoleBinding", "", BINDING),
    ("Secret", "/data/*", Field::Base64),
    ("Secret", "/stringData/*", Field::Secret),
    ("StatefulSet", "/spec/volumeClaimTemplates/*", CLAIM),
    ("ValidatingAdmissionPolicyBinding", "/spec/policyName", Field::Name("ValidatingAdmissionPolicy")),
];

/// Fields of a pod's specification.
pub(super) const POD: &[(&str, Field)] = &[
    ("/affinity/*/preferredDuringSchedulingIgnoredDuringExecution/*/podAffinityTerm", AFFINITY),
    ("/affinity/*/requiredDuringSchedulingIgnoredDuringExecution/*", AFFINITY),
    ("/containers/*", CONTAINER),
    ("/ephemeralContainers/*", CONTAINER),
    ("/initContainers/*", CONTAINER),
    ("/priorityClassName", Field::Name("PriorityClass")),
    ("/runtimeClassName", Field::Name("RuntimeClass")),
    ("/volumes/*/ephemeral/volumeClaimTemplate", CLAIM),
];

const CONTAINER: Field = Field::Within(&[
    ("/args/*", Field::Text),
    ("/command/*", Field::Text),
    ("/env/*/value", Field::Text),
    ("/lifecycle/*/exec/command/*", Field::Text),
    ("/livenessProbe/exec/command/*", Field::Text),
    ("/readinessProbe/exec/command/*", Field::Text),
    ("/startupProbe/exec/command/*", Field::Text),
]);

/// A claim, a claim template or a volume.
const CLAIM: Field = Field::Within(&[
    ("/metadata/annotations/volume.beta.kubernetes.io~1storage-class", Field::Name("StorageClass")),
    ("/spec/storageClassName", Field::Name("StorageClass")),
    ("/spec/volumeAttributesClassName", Field::Name("VolumeAttributesClass")),
    ("/spec/volumeName", Field::Name("PersistentVolume")),
]);

const BINDING: Field = Field::Within(&[("/roleRef", Field::Reference), ("/subjects/*", Field::Subject)]);

const AFFINITY: Field = Field::Within(&[("/namespaceSelector", SELECTOR), ("/namespaces/*", Field::Name(NAMESPACE))]);

/// A selector of namespaces.
const SELECTOR: Field =
    Field::Within(&[("/matchExpressions/*", Field::Expression), ("/matchLabels/kubernetes.io~1metadata.name", Field::Name(NAMESPACE))]);
