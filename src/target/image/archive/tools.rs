//! The names under which a busybox plays a shell and its tools.

use super::ArchiveError;
use std::{
    ffi::OsStr,
    os::unix::{ffi::OsStrExt, process::CommandExt},
    path::{Path, PathBuf},
    process::Command,
};

/// Asks a busybox which applets it has and where they lie: `/bin/sh`, `/usr/bin/head`.
///
/// # Errors
/// When it does not say.
pub(super) fn applets(busybox: &Path) -> Result<Vec<PathBuf>, ArchiveError> {
    // Some are built without the longer list.
    let ask = |option: &str| {
        let output = Command::new(busybox).arg0("busybox").arg(option).output()?;
        Ok(if output.status.success() { output.stdout } else { Vec::new() })
    };
    let asked: std::io::Result<Vec<u8>> =
        ask("--list-full").and_then(|list| if names(&list).next().is_some() { Ok(list) } else { ask("--list") });
    let list = asked.map_err(|cause| ArchiveError::Unreadable { path: busybox.to_path_buf(), cause })?;
    let applets: Vec<PathBuf> = names(&list)
        .map(|name| if name.components().count() > 1 { Path::new("/").join(name) } else { Path::new("/bin").join(name) })
        .collect();
    if applets.iter().any(|applet| applet.ends_with("sh")) {
        return Ok(applets);
    }
    let reason = "it lists no shell among its applets (--list-full, --list): tools are a busybox, such as that of Debian's busybox-static";
    Err(ArchiveError::Unusable { path: busybox.to_path_buf(), reason: reason.into() })
}

fn names(list: &[u8]) -> impl Iterator<Item = &Path> {
    let lines = list.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    lines.filter(|line| !line.is_empty() && !line.iter().any(u8::is_ascii_whitespace)).map(|line| Path::new(OsStr::from_bytes(line)))
}
