//! Where the systems that come with the product lie: the checkout's files where there are any, else those in the program.

use super::Problem;
use anyhow::Context as _;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// `features/` and `k8s/` as they were when the program was built.
static EMBEDDED: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

/// The folder that holds `features/` and `k8s/`; `spare` is filled and taken where the current folder is no checkout.
///
/// # Errors
/// When the embedded files cannot be written.
pub(super) fn home(spare: &Path) -> Result<PathBuf, Problem> {
    if is_checkout(Path::new("")) {
        return Ok(PathBuf::new());
    }
    for (name, content) in EMBEDDED {
        let path = spare.join(name);
        let folder = path.parent().unwrap_or(spare);
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&path, content))
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(spare.to_path_buf())
}

fn is_checkout(folder: &Path) -> bool {
    ["features", "k8s"].iter().all(|part| folder.join(part).join("mcp").is_dir())
}

/// Names in `known` that somebody may have meant, the nearest first.
pub(super) fn near<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let name = name.to_lowercase();
    let mut near: Vec<(usize, &str)> = known
        .into_iter()
        .map(|known| (distance(&name, &known.to_lowercase()), known))
        .filter(|(distance, known)| *distance <= known.chars().count().div_ceil(3) || known.to_lowercase().starts_with(&name))
        .collect();
    near.sort();
    near.into_iter().map(|(_, known)| known).take(3).collect()
}

/// How many letters must be put in, taken out or replaced.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (line, letter) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for column in 0..to.len() {
            let replaced = diagonal + usize::from(letter != to[column]);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("agentsmth", &["agentsmith"])]
    #[case("agent", &["agentsmith"])]
    #[case("MPC", &[])]
    #[case("mcpp", &["mcp"])]
    #[case("postgres", &[])]
    fn a_slip_is_told_from_another_word(#[case] name: &str, #[case] expected: &[&str]) {
        assert_eq!(near(name, ["mcp", "agentsmith"]), expected);
    }
}
