//! Tag expressions: which scenarios somebody wants, as `@long and not @needs:memory-limit`.

use cucumber::{gherkin::tagexpr::TagOperation, tag::Ext as _};
use std::str::FromStr;

/// An expression over tags.
#[derive(Clone, Debug)]
pub struct Tags(TagOperation);

impl Tags {
    /// Whether a scenario with these tags (without `@`) is meant.
    #[must_use]
    pub fn take(&self, tags: &[String]) -> bool {
        self.0.eval(tags)
    }
}

impl FromStr for Tags {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self).map_err(|error| format!("{error}; write for example \"@long and not @slow\""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("@long", true)]
    #[case("not @long", false)]
    #[case("@other or (@long and not @slow)", true)]
    #[case("@MCP-P5 and @long", true)]
    fn an_expression_takes_the_tags_that_it_describes(#[case] expression: &str, #[case] expected: bool) {
        let tags: Tags = expression.parse().expect("an expression");
        assert_eq!(tags.take(&["long".into(), "MCP-P5".into()]), expected);
    }

    #[test]
    fn what_is_no_expression_is_refused_with_an_example() {
        let error = "@a andd @b".parse::<Tags>().expect_err("no expression");
        assert!(error.contains("for example"), "{error}");
    }
}
