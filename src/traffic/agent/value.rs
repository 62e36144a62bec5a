//! Values that say who wrote them: seed, number and a checksum over both, so that a foreign or cut value is known as such.

use sha2::{Digest, Sha256};

/// The token of a write: unique by seed and number, with a checksum over both.
pub(crate) fn token(seed: u64, number: u64) -> String {
    let digest = Sha256::digest(format!("{seed:016x}.{number}"));
    format!("{seed:016x}.{number}.{:02x}{:02x}{:02x}{:02x}", digest[0], digest[1], digest[2], digest[3])
}

/// A value from a template whose `{}` is the token, filled up to `bytes` with letters that differ from write to write.
pub(crate) fn value(template: &str, seed: u64, number: u64, bytes: usize) -> Vec<u8> {
    let mut value = template.replace("{}", &token(seed, number)).into_bytes();
    // Letters by a linear congruence: cheap, and nothing that a server could store once for all.
    let mut state = seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    while value.len() < bytes {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        value.extend(state.to_be_bytes().iter().take(bytes - value.len()).map(|byte| b'a' + byte % 26));
    }
    value
}

/// The number of the write of this seed that `text` holds, if it holds one and its checksum is right.
pub(crate) fn number_in(text: &str, seed: u64) -> Option<u64> {
    let after = text.split_once(&format!("{seed:016x}."))?.1;
    let digits = after.split_once('.')?.0;
    let number = digits.parse().ok()?;
    text.contains(&token(seed, number)).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_tells_its_number_to_whoever_knows_the_seed() {
        let value = String::from_utf8(value(r#"{"token":"{}"}"#, 7, 42, 0)).expect("text");
        assert_eq!(number_in(&value, 7), Some(42));
        assert_eq!(number_in(&value, 8), None);
        assert_eq!(number_in(&value.replace(".42.", ".43."), 7), None, "the checksum is of another number");
    }

    #[test]
    fn a_value_has_its_length_and_no_two_are_equal() {
        assert_eq!(value("{}", 1, 1, 1000).len(), 1000);
        assert_ne!(value("{}", 1, 1, 1000)[100..], value("{}", 1, 2, 1000)[100..]);
    }
}
