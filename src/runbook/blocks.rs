//! Reads a Markdown document: its shell blocks and its tables, each with file, line and heading. The only place that knows Markdown.

use crate::manifest::Place;
use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};
use std::{
    fs, io,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Why a document does not give what was asked of it.
#[derive(Debug, thiserror::Error)]
pub enum MarkdownError {
    /// The file cannot be read.
    #[error("cannot read {}", file.display())]
    Unreadable {
        /// Which file.
        file: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// No block bears the id.
    #[error("{} has no block `# runbook: {id}`; it has: {known}", file.display())]
    NoBlock {
        /// Which file.
        file: PathBuf,
        /// The id asked for.
        id: String,
        /// The ids that are there.
        known: String,
    },
    /// Several blocks bear the id.
    #[error("{first} and {second} are both `# runbook: {id}`; give one another id")]
    Twice {
        /// The id.
        id: String,
        /// The first block.
        first: Place,
        /// The second.
        second: Place,
    },
    /// An edit of a block changes nothing: the mutant would prove nothing.
    #[error("no command of the block at {block} is the one to change: {wanted}")]
    NothingToEdit {
        /// Which block.
        block: Place,
        /// What was looked for.
        wanted: String,
    },
}

/// What a Markdown file holds.
#[derive(Clone, Debug)]
pub struct Document {
    /// The file.
    pub file: PathBuf,
    /// Its `bash` blocks in order.
    pub blocks: Vec<Block>,
    /// Its tables in order.
    pub tables: Vec<Table>,
}

/// A fenced `bash` block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The first line of its text.
    pub place: Place,
    /// The nearest heading above it; empty before the first.
    pub heading: String,
    /// From a first line `# runbook: ID`.
    pub id: Option<String>,
    /// The commands; line `n` stands at `place.line + n` of the file.
    pub text: String,
    /// What was changed in memory, one sentence each; empty for a block as written.
    pub edits: Vec<String>,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The line of its header.
    pub place: Place,
    /// The nearest heading above it; empty before the first.
    pub heading: String,
    /// The header's cells.
    pub header: Vec<String>,
    /// The rows below.
    pub rows: Vec<Row>,
}

/// A row of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Where it stands.
    pub place: Place,
    /// The cells' texts without mark-up.
    pub cells: Vec<String>,
}

impl Document {
    /// Reads a file.
    ///
    /// # Errors
    /// [`MarkdownError::Unreadable`].
    pub fn read(file: &Path) -> Result<Self, MarkdownError> {
        let text = fs::read_to_string(file).map_err(|cause| MarkdownError::Unreadable { file: file.to_owned(), cause })?;
        Ok(Self::parse(&text, file))
    }

    /// Reads a text as if it stood in the file; any text is Markdown.
    #[must_use]
    pub fn parse(text: &str, file: &Path) -> Self {
        let mut reader = Reader::new(text, file);
        for (event, span) in Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter() {
            reader.take(event, span);
        }
        Self { file: file.to_owned(), blocks: reader.blocks, tables: reader.tables }
    }

    /// The block with an id.
    ///
    /// # Errors
    /// [`MarkdownError::NoBlock`] and [`MarkdownError::Twice`].
    pub fn block(&self, id: &str) -> Result<&Block, MarkdownError> {
        let mut found = self.blocks.iter().filter(|block| block.id.as_deref() == Some(id));
        match (found.next(), found.next()) {
            (Some(block), None) => Ok(block),
            (Some(first), Some(second)) => {
                Err(MarkdownError::Twice { id: id.to_owned(), first: first.place.clone(), second: second.place.clone() })
            }
            (None, _) => {
                let known = self.blocks.iter().filter_map(|block| block.id.as_deref()).collect::<Vec<_>>().join(", ");
                Err(MarkdownError::NoBlock { file: self.file.clone(), id: id.to_owned(), known })
            }
        }
    }

    /// The blocks under a heading.
    pub fn under<'d>(&'d self, heading: &'d str) -> impl Iterator<Item = &'d Block> {
        self.blocks.iter().filter(move |block| block.heading == heading)
    }

    /// The first table that has all these columns.
    #[must_use]
    pub fn table(&self, columns: &[&str]) -> Option<&Table> {
        self.tables.iter().find(|table| columns.iter().all(|column| table.column(column).is_some()))
    }
}

impl Block {
    /// Leaves out every command that the predicate names; a command with continuation lines is one. The numbers of other lines stay.
    ///
    /// # Errors
    /// [`MarkdownError::NothingToEdit`] where it names none: `wanted` says what was looked for.
    pub fn skip_line(&self, wanted: &str, predicate: impl Fn(&str) -> bool) -> Result<Self, MarkdownError> {
        self.edit(wanted, "left out", |command| predicate(command).then(|| "\n".repeat(command.matches('\n').count())))
    }

