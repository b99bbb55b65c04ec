//! Keys that go: a line of a table, or an entry between braces.

use std::ops::Range;

use toml_edit::{InlineTable, Key, Table, Value};

use super::edit::PatchError;
use super::layout::{self, line_end, line_start, slice};
use super::target::Node;
use super::walk::{Splice, Walk};

/// True when no key of a table is left, of those that stand below its own header.
pub(super) fn is_emptied(table: &Table, node: &Node<'_>) -> bool {
    table.get_values().into_iter().all(|(path, value)| {
        let node = path.iter().try_fold(node, |node, key| node.key(key.get()));
        node.is_some_and(|node| node.takes(value))
    })
}

impl Walk<'_> {
    /// Takes `key = value` off its line, and the line with it if nothing else is on it.
    pub(super) fn remove_line(&mut self, key: &Key, value: &Value) -> Result<(), PatchError> {
        let span = key.span().zip(value.span());
        let (key, value) = span.ok_or_else(|| self.fail(None, "has no place"))?;
        self.remove_words(key.start..value.end);
        Ok(())
    }

    /// Takes a table of a list away: its header and its keys, each with its line. Comments stay.
    pub(super) fn remove_table(&mut self, table: &Table) -> Result<(), PatchError> {
        let mut headers = 0;
        layout::headers(table, &mut |_| headers += 1);
        if headers != 1 {
            return Err(self.fail(table.span(), "holds other tables"));
        }
        for (path, value) in table.get_values() {
            let key = path.first().ok_or_else(|| self.fail(table.span(), "has no place"))?;
            self.remove_line(key, value)?;
        }
        self.remove_header(table);
        Ok(())
    }

    /// Takes the header of a table that is left without keys.
    pub(super) fn remove_header(&mut self, table: &Table) {
        let header = layout::header_span(table);
        let start = line_start(self.text, header.start);
        let end = layout::last_entry(table).map_or(header.end, |last| last.end);
        self.remove_words(header);
        let no_comment = layout::block_start(self.text, table) == start;
        let is_parted = no_comment && layout::blank_above(self.text, table) == Some(true);
        self.gone.push((start..line_end(self.text, end), is_parted));
    }

    /// Takes the blank lines that parted the tables that go from what stands above, where another one stands below.
    pub(super) fn close_gaps(&mut self) {
        let mut gone = std::mem::take(&mut self.gone);
        gone.sort_by_key(|(block, _)| block.start);
        let mut blocks = gone.into_iter().peekable();
        while let Some((Range { start, mut end }, is_parted)) = blocks.next() {
            // Those that stand side by side leave one gap.
            while let Some((more, _)) =
                blocks.next_if(|(more, _)| layout::next_line(self.text, end) == Some(more.start))
            {
                end = more.end;
            }
            let blank_below = layout::next_line(self.text, end)
                .is_none_or(|next| slice(self.text, next..line_end(self.text, next)).trim().is_empty());
            if is_parted && blank_below {
                let above = line_start(self.text, start - 1);
                self.splices.push(Splice::new(above..start, String::new()));
            }
        }
    }

    /// Takes the blank line that parted the keys of the root, which all go, from the first header.
    pub(super) fn remove_blank(&mut self, root: &Table) {
        let Some(last) = layout::last_entry(root) else { return };
        let Some(next) = layout::next_line(self.text, line_end(self.text, last.end)) else { return };
        let end = line_end(self.text, next);
        if let (Some(after), true) =
            (layout::next_line(self.text, end), slice(self.text, next..end).trim().is_empty())
        {
            self.splices.push(Splice::new(next..after, String::new()));
        }
    }

    /// Takes a piece off its lines, and the lines with it if nothing else is on them.
    fn remove_words(&mut self, words: Range<usize>) {
        let start = line_start(self.text, words.start);
        let end = line_end(self.text, words.end);
        let rest = slice(self.text, words.end..end);
        let comment = rest.trim_start_matches([' ', '\t']);
        let range = if !comment.is_empty() {
            let line = slice(self.text, start..words.end);
            let indent = line.len() - line.trim_start_matches([' ', '\t']).len();
            start + indent..end - comment.len()
        } else if end < self.text.len() {
            let ending = if slice(self.text, end..self.text.len()).starts_with('\r') { 2 } else { 1 };
            start..end + ending
        } else {
            // The last line has no ending: the one before it becomes like it.
            let above = slice(self.text, 0..start);
            let above = above.strip_suffix('\n').unwrap_or(above);
            above.strip_suffix('\r').unwrap_or(above).len()..end
        };
        self.splices.push(Splice::new(range, String::new()));
    }

    /// Takes entries out of an inline table, each with one comma.
    pub(super) fn remove_entries(&mut self, table: &InlineTable, node: &Node<'_>) -> Result<(), PatchError> {
        if !node.keys.iter().any(|(key, node)| table.get(key).is_some_and(|value| node.takes(value))) {
            return Ok(());
        }
        if table.is_dotted() {
            return Err(self.fail(table.span(), "is written with dotted keys between braces"));
        }
        let mut entries = Vec::new();
        for (path, value) in table.get_values() {
            let span = path.first().and_then(|key| key.span()).zip(value.span());
            let (first, last) = span.ok_or_else(|| self.fail(table.span(), "has no place"))?;
            let goes = match path[..] {
                [key] => node.key(key.get()).is_some_and(|node| node.takes(value)),
                _ => false,
            };
            entries.push((first.start..last.end, goes));
        }
        entries.sort_by_key(|(span, _)| span.start);
        let mut kept_before: Option<usize> = None;
        let mut run: Option<Range<usize>> = None;
        for (span, goes) in &entries {
            if *goes {
                run = Some(run.map_or(span.start, |run| run.start)..span.end);
                continue;
            }
            if let Some(run) = run.take() {
                let range = kept_before.map_or(run.start..span.start, |end| end..run.end);
                self.splices.push(Splice::new(range, String::new()));
            }
            kept_before = Some(span.end);
        }
        if let Some(run) = run {
            match kept_before {
                Some(end) => self.splices.push(Splice::new(end..run.end, String::new())),
                None => self.remove_all(&run),
            }
        }
        Ok(())
    }

    /// All entries with the blanks in front of them and a comma behind the last one, which is TOML 1.1, as a comment
    /// before that comma, which stays.
    fn remove_all(&mut self, entries: &Range<usize>) {
        let start = slice(self.text, 0..entries.start).trim_end_matches([' ', '\t']).len();
        let mut rest = slice(self.text, entries.end..self.text.len()).trim_start();
        let at = |rest: &str| self.text.len() - rest.len();
        let has_comment = rest.starts_with('#');
        while rest.starts_with('#') {
            rest = rest.find('\n').map_or("", |end| rest.split_at(end).1).trim_start();
        }
        let comma = rest.starts_with(',').then(|| at(rest));
        let end = comma.filter(|_| !has_comment).map_or(entries.end, |comma| comma + 1);
        self.splices.push(Splice::new(start..end, String::new()));
        if let Some(comma) = comma.filter(|_| has_comment) {
            self.splices.push(Splice::new(comma..comma + 1, String::new()));
        }
    }
}
