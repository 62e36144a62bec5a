//! `kubectl create` and `kubectl kustomize`: the real `kubectl` writes the objects, the target makes them.

use super::{
    Call, Halt, apply,
    flags::{Args, Flag, switch, value},
    real,
};
use crate::manifest::{ManifestSet, Object};

pub(super) const FLAGS: &[Flag] = &[
    value("filename").or('f'),
    value("output").or('o'),
    switch("dry-run"),
    switch("recursive").or('R'),
    value("from-literal"),
    value("from-file"),
    value("from-env-file"),
    value("type"),
    value("cert"),
    value("key"),
    value("image"),
    value("replicas"),
    value("port"),
    switch("append-hash"),
];

/// Makes objects that must not be there yet; with `--dry-run=client` only writes them.
pub(super) async fn run(call: &mut Call, args: Args) -> Result<(), Halt> {
    args.only("dry-run", &["client", "none"])?;
    let dry = args.one("dry-run") == Some("client");
    let from_files = args.one("filename").is_some();
    if dry && !from_files {
        let text = real::ask(call, &words(&args)).await?;
        return call.out(text).await;
    }
    if dry || args.one("output").is_some() {
        let what = String::from("--dry-run or --output of kubectl create with this");
        return Err(Halt::NotCarriedOut { what, instead: String::from("--dry-run=client -o yaml works for objects from flags") });
    }
    let objects = if from_files { apply::objects(call, &args).await? } else { from_flags(call, &args).await? };
    for object in &objects {
        if call.target.get(&object.key()).await?.is_some() {
            let plural = apply::known(object).map_or_else(|_| apply::label(object), |(resource, _)| resource.plural());
            return Err(Halt::Says(format!("Error from server (AlreadyExists): {plural} \"{}\" already exists", object.name())));
        }
    }
    let applied = call.target.apply(&objects).await?;
    for object in &objects {
        call.line(format!("{} created", apply::label(object))).await?;
    }
    apply::say_remarks(call, &applied).await
}

fn words(args: &Args) -> Vec<String> {
    [&[String::from("create")], args.raw.as_slice()].concat()
}

async fn from_flags(call: &mut Call, args: &Args) -> Result<Vec<Object>, Halt> {
    let words = [words(args), vec![String::from("--dry-run=client"), String::from("--output=json")]].concat();
    let text = real::ask(call, &words).await?;
    let set = ManifestSet::parse(&String::from_utf8_lossy(&text), "kubectl create").map_err(|error| Halt::error(error.to_string()))?;
    let mut objects = set.objects;
    for object in &mut objects {
        apply::place_in(object, args.namespace())?;
    }
    Ok(objects)
}

/// `kubectl kustomize`.
pub(super) mod kustomize {
    use super::{Args, Call, Flag, Halt, real, switch, value};

    pub(in super::super) const FLAGS: &[Flag] = &[switch("enable-helm"), value("load-restrictor"), value("output").or('o')];

    pub(in super::super) async fn run(call: &mut Call, args: Args) -> Result<(), Halt> {
        let text = real::ask(call, &[&[String::from("kustomize")], args.raw.as_slice()].concat()).await?;
        call.out(text).await
    }
}
