//! What a program of this machine needs to run: its loader and its libraries, as `ldd` tells them.

use super::{ArchiveError, elf::Elf};
use std::{
    ffi::OsStr,
    fs::File,
    io::Read,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::Command,
};

/// Libraries that glibc opens by name when it looks up users and hosts; since 2.34 it has them within itself.
const OPENED: [&str; 3] = ["libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2"];

/// What kind of program a file is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// It needs nothing.
    Static,
    /// It needs a loader and libraries.
    Dynamic(Libraries),
    /// It needs the program that is named in its first line.
    Script(PathBuf),
}

/// A program's loader and libraries.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Libraries {
    /// Where they lie, here as in the image.
    pub(super) files: Vec<PathBuf>,
    /// Links (from, to) by which the loader finds those that lie where only this machine's settings lead it.
    pub(super) links: Vec<(PathBuf, PathBuf)>,
}

/// Finds out what a program needs.
///
/// # Errors
/// When it is no program, or a library is missing.
pub(super) fn form(program: &Path) -> Result<Form, ArchiveError> {
    let unreadable = |cause| ArchiveError::Unreadable { path: program.to_path_buf(), cause };
    let unusable = |reason: String| ArchiveError::Unusable { path: program.to_path_buf(), reason };
    let file = File::open(program).map_err(unreadable)?;
    let mut start = Vec::new();
    (&file).take(256).read_to_end(&mut start).map_err(unreadable)?;
    if let Some(line) = start.strip_prefix(b"#!") {
        let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii();
        let interpreter = line.split(u8::is_ascii_whitespace).next().unwrap_or_default();
        return Ok(Form::Script(PathBuf::from(OsStr::from_bytes(interpreter))));
    }
    if !start.starts_with(b"\x7fELF") {
        return Err(unusable("it is neither an executable file nor a script".into()));
    }
    if Elf::read(&file).is_some_and(|elf| !elf.has_loader) {
        return Ok(Form::Static);
    }
    let output = Command::new("ldd").arg(program).env("LC_ALL", "C").output();
    let output =
        output.map_err(|error| unusable(format!("its libraries are not known, since ldd (of the C library) does not start: {error}")))?;
    if !output.status.success() {
        let words =
            String::from_utf8_lossy(if output.stderr.trim_ascii().is_empty() { &output.stdout } else { &output.stderr }).trim().to_owned();
        return Err(unusable(format!("its libraries are not known: ldd says: {words}")));
    }
    let mut libraries = parse(&String::from_utf8_lossy(&output.stdout)).map_err(|missing| {
        unusable(format!("it needs {missing}, which this machine does not have (ldd {} says where it looks)", program.display()))
    })?;
    libraries.add_opened();
    Ok(Form::Dynamic(libraries))
}

/// Reads what `ldd` says; the error is a library that is not found.
fn parse(text: &str) -> Result<Libraries, String> {
    let mut libraries = Libraries::default();
    let mut named: Vec<(&str, PathBuf)> = Vec::new();
    for line in text.lines() {
        let line = line.trim();
        let line = line.rsplit_once(" (0x").map_or(line, |(line, _)| line);
        let (name, path) = line.split_once("=>").map_or((line, line), |(name, path)| (name.trim(), path.trim()));
        if path.starts_with("not found") {
            return Err(name.to_owned());
        }
        // What has no path comes from the kernel.
        if !path.starts_with('/') {
            continue;
        }
        libraries.files.push(path.into());
        if !name.starts_with('/') {
            named.push((name, path.into()));
        } else if name != path {
            libraries.links.push((name.into(), path.into()));
        }
    }
    // Where the C library lies the loader looks in any case.
    let Some(system) = named.iter().find(|(name, _)| name.starts_with("libc.")).and_then(|(_, path)| Some(path.parent()?.to_path_buf()))
    else {
        return Ok(libraries);
    };
    for (name, path) in named {
        let expected = system.join(name);
        if expected != path {
            libraries.links.push((expected, path));
        }
    }
    Ok(libraries)
}

impl Libraries {
    /// Adds what no file names.
    fn add_opened(&mut self) {
        let Some(system) = self.files.iter().find(|path| path.ends_with("libc.so.6")).and_then(|path| path.parent()) else { return };
        let opened: Vec<PathBuf> =
            OPENED.iter().map(|name| system.join(name)).filter(|path| path.is_file() && !self.files.contains(path)).collect();
        self.files.extend(opened);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::debian(
        "\tlinux-vdso.so.1 (0x00007ff)\n\tlibssl.so.3 => /lib/x86_64-linux-gnu/libssl.so.3 (0x00007f)\n\
         \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)\n\t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n",
        &["/lib/x86_64-linux-gnu/libssl.so.3", "/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"],
        &[]
    )]
    #[case::a_library_elsewhere(
        "\tlibx.so.1 => /opt/x/lib/libx.so.1.2 (0x0)\n\tlibc.so.6 => /lib64/libc.so.6 (0x0)\n\t/lib64/ld-linux-x86-64.so.2 (0x0)\n",
        &["/opt/x/lib/libx.so.1.2", "/lib64/libc.so.6", "/lib64/ld-linux-x86-64.so.2"],
        &[("/lib64/libx.so.1", "/opt/x/lib/libx.so.1.2")]
    )]
    #[case::a_loader_elsewhere(
        "\tlibc.so.6 => /nix/c/lib/libc.so.6 (0x0)\n\t/lib64/ld-linux-x86-64.so.2 => /nix/c/lib64/ld-linux-x86-64.so.2 (0x0)\n",
        &["/nix/c/lib/libc.so.6", "/nix/c/lib64/ld-linux-x86-64.so.2"],
        &[("/lib64/ld-linux-x86-64.so.2", "/nix/c/lib64/ld-linux-x86-64.so.2")]
    )]
    #[case::musl(
        "\t/lib/ld-musl-x86_64.so.1 (0x7f)\n\tlibc.musl-x86_64.so.1 => /lib/ld-musl-x86_64.so.1 (0x7f)\n",
        &["/lib/ld-musl-x86_64.so.1", "/lib/ld-musl-x86_64.so.1"],
        &[("/lib/libc.musl-x86_64.so.1", "/lib/ld-musl-x86_64.so.1")]
    )]
    fn libraries_are_where_ldd_says(#[case] text: &str, #[case] files: &[&str], #[case] links: &[(&str, &str)]) {
        let links = links.iter().map(|(from, to)| (from.into(), to.into())).collect();
        assert_eq!(parse(text), Ok(Libraries { files: files.iter().map(PathBuf::from).collect(), links }));
    }

    #[test]
    fn a_missing_library_is_named() {
        assert_eq!(parse("\tlibgone.so.1 => not found\n\tlibc.so.6 => /lib/libc.so.6 (0x0)\n"), Err("libgone.so.1".to_owned()));
    }

    #[rstest]
    #[case("#!/bin/sh\nexec true\n", "/bin/sh")]
    #[case("#! /usr/bin/env python3\n", "/usr/bin/env")]
    fn a_script_names_what_runs_it(#[case] content: &str, #[case] interpreter: &str) {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), content).expect("written");
        assert_eq!(form(file.path()).expect("a script"), Form::Script(interpreter.into()));
    }

    #[test]
    fn what_is_no_program_is_told_with_its_path() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), "hello").expect("written");
        let error = form(file.path()).expect_err("no program").to_string();
        assert!(error.contains(&file.path().display().to_string()) && error.contains("neither"), "{error}");
    }
}
