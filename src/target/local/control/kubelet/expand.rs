//! `$(NAME)` in commands, arguments and values, as Kubernetes expands it.

/// Replaces `$(NAME)` by what `value` knows, leaves what it does not, and makes `$$` a dollar.
pub(super) fn expand(text: &str, value: &dyn Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        match after.chars().next() {
            None => {
                out.push('$');
                rest = "";
            }
            Some('$') => {
                out.push('$');
                rest = &after[1..];
            }
            Some('(') => match after.find(')') {
                Some(end) => {
                    let name = &after[1..end];
                    match value(name) {
                        Some(value) => out.push_str(&value),
                        None => out.push_str(&format!("$({name})")),
                    }
                    rest = &after[end + 1..];
                }
                None => {
                    out.push_str("$(");
                    rest = &after[1..];
                }
            },
            Some(other) => {
                out.push('$');
                out.push(other);
                rest = &after[other.len_utf8()..];
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("plain", "plain")]
    #[case("redis://$(HOST):6379", "redis://redis:6379")]
    #[case("$(NONE)", "$(NONE)")]
    #[case("$$(HOST)", "$(HOST)")]
    #[case("$$$(HOST)", "$redis")]
    #[case("$HOST ${HOST}", "$HOST ${HOST}")]
    #[case("$(HOST", "$(HOST")]
    #[case("100$", "100$")]
    #[case("$ä$(HOST)", "$äredis")]
    fn a_reference_is_replaced_where_its_name_is_known(#[case] text: &str, #[case] expanded: &str) {
        assert_eq!(expand(text, &|name| (name == "HOST").then(|| "redis".to_owned())), expanded);
    }
}
