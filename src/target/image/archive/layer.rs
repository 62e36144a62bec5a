//! The one layer of an image: what lies where, and how that is written: sorted, without times, each distinct file once.

use super::{
    super::{
        Image,
        skeleton::{self, below_root},
    },
    ArchiveError, header,
    libraries::{self, Form},
    program::Program,
    tools,
};
use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::{Path, PathBuf},
};
use tar::{Builder, EntryType};

/// Where programs lie in an image; names with `..` lead beside it.
const BIN: &str = "/usr/local/bin";
/// Where the tools lie.
const BUSYBOX: &str = "/bin/busybox";

/// What lies where, by the path below the root.
#[derive(Debug, Default)]
pub(super) struct Layer {
    entries: BTreeMap<PathBuf, Entry>,
    /// Files of this machine, each distinct content once.
    programs: Vec<Program>,
}

#[derive(Debug)]
enum Entry {
    Directory {
        mode: u32,
        owner: (u32, u32),
    },
    /// Of the image itself.
    File {
        content: Vec<u8>,
        mode: u32,
        owner: (u32, u32),
    },
    /// Of this machine: which of `programs`. Anybody may run it, root owns it.
    Program(usize),
    Link(PathBuf),
}

impl Layer {
    /// Lays out an image, with everything that its programs need of this machine.
    ///
    /// # Errors
    /// When a program cannot be read, or would not run.
    pub(super) fn of(image: &Image, tools: Option<&Path>) -> Result<Self, ArchiveError> {
        let mut layer = Self::default();
        for (path, mode) in skeleton::DIRECTORIES {
            layer.entries.insert(path.into(), Entry::Directory { mode, owner: (0, 0) });
        }
        layer.link("/var/run", "../run");
        for (path, (mode, uid, gid)) in &image.directories {
            layer.make(path, Entry::Directory { mode: *mode, owner: (*uid, *gid) });
        }
        for (path, (content, mode, uid, gid)) in &image.files {
            layer.make(path, Entry::File { content: content.clone(), mode: *mode, owner: (*uid, *gid) });
        }
        for (name, content) in skeleton::ETC {
            layer.offer(&Path::new("/etc").join(name), Entry::File { content: content.into(), mode: 0o644, owner: (0, 0) });
        }
        let mut scripts = Vec::new();
        for (name, path) in &image.programs {
            if let Some(interpreter) = layer.program(&Path::new(BIN).join(name), path)? {
                scripts.push((path, interpreter));
            }
        }
        if let Some(busybox) = tools {
            layer.program(Path::new(BUSYBOX), busybox)?;
            for applet in tools::applets(busybox)? {
                layer.link(&applet, BUSYBOX);
            }
        }
        for (path, interpreter) in scripts {
            if !layer.entries.contains_key(&place(&interpreter)) {
                let reason = format!(
                    "it is a script for {}, which the image lacks; name a program instead, or give the image tools that have it",
                    interpreter.display()
                );
                return Err(ArchiveError::Unusable { path: path.clone(), reason });
            }
        }
        Ok(layer)
    }

    /// Puts a program of this machine at `at`, with its libraries; gives what must run it, if it is a script.
    fn program(&mut self, at: &Path, path: &Path) -> Result<Option<PathBuf>, ArchiveError> {
        let known = self.programs.len();
        let program = self.file(path)?;
        self.offer(at, Entry::Program(program));
        if program < known {
            return Ok(None);
        }
        match libraries::form(path)? {
            Form::Script(interpreter) => return Ok(Some(interpreter)),
            Form::Static => {}
            Form::Dynamic(libraries) => {
                for library in libraries.files {
                    let file = self.file(&library)?;
                    self.offer(&library, Entry::Program(file));
                }
                for (link, library) in libraries.links {
                    self.link(&link, &library);
                }
            }
        }
        Ok(None)
    }

    /// A file of this machine, which of `programs` it is; one that is there already under another name is not taken twice.
    fn file(&mut self, path: &Path) -> Result<usize, ArchiveError> {
        let unreadable = |cause| ArchiveError::Unreadable { path: path.to_path_buf(), cause };
        let program = Program::open(path).map_err(unreadable)?;
        for (at, known) in self.programs.iter().enumerate() {
            if known.same(&program).map_err(unreadable)? {
                return Ok(at);
            }
        }
        self.programs.push(program);
        Ok(self.programs.len() - 1)
    }

    fn link(&mut self, at: impl AsRef<Path>, to: impl Into<PathBuf>) {
        self.offer(at.as_ref(), Entry::Link(to.into()));
    }

    /// Puts it there where nothing is.
    fn offer(&mut self, path: &Path, entry: Entry) {
        if !self.entries.contains_key(&place(path)) {
            self.make(path, entry);
        }
    }

    /// Puts it there whatever is, and makes the directories above it that are missing, open to every user.
    fn make(&mut self, path: &Path, entry: Entry) {
        let path = place(path);
        for above in path.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty()) {
            self.entries.entry(above.to_path_buf()).or_insert(Entry::Directory { mode: 0o755, owner: (0, 0) });
        }
        self.entries.insert(path, entry);
    }

    /// Writes the layer, parents before what they hold.
    ///
    /// # Errors
    /// When a program cannot be read any more, or `out` takes no more.
    pub(super) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut tar = Builder::new(out);
        let mut written: BTreeMap<usize, &Path> = BTreeMap::new();
        for (path, entry) in &self.entries {
            match entry {
                Entry::Directory { mode, owner } => {
                    let mut name = path.clone().into_os_string();
                    name.push("/");
                    tar.append_data(&mut owned(EntryType::Directory, *mode, 0, *owner), name, io::empty())?;
                }
                Entry::File { content, mode, owner } => {
                    let mut header = owned(EntryType::Regular, *mode, content.len() as u64, *owner);
                    tar.append_data(&mut header, path, content.as_slice())?;
                }
                Entry::Link(to) => tar.append_link(&mut header(EntryType::Symlink, 0o777, 0), path, to)?,
                Entry::Program(at) => {
                    if let Some(first) = written.get(at) {
                        // By a hard link, a program is called by each of its names, and knows which.
                        tar.append_link(&mut header(EntryType::Link, 0o755, 0), path, first)?;
                        continue;
                    }
                    let program = &self.programs[*at];
                    tar.append_data(&mut header(EntryType::Regular, 0o755, program.length()), path, program.content()?)?;
                    written.insert(*at, path);
                }
            }
        }
        tar.finish()
    }
}

/// Where a path of the image really leads.
fn place(path: &Path) -> PathBuf {
    let path = below_root(path);
    path.strip_prefix("var/run")
        .ok()
        .filter(|below| !below.as_os_str().is_empty())
        .map_or_else(|| path.clone(), |below| Path::new("run").join(below))
}

fn owned(kind: EntryType, mode: u32, length: u64, owner: (u32, u32)) -> tar::Header {
    let mut header = header(kind, mode, length);
    header.set_uid(owner.0.into());
    header.set_gid(owner.1.into());
    header
}
