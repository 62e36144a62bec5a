//! Colour, width and words of what people read; it knows no verdict.

use clap::ValueEnum;
use std::{env, io::IsTerminal};
use terminal_size::{Width, terminal_size_of};

/// When to use colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorWhen {
    /// On a terminal, unless NO_COLOR is set or TERM is `dumb`.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How a stream is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Colour may be used.
    pub color: bool,
    /// Lines may be drawn over: it is a terminal that is not dumb.
    pub live: bool,
    /// Longer lines are cut; `None` where nothing limits them.
    pub width: Option<usize>,
}

/// What a text is, for its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paint {
    Good,
    Bad,
    Odd,
    Quiet,
    Strong,
}

impl Style {
    /// No colour and no limit, as for files and pipes.
    pub const PLAIN: Self = Self { color: false, live: false, width: None };

    /// What suits a stream.
    #[must_use]
    pub fn of(stream: &(impl IsTerminal + std::os::fd::AsFd), when: ColorWhen) -> Self {
        let terminal = stream.is_terminal();
        let width = terminal.then(|| terminal_size_of(stream)).flatten().map(|(Width(width), _)| usize::from(width));
        let set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self::choose(when, terminal, set("NO_COLOR"), dumb, width)
    }

    fn choose(when: ColorWhen, terminal: bool, no_color: bool, dumb: bool, width: Option<usize>) -> Self {
        let color = match when {
            ColorWhen::Always => true,
            ColorWhen::Never => false,
            ColorWhen::Auto => terminal && !no_color && !dumb,
        };
        Self { color, live: terminal && !dumb, width: width.filter(|width| *width >= 40) }
    }

    pub(super) fn paint(&self, paint: Paint, text: impl AsRef<str>) -> String {
        let text = text.as_ref();
        if !self.color || text.is_empty() {
            return text.to_owned();
        }
        let code = match paint {
            Paint::Good => "32",
            Paint::Bad => "1;31",
            Paint::Odd => "33",
            Paint::Quiet => "2",
            Paint::Strong => "1",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// A text about something good.
    #[must_use]
    pub fn good(&self, text: &str) -> String {
        self.paint(Paint::Good, text)
    }

    /// A text about something bad.
    #[must_use]
    pub fn bad(&self, text: &str) -> String {
        self.paint(Paint::Bad, text)
    }

    /// A text about something that the reader should look at.
    #[must_use]
    pub fn odd(&self, text: &str) -> String {
        self.paint(Paint::Odd, text)
    }

    /// A text that is there for those who look for it.
    #[must_use]
    pub fn quiet(&self, text: &str) -> String {
        self.paint(Paint::Quiet, text)
    }

    /// Cuts a text so that it takes at most `room` columns.
    pub(super) fn cut(text: &str, room: usize) -> String {
        if text.chars().count() <= room {
            return text.to_owned();
        }
        let mut cut: String = text.chars().take(room.saturating_sub(1)).collect();
        cut.truncate(cut.trim_end().len());
        cut.push('…');
        cut
    }
}

/// A duration as a person says it: `0.41 s`, `14.2 s`, `2 min 05 s`.
pub(super) fn seconds(time: std::time::Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds {
        under if under < 9.995 => format!("{under:.2} s"),
        under if under < 99.95 => format!("{under:.1} s"),
        _ => format!("{} min {:02} s", time.as_secs() / 60, time.as_secs() % 60),
    }
}

/// `1 scenario`, `2 scenarios`.
pub(super) fn plural(number: usize, word: &str) -> String {
    if number == 1 { format!("1 {word}") } else { format!("{number} {word}s") }
}

/// Takes control characters out, so that what a program under test wrote cannot move the reader's cursor.
pub(super) fn harmless(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control() || matches!(letter, '\n' | '\t')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use std::time::Duration;

    #[rstest]
    #[case::terminal(ColorWhen::Auto, true, false, false, true, true)]
    #[case::pipe(ColorWhen::Auto, false, false, false, false, false)]
    #[case::no_color(ColorWhen::Auto, true, true, false, false, true)]
    #[case::dumb(ColorWhen::Auto, true, false, true, false, false)]
    #[case::always_beats_no_color(ColorWhen::Always, false, true, false, true, false)]
    #[case::never(ColorWhen::Never, true, false, false, false, true)]
    fn colour_is_for_those_who_want_it(
        #[case] when: ColorWhen,
        #[case] terminal: bool,
        #[case] no_color: bool,
        #[case] dumb: bool,
        #[case] color: bool,
        #[case] live: bool,
    ) {
        let style = Style::choose(when, terminal, no_color, dumb, Some(100));
        assert_eq!((style.color, style.live), (color, live));
    }

    #[rstest]
    #[case(412, "0.41 s")]
    #[case(14_240, "14.2 s")]
    #[case(125_000, "2 min 05 s")]
    fn times_read_well(#[case] milliseconds: u64, #[case] expected: &str) {
        assert_eq!(seconds(Duration::from_millis(milliseconds)), expected);
    }

    #[test]
    fn a_cut_says_so() {
        assert_eq!(Style::cut("keeps every tenant", 12), "keeps every…");
        assert_eq!(Style::cut("short", 12), "short");
    }

    #[test]
    fn escape_sequences_of_programs_under_test_do_not_reach_the_terminal() {
        assert_eq!(harmless("a\x1b[2Jb\nc"), "a[2Jb\nc");
    }
}
