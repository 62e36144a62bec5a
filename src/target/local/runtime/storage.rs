//! Directories of volumes, on the disk of the run directory; they outlive pods and go with the run.

use super::super::node;
use nix::{
    errno::Errno,
    mount::{MntFlags, MsFlags, mount, umount2},
};
use std::{
    fs::{self, DirBuilder, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, PermissionsExt, chown},
    path::{Component, Path, PathBuf},
};

/// The directory of a volume, made at the first call, owned by root: 0755 is what a provisioner makes, 0777 an `emptyDir`.
///
/// # Errors
/// When the name would lead elsewhere, or the disk refuses.
pub fn directory(name: &str, mode: u32) -> io::Result<PathBuf> {
    let path = place(name)?;
    if !path.exists() {
        DirBuilder::new().recursive(true).mode(0o755).create(&path)?;
        fs::set_permissions(&path, Permissions::from_mode(mode))?;
    }
    Ok(path)
}

/// A volume in memory, as `emptyDir` with `medium: Memory`, made at the first call; `bytes` is its `sizeLimit`. What a container
/// writes there counts as its memory.
///
/// # Errors
/// When the name would lead elsewhere, or the kernel refuses.
pub fn memory(name: &str, mode: u32, bytes: Option<u64>) -> io::Result<PathBuf> {
    let path = place(name)?;
    if !path.exists() {
        directory(name, mode)?;
        let size = bytes.map_or_else(String::new, |bytes| format!(",size={bytes}"));
        let options = format!("mode={mode:o}{size}");
        mount(Some("tmpfs"), &path, Some("tmpfs"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, Some(options.as_str()))?;
    }
    Ok(path)
}

/// Removes a volume with everything in it; one that is not there is no error.
///
/// # Errors
/// When the name would lead elsewhere, or the disk refuses.
pub fn remove(name: &str) -> io::Result<()> {
    let path = place(name)?;
    match umount2(&path, MntFlags::MNT_DETACH) {
        // It is no mount, or not there.
        Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => {}
        Err(error) => return Err(error.into()),
    }
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Gives a whole tree to a group and lets that group write, as `fsGroup` asks.
///
/// # Errors
/// When the disk refuses, or the group does not exist here.
pub fn give_to_group(path: &Path, gid: u32) -> io::Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    if metadata.is_symlink() {
        return Ok(());
    }
    chown(path, None, Some(gid))?;
    let mode = metadata.permissions().mode();
    let wider = if metadata.is_dir() { mode | 0o2770 } else { mode | 0o660 };
    fs::set_permissions(path, Permissions::from_mode(wider))?;
    if metadata.is_dir() {
        for entry in fs::read_dir(path)? {
            give_to_group(&entry?.path(), gid)?;
        }
    }
    Ok(())
}

fn place(name: &str) -> io::Result<PathBuf> {
    let plain = !name.is_empty() && Path::new(name).components().all(|component| matches!(component, Component::Normal(_)));
    if !plain {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{name:?} is no name of a volume")));
    }
    Ok(node::run_directory().join("volumes").join(name))
}
