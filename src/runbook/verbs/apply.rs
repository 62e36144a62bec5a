//! `kubectl apply -k` and `apply -f`.

use super::{
    Call, Halt,
    flags::{Args, Flag, switch, value},
    kinds::{self, Resource},
};
use crate::manifest::{ManifestError, ManifestSet, Object, ObjectKey};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use tokio::fs;

pub(super) const FLAGS: &[Flag] = &[
    value("filename").or('f'),
    value("kustomize").or('k'),
    switch("recursive").or('R'),
    switch("server-side"),
    switch("force-conflicts"),
    value("field-manager"),
];

/// Applies what files or a kustomization hold.
pub(super) async fn run(call: &mut Call, args: Args) -> Result<(), Halt> {
    if let Some(word) = args.words.first() {
        return Err(Halt::error(format!("unexpected argument: {word}; give -k FOLDER or -f FILE")));
    }
    let objects = objects(call, &args).await?;
    let mut before = Vec::new();
    for object in &objects {
        before.push(call.target.get(&object.key()).await?);
    }
    let applied = call.target.apply(&objects).await?;
    for (object, before) in objects.iter().zip(before) {
        let after = call.target.get(&object.key()).await?;
        let outcome = match (version(before.as_ref()), version(after.as_ref())) {
            _ if before.is_none() => "created",
            (Some(old), Some(new)) if old == new => "unchanged",
            _ => "configured",
        };
        call.line(format!("{} {outcome}", label(object))).await?;
    }
    say_remarks(call, &applied).await
}

/// Says what the target accepted and does not carry out.
pub(super) async fn say_remarks(call: &Call, applied: &crate::target::Applied) -> Result<(), Halt> {
    for without in &applied.without_program {
        call.warn(format!("Warning: {}: container {} has no program here for {}", without.owner, without.container, without.image)).await?;
    }
    for remark in &applied.remarks {
        call.warn(format!("Warning: {remark}")).await?;
    }
    Ok(())
}

fn version(object: Option<&Value>) -> Option<&str> {
    object?.pointer("/metadata/resourceVersion")?.as_str()
}

/// `deployment.apps/redis`.
pub(super) fn label(object: &Object) -> String {
    let (kind, group) = (object.kind().to_lowercase(), object.group());
    if group.is_empty() { format!("{kind}/{}", object.name()) } else { format!("{kind}.{group}/{}", object.name()) }
}

/// The resource and key of an object of a file.
pub(super) fn known(object: &Object) -> Result<(&'static Resource, ObjectKey), Halt> {
    let resource = kinds::of_kind(object.kind());
    let unknown = || Halt::error(format!("no matches for kind \"{}\" in version \"{}\"", object.kind(), object.api_version()));
    resource.map(|resource| (resource, object.key())).ok_or_else(unknown)
}

/// The objects that `-k` and `-f` name, in the namespace of `-n`.
pub(super) async fn objects(call: &mut Call, args: &Args) -> Result<Vec<Object>, Halt> {
    let mut set = match (args.one("kustomize"), args.all("filename").collect::<Vec<_>>().as_slice()) {
        (Some(folder), []) => kustomization(&call.cwd.join(folder)).await?,
        (None, files @ [_, ..]) => files_of(call, args, files).await?,
        (None, []) => return Err(Halt::error("must specify one of -f and -k")),
        (Some(_), _) => return Err(Halt::error("only one of -f or -k can be specified")),
    };
    if let Some(namespace) = args.one("namespace") {
        for object in &mut set.objects {
            place_in(object, namespace)?;
        }
    }
    Ok(set.objects)
}

/// Puts an object that names no namespace into this one, and refuses another's.
pub(super) fn place_in(object: &mut Object, namespace: &str) -> Result<(), Halt> {
    let own = object.namespace().to_owned();
    if own.is_empty() || own == namespace {
        return Ok(());
    }
    if own == "default" && !object.places.contains_key("/metadata/namespace") {
        object.json["metadata"]["namespace"] = json!(namespace);
        return Ok(());
    }
    Err(Halt::error(format!(
        "the namespace from the provided object \"{own}\" does not match the namespace \"{namespace}\". You must pass '--namespace={own}' to perform this operation."
    )))
}

async fn kustomization(folder: &Path) -> Result<ManifestSet, Halt> {
    const NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];
    if !NAMES.iter().any(|name| folder.join(name).is_file()) {
        let words = "unable to find one of 'kustomization.yaml', 'kustomization.yml' or 'Kustomization' in directory";
        return Err(Halt::error(format!("{words} '{}'", folder.display())));
    }
    ManifestSet::load(folder).await.map_err(said)
}

async fn files_of(call: &mut Call, args: &Args, names: &[&str]) -> Result<ManifestSet, Halt> {
    let mut set = ManifestSet::default();
    for name in names {
        let mut read = Vec::new();
        if *name == "-" {
            read.push((PathBuf::from("STDIN"), call.all_input().await?));
        } else {
            let path = call.cwd.join(name);
            for file in listed(&path, args.is("recursive", false)?).await.map_err(|_| missing(name))? {
                let bytes = fs::read(&file).await.map_err(|_| missing(name))?;
                read.push((file, bytes));
            }
        }
        for (file, bytes) in read {
            let text = String::from_utf8(bytes).map_err(|_| Halt::error(format!("{} is no UTF-8 text", file.display())))?;
            set.objects.extend(ManifestSet::parse(&text, &file).map_err(said)?.objects);
        }
    }
    match set.objects.is_empty() {
        true => Err(Halt::error("no objects passed to apply")),
        false => Ok(set),
    }
}

fn missing(name: &str) -> Halt {
    Halt::error(format!("the path \"{name}\" does not exist"))
}

/// A file itself, or the manifests in a folder, by name.
async fn listed(path: &Path, recursive: bool) -> std::io::Result<Vec<PathBuf>> {
    if !fs::metadata(path).await?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let (mut files, mut folders) = (Vec::new(), vec![path.to_owned()]);
    while let Some(folder) = folders.pop() {
        let mut entries = fs::read_dir(&folder).await?;
        while let Some(entry) = entries.next_entry().await? {
            let path = entry.path();
            if entry.file_type().await?.is_dir() {
                folders.extend(recursive.then_some(path));
            } else if path.extension().is_some_and(|end| ["yaml", "yml", "json"].iter().any(|known| end == *known)) {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

fn said(error: ManifestError) -> Halt {
    let here = matches!(error, ManifestError::NoKustomize { .. });
    let words = format!("{:#}", anyhow::Error::from(error));
    if here { Halt::Here(words) } else { Halt::error(words) }
}
