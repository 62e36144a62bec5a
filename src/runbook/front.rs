//! A `kubectl` for a person: a runbook's own, at a path that can be called from any terminal of this machine.

use super::{RunbookError, server::Server};
use crate::target::Target;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// Speaks to one target for whoever calls it; gone, with its directory, when dropped.
pub struct Front {
    server: Server,
}

impl Front {
    /// Opens one in a new directory within `room`, whose name begins with `name`.
    ///
    /// # Errors
    /// [`RunbookError::NoRoom`] when the directory or the socket in it cannot be made.
    pub async fn open(target: Arc<dyn Target>, room: &Path, name: &str) -> Result<Self, RunbookError> {
        let no_room = |cause| RunbookError::NoRoom { room: room.to_owned(), cause };
        let program = std::env::current_exe().map_err(no_room)?;
        let server = Server::start(target, room, name, &program).await.map_err(no_room)?;
        Ok(Self { server })
    }

    /// The program to call; its path is all that it needs to know its target.
    #[must_use]
    pub fn kubectl(&self) -> PathBuf {
        self.server.bin().join("kubectl")
    }
}
