//! How new headers and keys look: like their neighbours, else like gitlab-runner's own files.

use toml_edit::{Item, Table};

use super::layout::{self, UNIT};

/// How a new header and the keys below it look.
pub(super) struct HeaderStyle {
    /// The blanks before the header.
    pub(super) header: String,
    /// How much further in than the header its keys go.
    pub(super) unit: String,
    /// Whether a blank line stands above the header.
    pub(super) blank_above: bool,
}

impl HeaderStyle {
    /// How a new table below `parent` should look.
    pub(super) fn below(text: &str, parent: &Table, is_root: bool) -> Self {
        let indent = |offset| layout::indent(text, offset).to_owned();
        let header_start = |table: &Table| layout::header_span(table).start;
        let unit = unit(text, Some(parent));
        let sibling = sibling(parent);
        let header = if let Some(sibling) = sibling {
            indent(header_start(sibling))
        } else if is_root {
            String::new()
        } else if let Some(entry) = layout::last_entry(parent) {
            indent(entry.start)
        } else if layout::has_header(parent) {
            indent(header_start(parent)) + &unit
        } else {
            let headers = layout::outer_headers(parent);
            headers.map_or(String::new(), |(first, _)| indent(header_start(first)))
        };
        let blank_above = sibling
            .and_then(|sibling| layout::blank_above(text, sibling))
            .unwrap_or(is_root || unit.is_empty());
        let unit = sibling.and_then(|sibling| own_unit(text, sibling)).map_or(unit, str::to_owned);
        Self { header, unit, blank_above }
    }

    /// How a new table behind `last` should look, which is the last one of a list.
    pub(super) fn like(text: &str, last: &Table, is_root: bool) -> Self {
        let unit = unit(text, Some(last));
        Self {
            header: layout::indent(text, layout::header_span(last).start).to_owned(),
            blank_above: layout::blank_above(text, last).unwrap_or(is_root || unit.is_empty()),
            unit,
        }
    }
}

/// How much further in than a header of `table` its keys go.
pub(super) fn unit(text: &str, table: Option<&Table>) -> String {
    let own = table.and_then(|table| own_unit(text, table));
    own.unwrap_or(UNIT).to_owned()
}

fn own_unit<'t>(text: &'t str, table: &Table) -> Option<&'t str> {
    let table = Some(table).filter(|table| layout::has_header(table))?;
    let entry = layout::last_entry(table)?;
    let header = layout::indent(text, layout::header_span(table).start);
    layout::indent(text, entry.start).strip_prefix(header)
}

/// The last table directly below `parent` that has a header.
fn sibling(parent: &Table) -> Option<&Table> {
    let tables = parent.iter().filter_map(|(_, item)| match item {
        Item::Table(table) => Some(table),
        Item::ArrayOfTables(tables) => tables.get(tables.len().checked_sub(1)?),
        _ => None,
    });
    let headed = tables.filter(|table| layout::has_header(table));
    headed.max_by_key(|table| layout::header_span(table).start)
}
