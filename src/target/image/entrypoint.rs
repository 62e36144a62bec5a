//! The official image's entry point and its server's one difference: protected mode is off unless asked for.

use super::{REAL, REAL_SENTINEL, REDIS};
use nix::{
    sys::stat::{Mode, umask},
    unistd::{Gid, Uid, geteuid, setgroups, setresgid, setresuid},
};
use std::{
    ffi::OsString,
    fs, io,
    os::unix::{ffi::OsStrExt, fs::MetadataExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

/// The entry point's name.
pub(super) const NAME: &str = "docker-entrypoint.sh";

/// The rule for arguments and user: options and `.conf` files are for `redis-server`, which runs as `redis` where it would be root.
pub(super) fn entrypoint(mut arguments: Vec<OsString>) -> ExitCode {
    if arguments.first().is_some_and(|first| first.as_bytes().starts_with(b"-") || first.as_bytes().ends_with(b".conf")) {
        arguments.insert(0, "redis-server".into());
    }
    let root = geteuid().is_root();
    if root
        && arguments.first().is_some_and(|first| first == "redis-server")
        && has_users()
        && let Err(error) = give_to_redis(Path::new(".")).and_then(|()| become_redis())
    {
        eprintln!("{NAME}: {error}");
        return ExitCode::FAILURE;
    }
    let before = umask(Mode::empty());
    umask(if before.bits() == 0o022 { Mode::from_bits_truncate(0o077) } else { before });
    let Some((program, rest)) = arguments.split_first() else { return ExitCode::SUCCESS };
    if program == "redis-server" {
        return server("redis-server", rest);
    }
    failed(program, &Command::new(program).args(rest).exec())
}

/// Becomes the real server.
pub(super) fn server(name: &str, arguments: &[OsString]) -> ExitCode {
    let real = if name == "redis-sentinel" { REAL_SENTINEL } else { REAL };
    let program = Path::new("/usr/local/bin").join(real);
    // `share/redis-server` without dots, so that `ps` shows it well.
    let program = program.file_name().map_or_else(|| program.clone(), |file| Path::new("/usr/local/share").join(file));
    let mut arguments = arguments.to_vec();
    if let Some(at) = place_for_default(name, &arguments) {
        arguments.splice(at..at, ["--protected-mode".into(), "no".into()]);
    }
    failed(name.as_ref(), &Command::new(program).arg0(name).args(arguments).exec())
}

fn failed(program: &std::ffi::OsStr, error: &io::Error) -> ExitCode {
    eprintln!("{}: {error}", program.display());
    ExitCode::from(if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 })
}

/// Where `--protected-mode no` goes so that whatever the user says still wins; nowhere if the user's file says something, or it is no server.
fn place_for_default(name: &str, arguments: &[OsString]) -> Option<usize> {
    let first = arguments.first().map(|first| first.as_bytes());
    let only_tells = matches!(first, Some(b"-v" | b"--version" | b"-h" | b"--help" | b"--test-memory" | b"--check-system"));
    if name == "redis-sentinel" || only_tells || arguments.iter().any(|argument| argument == "--sentinel") {
        return None;
    }
    match first {
        None => Some(0),
        Some(option) if option.starts_with(b"--") => Some(0),
        // A file on standard input cannot be looked into; the image's default would come first there as well.
        Some(b"-") => Some(1),
        Some(_) => (!mentions_protected_mode(Path::new(&arguments[0]), 8)).then_some(1),
    }
}

/// Whether a configuration file, or one that it includes, sets protected mode.
fn mentions_protected_mode(file: &Path, depth: usize) -> bool {
    let Ok(content) = fs::read(file) else { return false };
    let text = String::from_utf8_lossy(&content);
    text.lines().any(|line| {
        let mut words = line.split_whitespace();
        match words.next().map(str::to_ascii_lowercase).as_deref() {
            Some("protected-mode") => true,
            Some("include") if depth > 0 => {
                words.next().is_some_and(|path| mentions_protected_mode(&PathBuf::from(path.trim_matches('"')), depth - 1))
            }
            _ => false,
        }
    })
}

/// Whether there is more than one user in this user namespace: without them nobody can become `redis`.
fn has_users() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.lines().filter_map(|line| line.split_whitespace().nth(2)?.parse::<u64>().ok()).sum::<u64>() > 1
}

/// `find . \! -user redis -exec chown redis '{}' +`
fn give_to_redis(path: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    if metadata.uid() != REDIS {
        std::os::unix::fs::chown(path, Some(REDIS), None)
            .map_err(|error| io::Error::new(error.kind(), format!("changing ownership of '{}': {error}", path.display())))?;
    }
    if metadata.is_dir() {
        for entry in fs::read_dir(path)? {
            give_to_redis(&entry?.path())?;
        }
    }
    Ok(())
}

/// `setpriv --reuid=redis --regid=redis --clear-groups`
fn become_redis() -> io::Result<()> {
    let group = fs::read_to_string("/etc/passwd")?
        .lines()
        .find_map(|line| line.strip_prefix("redis:")?.split(':').nth(2)?.parse().ok())
        .unwrap_or(REDIS);
    let (user, group) = (Uid::from_raw(REDIS), Gid::from_raw(group));
    setgroups(&[]).map_err(|error| io::Error::other(format!("setgroups failed: {error}")))?;
    setresgid(group, group, group).map_err(|error| io::Error::other(format!("setresgid failed: {error}")))?;
    setresuid(user, user, user).map_err(|error| io::Error::other(format!("setresuid failed: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("redis-server", &[], Some(0))]
    #[case("redis-server", &["--save", ""], Some(0))]
    #[case("redis-server", &["--version"], None)]
    #[case("redis-server", &["/no/such.conf", "--port", "1"], Some(1))]
    #[case("redis-server", &["/no/such.conf", "--sentinel"], None)]
    #[case("redis-sentinel", &["/no/such.conf"], None)]
    fn the_default_comes_before_what_the_user_says(#[case] name: &str, #[case] arguments: &[&str], #[case] place: Option<usize>) {
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        assert_eq!(place_for_default(name, &arguments), place);
    }

    #[test]
    fn a_file_that_includes_the_setting_wins() -> io::Result<()> {
        let directory = tempfile::tempdir()?;
        let (outer, inner) = (directory.path().join("redis.conf"), directory.path().join("inner.conf"));
        fs::write(&outer, format!("port 6379\ninclude {}\n", inner.display()))?;
        fs::write(&inner, "Protected-Mode yes\n")?;
        assert!(mentions_protected_mode(&outer, 8));
        fs::write(&inner, "# protected-mode yes\n")?;
        assert!(!mentions_protected_mode(&outer, 8));
        Ok(())
    }
}
