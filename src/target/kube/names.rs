//! The names of one scenario on a cluster that it shares: what goes out is renamed, what comes back is put right; it talks to nobody.

mod fields;
#[cfg(test)]
mod tests;

use crate::manifest::{Object, ObjectKey, Place, Workload, json, kinds, pointer};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use fields::{FIELDS, Field, METADATA_NAME, POD};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{PoisonError, RwLock, RwLockReadGuard},
};

/// The label that namespaces and cluster-scoped objects bear on the cluster, and in a namespace that was lent everything: the id of the run.
pub(super) const RUN_LABEL: &str = "redis-conformance.io/run";
/// The label beside it: the suffix of the scenario.
pub(super) const SCENARIO_LABEL: &str = "redis-conformance.io/scenario";

const NAMESPACE: &str = "Namespace";
/// What a DNS label may have.
const LABEL_LIMIT: usize = 63;
/// What the name of most other objects may have.
const NAME_LIMIT: usize = 253;
/// Digits of the hash in a name that had to be cut.
const DIGITS: usize = 8;
const SERVICE: &str = ".svc";

/// Namespaces of the cluster itself. What a set puts into one lands in a renamed one, but whoever refers to one means the cluster's: its DNS.
const OF_THE_CLUSTER: &[&str] = &["kube-node-lease", "kube-public", "kube-system"];

/// Cluster-scoped kinds whose objects are renamed: every reference to them is known here.
///
/// The others keep their names: it is a part of what they are (a CustomResourceDefinition's is `<plural>.<group>`), or fields that nobody
/// here knows refer to them (a ClusterIssuer).
const RENAMED: &[&str] = &[
    "ClusterRole",
    "ClusterRoleBinding",
    "IngressClass",
    "MutatingAdmissionPolicy",
    "MutatingAdmissionPolicyBinding",
    "MutatingWebhookConfiguration",
    NAMESPACE,
    "PersistentVolume",
    "PriorityClass",
    "RuntimeClass",
    "StorageClass",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "ValidatingWebhookConfiguration",
    "VolumeAttributesClass",
];

/// The names of one scenario on a cluster that it shares with others.
///
/// What goes out and comes back is as it was, for every object that does not itself speak of this scenario's names on the cluster or bear
/// its labels; an empty map of labels is as none.
#[derive(Debug)]
pub(super) struct Names {
    /// `121f-7`: what tells this scenario's names from all others.
    suffix: String,
    run: String,
    known: RwLock<Known>,
    /// The one namespace that the cluster gives; nothing of the scenario is outside of it that could be inside.
    lent: Option<String>,
}

/// An object as the cluster gets it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Outgoing {
    /// The object, renamed.
    pub(super) object: Value,
    /// Each text in which a host name was rewritten: `Deployment mcp/server, /spec/…/env/0/value: redis.mcp.svc → redis.mcp-121f-7.svc`;
    /// of a Secret only where.
    pub(super) rewritten: Vec<String>,
}

impl Names {
    /// The names of a run's scenario, which the number tells from the run's others.
    pub(super) fn new(run: &str, number: usize) -> Self {
        let last = run.rsplit('-').next().unwrap_or(run);
        Self { suffix: format!("{last}-{number}"), run: run.to_owned(), known: RwLock::default(), lent: None }
    }

    /// The same in one namespace that was lent to the run: the namespace of the manifests, of which there must be one, gets its name, and
    /// what lives in it bears the labels.
    pub(super) fn within(self, namespace: Option<String>) -> Self {
        Self { lent: namespace, ..self }
    }

