//! The page of exit codes is made from the type itself.

mod support;

use redis_conformance::verdict::Exit;

#[test]
fn the_page_of_exit_codes_is_current() {
    let mut page = String::from(
        "<!-- Made from src/verdict/exit.rs; run UPDATE=1 cargo test --test cli_exit_codes to make it anew. -->\n\
         # Exit codes\n\n\
         | code | name | meaning |\n\
         |---:|---|---|\n",
    );
    for exit in Exit::ALL {
        page.push_str(&format!("| {} | {exit} | {} |\n", exit.code(), exit.meaning()));
    }
    page.push_str(
        "\nWhere several apply, the first of 70, 130, 1, 3, 4 is taken: a violation that was seen stays one whatever else broke.\n\
         Guarantees that the target cannot show for want of a capability are listed as *not proven here*; they do not change the\n\
         exit code unless `--strict` is given, or nothing at all could be proven. `mutate` gives its baseline's exit code where that\n\
         is not 0, since a red baseline proves nothing about mutants.\n",
    );
    support::same_as_file("docs/exit-codes.md", &page);
}
