//! Keeps `ARCHITECTURE.md` true: the map, the doors, and the rules that no lint knows.

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

const BEGIN: &str = "<!-- map: made from the code; UPDATE=1 cargo test --test architecture -->";
const END: &str = "<!-- end of map -->";
/// Lines that one file may have.
const LONGEST: usize = 600;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Rust files below a folder, relative to the root, sorted.
fn sources(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path.strip_prefix(root()).expect("below the root").to_path_buf());
            }
        }
    }
    found.sort();
    found
}

/// A room: a file directly in `src/`, or a folder with its `mod.rs`, the targets' rooms among them.
fn rooms() -> BTreeMap<String, String> {
    let mut rooms = BTreeMap::new();
    for path in sources("src") {
        let name = path.to_string_lossy().replace('\\', "/");
        let depth = name.matches('/').count();
        let is_room = depth == 1 || (name.ends_with("/mod.rs") && (depth == 2 || name.starts_with("src/target/")));
        if is_room && name != "src/lib.rs" && name != "src/main.rs" {
            let first = read(&path).lines().next().unwrap_or_default().to_owned();
            let sentence = first.strip_prefix("//! ").unwrap_or_else(|| panic!("{name} must begin with its responsibility: //! …"));
            rooms.insert(name.trim_end_matches("mod.rs").to_owned(), sentence.to_owned());
        }
    }
    rooms
}

#[test]
fn the_map_is_made_from_the_rooms_own_first_sentences() {
    let page = read("ARCHITECTURE.md");
    let (before, rest) = page.split_once(BEGIN).expect("ARCHITECTURE.md has the map's beginning");
    let (_, after) = rest.split_once(END).expect("ARCHITECTURE.md has the map's end");
    let mut map = String::from("\n| room | responsibility |\n|---|---|\n");
    for (room, sentence) in rooms() {
        map.push_str(&format!("| `{room}` | {sentence} |\n"));
    }
    support::same_as_file("ARCHITECTURE.md", &format!("{before}{BEGIN}{map}{END}{after}"));
}

#[test]
fn every_room_says_what_it_is_for_in_a_sentence() {
    for (room, sentence) in rooms() {
        assert!(sentence.ends_with(['.', ':']), "{room}: {sentence:?} is no sentence");
        assert!(sentence.split_whitespace().count() >= 3, "{room}: {sentence:?} says too little");
    }
}

/// What stands between backticks.
fn code_spans(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn every_path_that_the_pages_name_exists() {
    for page in ["ARCHITECTURE.md", "CONTRIBUTING.md", "README.md"] {
        // Blocks of code are commands and output, not claims about the tree.
        let text = read(page);
        let prose: String = text.split("```").step_by(2).collect();
        for span in code_spans(&prose) {
            let looks_like_a_path = (span.contains('/') || span.ends_with(".rs") || span.ends_with(".md"))
                && !span.contains([' ', '<', '*', '{', '$', '@', '…', '='])
                && !span.starts_with(['/', '-', '.', '~']);
            if looks_like_a_path {
                let here = ["", "src/"].iter().any(|folder| root().join(folder).join(span).exists());
                assert!(here, "{page} names `{span}`, which does not exist");
            }
        }
    }
}

/// Dependencies that the package names, and whether each is everywhere's or has doors.
fn doors() -> BTreeMap<String, Vec<String>> {
    let page = read("ARCHITECTURE.md");
    let (_, section) = page.split_once("## Doors").expect("ARCHITECTURE.md has a section on doors");
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.flat_map(|row| {
        let mut cells = row.trim_matches('|').split('|');
        let (names, doors) = (cells.next().unwrap_or_default(), cells.next().unwrap_or_default());
        let doors: Vec<String> = code_spans(doors).map(ToOwned::to_owned).collect();
        code_spans(names).map(|name| (name.to_owned(), doors.clone())).collect::<Vec<_>>()
    })
    .collect()
}

fn dependencies() -> BTreeSet<String> {
    let manifest = read("Cargo.toml");
    let (_, section) = manifest.split_once("\n[dependencies]\n").expect("a section of dependencies");
    let section = section.split("\n[").next().unwrap_or_default();
    section.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name.trim().to_owned()).collect()
}

