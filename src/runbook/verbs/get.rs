//! `kubectl get`.

use super::{
    Call, Halt,
    access::text,
    flags::{Args, Flag, switch, value},
    print::Form,
    select::{self, Meant},
    table::Look,
};

pub(super) const FLAGS: &[Flag] = &[
    value("output").or('o'),
    value("selector").or('l'),
    value("field-selector"),
    switch("all-namespaces").or('A'),
    switch("no-headers"),
    switch("show-labels"),
    switch("ignore-not-found"),
    value("sort-by"),
];

/// Shows objects.
pub(super) async fn run(call: &mut Call, args: Args) -> Result<(), Halt> {
    let form = Form::parse(args.one("output"))?;
    let (mut found, missing) = select::all(call, &args, &args.words).await?;
    let missing = if args.is("ignore-not-found", false)? { Vec::new() } else { missing };
    if let Some(path) = args.one("sort-by") {
        let template = super::jsonpath::Template::parse_relaxed(path).map_err(|error| Halt::error(error.to_string()))?;
        found.sort_by_cached_key(|found| template.render(&found.object).unwrap_or_default());
    } else if found.iter().all(|found| found.resource.kind == "Event") {
        found.sort_by_cached_key(|found| text(&found.object, "/lastTimestamp").to_owned());
    }
    let single = matches!(select::meant(&args.words)?, Meant::Names(names) if names.len() == 1);
    if !(single && found.is_empty()) {
        match form.written(&found, single)? {
            Some(text) => call.out(text).await?,
            None => tables(call, &args, &form, &found, missing.is_empty()).await?,
        }
    }
    for halt in &missing {
        call.warn(halt.to_string()).await?;
    }
    if missing.is_empty() { Ok(()) } else { Err(Halt::Silent(1)) }
}

async fn tables(call: &Call, args: &Args, form: &Form, found: &[select::Found], say_none: bool) -> Result<(), Halt> {
    if found.is_empty() && say_none {
        let words = match args.is("all-namespaces", false)? {
            true => String::from("No resources found"),
            false => format!("No resources found in {} namespace.", args.namespace()),
        };
        return call.warn(words).await;
    }
    let groups: Vec<_> = found.chunk_by(|a, b| a.resource == b.resource).collect();
    let look = Look {
        wide: matches!(form, Form::Table { wide: true }),
        namespaces: args.is("all-namespaces", false)?,
        bare: args.is("no-headers", false)?,
        labels: args.is("show-labels", false)?,
        kinds: groups.len() > 1,
    };
    let tables: Vec<_> = groups.iter().map(|group| look.written(group)).collect();
    call.out(tables.join("\n")).await
}
