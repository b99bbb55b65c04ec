//! Lines of a document: where they begin and end, how they are indented, and where a new one can stand.

use std::ops::Range;

use toml_edit::{Item, Key, Table, Value};

/// How many blanks to go in where the document gives no example; gitlab-runner and most editors do so.
pub(super) const UNIT: &str = "  ";

/// A part of the text; a range that is none gives nothing instead of a panic.
pub(super) fn slice(text: &str, range: Range<usize>) -> &str {
    text.get(range).unwrap_or_default()
}

/// The begin of the line that holds `offset`.
pub(super) fn line_start(text: &str, offset: usize) -> usize {
    slice(text, 0..offset).rfind('\n').map_or(0, |at| at + 1)
}

/// The end of the line that holds `offset`, before its line ending.
pub(super) fn line_end(text: &str, offset: usize) -> usize {
    let rest = slice(text, offset..text.len());
    let line = rest.split('\n').next().unwrap_or_default();
    let ended = line.len() < rest.len();
    let content = if ended { line.strip_suffix('\r').unwrap_or(line) } else { line };
    offset + content.len()
}

/// The blanks before the first word of the line that holds `offset`.
pub(super) fn indent(text: &str, offset: usize) -> &str {
    let line = slice(text, line_start(text, offset)..text.len());
    let word = line.find(|c| c != ' ' && c != '\t').unwrap_or(line.len());
    slice(line, 0..word)
}

/// The line ending to use next to a line that ends at `end`: its own, else that of the line before.
pub(super) fn line_ending(text: &str, end: usize) -> &'static str {
    let rest = slice(text, end..text.len());
    let before = slice(text, 0..end);
    let crlf = if rest.starts_with('\r') || rest.starts_with('\n') {
        rest.starts_with('\r')
    } else {
        let last = before.rfind('\n').unwrap_or(0);
        slice(before, 0..last).ends_with('\r')
    };
    if crlf { "\r\n" } else { "\n" }
}

/// Whether the line that begins at `start` holds only a comment, or only blanks.
fn comment_or_blank(text: &str, start: usize) -> (bool, bool) {
    let line = slice(text, start..line_end(text, start)).trim_start();
    (line.starts_with('#'), line.is_empty())
}

/// The begin of the comment that stands directly above a header, or of the header's own line.
pub(super) fn block_start(text: &str, table: &Table) -> usize {
    let mut start = line_start(text, header_span(table).start);
    // The parser says how far blanks and comments reach up; above may be the lines of a string.
    let prefix = table.decor().prefix().and_then(toml_edit::RawString::span);
    let top = prefix.map_or(start, |prefix| prefix.start);
    while start > top {
        let above = line_start(text, start - 1);
        if above < top || !comment_or_blank(text, above).0 {
            break;
        }
        start = above;
    }
    start
}

/// Whether a blank line stands above a header and its comment; `None` at the top of the document.
pub(super) fn blank_above(text: &str, table: &Table) -> Option<bool> {
    let start = block_start(text, table);
    (start > 0).then(|| comment_or_blank(text, line_start(text, start - 1)).1)
}

/// Goes from the end of a table's last line past the comment lines that belong to it, and not to the next header.
pub(super) fn past_own_comments(text: &str, end: usize) -> usize {
    let mut ends = vec![end];
    loop {
        let here = ends.last().copied().unwrap_or(end);
        let Some(next) = next_line(text, here) else {
            break;
        };
        match comment_or_blank(text, next) {
            (true, _) => ends.push(line_end(text, next)),
            (_, true) => break,
            _ => {
                // Directly above a header: only what is indented unlike the header stays with the table.
                let header = indent(text, next);
                while ends.len() > 1 && ends.last().is_some_and(|at| indent(text, *at) == header) {
                    ends.pop();
                }
                break;
            }
        }
    }
    ends.last().copied().unwrap_or(end)
}

/// The begin of the line behind one that ends at `end`.
pub(super) fn next_line(text: &str, end: usize) -> Option<usize> {
    let rest = slice(text, end..text.len());
    let rest = rest.strip_prefix('\r').unwrap_or(rest).strip_prefix('\n')?;
    Some(text.len() - rest.len())
}

/// Whether the table has a header of its own, `[a]` or `[[a]]`.
pub(super) fn has_header(table: &Table) -> bool {
    table.position().is_some()
}

/// The place of a table's header.
pub(super) fn header_span(table: &Table) -> Range<usize> {
    table.span().unwrap_or_default()
}

/// The headers of a table and of the tables below it, in no special order.
pub(super) fn headers<'t>(table: &'t Table, found: &mut dyn FnMut(&'t Table)) {
    if has_header(table) {
        found(table);
    }
    for (_, item) in table {
        match item {
            Item::Table(table) => headers(table, found),
            Item::ArrayOfTables(list) => list.iter().for_each(|table| headers(table, found)),
            _ => {}
        }
    }
}

/// The headers that stand first and last in the document, of the table's own and those below it.
pub(super) fn outer_headers(table: &Table) -> Option<(&Table, &Table)> {
    let mut outer: Option<(&Table, &Table)> = None;
    headers(table, &mut |table| {
        let (first, last) = outer.unwrap_or((table, table));
        let at = |table: &Table| header_span(table).start;
        outer = Some((
            if at(table) < at(first) { table } else { first },
            if at(table) > at(last) { table } else { last },
        ));
    });
    outer
}

/// Where the last `key = value` of a table's own lines begins and ends, dotted keys included.
pub(super) fn last_entry(table: &Table) -> Option<Range<usize>> {
    last_of(table.get_values())
}

/// Where the last entry of an inline table begins and ends.
pub(super) fn last_inline_entry(table: &toml_edit::InlineTable) -> Option<Range<usize>> {
    last_of(table.get_values())
}

fn last_of(values: Vec<(Vec<&Key>, &Value)>) -> Option<Range<usize>> {
    let spans = values.into_iter().filter_map(|(path, value)| {
        let key = path.last().and_then(|key| key.span())?;
        Some(key.start..value.span()?.end)
    });
    spans.max_by_key(|span| span.end)
}
