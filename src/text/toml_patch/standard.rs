//! New keys in tables with headers, and new headers.

use toml_edit::{Item, Table};

use super::edit::{PatchError, Step};
use super::new_entries::NewEntries;
use super::style::{self, HeaderStyle};
use super::target::Node;
use super::walk::{Splice, Walk};
use super::{layout, quote, remove};

/// Ranks of pieces at one place: keys of the document's root before any header, a table's keys before new
/// headers, and headers of deeper tables before those of outer ones.
const RANK_ROOT_KEY: i64 = -1;
const RANK_NEW_HEADER: i64 = 1_000_000;

/// A table of the document and what surrounds it.
#[derive(Clone, Copy)]
pub(super) struct TablePlace<'t> {
    table: &'t Table,
    parent: Option<&'t Table>,
    /// The length of the path at the header, or at the root, under which dotted keys of this table stand.
    owner: usize,
}

impl<'t> TablePlace<'t> {
    pub(super) fn root(table: &'t Table) -> Self {
        Self { table, parent: None, owner: 0 }
    }

    /// The place of a table below this one, `depth` steps from the root.
    pub(super) fn child(&self, table: &'t Table, depth: usize) -> Self {
        Self { table, parent: Some(self.table), owner: if table.is_dotted() { self.owner } else { depth } }
    }

    fn is_root(&self) -> bool {
        self.parent.is_none()
    }
}

/// Where new lines go.
enum InsertPoint {
    /// Behind the line that ends at this offset.
    After(usize),
    /// In front of the line that begins at this offset.
    Before(usize),
}

impl<'t> Walk<'t> {
    /// Walks into a table, and writes the keys and tables that it lacks.
    pub(super) fn table(&mut self, place: TablePlace<'t>, node: &Node<'_>) -> Result<(), PatchError> {
        let table = place.table;
        if node.target.is_some() {
            return Err(self.fail(table.span(), "is a table, not a value"));
        }
        self.only_keys(table.span(), node)?;
        let mut fresh = NewEntries::default();
        for (key, node) in &node.keys {
            self.path.push(Step::from(*key));
            match table.get_key_value(key) {
                Some((key, Item::Value(value))) if node.takes(value) => self.remove_line(key, value)?,
                Some((_, item)) => self.item(&place, item, node)?,
                None => fresh.add(self, key, node, table.span().as_ref())?,
            }
            self.path.pop();
        }
        if fresh.is_empty() {
            if remove::is_emptied(table, node) {
                if place.is_root() {
                    self.remove_blank(table);
                } else if node.unmakes && layout::has_header(table) {
                    self.remove_header(table);
                }
            }
            return Ok(());
        }
        if table.is_dotted() {
            self.body_lines(place, fresh.entries(&self.dotted_prefix(place.owner), true));
            return Ok(());
        }
        let values = std::mem::take(&mut fresh.values);
        let below = std::mem::replace(&mut fresh, NewEntries { values, ..NewEntries::default() });
        if !fresh.is_empty() {
            if place.is_root() || layout::has_header(table) {
                self.body_lines(place, fresh.entries("", true));
            } else {
                self.missing_header(place, &fresh);
            }
        }
        if !below.is_empty() {
            self.new_tables(place, &below);
        }
        Ok(())
    }

    /// Writes keys after the last one of the table's own lines.
    fn body_lines(&mut self, place: TablePlace<'t>, mut entries: Vec<String>) {
        let table = place.table;
        let (spot, indent) = if let Some(last) = layout::last_entry(table) {
            let indent = layout::indent(self.text, last.start).to_owned();
            (InsertPoint::After(layout::line_end(self.text, last.end)), indent)
        } else if layout::has_header(table) {
            let span = layout::header_span(table);
            let unit = style::unit(self.text, place.parent);
            let indent = layout::indent(self.text, span.start).to_owned() + &unit;
            (InsertPoint::After(layout::line_end(self.text, span.end)), indent)
        } else if let Some((first, _)) = layout::outer_headers(table) {
            entries.push(String::new());
            let start = layout::block_start(self.text, first);
            self.lines(&InsertPoint::Before(start), RANK_ROOT_KEY, &entries);
            return;
        } else {
            (self.end_of_document(), String::new())
        };
        let entries: Vec<String> = entries.iter().map(|entry| format!("{indent}{entry}")).collect();
        self.lines(&spot, 0, &entries);
    }

    /// Writes the header of a table that only tables below it brought into being, in front of the first of them.
    fn missing_header(&mut self, place: TablePlace<'t>, fresh: &NewEntries<'_>) {
        let Some((first, _)) = layout::outer_headers(place.table) else {
            return;
        };
        let style = HeaderStyle::below(self.text, place.parent.unwrap_or(place.table), false);
        let mut new = Headers { style: &style, lines: Vec::new() };
        new.table(&self.header_path(), fresh, &style.header);
        if layout::blank_above(self.text, first) == Some(true) {
            new.lines.push(String::new());
        }
        let spot = InsertPoint::Before(layout::block_start(self.text, first));
        self.lines(&spot, self.depth(), &new.lines);
    }

