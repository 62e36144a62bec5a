//! Reads of a program's file what says how it is started, and how much of it is needed for that.

use std::{fs::File, os::unix::fs::FileExt};

/// `PT_INTERP`: the loader that starts a program with libraries.
const INTERPRETER: u32 = 3;
/// `SHT_NOBITS`: a section without bytes in the file.
const NO_BITS: u32 = 8;
const HEADER: usize = 64;
const SEGMENT: usize = 56;
const SECTION: usize = 64;

/// A program's file: ELF, 64 bits, little-endian, as all machines have it on which clusters run today but one.
#[derive(Debug)]
pub(super) struct Elf {
    /// Whether a loader starts it, which looks for its libraries.
    pub(super) has_loader: bool,
    /// Where its debugging information begins and nothing else follows, if that can be left out.
    pub(super) without_debugging: Option<u64>,
    head: [u8; HEADER],
}

impl Elf {
    /// Reads it; `None` is another kind of file, or a broken one.
    pub(super) fn read(file: &File) -> Option<Self> {
        let length = file.metadata().ok()?.len();
        let mut head = [0; HEADER];
        file.read_exact_at(&mut head, 0).ok()?;
        // The magic number, 64 bits, little-endian.
        if !head.starts_with(b"\x7fELF\x02\x01") {
            return None;
        }
        let segments = table::<SEGMENT>(file, long(&head, 32)?, short(&head, 54)?, short(&head, 56)?)?;
        let has_loader = segments.iter().any(|segment| word(segment, 0) == Some(INTERPRETER));
        let mut needed = long(&head, 32)?.checked_add(SEGMENT as u64 * segments.len() as u64)?.max(HEADER as u64);
        for segment in &segments {
            needed = needed.max(long(segment, 8)?.checked_add(long(segment, 32)?)?);
        }
        let without_debugging = has_debugging_at_its_end(file, &head, length).filter(|has| *has && needed < length).map(|_| needed);
        Some(Self { has_loader, without_debugging, head })
    }

    /// The file's first bytes when the table of sections, which lies at its end, is left out.
    pub(super) fn head_without_sections(&self) -> [u8; HEADER] {
        let mut head = self.head;
        for field in [40..48, 60..62, 62..64] {
            head[field].fill(0);
        }
        head
    }
}

/// Whether there is debugging information, and nothing behind the sections: some programs carry their data there.
fn has_debugging_at_its_end(file: &File, head: &[u8], length: u64) -> Option<bool> {
    let (at, count) = (long(head, 40)?, short(head, 60)?);
    let sections = table::<SECTION>(file, at, short(head, 58)?, count)?;
    let names = sections.get(usize::from(short(head, 62)?))?;
    let (names_at, names_length) = (long(names, 24)?, long(names, 32)?);
    let mut end = at.checked_add(SECTION as u64 * u64::from(count))?;
    let mut debugging = false;
    for section in &sections {
        if word(section, 4)? != NO_BITS {
            end = end.max(long(section, 24)?.checked_add(long(section, 32)?)?);
        }
        let name = u64::from(word(section, 0)?);
        let mut start = [0; 7];
        if name + 7 <= names_length && file.read_exact_at(&mut start, names_at.checked_add(name)?).is_ok() {
            debugging |= &start == b".debug_";
        }
    }
    Some(debugging && end == length)
}

/// The entries of a table in the file.
fn table<const SIZE: usize>(file: &File, at: u64, size: u16, count: u16) -> Option<Vec<[u8; SIZE]>> {
    if usize::from(size) != SIZE || at == 0 {
        return None;
    }
    let entry = |number: u16| {
        let mut entry = [0; SIZE];
        file.read_exact_at(&mut entry, at.checked_add(u64::from(number) * SIZE as u64)?).ok()?;
        Some(entry)
    };
    (0..count).map(entry).collect()
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}
