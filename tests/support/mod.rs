//! What several test files need: comparing with files that are checked in.

use std::{env, fs, path::Path};

/// Compares with a file that is checked in; with `UPDATE=1` the file is written instead.
pub(crate) fn same_as_file(path: &str, actual: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if env::var_os("UPDATE").is_some_and(|value| value == "1") {
        fs::write(&path, actual).expect("the file is written");
        return;
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        expected == actual,
        "{} is not current; look at the difference and run UPDATE=1 cargo test\n--- now:\n{actual}",
        path.display()
    );
}