    /// Replaces a text wherever it stands: `<redis-pod>` by a name.
    ///
    /// # Errors
    /// [`MarkdownError::NothingToEdit`] where it stands nowhere.
    pub fn replace(&self, from: &str, to: &str) -> Result<Self, MarkdownError> {
        let how = format!("`{from}` made `{to}` in");
        self.edit(from, &how, |command| command.contains(from).then(|| command.replace(from, to)))
    }

    fn edit(&self, wanted: &str, how: &str, edit: impl Fn(&str) -> Option<String>) -> Result<Self, MarkdownError> {
        let mut edited = Self { text: String::new(), ..self.clone() };
        let mut line = self.place.line;
        for command in commands(&self.text) {
            match edit(command) {
                Some(new) => {
                    edited.edits.push(format!("{}:{line}: {how}: {}", self.place.file.display(), command.trim()));
                    edited.text.push_str(&new);
                }
                None => edited.text.push_str(command),
            }
            line += u64::try_from(command.matches('\n').count()).unwrap_or_default();
        }
        match edited.edits.len() == self.edits.len() {
            true => Err(MarkdownError::NothingToEdit { block: self.place.clone(), wanted: wanted.to_owned() }),
            false => Ok(edited),
        }
    }
}

/// The lines of a text, with their ends; a line that ends in a backslash belongs together with the next.
fn commands(text: &str) -> Vec<&str> {
    let mut commands = Vec::new();
    let mut start = 0;
    let mut end = 0;
    for line in text.split_inclusive('\n') {
        end += line.len();
        if !line.trim_end_matches('\n').ends_with('\\') {
            commands.push(&text[start..end]);
            start = end;
        }
    }
    if start < end {
        commands.push(&text[start..end]);
    }
    commands
}

impl Table {
    /// The number of a column.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<usize> {
        self.header.iter().position(|cell| cell == name)
    }
}

impl Row {
    /// The cell of a column of its table; empty where the row is short.
    #[must_use]
    pub fn cell(&self, column: usize) -> &str {
        self.cells.get(column).map(String::as_str).unwrap_or_default()
    }
}

/// What the reader is within.
enum Within {
    Prose,
    Heading,
    Block,
    Cell,
}

struct Reader {
    file: Arc<PathBuf>,
    line_starts: Vec<usize>,
    heading: String,
    within: Within,
    blocks: Vec<Block>,
    tables: Vec<Table>,
}

impl Reader {
    fn new(text: &str, file: &Path) -> Self {
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let (file, within) = (Arc::new(file.to_owned()), Within::Prose);
        Self { file, line_starts, heading: String::new(), within, blocks: Vec::new(), tables: Vec::new() }
    }

    fn place(&self, offset: usize) -> Place {
        let line = self.line_starts.partition_point(|start| *start <= offset);
        Place { file: Arc::clone(&self.file), line: u64::try_from(line).unwrap_or_default(), column: 0 }
    }

