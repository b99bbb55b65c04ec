//! The one walk over a document and the edits, which gathers the pieces to splice in.

use std::ops::Range;

use toml_edit::{Item, Table, Value};

use super::edit::{PatchError, Step};
use super::fresh::Fresh;
use super::standard::Place;
use super::wish::{Node, Wish};
use super::{list, quote};
use crate::text::position::line_column;

/// One step of the way from the root, borrowed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Crumb<'e> {
    Key(&'e str),
    Index(usize),
}

impl<'e> From<&'e Step> for Crumb<'e> {
    fn from(step: &'e Step) -> Self {
        match step {
            Step::Key(key) => Self::Key(key),
            Step::Index(index) => Self::Index(*index),
        }
    }
}

/// An error at a path and an offset of the text.
pub(super) fn error(text: &str, path: &[Crumb<'_>], offset: usize, message: impl Into<String>) -> PatchError {
    let mut shown = String::new();
    for crumb in path {
        match crumb {
            Crumb::Key(key) => {
                if !shown.is_empty() {
                    shown.push('.');
                }
                shown.push_str(&quote::key(key));
            }
            Crumb::Index(index) => shown.extend(["[", &index.to_string(), "]"]),
        }
    }
    let (line, column) = line_column(text, offset);
    PatchError { path: shown, message: message.into(), line, column }
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
pub(super) struct Walk<'t, 'e> {
    pub(super) text: &'t str,
    pub(super) path: Vec<Crumb<'e>>,
    pub(super) splices: Vec<Splice>,
    pub(super) used_dotted_key: bool,
}

impl<'t, 'e> Walk<'t, 'e> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, path: Vec::new(), splices: Vec::new(), used_dotted_key: false }
    }

    pub(super) fn root(&mut self, root: &'t Table, node: &Node<'e>) -> Result<(), PatchError> {
        self.table(Place::root(root), node)
    }

    /// Appends the new text to `out`, that of the old text's first `end` bytes.
    pub(super) fn splice(mut self, end: usize, out: &mut String) -> Result<(), PatchError> {
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

    /// Walks into something that a table holds.
    pub(super) fn item(
        &mut self,
        from: &Place<'t>,
        item: &'t Item,
        node: &Node<'e>,
    ) -> Result<(), PatchError> {
        match item {
            Item::Value(value) => self.value(value, node),
            Item::Table(table) => self.table(from.child(table, self.path.len()), node),
            Item::ArrayOfTables(_) if node.wish.is_some() => {
                Err(self.fail(item.span(), "is a list of tables, not a value"))
            }
            Item::ArrayOfTables(tables) => {
                self.only_indexes(item.span(), node)?;
                let mut last = None;
                for (index, table) in tables.iter().enumerate() {
                    last = Some(table);
                    let Some(node) = node.indexes.get(&index) else { continue };
                    self.path.push(Crumb::Index(index));
                    if node.removes() {
                        self.remove_table(table)?;
                    } else {
                        self.table(from.child(table, self.path.len()), node)?;
                    }
                    self.path.pop();
                }
                let fresh = self.appended(node, tables.len(), item.span().as_ref())?;
                if let (Some(last), false) = (last, fresh.is_empty()) {
                    self.more_tables(from, last, &fresh);
                }
                Ok(())
            }
            Item::None => Err(self.fail(None, "is not there")),
        }
    }

    /// Walks into a value, or replaces it.
    pub(super) fn value(&mut self, value: &'t Value, node: &Node<'e>) -> Result<(), PatchError> {
        let span = value.span();
        match (value, &node.wish) {
            (Value::InlineTable(_), Some(_)) => Err(self.fail(span, "is a table, not a value")),
            (Value::InlineTable(table), None) => self.inline_table(table, node, self.path.len()),
            (Value::Array(array), Some(wish)) => {
                let pieces = list::edit(self.text, array, wish);
                let pieces = pieces.map_err(|(span, message)| self.fail(span, message))?;
                self.splices.extend(pieces);
                Ok(())
            }
            (Value::Array(array), None) => {
                self.only_indexes(value.span(), node)?;
                let mut gone = Vec::new();
                for (index, element) in array.iter().enumerate() {
                    let Some(node) = node.indexes.get(&index) else { continue };
                    self.path.push(Crumb::Index(index));
                    if node.removes() && element.is_inline_table() {
                        gone.push(index);
                    } else {
                        self.value(element, node)?;
                    }
                    self.path.pop();
                }
                let fresh = self.appended(node, array.len(), span.as_ref())?;
                let fresh: Vec<String> = fresh.iter().map(Fresh::braces).collect();
                let pieces = list::tables(self.text, array, &fresh, &gone);
                let pieces = pieces.map_err(|(span, message)| self.fail(span, message))?;
                self.splices.extend(pieces);
                Ok(())
            }
            (_, Some(Wish::Scalar(new))) => {
                if !list::same_scalar(value, new) {
                    let range = span.ok_or_else(|| self.fail(None, "has no place"))?;
                    self.splices.push(Splice::new(range, new.to_string()));
                }
                Ok(())
            }
            (_, Some(_)) => Err(self.fail(span, "is a single value, not a list")),
            (_, None) if node.keys.is_empty() => Err(self.fail(span, "is a single value, not a list")),
            (_, None) => Err(self.fail(span, "is a single value, not a table")),
        }
    }

    /// The tables that come behind the `length` ones of a list, in their order.
    pub(super) fn appended(
        &mut self,
        node: &Node<'e>,
        length: usize,
        span: Option<&Range<usize>>,
    ) -> Result<Vec<Fresh<'e>>, PatchError> {
        let mut all = Vec::new();
        for (index, node) in node.indexes.range(length..) {
            self.path.push(Crumb::Index(*index));
            let fresh = Fresh::below(self, node, span)?;
            self.path.pop();
            // A place that leaves none out, and a table with something in it.
            if *index != length + all.len() || fresh.is_empty() {
                return Err(self.too_few(span.cloned(), *index, length));
            }
            all.push(fresh);
        }
        Ok(all)
    }

    pub(super) fn only_indexes(&self, span: Option<Range<usize>>, node: &Node<'e>) -> Result<(), PatchError> {
        if node.keys.is_empty() { Ok(()) } else { Err(self.fail(span, "is a list, not a table")) }
    }

    pub(super) fn only_keys(&self, span: Option<Range<usize>>, node: &Node<'e>) -> Result<(), PatchError> {
        if node.indexes.is_empty() { Ok(()) } else { Err(self.fail(span, "is a table, not a list")) }
    }

    fn too_few(&self, span: Option<Range<usize>>, index: usize, length: usize) -> PatchError {
        self.fail(span, format!("has no element {index}, only {length}"))
    }
}
