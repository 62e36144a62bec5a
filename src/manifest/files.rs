//! Reads files with a limit and walks folders; it knows YAML files by their names only.

use super::{ManifestError, Place};
use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

/// More than any manifest that an API server accepts, by an order of magnitude.
const MAX_MIB: u64 = 16;

/// The whole text of a file, read no further than the limit.
pub(super) fn read_text(path: &Path) -> Result<String, ManifestError> {
    let unreadable = |cause| ManifestError::Unreadable { path: path.to_owned(), cause };
    let about = std::fs::metadata(path).map_err(unreadable)?;
    if !about.is_file() {
        return Err(ManifestError::NotAFile { path: path.to_owned() });
    }
    let too_large = || ManifestError::TooLarge { path: path.to_owned(), limit_mib: MAX_MIB };
    if about.len() > MAX_MIB << 20 {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    File::open(path).map_err(unreadable)?.take((MAX_MIB << 20) + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_MIB << 20 {
        return Err(too_large());
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = good.iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
        ManifestError::NotText { place: Place { line, ..Place::of_file(path) } }
    })
}

/// What a folder holds, its sub-folders included; hidden folders are left out, linked ones are not entered.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// `.yaml`, `.yml` and `.json`, sorted.
    pub(super) files: Vec<PathBuf>,
    /// Folders with a kustomization file, sorted.
    pub(super) kustomizations: Vec<PathBuf>,
    /// Folders with a `Chart.yaml` and `templates/`, sorted.
    pub(super) charts: Vec<PathBuf>,
}

/// Walks a folder.
pub(super) fn walk(top: &Path) -> Result<Tree, ManifestError> {
    let mut tree = Tree::default();
    let mut folders = vec![top.to_owned()];
    while let Some(folder) = folders.pop() {
        let unreadable = |cause| ManifestError::Unreadable { path: folder.clone(), cause };
        for entry in std::fs::read_dir(&folder).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let kind = entry.file_type().map_err(unreadable)?;
            let path = entry.path();
            if kind.is_dir() {
                if !entry.file_name().to_string_lossy().starts_with('.') {
                    folders.push(path);
                }
            } else if is_manifest_name(&path) && path.is_file() {
                tree.files.push(path);
            }
        }
        if kustomization_in(&folder).is_some() {
            tree.kustomizations.push(folder.clone());
        }
        if folder.join("Chart.yaml").is_file() && folder.join("templates").is_dir() {
            tree.charts.push(folder);
        }
    }
    tree.files.sort();
    tree.kustomizations.sort();
    tree.charts.sort();
    Ok(tree)
}

fn is_manifest_name(path: &Path) -> bool {
    path.extension().is_some_and(|extension| ["yaml", "yml", "json"].iter().any(|known| extension.eq_ignore_ascii_case(known)))
}

/// The kustomization file of a folder.
pub(super) fn kustomization_in(folder: &Path) -> Option<PathBuf> {
    ["kustomization.yaml", "kustomization.yml", "Kustomization"].iter().map(|name| folder.join(name)).find(|path| path.is_file())
}

/// Whether the path is a kustomization file by its name.
pub(super) fn is_kustomization_file(path: &Path) -> bool {
    path.file_name().is_some_and(|name| ["kustomization.yaml", "kustomization.yml", "Kustomization"].iter().any(|known| name == *known))
}

/// The path without `.` and `..`, by its words alone.
pub(super) fn normal(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir if matches!(clean.components().next_back(), Some(std::path::Component::Normal(_))) => {
                clean.pop();
            }
            part => clean.push(part),
        }
    }
    clean
}

/// The way from one absolute folder to another absolute path.
pub(super) fn relative(from: &Path, to: &Path) -> PathBuf {
    let shared = from.components().zip(to.components()).take_while(|(a, b)| a == b).count();
    let up = from.components().skip(shared).map(|_| std::path::Component::ParentDir);
    let way: PathBuf = up.chain(to.components().skip(shared)).collect();
    if way.as_os_str().is_empty() { PathBuf::from(".") } else { way }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_between_two_folders_goes_through_what_they_share() {
        assert_eq!(relative(Path::new("/tmp/a/b"), Path::new("/tmp/c/d")), Path::new("../../c/d"));
        assert_eq!(relative(Path::new("/a"), Path::new("/a")), Path::new("."));
    }

    #[test]
    fn dots_are_taken_out_of_a_path() {
        assert_eq!(normal(Path::new("./a/../b/./c")), Path::new("b/c"));
        assert_eq!(normal(Path::new("../a/../../b")), Path::new("../../b"));
    }
}