    fn take(&mut self, event: Event<'_>, span: Range<usize>) {
        match event {
            Event::Start(Tag::Heading { .. }) => {
                self.heading.clear();
                self.within = Within::Heading;
            }
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) if info.split_whitespace().next() == Some("bash") => {
                let mut place = self.place(span.start);
                place.line += 1;
                self.blocks.push(Block { place, heading: self.heading.clone(), id: None, text: String::new(), edits: Vec::new() });
                self.within = Within::Block;
            }
            Event::Start(Tag::Table(_)) => {
                let (place, heading) = (self.place(span.start), self.heading.clone());
                self.tables.push(Table { place, heading, header: Vec::new(), rows: Vec::new() });
            }
            Event::Start(Tag::TableRow) => {
                let row = Row { place: self.place(span.start), cells: Vec::new() };
                if let Some(table) = self.tables.last_mut() {
                    table.rows.push(row);
                }
            }
            Event::Start(Tag::TableCell) => {
                if let Some(cells) = self.cells() {
                    cells.push(String::new());
                }
                self.within = Within::Cell;
            }
            Event::End(TagEnd::Heading(_) | TagEnd::CodeBlock | TagEnd::TableCell) => {
                if let (Within::Block, Some(block)) = (&self.within, self.blocks.last_mut()) {
                    let first = block.text.lines().next().unwrap_or_default();
                    block.id = first.strip_prefix("# runbook:").map(|id| id.trim().to_owned());
                }
                self.within = Within::Prose;
            }
            Event::Text(text) | Event::Code(text) | Event::InlineHtml(text) => self.text(&text),
            Event::SoftBreak | Event::HardBreak => self.text(" "),
            _ => {}
        }
    }

    fn text(&mut self, text: &str) {
        let into = match self.within {
            Within::Prose => None,
            Within::Heading => Some(&mut self.heading),
            Within::Block => self.blocks.last_mut().map(|block| &mut block.text),
            Within::Cell => self.cells().and_then(|cells| cells.last_mut()),
        };
        if let Some(into) = into {
            into.push_str(text);
        }
    }

    fn cells(&mut self) -> Option<&mut Vec<String>> {
        let table = self.tables.last_mut()?;
        Some(match table.rows.last_mut() {
            Some(row) => &mut row.cells,
            None => &mut table.header,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const TEXT: &str = "# Redis\n\n```bash\nls\n```\n\n## Back up `it`\n\n1. first\n\n   ```bash\n   # runbook: backup\n   kubectl exec x -- \\\n     redis-cli --rdb /tmp/a\n   kubectl cp a b\n   ```\n\n```yaml\na: 1\n```\n\n| Server | Redis DB | Port |\n|---|---|---|\n| `postgres` | 0 | 8001 |\n| calculator | N/A |\n";

    fn document() -> Document {
        Document::parse(TEXT, Path::new("README.md"))
    }

    #[test]
    fn bash_blocks_have_their_place_heading_and_id() {
        let document = document();
        let summary: Vec<_> = document.blocks.iter().map(|block| (block.place.line, block.heading.as_str(), block.id.as_deref())).collect();
        assert_eq!(summary, [(4, "Redis", None), (12, "Back up it", Some("backup"))]);
        let backup = document.block("backup").expect("it is there");
        assert_eq!(backup.text, "# runbook: backup\nkubectl exec x -- \\\n  redis-cli --rdb /tmp/a\nkubectl cp a b\n");
        assert_eq!(document.under("Redis").count(), 1);
    }

    #[test]
    fn an_id_that_is_missing_or_twice_is_told() {
        let missing = document().block("restore").expect_err("it is not there").to_string();
        assert_eq!(missing, "README.md has no block `# runbook: restore`; it has: backup");
        let twice = Document::parse("```bash\n# runbook: a\n```\n```bash\n# runbook: a\n```\n", Path::new("x.md"));
        assert_eq!(twice.block("a").expect_err("two").to_string(), "x.md:2 and x.md:5 are both `# runbook: a`; give one another id");
    }

    #[test]
    fn a_command_left_out_is_said_and_moves_no_line() {
        let backup = document().block("backup").expect("it is there").clone();
        let mutant = backup.skip_line("redis-cli", |line| line.contains("redis-cli")).expect("one does");
        assert_eq!(mutant.text, "# runbook: backup\n\n\nkubectl cp a b\n");
        assert_eq!(mutant.edits, ["README.md:13: left out: kubectl exec x -- \\\n  redis-cli --rdb /tmp/a"]);
        let error = backup.skip_line("sleep", |line| line.contains("sleep")).expect_err("none does");
        assert_eq!(error.to_string(), "no command of the block at README.md:12 is the one to change: sleep");
    }

    #[test]
    fn a_placeholder_is_replaced_and_said() {
        let edited = document().blocks[0].replace("ls", "ls -la").expect("it stands there");
        assert_eq!(
            (edited.text.as_str(), edited.edits.as_slice()),
            ("ls -la\n", &["README.md:4: `ls` made `ls -la` in: ls".to_owned()][..])
        );
    }

    #[test]
    fn a_table_is_read_as_data_with_its_lines() {
        let document = document();
        let table = document.table(&["Server", "Redis DB"]).expect("it is there");
        assert_eq!(table.place.line, 22);
        let database = table.column("Redis DB").expect("a column");
        let rows: Vec<_> = table.rows.iter().map(|row| (row.place.line, row.cell(0), row.cell(database), row.cell(2))).collect();
        assert_eq!(rows, [(24, "postgres", "0", "8001"), (25, "calculator", "N/A", "")]);
        assert!(document.table(&["Owner"]).is_none());
    }

    #[rstest]
    fn no_bytes_make_it_panic(#[values("", "```bash", "```bash\n", "|a|\n|-|", "# ", "\u{0}|`")] text: &str) {
        let document = Document::parse(text, Path::new("x"));
        assert!(document.blocks.len() <= 1 && document.tables.len() <= 1);
    }
}
