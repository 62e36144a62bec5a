//! Every report format over every recorded run, compared with what is checked in.

mod support;

use redis_conformance::report::{FORMATS, Run, Style};
use std::{collections::BTreeSet, fs, path::Path};
use support::same_as_file;

fn runs() -> Vec<(String, Run)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/runs");
    let mut runs: Vec<(String, Run)> = fs::read_dir(folder)
        .expect("the folder is there")
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            let run = serde_json::from_slice(&fs::read(&path).expect("read")).unwrap_or_else(|error| panic!("{name}: {error}"));
            (name, run)
        })
        .collect();
    runs.sort_by(|(left, _), (right, _)| left.cmp(right));
    runs
}

#[test]
fn every_format_writes_every_run_as_checked_in() {
    let runs = runs();
    assert!(runs.len() >= 8, "the recorded runs are there");
    for (name, run) in &runs {
        for format in FORMATS {
            same_as_file(&format!("tests/snapshots/{name}.{}", format.name), &(format.render)(run, &Style::PLAIN));
        }
    }
}

#[test]
fn a_narrow_terminal_gets_lines_that_fit() {
    let style = Style { color: false, live: true, width: Some(72) };
    for (name, run) in runs() {
        let text = (FORMATS[0].render)(&run, &style);
        let lines = text.lines().filter(|line| line.starts_with("  ✓") || line.starts_with("  ✗") || line.starts_with("  –"));
        for line in lines {
            assert!(line.chars().count() <= 72, "{name}: {line}");
        }
    }
}

#[test]
fn colour_changes_nothing_but_colour() {
    let colored = Style { color: true, live: false, width: None };
    for (name, run) in runs() {
        let mut text = (FORMATS[0].render)(&run, &colored);
        for code in ["\x1b[32m", "\x1b[1;31m", "\x1b[33m", "\x1b[2m", "\x1b[1m", "\x1b[0m"] {
            text = text.replace(code, "");
        }
        assert_eq!(text, (FORMATS[0].render)(&run, &Style::PLAIN), "{name}");
    }
}

#[test]
fn no_snapshot_is_left_over() {
    let expected: BTreeSet<String> =
        runs().iter().flat_map(|(name, _)| FORMATS.iter().map(move |format| format!("{name}.{}", format.name))).collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots");
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
        assert!(expected.contains(&name) || name.ends_with(".help"), "{name} belongs to no run and no format");
    }
}
