//! A whole document: read from bytes, and patched.

use std::cell::OnceCell;
use std::fmt;

use toml_edit::{Document, Item, Table};

use super::edit::{Edit, PatchError, Patched, Step};
use super::standard::TablePlace;
use super::target::Node;
use super::verify;
use super::walk::{self, Walk};
use crate::text::position::{LineStarts, TextError};

const BYTE_ORDER_MARK: char = '\u{feff}';

/// A TOML document: its text, and the tree of its values with the place of each.
pub struct Toml {
    document: Document<String>,
    bom: bool,
    lines: OnceCell<LineStarts>,
}

impl Toml {
    /// Reads a document from bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, TextError> {
        let (text, bom) = decode(bytes)?;
        Self::of(text, bom)
    }

    /// Reads a document from its decoded text.
    fn of(text: &str, bom: bool) -> Result<Self, TextError> {
        // Of the parser's error only message and place: its Display prints the line, which may hold a token.
        let document = Document::parse(text.to_owned()).map_err(|error| {
            let offset = error.span().map_or(0, |span| span.start);
            TextError::at(text, offset, error.message())
        })?;
        Ok(Self { document, bom, lines: OnceCell::new() })
    }

    /// The tree of values. Spans count the bytes of [`Toml::text`].
    pub fn root(&self) -> &Table {
        self.document.as_table()
    }

    /// True for a table at a path that only headers of tables below it make.
    pub fn is_implicit(&self, path: &[Step]) -> bool {
        let (mut table, mut list) = (Some(self.root()), None);
        for step in path {
            match step {
                Step::Key(key) => {
                    let item = table.and_then(|table| table.get(key));
                    table = item.and_then(Item::as_table);
                    list = item.and_then(Item::as_array_of_tables);
                }
                Step::Index(index) => table = list.and_then(|list| list.get(*index)),
            }
        }
        table.is_some_and(Table::is_implicit)
    }

    /// The text without the byte order mark.
    pub fn text(&self) -> &str {
        self.document.raw()
    }

    /// The line and the column of a byte of the text, both counted from 1.
    pub fn line_column(&self, offset: usize) -> (usize, usize) {
        self.lines.get_or_init(|| LineStarts::of(self.text())).line_column(self.text(), offset)
    }

    /// Whether the text began with a byte order mark, which some readers of TOML refuse.
    pub fn has_bom(&self) -> bool {
        self.bom
    }

    /// Whether these are the bytes that were read.
    pub fn is(&self, bytes: &[u8]) -> bool {
        let mark = if self.bom { "\u{feff}" } else { "" };
        bytes.strip_prefix(mark.as_bytes()) == Some(self.text().as_bytes())
    }

    /// Makes all the edits at once. The new text was parsed again and has exactly the wanted values.
    pub fn patch(&self, edits: &[Edit]) -> Result<Patched, PatchError> {
        self.patch_and_read(edits).map(|(patched, _)| patched)
    }

    /// [`Toml::patch`] with the new document as it was parsed; `None` when it is the old one.
    pub fn patch_and_read(&self, edits: &[Edit]) -> Result<(Patched, Option<Self>), PatchError> {
        let wanted = self.wanted(edits)?;
        let mut walk = Walk::new(self.text());
        walk.table(TablePlace::root(self.root()), &wanted)?;
        let mut text = String::new();
        if self.bom {
            text.push(BYTE_ORDER_MARK);
        }
        walk.splice(self.text().len(), &mut text)?;
        if self.is(text.as_bytes()) {
            verify::compare(self.text(), self.root(), self.root(), &wanted)?;
            return Ok((Patched { text }, None));
        }
        let after = Self::parse(text.as_bytes()).map_err(|error| PatchError {
            path: "document".to_owned(),
            message: format!(
                "this layout can't take the edit (the result would be no TOML: {})",
                error.message
            ),
            line: error.line,
            column: error.column,
        })?;
        verify::compare(self.text(), self.root(), after.root(), &wanted)?;
        Ok((Patched { text }, Some(after)))
    }

    /// Checks that `after` holds the values of this document with the edits made, and no other difference.
    ///
    /// # Errors
    /// The first difference. It points into this document and holds no value.
    pub fn verify(&self, after: &Self, edits: &[Edit]) -> Result<(), PatchError> {
        verify::compare(self.text(), self.root(), after.root(), &self.wanted(edits)?)
    }

    fn wanted<'e>(&self, edits: &'e [Edit]) -> Result<Node<'e>, PatchError> {
        Node::from_edits(edits).map_err(|(edit, message)| walk::error(self.text(), &edit.path, 0, message))
    }
}

impl fmt::Debug for Toml {
    /// Leaves the text out: it can hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Toml")
            .field("bytes", &self.text().len())
            .field("bom", &self.bom)
            .finish_non_exhaustive()
    }
}

/// The text of a document without its byte order mark, and whether it had one.
fn decode(bytes: &[u8]) -> Result<(&str, bool), TextError> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let valid = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let valid = std::str::from_utf8(valid).unwrap_or_default();
            let valid = valid.strip_prefix(BYTE_ORDER_MARK).unwrap_or(valid);
            return Err(TextError::at(valid, valid.len(), "not UTF-8"));
        }
    };
    let stripped = text.strip_prefix(BYTE_ORDER_MARK);
    let text = stripped.unwrap_or(text);
    match bad_character(text) {
        Some((offset, message)) => Err(TextError::at(text, offset, message)),
        None => Ok((text, stripped.is_some())),
    }
}

/// The first character that no TOML document may hold and that the eye does not see.
fn bad_character(text: &str) -> Option<(usize, &'static str)> {
    let bytes = text.as_bytes();
    // Nearly every document has neither, and this is found at the memory's speed.
    let suspicious = bytes.contains(&0) || bytes.contains(&b'\r');
    let bytes = if suspicious { bytes } else { &[] };
    for (offset, byte) in bytes.iter().enumerate() {
        match byte {
            0 => return Some((offset, "NUL byte")),
            b'\r' if bytes.get(offset + 1) != Some(&b'\n') => {
                return Some((offset, "carriage return without a line feed"));
            }
            _ => {}
        }
    }
    // The parser would take a second mark for its own first one.
    text.starts_with(BYTE_ORDER_MARK).then_some((0, "second byte order mark"))
}