    /// The labels by which what this scenario made is found on the cluster; both are on namespaces and cluster-scoped objects only, and in a
    /// namespace that was lent on everything.
    pub(super) fn labels(&self) -> [(&'static str, &str); 2] {
        [(RUN_LABEL, &self.run), (SCENARIO_LABEL, &self.suffix)]
    }

    /// The namespace on the cluster: a DNS label if the name is one, distinct for distinct names.
    pub(super) fn namespace(&self, name: &str) -> String {
        self.learn(NAMESPACE, name, false)
    }

    /// Declares the namespaces in which these objects live and those among them that live in none: from now on, references to them are
    /// rewritten. References to what the set does not bring (a storage class `standard`) stay as they are.
    pub(super) fn declare(&self, objects: &[Value]) {
        for object in objects {
            let ObjectKey { kind, namespace, name } = key(object);
            let (kind, name) = if kinds::is_cluster_scoped(&kind) { (kind.as_str(), name) } else { (NAMESPACE, namespace) };
            if !name.is_empty() {
                self.learn(kind, &name, kind != NAMESPACE || !OF_THE_CLUSTER.contains(&name.as_str()));
            }
        }
    }

    /// The name on the cluster of an object without a namespace: another one if it was declared.
    pub(super) fn cluster_scoped(&self, kind: &str, name: &str) -> String {
        if kind == NAMESPACE {
            return self.namespace(name);
        }
        self.known().name(Way::Out, kind, name).unwrap_or_else(|| name.to_owned())
    }

    /// The object as the cluster gets it. It must have its `kind`, as for the opposite.
    pub(super) fn outgoing(&self, mut object: Value) -> Outgoing {
        let key = key(&object);
        if !key.namespace.is_empty() {
            object["metadata"]["namespace"] = self.namespace(&key.namespace).into();
        }
        if kinds::is_cluster_scoped(&key.kind) && !key.name.is_empty() {
            object["metadata"]["name"] = self.cluster_scoped(&key.kind, &key.name).into();
        }
        let known = self.known();
        for metadata in self.labelled(&known, &key, &object) {
            for (name, value) in self.labels() {
                pointer::set(&mut object, &label(&metadata, name), json!(value));
            }
        }
        let mut translation = Translation { known: &known, way: Way::Out, key: &key, rewritten: Vec::new() };
        let object = translation.whole(object);
        Outgoing { object, rewritten: translation.rewritten }
    }

    /// The object as the manifests would speak of it: the opposite of [`Names::outgoing`]; in events and conditions, free text as well.
    pub(super) fn incoming(&self, mut object: Value) -> Value {
        let mut key = key(&object);
        let known = self.known();
        if let Some(namespace) = known.name(Way::In, NAMESPACE, &key.namespace) {
            object["metadata"]["namespace"] = namespace.into();
        }
        if let Some(name) = known.name(Way::In, &key.kind, &key.name) {
            object["metadata"]["name"] = name.as_str().into();
            key.name = name;
        }
        for metadata in self.labelled(&known, &key, &object) {
            let removed = self.labels().map(|(name, _)| pointer::remove(&mut object, &label(&metadata, name)).is_some());
            let labels = format!("{metadata}/labels");
            if removed.contains(&true) && json::map(&object, &labels).is_empty() {
                pointer::remove(&mut object, &labels);
            }
        }
        Translation { known: &known, way: Way::In, key: &key, rewritten: Vec::new() }.whole(object)
    }

    /// Whether an object that is in no namespace is this scenario's or the cluster's own, and not another scenario's.
    pub(super) fn is_visible(&self, object: &Value) -> bool {
        object["metadata"]["labels"][SCENARIO_LABEL].is_null() || self.is_ours(object)
    }

    /// Whether an object bears this scenario's labels.
    pub(super) fn is_ours(&self, object: &Value) -> bool {
        self.labels().iter().all(|(label, value)| object["metadata"]["labels"][*label] == *value)
    }

    /// The name under which a client pod reaches what the manifests call by this host: `redis.mcp` and `redis.mcp.svc.cluster.local` in the
    /// namespace on the cluster, if `mcp` is declared; others unchanged.
    pub(super) fn host(&self, host: &str) -> String {
        let known = self.known();
        if let Some((host, _)) = known.hosts(Way::Out, host) {
            return host;
        }
        // `redis.other.svc` is a Service of a namespace that was not declared, even if one called `svc` was.
        let is_short = |(service, namespace): &(&str, &str)| !service.is_empty() && (*namespace != "svc" || !service.contains('.'));
        let short = host.rsplit_once('.').filter(is_short);
        let renamed = short.and_then(|(service, namespace)| Some((service, known.name(Way::Out, NAMESPACE, namespace)?)));
        renamed.map_or_else(|| host.to_owned(), |(service, namespace)| format!("{service}.{namespace}"))
    }

    /// Words of the cluster, as an API server's refusal, in which the names of this scenario are put back.
    pub(super) fn words(&self, text: &str) -> String {
        self.known().words(text).unwrap_or_else(|| text.to_owned())
    }

    /// The metadata of the object that bears this scenario's labels: what lives in no namespace and was not declared is somebody else's. In a
    /// namespace that was lent everything is found by them, and so are the claims that a StatefulSet makes and leaves.
    fn labelled(&self, known: &Known, key: &ObjectKey, object: &Value) -> Vec<String> {
        let whole = "/metadata".to_owned();
        if self.lent.is_none() || kinds::is_cluster_scoped(&key.kind) {
            let bears = if key.kind == NAMESPACE { self.lent.is_none() } else { known.name(Way::Out, &key.kind, &key.name).is_some() };
            return bears.then_some(whole).into_iter().collect();
        }
        let templates = json::list(object, "/spec/volumeClaimTemplates").len();
        [whole].into_iter().chain((0..templates).map(|index| format!("/spec/volumeClaimTemplates/{index}/metadata"))).collect()
    }

    fn known(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn learn(&self, kind: &str, name: &str, declared: bool) -> String {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let entry = known.0.entry(kind.to_owned()).or_default().entry(name.to_owned()).or_insert_with(|| {
            let limit = if kind == NAMESPACE { LABEL_LIMIT } else { NAME_LIMIT };
            let cluster = match &self.lent {
                Some(lent) if kind == NAMESPACE => lent.clone(),
                _ if RENAMED.contains(&kind) => renamed(name, &self.suffix, limit),
                _ => name.to_owned(),
            };
            Entry { telling: self.lent.as_ref() != Some(&cluster), cluster, declared: false }
        });
        entry.declared |= declared;
        entry.cluster.clone()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// From the manifests' names to the cluster's.
    Out,
    /// Back.
    In,
}

/// Kinds, their objects' names in the manifests, and what became of these.
#[derive(Debug, Default)]
struct Known(BTreeMap<String, BTreeMap<String, Entry>>);

#[derive(Debug)]
struct Entry {
    cluster: String,
    /// References to it are rewritten.
    declared: bool,
    /// It ends in the scenario's suffix, so that in free text it means nothing else, which a name of somebody's may: `redis`.
    telling: bool,
}

impl Known {
    fn name(&self, way: Way, kind: &str, name: &str) -> Option<String> {
        let names = self.0.get(kind)?;
        match way {
            Way::Out => names.get(name).filter(|entry| entry.declared).map(|entry| entry.cluster.clone()),
            Way::In => names.iter().find(|(_, entry)| entry.cluster == name).map(|(name, _)| name.clone()),
        }
    }

    /// A text with the namespace of each `.<namespace>.svc` translated, and what that changed; `None` where it changes nothing.
    fn hosts(&self, way: Way, text: &str) -> Option<(String, Vec<String>)> {
        let (mut new, mut copied, mut at) = (String::new(), 0, 0);
        let mut changes = Vec::new();
        while let Some(dot) = text[at..].find('.') {
            let start = at + dot + 1;
            let end = text.len() - text[start..].trim_start_matches(is_of_label).len();
            at = end;
            let Some(rest) = text[end..].strip_prefix(SERVICE).filter(|rest| !rest.starts_with(is_of_label)) else { continue };
            let Some(name) = self.name(way, NAMESPACE, &text[start..end]).filter(|name| *name != text[start..end]) else { continue };
            new.push_str(&text[copied..start]);
            new.push_str(&name);
            // What follows is read over: in `.mcp.svc.svc` there is one namespace, on the way back too.
            (copied, at) = (end, end + SERVICE.len());
            let head = &text[text[..start].trim_end_matches(is_of_host).len()..start];
            let tail = text[end..text.len() - rest.trim_start_matches(is_of_host).len()].trim_end_matches('.');
            let change = format!("{head}{}{tail} → {head}{name}{tail}", &text[start..end]);
            if !changes.contains(&change) {
                changes.push(change);
            }
        }
        new.push_str(&text[copied..]);
        (copied > 0).then_some((new, changes))
    }

    /// A free text with the names on the cluster put back; as all end in the suffix, none is the beginning of another. `None` where it has none.
    fn words(&self, text: &str) -> Option<String> {
        let telling = self.0.values().flatten().filter(|(_, entry)| entry.telling);
        let all = telling.map(|(name, entry)| (entry.cluster.as_str(), name.as_str()));
        let ours: Vec<(&str, &str)> = all.filter(|(cluster, name)| cluster != name && text.contains(cluster)).collect();
        let (mut new, mut rest, mut found) = (String::new(), text, false);
        while let Some(letter) = rest.chars().next() {
            let begins = !new.ends_with(is_of_label);
            let whole = |cluster: &str| rest.strip_prefix(cluster).filter(|after| begins && !after.starts_with(is_of_label));
            if let Some((name, after)) = ours.iter().find_map(|(cluster, name)| Some((name, whole(cluster)?))) {
                new.push_str(name);
                (rest, found) = (after, true);
            } else {
                new.push(letter);
                rest = &rest[letter.len_utf8()..];
            }
        }
        found.then_some(new)
    }

    /// The group or user of a namespace's service accounts: `system:serviceaccounts:mcp`, `system:serviceaccount:mcp:default`.
    fn accounts(&self, way: Way, name: &str) -> Option<String> {
        let mut parts: Vec<&str> = name.split(':').collect();
        let ["system", "serviceaccounts" | "serviceaccount", namespace, ..] = parts[..] else { return None };
        let namespace = self.name(way, NAMESPACE, namespace)?;
        parts[2] = &namespace;
        Some(parts.join(":"))
    }
}

/// One object on its way.
struct Translation<'a> {
    known: &'a Known,
    way: Way,
    /// What the manifests call it.
    key: &'a ObjectKey,
    rewritten: Vec<String>,
}

impl Translation<'_> {
    fn whole(&mut self, object: Value) -> Value {
        let object = Object::made(object, Place::default());
        let pod = Workload::of(&object).map(|workload| workload.pod_spec());
        let mut object = object.json;
        for (kind, pattern, field) in FIELDS {
            if kind.is_empty() || *kind == self.key.kind {
                visit(&mut object, pattern, "", &mut |at, value| self.field(*field, at, value));
            }
        }
        if let Some(pod) = pod {
            visit(&mut object, &pod, "", &mut |at, value| self.field(Field::Within(POD), at, value));
        }
        object
    }

    fn field(&mut self, field: Field, at: &str, value: &mut Value) {
        let (known, way) = (self.known, self.way);
        match field {
            Field::Within(fields) => {
                for (pattern, field) in fields {
                    visit(value, pattern, at, &mut |at, value| self.field(*field, at, value));
                }
            }
            Field::Name(kind) => change(Some(value), |name| known.name(way, kind, name)),
            Field::Reference => {
                let kind = json::text(value, "/kind").to_owned();
                change(value.get_mut("name"), |name| known.name(way, &kind, name));
                change(value.get_mut("namespace"), |name| known.name(way, NAMESPACE, name));
            }
            Field::Subject => {
                change(value.get_mut("name"), |name| known.accounts(way, name));
                change(value.get_mut("namespace"), |name| known.name(way, NAMESPACE, name));
            }
            Field::Expression => {
                if value["key"] == METADATA_NAME {
                    visit(value, "/values/*", at, &mut |_, value| change(Some(value), |name| known.name(way, NAMESPACE, name)));
                }
            }
            Field::Text | Field::Secret => {
                if let Some((text, changes)) = value.as_str().and_then(|text| known.hosts(way, text)) {
                    *value = text.into();
                    self.note(at, field, &changes);
                }
            }
            Field::Base64 => {
                let text = json::bytes(value).and_then(|bytes| String::from_utf8(bytes).ok());
                if let Some((text, changes)) = text.and_then(|text| known.hosts(way, &text)) {
                    *value = STANDARD.encode(text).into();
                    self.note(at, field, &changes);
                }
            }
            Field::Words => {
                if way == Way::In {
                    change(Some(value), |text| known.words(text));
                }
            }
        }
    }

    /// Notes where a text was rewritten, and what of it unless it is secret.
    fn note(&mut self, at: &str, field: Field, changes: &[String]) {
        let what = if matches!(field, Field::Text) { format!(": {}", changes.join(", ")) } else { String::new() };
        self.rewritten.push(format!("{}, {at}{what}", self.key));
    }
}

fn change(value: Option<&mut Value>, new: impl Fn(&str) -> Option<String>) {
    if let Some(value) = value
        && let Some(new) = value.as_str().and_then(new)
    {
        *value = new.into();
    }
}

/// Shows each value whose pointer fits the pattern, in which `*` is every entry of a list or map; `at` is the pointer to the value itself.
fn visit(value: &mut Value, pattern: &str, at: &str, found: &mut dyn FnMut(&str, &mut Value)) {
    let Some(pattern) = pattern.strip_prefix('/') else { return found(at, value) };
    let (token, rest) = pattern.split_at(pattern.find('/').unwrap_or(pattern.len()));
    match value {
        Value::Object(map) if token == "*" => {
            map.iter_mut().for_each(|(key, value)| visit(value, rest, &pointer::join(at, key), found));
        }
        Value::Array(items) if token == "*" => {
            items.iter_mut().enumerate().for_each(|(index, value)| visit(value, rest, &format!("{at}/{index}"), found));
        }
        Value::Object(map) => {
            if let Some(value) = map.get_mut(&pointer::unescape(token)) {
                visit(value, rest, &format!("{at}/{token}"), found);
            }
        }
        Value::Array(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The name with the suffix, within the limit. What had to be cut has a hash and is as long as the limit, which nothing else is: so no two
/// names meet.
fn renamed(name: &str, suffix: &str, limit: usize) -> String {
    let whole = format!("{name}-{suffix}");
    if whole.len() < limit {
        return whole;
    }
    let room = limit.saturating_sub(suffix.len() + DIGITS + 2);
    let cut = (0..=room).rev().find_map(|end| name.get(..end)).unwrap_or_default().trim_end_matches(['.', '-']);
    let hash = Object::made(json!(name), Place::default()).hash();
    let digits = limit.saturating_sub(cut.len() + suffix.len() + 2).clamp(DIGITS, hash.len());
    format!("{cut}-{}-{suffix}", &hash[..digits])
}

fn key(object: &Value) -> ObjectKey {
    let text = |pointer| json::text(object, pointer).to_owned();
    ObjectKey { kind: text("/kind"), namespace: text("/metadata/namespace"), name: text("/metadata/name") }
}

fn label(metadata: &str, name: &str) -> String {
    pointer::join(&format!("{metadata}/labels"), name)
}

fn is_of_label(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '-'
}

fn is_of_host(letter: char) -> bool {
    is_of_label(letter) || letter == '.'
}
