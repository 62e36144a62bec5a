//! What works on this machine, what each thing is for, and how to get the rest.

mod checks;

use super::{Problem, output::print};
use crate::{report::Style, verdict::Exit};
pub(super) use checks::Found;
use std::fmt::Write as _;

/// Something that this machine has or lacks.
pub(super) struct Need {
    pub(super) name: &'static str,
    /// What it is for.
    pub(super) purpose: &'static str,
    /// Without it `verify` cannot run at all.
    pub(super) required: bool,
    /// The command that gets it.
    pub(super) remedy: &'static str,
    pub(super) look: fn() -> Found,
}

/// Looks at everything; the exit code says whether `verify` can run.
pub(super) fn run(style: &Style) -> Result<Exit, Problem> {
    let found: Vec<(&Need, Found)> = checks::NEEDS.iter().map(|need| (need, (need.look)())).collect();
    print(&render(&found, style))?;
    let usable = found.iter().all(|(need, found)| !need.required || matches!(found, Found::Yes(_)));
    Ok(if usable { Exit::Conformant } else { Exit::Unusable })
}

fn render(found: &[(&Need, Found)], style: &Style) -> String {
    let mut out = String::new();
    let width = found.iter().map(|(need, _)| need.name.len()).max().unwrap_or(0);
    let mut missing = 0;
    for (need, found) in found {
        let (sign, told) = match found {
            Found::Yes(told) => (style.good("✓"), told.clone()),
            Found::No(told) if need.required => (style.bad("✗"), told.clone()),
            Found::No(told) => (style.odd("–"), told.clone()),
        };
        let _ = writeln!(out, "{sign} {:width$}  {told}", need.name);
        if let Found::No(_) = found {
            missing += usize::from(need.required);
            let _ = writeln!(out, "  {:width$}  {}", "", style.quiet(&format!("for: {}", need.purpose)));
            let _ = writeln!(out, "  {:width$}  {}", "", style.quiet(&format!("get it: {}", need.remedy)));
        }
    }
    let _ = match missing {
        0 => writeln!(out, "\n{}", style.good("verify can run here")),
        1 => writeln!(out, "\n{}", style.bad("verify cannot run here: one thing is missing")),
        more => writeln!(out, "\n{}", style.bad(&format!("verify cannot run here: {more} things are missing"))),
    };
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn need(name: &'static str, required: bool) -> Need {
        Need { name, purpose: "standing in for Redis", required, remedy: "apt-get install it", look: || Found::No(String::new()) }
    }

    #[test]
    fn what_is_missing_is_told_with_its_purpose_and_its_remedy() {
        let (has, lacks, could) = (need("kubectl", true), need("redis-server", true), need("newuidmap", false));
        let found = [
            (&has, Found::Yes("1.34".into())),
            (&lacks, Found::No("not found in PATH".into())),
            (&could, Found::No("not found in PATH".into())),
        ];
        let text = render(&found, &Style::PLAIN);
        let expected = "\
✓ kubectl       1.34
✗ redis-server  not found in PATH
                for: standing in for Redis
                get it: apt-get install it
– newuidmap     not found in PATH
                for: standing in for Redis
                get it: apt-get install it

verify cannot run here: one thing is missing
";
        assert_eq!(text, expected);
    }
}
