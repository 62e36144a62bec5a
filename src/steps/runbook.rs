//! Phrases that carry out a runbook's own words.

use super::{Failure, Step, World};
use crate::{
    mutants::Change,
    runbook::{Document, Ended, Runbook},
    target::ContainerRef,
};
use cucumber::when;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

/// The longest that one block may take: the time-outs that its own commands name stay below it.
const LIMIT: Duration = Duration::from_secs(300);

#[when(expr = "the runbook's {string} is carried out")]
async fn the_runbook_is_carried_out(world: &mut World, id: String) -> Step {
    let (path, text) = world.tree_file("README.md").await?;
    let document = Document::parse(&text, &path);
    let mut block = document.block(&id).map_err(|error| Failure::violated(error.to_string()))?.clone();
    if let Some(mutant) = world.case.mutant
        && let Change::Runbook { block: changed, without } = mutant.change
        && changed == id
    {
        block = block.skip_line(without, |line| line.contains(without)).map_err(|error| Failure::broken(error.to_string()))?;
        world.mutant_was_at_work();
    }
    let target = world.target().await?;
    let root = runbook_root(&path);
    // Files that the runbook makes stay with the evidence of this scenario and out of the user's tree.
    let backup = world.evidence().folder().join("redis-backup.rdb").display().to_string();
    let runbook = Runbook::new(std::env::temp_dir()).map_err(|error| Failure::broken(error.to_string()))?;
    let environment = BTreeMap::from([("BACKUP".to_owned(), backup)]);
    let output = runbook.run(&block, target, &root, &environment, LIMIT).await.map_err(|error| Failure::broken(error.to_string()))?;
    let calls: Vec<String> = output.calls.iter().map(|call| format!("{call:?}")).collect();
    let transcript =
        format!("{}\n--- stdout\n{}\n--- stderr\n{}\n--- kubectl\n{}\n", block.text, output.stdout, output.stderr, calls.join("\n"));
    world.evidence().file(&format!("runbook-{id}.txt"), transcript);
    if let Some(trouble) = output.trouble() {
        return Err(Failure::broken(format!("the runbook's {id} could not be tried: {trouble:?}")));
    }
    match output.ended {
        Ended::Code(0) => Ok(()),
        ended => {
            let line = output.failed_line.map_or_else(|| block.place.to_string(), |line| format!("{}:{line}", path.display()));
            Err(Failure::violated(format!("the runbook's {id} fails at {line} ({ended:?}): {}", output.stderr.trim())))
        }
    }
}

/// Commands run from the repository's root: the tree is `k8s/<system>` below it.
fn runbook_root(runbook: &Path) -> PathBuf {
    let tree = runbook.parent().unwrap_or(runbook);
    let tree = std::fs::canonicalize(tree).unwrap_or_else(|_| tree.to_owned());
    tree.ancestors().nth(2).map_or_else(|| tree.clone(), Path::to_path_buf)
}

#[when("everything is deleted by FLUSHALL")]
async fn everything_is_deleted(world: &mut World) -> Step {
    let endpoint = world.endpoint(0).await?;
    let answer = world.command(&endpoint, &["FLUSHALL"]).await?;
    if answer == "OK" {
        return Ok(());
    }
    Err(Failure::broken(format!("FLUSHALL answers {answer}")))
}

#[when("the data is saved as the document says, deleted, and the dump is laid into the data directory")]
async fn the_dump_is_laid_into_the_data_directory(world: &mut World) -> Step {
    let container: ContainerRef = world.redis_container().await?;
    let directory = world.setting("dir").await?;
    let file = world.setting("dbfilename").await?;
    // The document's own command: where it fails the document's backup does, a folder that may not be written to among the causes.
    world.redis_cli(&container, &["--rdb", "/tmp/dump.rdb"]).await?.map_err(|said| {
        let root = world.place_of_field("/securityContext/readOnlyRootFilesystem").filter(|_| said.contains("Read-only"));
        Failure::violated(format!("the document's backup fails: {said}")).pointing_to(root)
    })?;
    // An empty dump would be ignored by everybody.
    let written = world.ledger().await?.acknowledged();
    let checked = world.ask(&container, &["redis-check-rdb", "/tmp/dump.rdb"]).await?;
    let saved = checked.lines().find_map(|line| line.split_once("] ")?.1.strip_suffix(" keys read")?.trim().parse::<usize>().ok());
    if saved.is_none_or(|saved| saved < written) {
        return Err(Failure::violated(format!(
            "the dump holds {} keys of {written}",
            saved.map_or_else(|| "unknown".into(), |saved| saved.to_string())
        )));
    }
    everything_is_deleted(world).await?;
    world.ask(&container, &["cp", "/tmp/dump.rdb", &format!("{directory}/{file}")]).await?;
    Ok(())
}
