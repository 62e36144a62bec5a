//! What `echo`, `printf` and `tr` print.

use super::word::is_open;

/// What `echo` prints; `\n` ends a line as in the shells of the common images.
pub(in crate::manifest::roles) fn echoed(words: &[String]) -> String {
    let options = words.iter().take_while(|word| matches!(word.as_str(), "-e" | "-n" | "-en" | "-ne" | "-E")).count();
    let ends = if words[..options].iter().any(|word| word.contains('n')) { "" } else { "\n" };
    format!("{}{ends}", words[options..].join(" ").replace("\\n", "\n").replace("\\t", "\t"))
}

/// What `printf` prints; `None` for a format with more than `%s`, `%d` and `%b`.
pub(in crate::manifest::roles) fn formatted(words: &[String]) -> Option<String> {
    let words = if words.first().is_some_and(|word| word == "--") { &words[1..] } else { words };
    let (format, arguments) = words.split_first()?;
    let mut arguments = arguments.iter();
    let mut printed = String::new();
    // The format is used again until every argument is printed.
    loop {
        let before = arguments.len();
        let mut chars = format.chars();
        while let Some(c) = chars.next() {
            match c {
                '%' => match chars.next()? {
                    '%' => printed.push('%'),
                    's' | 'd' | 'i' => printed.push_str(arguments.next().map(String::as_str).unwrap_or_default()),
                    'b' => printed.push_str(&arguments.next().map(|text| text.replace("\\n", "\n")).unwrap_or_default()),
                    _ => return None,
                },
                '\\' => match chars.next() {
                    Some('n') => printed.push('\n'),
                    Some('t') => printed.push('\t'),
                    Some('\\') => printed.push('\\'),
                    Some('"') => printed.push('"'),
                    Some('\'') => printed.push('\''),
                    _ => return None,
                },
                c => printed.push(c),
            }
        }
        if arguments.len() == 0 || arguments.len() == before {
            return Some(printed);
        }
    }
}

/// What `tr -d` leaves; `None` for what else it does.
pub(super) fn translated(text: &str, words: &[&str]) -> Option<String> {
    let ["-d", set] = words else { return None };
    let set: Vec<char> = match set.strip_prefix('\\') {
        Some("n") => vec!['\n'],
        Some("r") => vec!['\r'],
        Some("r\\n" | "n\\r") => vec!['\r', '\n'],
        Some(_) => return None,
        None if set.contains(['[', '-', '\\']) => return None,
        None => set.chars().collect(),
    };
    if is_open(text) {
        return None;
    }
    Some(text.chars().filter(|c| !set.contains(c)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(&["requirepass \"%s\"\\n", "a b"], Some("requirepass \"a b\"\n"))]
    #[case(&["%s\\n", "a", "b"], Some("a\nb\n"))]
    #[case(&["%s", "-x"], Some("-x"))]
    #[case(&["%5s", "a"], None)]
    #[case(&["a"], Some("a"))]
    #[case(&["a", "b"], Some("a"))]
    fn a_format_is_filled_in(#[case] words: &[&str], #[case] expected: Option<&str>) {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        assert_eq!(formatted(&words).as_deref(), expected);
    }
}
