//! A file of this machine that goes into an image: read when it is written, never kept in memory.

use super::elf::Elf;
use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// A program or a library.
#[derive(Debug)]
pub(super) struct Program {
    path: PathBuf,
    /// Device and inode: the file itself, by whatever name.
    file: (u64, u64),
    /// Bytes of the file as it lies here.
    whole: u64,
    /// Bytes that go into the image.
    length: u64,
    /// Its first bytes in the image, where they are others.
    head: Vec<u8>,
}

impl Program {
    /// Looks at the file. Debugging information and symbols, two thirds of a program of ours as tests build it, are left here.
    ///
    /// # Errors
    /// When it cannot be read, or is no file.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is no file"));
        }
        let whole = metadata.len();
        let mut program = Self { path: path.to_path_buf(), file: (metadata.dev(), metadata.ino()), whole, length: whole, head: Vec::new() };
        if let Some(elf) = Elf::read(&file)
            && let Some(length) = elf.without_debugging
        {
            program.length = length;
            program.head = elf.head_without_sections().to_vec();
        }
        Ok(program)
    }

    /// Bytes that go into the image.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Whether both would be the same in an image.
    pub(super) fn same(&self, other: &Self) -> io::Result<bool> {
        if self.file == other.file {
            return Ok(true);
        }
        if self.length != other.length {
            return Ok(false);
        }
        let (mut left, mut right) = (self.content()?, other.content()?);
        let (mut one, mut two) = ([0; 1 << 14], [0; 1 << 14]);
        loop {
            let count = left.read(&mut one)?;
            if count == 0 {
                return Ok(true);
            }
            right.read_exact(&mut two[..count])?;
            if one[..count] != two[..count] {
                return Ok(false);
            }
        }
    }

    /// What goes into the image.
    ///
    /// # Errors
    /// When it cannot be read any more, or is not what it was.
    pub(super) fn content(&self) -> io::Result<impl Read> {
        let told = |error: io::Error| io::Error::new(error.kind(), format!("the program {} cannot be read: {error}", self.path.display()));
        let mut file = File::open(&self.path).map_err(told)?;
        if file.metadata().map_err(told)?.len() != self.whole {
            return Err(io::Error::other(format!("the program {} changed while it was read; try again", self.path.display())));
        }
        let replaced = self.head.len() as u64;
        file.seek(SeekFrom::Start(replaced)).map_err(told)?;
        Ok(io::Cursor::new(self.head.clone()).chain(file.take(self.length - replaced)))
    }
}
