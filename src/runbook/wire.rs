//! The words between our `kubectl` and the harness: one header line, then frames of tag, length and bytes.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Names the harness's socket to our `kubectl`.
pub(super) const SOCKET: &str = "REDIS_CONFORMANCE_KUBECTL";
/// What the socket is called in its directory.
pub(super) const SOCKET_FILE: &str = "kubectl.sock";
/// A frame longer than this is no frame of ours.
pub(super) const LONGEST: usize = 1 << 20;

/// The first line of a call, as JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Header {
    /// The arguments, without the program's name.
    pub(super) argv: Vec<String>,
    /// Where it was called: relative paths mean this.
    pub(super) cwd: PathBuf,
    /// What new files must not permit: the harness writes them in the caller's place.
    pub(super) umask: u32,
}

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tag {
    /// To the harness: a piece of standard input; empty at its end.
    Input,
    /// To the caller: standard input is wanted. Nothing reads it before, since it may belong to the next command of a script.
    WantInput,
    /// To the caller: standard output.
    Out,
    /// To the caller: standard error.
    Err,
    /// To the caller: one byte, the exit code; the last frame.
    Exit,
}

const TAGS: [(Tag, u8); 5] = [(Tag::Input, b'i'), (Tag::WantInput, b'w'), (Tag::Out, b'o'), (Tag::Err, b'e'), (Tag::Exit, b'x')];

/// The five bytes before a frame's content, which must not be longer than [`LONGEST`].
pub(super) fn head(tag: Tag, length: usize) -> [u8; 5] {
    let byte = TAGS.iter().find(|(other, _)| *other == tag).map_or(b'?', |(_, byte)| *byte);
    let [a, b, c, d] = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    [byte, a, b, c, d]
}

/// What those five bytes say; nothing where they are no head of ours.
pub(super) fn read_head([byte, a, b, c, d]: [u8; 5]) -> Option<(Tag, usize)> {
    let (tag, _) = TAGS.iter().find(|(_, other)| *other == byte)?;
    let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()?;
    (length <= LONGEST).then_some((*tag, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_as_it_was_written() {
        for (tag, _) in TAGS {
            assert_eq!(read_head(head(tag, 4711)), Some((tag, 4711)));
        }
        assert_eq!(read_head(*b"q\0\0\0\0"), None);
        assert_eq!(read_head(head(Tag::Out, LONGEST + 1)), None);
    }
}