    /// Writes new tables after everything that the table holds.
    fn new_tables(&mut self, place: TablePlace<'t>, fresh: &NewEntries<'_>) {
        let style = HeaderStyle::below(self.text, place.table, place.is_root());
        let mut new = Headers { style: &style, lines: Vec::new() };
        let header = self.header_path();
        for (key, below) in &fresh.tables {
            if style.blank_above {
                new.lines.push(String::new());
            }
            new.table(&child(&header, key), below, &style.header);
        }
        for (key, list) in &fresh.lists {
            new.list(&child(&header, key), list, &style.header);
        }
        self.headers_behind(place.table, &new.lines);
    }

    /// Writes new tables behind the last one of a list of tables.
    pub(super) fn more_tables(&mut self, from: &TablePlace<'t>, last: &'t Table, fresh: &[NewEntries<'_>]) {
        let style = HeaderStyle::like(self.text, last, from.is_root());
        let mut new = Headers { style: &style, lines: Vec::new() };
        new.list(&self.header_path(), fresh, &style.header);
        self.headers_behind(last, &new.lines);
    }

    /// Writes lines that begin with a header after everything that a table holds.
    fn headers_behind(&mut self, table: &'t Table, lines: &[String]) {
        let last = layout::outer_headers(table).map_or(table, |(_, last)| last);
        let end = match layout::last_entry(last) {
            Some(entry) => Some(entry.end),
            None => layout::has_header(last).then(|| layout::header_span(last).end),
        };
        let spot = match end {
            Some(end) => {
                let end = layout::line_end(self.text, end);
                InsertPoint::After(layout::past_own_comments(self.text, end))
            }
            None => self.end_of_document(),
        };
        self.lines(&spot, RANK_NEW_HEADER - self.depth(), lines);
    }

    fn header_path(&self) -> Vec<String> {
        let keys = self.path.iter().filter_map(|step| match step {
            Step::Key(key) => Some(quote::key(key)),
            Step::Index(_) => None,
        });
        keys.collect()
    }

    fn depth(&self) -> i64 {
        i64::try_from(self.path.len()).unwrap_or(i64::MAX)
    }

    /// The end of a document that has no key and no header.
    fn end_of_document(&self) -> InsertPoint {
        let end = self.text.len();
        if self.text.is_empty() || self.text.ends_with('\n') {
            InsertPoint::Before(end)
        } else {
            InsertPoint::After(end)
        }
    }

    fn lines(&mut self, spot: &InsertPoint, rank: i64, lines: &[String]) {
        let mut text = String::new();
        let at = match *spot {
            InsertPoint::After(end) => {
                let ending = layout::line_ending(self.text, end);
                text.extend(lines.iter().flat_map(|line| [ending, line.as_str()]));
                end
            }
            InsertPoint::Before(start) => {
                let end = layout::line_end(self.text, start);
                let ending = layout::line_ending(self.text, end);
                text.extend(lines.iter().flat_map(|line| [line.as_str(), ending]));
                start
            }
        };
        let range = at..at;
        self.splices.push(Splice { range, rank, text });
    }
}

/// The keys of a header one step further down.
fn child(header: &[String], key: &str) -> Vec<String> {
    [header, &[quote::key(key)]].concat()
}

/// The lines of new tables, as they are put together.
struct Headers<'s> {
    style: &'s HeaderStyle,
    lines: Vec<String>,
}

impl Headers<'_> {
    /// The header and the keys of a new table, and of the new tables below it.
    fn table(&mut self, path: &[String], fresh: &NewEntries<'_>, indent: &str) {
        if !fresh.values.is_empty() {
            self.lines.push(format!("{indent}[{}]", path.join(".")));
        }
        self.below(path, fresh, indent);
    }

    /// The headers and the keys of the new tables of a list, and of the new tables below them.
    fn list(&mut self, path: &[String], list: &[NewEntries<'_>], indent: &str) {
        for fresh in list {
            // A blank line, unless the table above brought one.
            if self.style.blank_above && self.lines.last().is_none_or(|line| !line.is_empty()) {
                self.lines.push(String::new());
            }
            self.lines.push(format!("{indent}[[{}]]", path.join(".")));
            self.below(path, fresh, indent);
        }
    }

    /// What stands below a header.
    fn below(&mut self, path: &[String], fresh: &NewEntries<'_>, indent: &str) {
        let inner = format!("{indent}{}", self.style.unit);
        for (key, value) in &fresh.values {
            self.lines.push(format!("{inner}{} = {value}", quote::key(key)));
        }
        for (key, below) in &fresh.tables {
            self.table(&child(path, key), below, &inner);
        }
        for (key, list) in &fresh.lists {
            self.list(&child(path, key), list, &inner);
        }
    }
}
