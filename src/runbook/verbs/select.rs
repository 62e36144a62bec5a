//! Finds the objects that a command line means: `KIND`, `KIND NAME…`, `KIND/NAME…`, with `-l`, `-A` and `--field-selector`.

use super::{
    Call, Halt,
    access::{name, namespace},
    flags::Args,
    kinds::{self, Resource},
    selector::Selector,
};
use serde_json::Value;

/// An object and the resource it was asked as.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// Its kind.
    pub(super) resource: &'static Resource,
    /// The live object.
    pub(super) object: Value,
}

impl Found {
    /// `pod/redis-0`, `deployment.apps/redis`.
    pub(super) fn label(&self) -> String {
        format!("{}/{}", self.resource.singular(), name(&self.object))
    }
}

/// What the words mean.
#[derive(Debug)]
pub(super) enum Meant {
    /// Whole kinds, to be narrowed by selectors.
    Kinds(Vec<&'static Resource>),
    /// Objects by name.
    Names(Vec<(&'static Resource, String)>),
}

/// Reads `KIND`, `KIND NAME…` or `KIND/NAME…`.
pub(super) fn meant(words: &[String]) -> Result<Meant, Halt> {
    let Some((first, rest)) = words.split_first() else {
        return Err(Halt::error("You must specify the type of resource, such as pod, and perhaps a name"));
    };
    if words.iter().any(|word| word.contains('/')) {
        let pair = |word: &String| match word.split_once('/') {
            Some((kind, name)) if !kind.is_empty() && !name.is_empty() => Ok((kinds::one(kind)?, name.to_owned())),
            _ => Err(Halt::error(
                "there is no need to specify a resource type as a separate argument when passing arguments in resource/name form",
            )),
        };
        return words.iter().map(pair).collect::<Result<_, _>>().map(Meant::Names);
    }
    let resources = kinds::named(first)?;
    if rest.is_empty() {
        return Ok(Meant::Kinds(resources));
    }
    Ok(Meant::Names(resources.iter().flat_map(|resource| rest.iter().map(|name| (*resource, name.clone()))).collect()))
}

/// Reads words that must name exactly one object.
pub(super) fn single(words: &[String]) -> Result<(&'static Resource, String), Halt> {
    match meant(words)? {
        Meant::Names(mut names) if names.len() == 1 => Ok(names.remove(0)),
        _ => Err(Halt::error("exactly one KIND/NAME or KIND NAME is wanted")),
    }
}

/// The live object of a name; the server's own words where there is none.
pub(super) async fn live(call: &Call, resource: &'static Resource, namespace: &str, name: &str) -> Result<Found, Halt> {
    match call.target.get(&resource.key(namespace, name)).await? {
        Some(object) => Ok(Found { resource, object }),
        None => Err(Halt::not_found(&resource.plural(), name)),
    }
}

/// The objects that words and selectors mean, and what to say of those that are missing.
pub(super) async fn all(call: &Call, args: &Args, words: &[String]) -> Result<(Vec<Found>, Vec<Halt>), Halt> {
    let labels = args.one("selector").map(Selector::labels).transpose()?;
    let fields = args.one("field-selector").map(Selector::labels).transpose()?;
    let everywhere = args.is("all-namespaces", false)?;
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    match meant(words)? {
        Meant::Names(_) if labels.is_some() || fields.is_some() => {
            return Err(Halt::error("name cannot be provided when a selector is specified"));
        }
        Meant::Names(_) if everywhere => return Err(Halt::error("a resource cannot be retrieved by name across all namespaces")),
        Meant::Names(names) => {
            for (resource, name) in names {
                match live(call, resource, args.namespace(), &name).await {
                    Ok(object) => found.push(object),
                    Err(Halt::Says(words)) => missing.push(Halt::Says(words)),
                    Err(other) => return Err(other),
                }
            }
        }
        Meant::Kinds(resources) => {
            for resource in resources {
                let within = (resource.is_namespaced() && !everywhere).then(|| args.namespace());
                let mut objects = call.target.list(resource.kind, within).await?;
                objects.retain(|object| labels.as_ref().is_none_or(|labels| labels.takes(object)));
                objects.retain(|object| fields.as_ref().is_none_or(|fields| fields.takes_fields(object)));
                // As the API server lists them, so that `{.items[0]}` is the same each time.
                objects.sort_by(|a, b| (namespace(a), name(a)).cmp(&(namespace(b), name(b))));
                found.extend(objects.into_iter().map(|object| Found { resource, object }));
            }
        }
    }
    Ok((found, missing))
}
