//! A long list of tables, one `[[name]]` block after the other.
//!
//! A document of 50,000 runners as one tree costs forty times its size in memory. Its blocks can be parsed,
//! edited and checked each alone, where that means the same as the whole. It does when
//!
//! - every part is a TOML document by itself, so that no string or list reaches over a cut, and reading the parts
//!   one after the other is reading the whole;
//! - the part before the first block does not have the name at all, and every block has nothing but one element of
//!   the list: then no key of one part can meet one of another, and each header below `[[name]]` is about the
//!   element of its own block, the last one so far.
//!
//! Any other document, and any error, is for [`Toml::parse`] and [`Toml::patch`]: nothing here explains itself.

use std::ops::Range;

use super::document::{self, Toml};
use super::edit::{Edit, Patched};
use super::layout;
use super::verify;
use super::walk::Walk;

/// A document cut in front of its `[[name]]` lines.
#[derive(Clone, Copy)]
struct Source<'t> {
    text: &'t str,
    name: &'t str,
}

/// The blocks of a document, which borrow its text.
pub struct Parts<'t> {
    source: Source<'t>,
    bom: bool,
    /// Where each block begins, and the end of the text.
    cuts: Vec<usize>,
}

impl<'t> Parts<'t> {
    /// Cuts a document; `None` where there is no such block, or the blocks can't be taken alone.
    #[must_use]
    pub fn cut(bytes: &'t [u8], name: &'t str) -> Option<Self> {
        let (text, bom) = document::decode(bytes).ok()?;
        let header = format!("[[{name}]]");
        let begins = |(at, _): (usize, &str)| {
            let start = layout::line_start(text, at);
            text.get(start..at)?.bytes().all(|byte| byte == b' ' || byte == b'\t').then_some(start)
        };
        let mut cuts: Vec<usize> = text.match_indices(&header).filter_map(begins).collect();
        let head = text.get(..*cuts.first()?)?;
        // Where a block has no line ending of its own, a new line takes that of the block before.
        let last = text.get(*cuts.last()?..)?;
        if !last.contains('\n') || Toml::of(head, false).ok()?.root().contains_key(name) {
            return None;
        }
        cuts.push(text.len());
        Some(Self { source: Source { text, name }, bom, cuts })
    }

    /// Whether the text began with a byte order mark.
    #[must_use]
    pub fn has_bom(&self) -> bool {
        self.bom
    }

    /// The number of blocks.
    #[must_use]
    pub fn count(&self) -> usize {
        self.cuts.len() - 1
    }

    /// What stands before the first block, as a document.
    #[must_use]
    pub fn head(&self) -> Option<Toml> {
        Toml::of(self.source.text.get(..*self.cuts.first()?)?, false).ok()
    }

    /// One block as a document: its list has this one element. `None` when it can't be taken alone.
    #[must_use]
    pub fn block(&self, index: usize) -> Option<Toml> {
        self.source.block(self.source.text.get(self.range(index)?)?)
    }

    /// True for bytes that are a document, without ever holding all of it as a tree where that is not needed.
    #[must_use]
    pub fn is_document(bytes: &'t [u8], name: &'t str) -> bool {
        let by_blocks = |parts: Self| (0..parts.count()).all(|index| parts.block(index).is_some());
        Self::cut(bytes, name).is_some_and(by_blocks) || Toml::parse(bytes).is_ok()
    }

    /// An empty copy of the document, to be written block by block.
    #[must_use]
    pub fn copy(&self) -> PartsCopy<'_, 't> {
        let mut patched = Patched { text: String::with_capacity(self.source.text.len()) };
        if self.bom {
            patched.text.push(document::BYTE_ORDER_MARK);
        }
        PartsCopy { parts: self, patched, done: 0 }
    }

    fn range(&self, index: usize) -> Option<Range<usize>> {
        Some(*self.cuts.get(index)?..*self.cuts.get(index + 1)?)
    }
}

impl Source<'_> {
    fn block(&self, text: &str) -> Option<Toml> {
        let toml = Toml::of(text, false).ok()?;
        let root = toml.root();
        let list = root.get(self.name)?.as_array_of_tables()?;
        (root.len() == 1 && list.len() == 1).then_some(toml)
    }
}

/// The document with edits in some of its blocks.
pub struct PartsCopy<'p, 't> {
    parts: &'p Parts<'t>,
    patched: Patched,
    /// How much of the source it has, in bytes.
    done: usize,
}

impl PartsCopy<'_, '_> {
    /// Makes edits in a block, whose own list has one element. The blocks must come in their order. Returns the new
    /// block, which was parsed and has exactly the wanted values.
    #[must_use]
    pub fn patch(&mut self, index: usize, block: &Toml, edits: &[Edit]) -> Option<Toml> {
        let source = self.parts.source;
        let Range { start, end } = self.parts.range(index)?;
        // With all that follows, because the layout of a line can depend on the next one.
        let mut walk = Walk::new(source.text.get(start..)?);
        let wanted = block.wanted(edits).ok()?;
        walk.root(block.root(), &wanted).ok()?;
        let mut text = String::new();
        walk.splice(end - start, &mut text).ok()?;
        // The next block begins on a line of its own.
        let is_last = end == source.text.len();
        let after = source.block(&text).filter(|_| is_last || text.ends_with('\n'))?;
        verify::compare(block.text(), block.root(), after.root(), &wanted).ok()?;
        self.patched.text.push_str(source.text.get(self.done..start)?);
        self.patched.text.push_str(&text);
        self.done = end;
        Some(after)
    }

    /// The whole new document.
    #[must_use]
    pub fn finish(mut self) -> Option<Patched> {
        self.patched.text.push_str(self.parts.source.text.get(self.done..)?);
        Some(self.patched)
    }
}
