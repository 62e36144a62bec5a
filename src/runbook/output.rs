//! Output that cannot grow without bound: its beginning, its end, and how much was left out between.

use std::collections::VecDeque;

/// Bytes kept of the beginning, and again of the end.
const KEPT: usize = 256 * 1024;

/// Keeps both ends of what is written to it.
#[derive(Clone, Debug, Default)]
pub(super) struct Bounded {
    beginning: Vec<u8>,
    end: VecDeque<u8>,
    left_out: usize,
}

impl Bounded {
    /// Takes more.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        let (first, rest) = bytes.split_at(bytes.len().min(KEPT - self.beginning.len()));
        self.beginning.extend_from_slice(first);
        self.end.extend(rest);
        let over = self.end.len().saturating_sub(KEPT);
        self.end.drain(..over);
        self.left_out += over;
    }

    /// What was kept; a cut is declared in a line of its own.
    pub(super) fn text(&self) -> String {
        let mut bytes = self.beginning.clone();
        if self.left_out > 0 {
            bytes.extend_from_slice(format!("\n[{} bytes left out here]\n", self.left_out).as_bytes());
        }
        bytes.extend(&self.end);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_output_is_kept_whole() {
        let mut output = Bounded::default();
        output.write(b"one ");
        output.write(b"two");
        assert_eq!(output.text(), "one two");
    }

    #[test]
    fn long_output_keeps_both_ends_and_says_what_is_missing() {
        let mut output = Bounded::default();
        output.write(b"begin");
        for _ in 0..10 {
            output.write(&vec![b'.'; KEPT / 2]);
        }
        output.write(b"end");
        let text = output.text();
        assert!(text.starts_with("begin") && text.ends_with("end"));
        assert!(text.contains(&format!("[{} bytes left out here]", 5 * KEPT + 8 - 2 * KEPT)));
    }
}
