//! `image`: writes an archive of what stands for an image here, for clusters that cannot pull it.

use super::{Arguments, Problem, output::print};
use crate::{
    target::image::{Programs, archive},
    verdict::Exit,
};
use clap::Args;
use std::path::PathBuf;

/// Write what stands for an image here to an archive, which Docker, kind, k3d and containerd load.
#[derive(Debug, Args)]
pub(super) struct Image {
    /// The image as manifests name it: redis:7-alpine; that of client pods is redis-conformance-client.
    #[arg(value_name = "REFERENCE")]
    reference: String,

    /// Where the archive goes.
    #[arg(long, value_name = "FILE")]
    output: PathBuf,

    /// A busybox, preferably a static one, from which the image gets a shell and its tools.
    #[arg(long, value_name = "BUSYBOX")]
    tools: Option<PathBuf>,
}

impl Image {
    /// Writes the archive, and says how it is loaded.
    pub(super) fn run(&self, arguments: &Arguments) -> Result<Exit, Problem> {
        let programs = Programs::configured(&arguments.config()?.images);
        let image = programs
            .image(&self.reference)
            .map_err(|unsupported| Problem { exit: Exit::Undecided, error: anyhow::Error::from(unsupported) })?;
        let archived = archive::write(&image, &self.reference, self.tools.as_deref(), &self.output).map_err(anyhow::Error::from)?;
        let with = image.fixture.map(|fixture| format!(", with fixture {fixture}")).unwrap_or_default();
        let (name, file, megabytes) = (&archived.name, self.output.display(), archived.length.div_ceil(1_000_000));
        print(&format!(
            "{name}{with}: {file}, {megabytes} MB\n\
             load it: docker load --input {file} · kind load image-archive {file} · k3d image import {file}\n"
        ))?;
        Ok(Exit::Conformant)
    }
}
