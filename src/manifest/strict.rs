//! Decodes an object into its Kubernetes type as a strict API server does: unknown fields are noted, wrong types are placed.

use super::{Quantity, pointer};
use k8s_openapi::serde::de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor};
use serde_json::Value;
use std::{cell::RefCell, fmt};

/// A value that does not fit its type.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Misfit {
    /// Where; empty at the root.
    pub(super) at: String,
    /// In the words of Go's decoder.
    pub(super) words: String,
    placed: bool,
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

impl std::error::Error for Misfit {}

impl de::Error for Misfit {
    fn custom<T: fmt::Display>(words: T) -> Self {
        let words = words.to_string();
        // The only decoder below us that speaks for itself is that of base64.
        let words = match words.split_once(", offset ") {
            Some((first, offset)) if first.starts_with("Invalid ") => {
                format!("illegal base64 data at input byte {}", offset.trim_end_matches('.'))
            }
            _ if words.starts_with("Invalid padding") || words.starts_with("Invalid input length") => "illegal base64 data".to_owned(),
            _ => words,
        };
        Self { at: String::new(), words, placed: false }
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        // The field and its type's name are put in where they are known.
        Self::custom(format!(
            "json: cannot unmarshal {} into Go struct field {{}} of type {}",
            kind_of(unexpected),
            go_type(&expected.to_string())
        ))
    }
}

fn kind_of(unexpected: Unexpected<'_>) -> &'static str {
    match unexpected {
        Unexpected::Bool(_) => "bool",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) | Unexpected::Float(_) => "number",
        Unexpected::Str(_) | Unexpected::Char(_) | Unexpected::Bytes(_) => "string",
        Unexpected::Seq => "array",
        Unexpected::Map => "object",
        _ => "null",
    }
}

fn go_type(expected: &str) -> String {
    match expected {
        "a string" => "string".to_owned(),
        "a boolean" => "bool".to_owned(),
        "i32" => "int32".to_owned(),
        "i64" => "int64".to_owned(),
        "f64" => "float64".to_owned(),
        "a sequence" => "[]".to_owned(),
        "a map" => "map[string]".to_owned(),
        other => format!("v1.{other}"),
    }
}

impl Misfit {
    fn placed(mut self, at: &str, owner: &str) -> Self {
        if !self.placed {
            let bare: Vec<&str> = at.split('/').skip(1).filter(|token| token.parse::<usize>().is_err()).collect();
            self.words = self.words.replacen("{}", &format!("{owner}.{}", pointer::unescape(&bare.join("."))), 1);
            at.clone_into(&mut self.at);
            self.placed = true;
        }
        self
    }
}

/// Decodes a value; gives the result, and the pointers of fields that the type does not have.
pub(super) fn decode<T: DeserializeOwned>(value: &Value) -> (Result<T, Misfit>, Vec<String>) {
    let unknown = RefCell::new(Vec::new());
    let result = T::deserialize(Decoder { value, at: String::new(), owner: "", unknown: &unknown }).map_err(|misfit| misfit.placed("", ""));
    (result, unknown.into_inner())
}

struct Decoder<'v, 'r> {
    value: &'v Value,
    at: String,
    /// The Go type whose field this is.
    owner: &'static str,
    unknown: &'r RefCell<Vec<String>>,
}

impl<'de> Decoder<'de, '_> {
    fn visit<V: Visitor<'de>>(self, owner: &'static str, visitor: V) -> Result<V::Value, Misfit> {
        let (at, above) = (self.at.clone(), self.owner);
        let visited = match self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(number), ..) => visitor.visit_u64(number),
                (_, Some(number), _) => visitor.visit_i64(number),
                (.., number) => visitor.visit_f64(number.unwrap_or(f64::NAN)),
            },
            Value::Array(items) => visitor.visit_seq(Items { items: items.iter().enumerate(), decoder: self }),
            Value::Object(map) => visitor.visit_map(Entries { entries: map.iter(), current: None, owner, decoder: self }),
        };
        visited.map_err(|misfit| misfit.placed(&at, above))
    }
}

