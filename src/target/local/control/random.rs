//! Names that no two objects share: UIDs and the suffixes of generated names.

use std::hash::{BuildHasher, RandomState};

/// The letters of Kubernetes' generated names: no vowels, nothing that looks like another.
const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// A random UID of version 4.
pub(super) fn uid() -> String {
    let (high, low) = (number(), number());
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        (low >> 48) & 0x3fff | 0x8000,
        low & 0xffff_ffff_ffff
    )
}

/// Five letters, as behind the names of a ReplicaSet's pods.
pub(super) fn suffix() -> String {
    encode(number(), 5)
}

/// A hash of `text` as Kubernetes writes it into names.
pub(super) fn hash(text: &str) -> String {
    // FNV-1a of 64 bits: stable from run to run, unlike the standard hasher.
    let sum = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    encode(sum, 10)
}

fn encode(mut number: u64, letters: usize) -> String {
    let base = LETTERS.len() as u64;
    let mut text = String::with_capacity(letters);
    for _ in 0..letters {
        text.push(char::from(LETTERS[usize::try_from(number % base).unwrap_or(0)]));
        number /= base;
    }
    text
}

fn number() -> u64 {
    // The keys of each RandomState differ, those of the process come from the kernel.
    RandomState::new().hash_one(0_u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_uids_differ_and_have_the_form_of_version_4() {
        let (one, other) = (uid(), uid());
        assert_ne!(one, other);
        assert_eq!((one.len(), one.as_bytes()[14]), (36, b'4'));
        assert!("89ab".contains(char::from(one.as_bytes()[19])));
    }

    #[test]
    fn a_hash_depends_on_the_text_alone() {
        assert_eq!(hash("template"), hash("template"));
        assert_ne!(hash("template"), hash("other"));
    }
}
