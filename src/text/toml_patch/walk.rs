//! The state of the one walk over a document and the edits: where it is, and the pieces to splice in.

use std::ops::Range;

use super::edit::{PatchError, Step, joined};
use super::quote;
use super::target::Node;
use crate::text::position::line_column;

/// An error at a path and an offset of the text.
pub(super) fn error(text: &str, path: &[Step], offset: usize, message: impl Into<String>) -> PatchError {
    let (line, column) = line_column(text, offset);
    PatchError { path: joined(path, quote::key), message: message.into(), line, column }
}

/// A piece of the text and what comes in its place.
#[derive(Debug)]
pub(super) struct Splice {
    pub(super) range: Range<usize>,
    /// The order among pieces that begin at the same place.
    pub(super) rank: i64,
    pub(super) text: String,
}

impl Splice {
    pub(super) fn new(range: Range<usize>, text: String) -> Self {
        Self { range, rank: 0, text }
    }
}

/// The state of the walk.
pub(super) struct Walk<'t> {
    pub(super) text: &'t str,
    pub(super) path: Vec<Step>,
    pub(super) splices: Vec<Splice>,
    /// The lines of tables that go, and whether a blank one parts them from what stands above.
    pub(super) gone: Vec<(Range<usize>, bool)>,
}

impl<'t> Walk<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, path: Vec::new(), splices: Vec::new(), gone: Vec::new() }
    }

    /// Appends the new text to `out`, that of the old text's first `end` bytes.
    pub(super) fn splice(mut self, end: usize, out: &mut String) -> Result<(), PatchError> {
        self.close_gaps();
        self.splices.sort_by_key(|splice| (splice.range.start, splice.rank));
        out.reserve(end);
        let mut done = 0;
        let mut deleted = false;
        for splice in &self.splices {
            // Lines that go side by side may both claim the line ending between them.
            let is_deletion = splice.text.is_empty();
            if deleted && is_deletion && splice.range.start < done {
                done = done.max(splice.range.end);
                continue;
            }
            deleted = is_deletion;
            let Some(kept) = self.text.get(done..splice.range.start) else {
                return Err(error(self.text, &[], done, "two edits of one patch overlap"));
            };
            out.push_str(kept);
            out.push_str(&splice.text);
            done = splice.range.end;
        }
        let Some(rest) = self.text.get(done..end) else {
            return Err(error(self.text, &[], done, "the edit reaches further than its block"));
        };
        out.push_str(rest);
        Ok(())
    }

    pub(super) fn fail(&self, span: Option<Range<usize>>, message: impl Into<String>) -> PatchError {
        let offset = span.map_or(0, |span| span.start);
        error(self.text, &self.path, offset, message)
    }

    pub(super) fn only_indexes(&self, span: Option<Range<usize>>, node: &Node<'_>) -> Result<(), PatchError> {
        if node.keys.is_empty() { Ok(()) } else { Err(self.fail(span, "is a list, not a table")) }
    }

    pub(super) fn only_keys(&self, span: Option<Range<usize>>, node: &Node<'_>) -> Result<(), PatchError> {
        if node.indexes.is_empty() { Ok(()) } else { Err(self.fail(span, "is a table, not a list")) }
    }

    pub(super) fn too_few(&self, span: Option<Range<usize>>, index: usize, length: usize) -> PatchError {
        self.fail(span, format!("has no element {index}, only {length}"))
    }
}
