//! Names that files, folders and namespaces can bear, from any text.

/// The text's letters and digits, hyphens for whatever stands between them; at most `longest` bytes.
#[must_use]
pub fn slug(text: &str, longest: usize) -> String {
    let mut slug = String::new();
    for letter in text.chars() {
        match letter {
            letter if letter.is_ascii_alphanumeric() => slug.push(letter),
            _ if slug.ends_with('-') || slug.is_empty() => {}
            _ => slug.push('-'),
        }
        if slug.len() >= longest {
            break;
        }
    }
    slug.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("MCP-P5", "MCP-P5")]
    #[case("../the Redis pod is <killed> — während", "the-Redis-pod-is-killed-w-hrend")]
    #[case("the pod of a very long name, with more words to follow", "the-pod-of-a-very-long-name-with")]
    #[case("…", "")]
    fn names_are_harmless(#[case] text: &str, #[case] name: &str) {
        assert_eq!(slug(text, 32), name);
    }
}
