//! Which users and groups exist in the keeper's user namespace; written by the outer process, from outside.

use nix::unistd::{Gid, Pid, Uid, User};
use std::{fmt::Write, fs, io, process::Command};

/// Gives the user namespace of `pid` its maps. `Ok(Some(reason))` when only a single user could be had, and why.
///
/// # Errors
/// When the kernel refuses even a single user.
pub(super) fn write(pid: Pid) -> io::Result<Option<String>> {
    if Uid::effective().is_root() {
        for map in ["uid_map", "gid_map"] {
            fs::write(format!("/proc/{pid}/{map}"), identity(&fs::read_to_string(format!("/proc/self/{map}"))?))?;
        }
        return Ok(None);
    }
    match subordinate(pid) {
        Ok(()) => Ok(None),
        Err(reason) => {
            fs::write(format!("/proc/{pid}/setgroups"), "deny")?;
            fs::write(format!("/proc/{pid}/uid_map"), format!("0 {} 1\n", Uid::effective()))?;
            fs::write(format!("/proc/{pid}/gid_map"), format!("0 {} 1\n", Gid::effective()))?;
            Ok(Some(reason))
        }
    }
}

/// Every id that exists here exists there, under the same number.
fn identity(here: &str) -> String {
    let mut map = String::new();
    for line in here.lines() {
        if let [inside, _, count] = line.split_whitespace().collect::<Vec<_>>()[..] {
            // Writing to a String cannot fail.
            let _ = writeln!(map, "{inside} {inside} {count}");
        }
    }
    map
}

fn subordinate(pid: Pid) -> Result<(), String> {
    let user = User::from_uid(Uid::effective()).ok().flatten().map_or_else(String::new, |user| user.name);
    for (tool, file, own) in
        [("newuidmap", "/etc/subuid", Uid::effective().as_raw()), ("newgidmap", "/etc/subgid", Gid::effective().as_raw())]
    {
        let program = which::which(tool).map_err(|_| format!("{tool} is not installed (package uidmap)"))?;
        let text = fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
        let (start, count) = range(&text, &user, Uid::effective().as_raw()).ok_or_else(|| {
            format!("{file} has no range for {user}; as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}")
        })?;
        let output = Command::new(program)
            .args([pid.to_string(), "0".into(), own.to_string(), "1".into(), "1".into(), start.to_string(), count.to_string()])
            .output()
            .map_err(|error| format!("{tool}: {error}"))?;
        if !output.status.success() {
            return Err(format!("{tool} failed: {}", String::from_utf8_lossy(&output.stderr).trim()));
        }
    }
    Ok(())
}

/// The first range of at least 65,534 ids that the file gives to the user.
fn range(text: &str, user: &str, uid: u32) -> Option<(u32, u32)> {
    let uid = uid.to_string();
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let owner = fields.next()?.trim();
        let start = fields.next()?.trim().parse().ok()?;
        let count = fields.next()?.trim().parse().ok()?;
        ((owner == user && !user.is_empty() || owner == uid) && count >= 65_534).then_some((start, count))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[test]
    fn the_identity_map_keeps_every_range_that_exists_here() {
        assert_eq!(identity("         0       1000          1\n 1 100000 65536\n"), "0 0 1\n1 1 65536\n");
        assert_eq!(identity("0 0 4294967295\n"), "0 0 4294967295\n");
    }

    #[rstest]
    #[case("ann:100000:65536\n", Some((100_000, 65_536)))]
    #[case("bob:1:65536\n1000:200000:65536\n", Some((200_000, 65_536)))]
    #[case("ann:100000:10\n", None)]
    #[case("ann:x:65536\nnonsense\n", None)]
    #[case("", None)]
    fn a_range_is_found_by_name_or_number(#[case] text: &str, #[case] expected: Option<(u32, u32)>) {
        assert_eq!(range(text, "ann", 1000), expected);
    }
}