impl<'de> de::Deserializer<'de> for Decoder<'de, '_> {
    type Error = Misfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        let owner = self.owner;
        self.visit(owner, visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        if self.value.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Misfit> {
        if name == "Quantity" && !self.value.is_null() {
            // The API server accepts bare numbers where amounts are meant.
            Quantity::of(self.value).map_err(|error| <Misfit as de::Error>::custom(error).placed(&self.at, self.owner))?;
            if let Value::Number(number) = self.value {
                return visitor.visit_newtype_struct(IntoDeserializer::<Misfit>::into_deserializer(number.to_string()));
            }
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(self, name: &'static str, _: &'static [&'static str], visitor: V) -> Result<V::Value, Misfit> {
        self.visit(name, visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        self.unknown.borrow_mut().push(self.at);
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map enum identifier
    }
}

struct Items<'v, 'r> {
    items: std::iter::Enumerate<std::slice::Iter<'v, Value>>,
    decoder: Decoder<'v, 'r>,
}

impl<'de> SeqAccess<'de> for Items<'de, '_> {
    type Error = Misfit;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Misfit> {
        let Some((index, value)) = self.items.next() else { return Ok(None) };
        let at = format!("{}/{index}", self.decoder.at);
        let decoder = Decoder { value, at: at.clone(), owner: self.decoder.owner, unknown: self.decoder.unknown };
        seed.deserialize(decoder).map(Some).map_err(|misfit| misfit.placed(&at, self.decoder.owner))
    }
}

struct Entries<'v, 'r> {
    entries: serde_json::map::Iter<'v>,
    current: Option<(&'v String, &'v Value)>,
    owner: &'static str,
    decoder: Decoder<'v, 'r>,
}

impl<'de> MapAccess<'de> for Entries<'de, '_> {
    type Error = Misfit;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Misfit> {
        self.current = self.entries.next();
        let Some((key, _)) = self.current else { return Ok(None) };
        seed.deserialize(de::value::BorrowedStrDeserializer::new(key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Misfit> {
        let Some((key, value)) = self.current.take() else { return Err(de::Error::custom("a value without its key")) };
        let at = pointer::join(&self.decoder.at, key);
        let decoder = Decoder { value, at: at.clone(), owner: self.owner, unknown: self.decoder.unknown };
        seed.deserialize(decoder).map_err(|misfit| misfit.placed(&at, self.owner))
    }
}

/// What strict decoding says of an object.
#[derive(Debug, Default)]
pub(super) struct Decoded {
    pub(super) unknown: Vec<String>,
    pub(super) misfit: Option<Misfit>,
}

fn check<T: DeserializeOwned>(value: &Value) -> Decoded {
    let (result, unknown) = decode::<T>(value);
    Decoded { unknown, misfit: result.err() }
}

type Check = fn(&Value) -> Decoded;

/// The kinds that an API server of 1.34 serves and that stand next to Redis in manifests.
const KINDS: &[(&str, &str, Check)] = {
    use k8s_openapi::{
        api::{apps, autoscaling, batch, coordination, core, discovery, networking, policy, rbac, scheduling, storage},
        apiextensions_apiserver::pkg::apis::apiextensions,
    };
    &[
        ("v1", "ConfigMap", check::<core::v1::ConfigMap>),
        ("v1", "Endpoints", check::<core::v1::Endpoints>),
        ("v1", "Event", check::<core::v1::Event>),
        ("v1", "LimitRange", check::<core::v1::LimitRange>),
        ("v1", "Namespace", check::<core::v1::Namespace>),
        ("v1", "Node", check::<core::v1::Node>),
        ("v1", "PersistentVolume", check::<core::v1::PersistentVolume>),
        ("v1", "PersistentVolumeClaim", check::<core::v1::PersistentVolumeClaim>),
        ("v1", "Pod", check::<core::v1::Pod>),
        ("v1", "PodTemplate", check::<core::v1::PodTemplate>),
        ("v1", "ReplicationController", check::<core::v1::ReplicationController>),
        ("v1", "ResourceQuota", check::<core::v1::ResourceQuota>),
        ("v1", "Secret", check::<core::v1::Secret>),
        ("v1", "Service", check::<core::v1::Service>),
        ("v1", "ServiceAccount", check::<core::v1::ServiceAccount>),
        ("apiextensions.k8s.io/v1", "CustomResourceDefinition", check::<apiextensions::v1::CustomResourceDefinition>),
        ("apps/v1", "ControllerRevision", check::<apps::v1::ControllerRevision>),
        ("apps/v1", "DaemonSet", check::<apps::v1::DaemonSet>),
        ("apps/v1", "Deployment", check::<apps::v1::Deployment>),
        ("apps/v1", "ReplicaSet", check::<apps::v1::ReplicaSet>),
        ("apps/v1", "StatefulSet", check::<apps::v1::StatefulSet>),
        ("autoscaling/v1", "HorizontalPodAutoscaler", check::<autoscaling::v1::HorizontalPodAutoscaler>),
        ("autoscaling/v2", "HorizontalPodAutoscaler", check::<autoscaling::v2::HorizontalPodAutoscaler>),
        ("batch/v1", "CronJob", check::<batch::v1::CronJob>),
        ("batch/v1", "Job", check::<batch::v1::Job>),
        ("coordination.k8s.io/v1", "Lease", check::<coordination::v1::Lease>),
        ("discovery.k8s.io/v1", "EndpointSlice", check::<discovery::v1::EndpointSlice>),
        ("networking.k8s.io/v1", "Ingress", check::<networking::v1::Ingress>),
        ("networking.k8s.io/v1", "IngressClass", check::<networking::v1::IngressClass>),
        ("networking.k8s.io/v1", "NetworkPolicy", check::<networking::v1::NetworkPolicy>),
        ("policy/v1", "PodDisruptionBudget", check::<policy::v1::PodDisruptionBudget>),
        ("rbac.authorization.k8s.io/v1", "ClusterRole", check::<rbac::v1::ClusterRole>),
        ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", check::<rbac::v1::ClusterRoleBinding>),
        ("rbac.authorization.k8s.io/v1", "Role", check::<rbac::v1::Role>),
        ("rbac.authorization.k8s.io/v1", "RoleBinding", check::<rbac::v1::RoleBinding>),
        ("scheduling.k8s.io/v1", "PriorityClass", check::<scheduling::v1::PriorityClass>),
        ("storage.k8s.io/v1", "CSIDriver", check::<storage::v1::CSIDriver>),
        ("storage.k8s.io/v1", "StorageClass", check::<storage::v1::StorageClass>),
        ("storage.k8s.io/v1", "VolumeAttachment", check::<storage::v1::VolumeAttachment>),
    ]
};

/// Decodes by version and kind; `None` for a kind that is not among the API server's own.
pub(super) fn decode_object(api_version: &str, kind: &str, value: &Value) -> Option<Decoded> {
    KINDS.iter().find(|(version, name, _)| (*version, *name) == (api_version, kind)).map(|(_, _, check)| check(value))
}

/// Whether the API server has the kind, but not in this version: `extensions/v1beta1`, or `v1` where `apps/v1` is meant.
pub(super) fn is_served_elsewhere(api_version: &str, kind: &str) -> bool {
    const RETIRED: &[&str] =
        &["extensions", "apps", "batch", "policy", "autoscaling", "networking.k8s.io", "rbac.authorization.k8s.io", "storage.k8s.io"];
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    let known = KINDS.iter().any(|(version, name, _)| *name == kind && *version != api_version);
    let served = KINDS.iter().any(|(version, name, _)| (*version, *name) == (api_version, kind));
    known && !served && (group.is_empty() || RETIRED.contains(&group))
}