#[test]
fn every_dependency_has_its_row_among_the_doors() {
    let named: BTreeSet<String> = doors().into_keys().collect();
    assert_eq!(named, dependencies(), "ARCHITECTURE.md, section Doors (left), and Cargo.toml (right) name different dependencies");
}

/// Whether a line of code names something of this crate: `nix::…`, not `super::nix::…` or `my_nix::…`.
fn names(line: &str, dependency: &str) -> bool {
    let path = format!("{dependency}::");
    line.match_indices(&path)
        .any(|(at, _)| !line[..at].ends_with(|letter: char| letter.is_alphanumeric() || letter == '_' || letter == ':'))
}

/// Whether a room of ours goes by the dependency's name in this file: `mod base64;`, `use super::{base64, …}`.
fn is_our_own(text: &str, dependency: &str) -> bool {
    text.split(';').map(|statement| statement.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<String>()).any(
        |statement| {
            let statement = statement.trim().trim_start_matches("pub ").trim_start_matches("pub(super) ").trim_start_matches("pub(crate) ");
            let ours = ["mod ", "use crate::", "use super::", "use self::"].iter().any(|start| statement.starts_with(start));
            ours && statement.split(|letter: char| !letter.is_alphanumeric() && letter != '_').any(|word| word == dependency)
        },
    )
}

#[test]
fn each_dependency_comes_in_by_its_doors_only() {
    let doors = doors();
    let mut strays = Vec::new();
    for path in sources("src") {
        let name = path.to_string_lossy().into_owned();
        let text = read(&path);
        for (dependency, doors) in doors.iter().filter(|(_, doors)| !doors.is_empty()) {
            let krate = dependency.replace('-', "_");
            let allowed = doors.iter().any(|door| name == *door || name.starts_with(&format!("{}/", door.trim_end_matches('/'))));
            if allowed || is_our_own(&text, &krate) {
                continue;
            }
            let code = text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
            strays.extend(code.filter(|(_, line)| names(line, &krate)).map(|(number, _)| {
                let number = number + 1;
                format!("{name}:{number}: {dependency} comes in by {} only", doors.join(", "))
            }));
        }
    }
    assert!(strays.is_empty(), "ask the room that has it, or add a door to ARCHITECTURE.md:\n{}", strays.join("\n"));
}

#[test]
fn only_wait_sleeps() {
    for path in sources("src").into_iter().chain(sources("tests")).chain(sources("fixtures")) {
        if path == Path::new("src/wait.rs") || path == Path::new("tests/architecture.rs") {
            continue;
        }
        for (number, line) in read(&path).lines().enumerate() {
            let sleeps = ["thread::sleep", "time::sleep", "sleep_until"].iter().any(|call| line.contains(call));
            assert!(!sleeps, "{}:{}: wait for a condition: wait::Until", path.display(), number + 1);
        }
    }
}

#[test]
fn no_file_is_too_long_to_read() {
    for path in sources("src").into_iter().chain(sources("fixtures")) {
        let lines = read(&path).lines().count();
        assert!(lines <= LONGEST, "{} has {lines} lines; what are its two responsibilities?", path.display());
    }
}

#[test]
fn what_is_left_to_do_stands_in_an_issue() {
    for path in sources("src").into_iter().chain(sources("tests")).chain(sources("fixtures")) {
        if path == Path::new("tests/architecture.rs") {
            continue;
        }
        for (number, line) in read(&path).lines().enumerate() {
            for word in ["TODO", "FIXME", "XXX", "HACK"] {
                let with_issue = line.contains(&format!("{word}(#"));
                assert!(!line.contains(word) || with_issue, "{}:{}: {word} needs an issue: {word}(#12)", path.display(), number + 1);
            }
        }
    }
}
