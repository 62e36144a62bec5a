//! `steps`: every phrase that a feature may use.

use super::{Problem, output::print};
use crate::{report::Style, spec::phrases};
use std::fmt::Write as _;

pub(super) fn run(style: &Style) -> Result<(), Problem> {
    let mut text = String::new();
    let mut keyword = "";
    for phrase in phrases() {
        if keyword != phrase.keyword {
            if !keyword.is_empty() {
                text.push('\n');
            }
            keyword = phrase.keyword;
        }
        let place = style.quiet(&format!("{}:{}", phrase.place.file.display(), phrase.place.line));
        let _ = writeln!(text, "{} {}  {place}", style.good(phrase.keyword), phrase.expression);
    }
    print(&text)
}
