//! Phrases that carry out a runbook's own words.

use super::{Failure, Step, World};
use crate::{
    mutants::Change,
    runbook::{Block, Runbook, blocks},
    target::ContainerRef,
};
use cucumber::when;
use std::{path::PathBuf, sync::Arc, time::Duration};

/// The longest that one block may take: the time-outs that its own commands name stay below it.
const LIMIT: Duration = Duration::from_secs(300);

#[when(expr = "the runbook's {string} is carried out")]
async fn the_runbook_is_carried_out(world: &mut World, id: String) -> Step {
    let (path, text) = world.tree_file("README.md").await?;
    let mut block: Block = blocks(&path, &text)
        .into_iter()
        .find(|block| block.id.as_deref() == Some(id.as_str()))
        .ok_or_else(|| Failure::violated(format!("{} has no block `# runbook: {id}`", path.display())))?;
    if let Some(mutant) = world.case.mutant
        && let Change::Runbook { block: changed, without } = mutant.change
        && changed == id
        && block.text.contains(without)
    {
        block = block.without(without);
        world.mutant_was_at_work();
    }
    let target = world.target().await?;
    let root = runbook_root(world);
    // Files that the runbook makes stay with the evidence of this scenario and out of the user's tree.
    let backup = world.evidence().folder().join("redis-backup.rdb");
    let output = Runbook::new(Arc::clone(&target)).environment("BACKUP", backup.as_os_str()).run(&block, &root, LIMIT).await.map_err(|error| Failure::broken(format!("{:#}", anyhow::Error::from(error))))?;
    world.evidence().file(&format!("runbook-{id}.txt"), output.transcript().as_bytes());
    if output.success() {
        return Ok(());
    }
    Err(Failure::violated(format!("the runbook's {id} at {} fails: {}", block.place, output.last_words())))
}

/// Commands run from the repository's root: the tree is `k8s/<system>` below it.
fn runbook_root(world: &World) -> PathBuf {
    let tree = &world.case.subject.system.tree;
    let tree = std::fs::canonicalize(tree).unwrap_or_else(|_| tree.clone());
    tree.ancestors().nth(2).map_or_else(|| tree.clone(), std::path::Path::to_path_buf)
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
    world.redis_cli(&container, &["--rdb", "/tmp/dump.rdb"]).await?;
    everything_is_deleted(world).await?;
    world.ask(&container, &["cp", "/tmp/dump.rdb", &format!("{directory}/{file}")]).await?;
    Ok(())
}
