//! What every image has, whatever its programs: directories, users, and where names are looked up.

use std::path::{Component, Path, PathBuf};

/// Directories with their modes; `/var/run` is a link to `/run`.
pub(in crate::target) const DIRECTORIES: [(&str, u32); 17] = [
    ("dev", 0o755),
    ("proc", 0o555),
    ("sys", 0o555),
    ("etc", 0o755),
    ("home", 0o755),
    ("mnt", 0o755),
    ("opt", 0o755),
    ("root", 0o700),
    ("run", 0o755),
    ("srv", 0o755),
    ("tmp", 0o1777),
    ("usr", 0o755),
    ("var", 0o755),
    ("var/cache", 0o755),
    ("var/lib", 0o755),
    ("var/log", 0o755),
    ("var/tmp", 0o1777),
];

/// Files that an image has unless it brings its own, by their names in `/etc`.
pub(in crate::target) const ETC: [(&str, &str); 3] = [
    ("passwd", "root:x:0:0:root:/root:/bin/sh\nredis:x:999:1000:redis:/home/redis:/bin/sh\nnobody:x:65534:65534:nobody:/:/sbin/nologin\n"),
    ("group", "root:x:0:\ntty:x:5:\nredis:x:1000:\nnogroup:x:65533:\nnobody:x:65534:\n"),
    ("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\nnetworks: files\nprotocols: files\nservices: files\n"),
];

/// A path of an image as seen from its root, without `.` and `..`, so that it stays below wherever the image is put.
pub(in crate::target) fn below_root(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => clean.push(part),
            Component::ParentDir => {
                clean.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("/data/../../etc", "etc")]
    #[case("a/./b", "a/b")]
    #[case("/", "")]
    #[case("/usr/local/bin/../share/redis-server", "usr/local/share/redis-server")]
    fn a_path_never_leaves_the_root(#[case] path: &str, #[case] expected: &str) {
        assert_eq!(below_root(Path::new(path)), Path::new(expected));
    }
}
