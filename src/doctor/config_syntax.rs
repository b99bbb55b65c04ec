//! Notations of TOML that gitlab-runner, or an older version of it, refuses although they are valid.

use anyhow::Result;
use toml_edit::{Item, TableLike, Value};

use super::Patient;
use crate::finding::Findings;
use crate::keys::Version;
use crate::runner_config::place_at;
use crate::text::toml_patch::Toml;

/// From here on dotted keys and a byte order mark are read: the oldest release that was looked at. 13.12
/// refuses them, those between may.
const READS_TOML_1_0: Version = Version(16, 0, 0);
/// From here on the additions of TOML 1.1 are read: the release that was looked at; some of 18 may, too.
const READS_TOML_1_1: Version = Version(19, 0, 0);

/// Look at every value's notation.
pub(super) fn look(patient: &Patient<'_>, findings: &mut Findings) -> Result<()> {
    let Some(toml) = patient.config.toml() else { return Ok(()) };
    let shown = patient.shown();
    let mut walk = Walk { toml, dotted: None, newer: Vec::new() };
    walk.table(toml.root());
    if toml.has_bom() {
        old(
            patient,
            "config-bom",
            &format!("{shown} begins with a byte order mark"),
            &format!("remove it: sed -i '1s/^\\xEF\\xBB\\xBF//' {shown}"),
            findings,
        );
    }
    if let Some(offset) = walk.dotted {
        old(
            patient,
            "config-dotted-keys",
            &format!("{shown}: {}a dotted key", place_at(toml, offset)),
            "write it under a header of its own: [runners.docker]",
            findings,
        );
    }
    for (offset, what, repair) in walk.newer {
        let message = format!(
            "{shown}: {}{what} is TOML 1.1, which gitlab-runner before {} may refuse",
            place_at(toml, offset),
            READS_TOML_1_1.0
        );
        if patient.version().is_some_and(|version| version >= READS_TOML_1_1) {
            findings.note("config-toml-1-1", message, repair);
        } else {
            findings.problem("config-toml-1-1", message, repair);
        }
    }
    if findings.is_empty() {
        findings.fine("plain TOML 1.0");
    }
    Ok(())
}

/// What only old versions refuse.
fn old(patient: &Patient<'_>, code: &str, what: &str, repair: &str, findings: &mut Findings) {
    match patient.version() {
        Some(version) if version < READS_TOML_1_0 => findings.problem(
            code,
            format!("{what}, which gitlab-runner {version} may refuse to read"),
            repair,
        ),
        Some(_) => {}
        None => findings.note(
            code,
            format!("{what}, which gitlab-runner before {} may refuse to read", READS_TOML_1_0.0),
            repair,
        ),
    }
}

struct Walk<'t> {
    toml: &'t Toml,
    /// Where the first dotted key is.
    dotted: Option<usize>,
    newer: Vec<(usize, &'static str, &'static str)>,
}

impl Walk<'_> {
    fn table(&mut self, table: &dyn TableLike) {
        for (name, item) in table.iter() {
            if item.as_table_like().is_some_and(TableLike::is_dotted) && self.dotted.is_none() {
                let key = table.key(name).and_then(toml_edit::Key::span);
                self.dotted = Some(key.map_or(0, |span| span.start));
            }
            self.item(item);
        }
    }

    fn item(&mut self, item: &Item) {
        match item {
            Item::Table(table) => self.table(table),
            Item::ArrayOfTables(tables) => tables.iter().for_each(|table| self.table(table)),
            Item::Value(value) => self.value(value),
            Item::None => {}
        }
    }

    fn value(&mut self, value: &Value) {
        let span = value.span().unwrap_or_default();
        let raw = self.toml.text().get(span.clone()).unwrap_or_default();
        match value {
            Value::Array(array) => array.iter().for_each(|value| self.value(value)),
            Value::InlineTable(table) => {
                // A dotted key makes an inline table without braces.
                if raw.starts_with('{') {
                    let inner = table.iter().filter_map(|(_, value)| value.span());
                    let own = without(raw, span.start, inner);
                    if own.contains('\n') {
                        let repair = "write that inline table on one line, or as a table of its own";
                        self.newer.push((span.start, "an inline table over several lines", repair));
                    }
                    if own
                        .trim_end()
                        .strip_suffix('}')
                        .is_some_and(|own| without_comments(own).ends_with(','))
                    {
                        let repair = "take the last comma out of that inline table";
                        self.newer.push((span.start, "a comma at the end of an inline table", repair));
                    }
                }
                self.table(table);
            }
            Value::String(_) if raw.starts_with('"') && has_new_escape(raw) => {
                let repair = "write the character as \\u and four hexadecimal digits";
                self.newer.push((span.start, "a `\\e` or `\\x` escape", repair));
            }
            Value::Datetime(_) if lacks_seconds(raw) => {
                self.newer.push((span.start, "a time without seconds", "add them: 07:30:00"));
            }
            _ => {}
        }
    }
}

/// A text without the pieces at these places.
fn without(raw: &str, start: usize, pieces: impl Iterator<Item = std::ops::Range<usize>>) -> String {
    let mut own = String::new();
    let mut from = 0;
    for piece in pieces {
        let (begin, end) = (piece.start.saturating_sub(start), piece.end.saturating_sub(start));
        own.push_str(raw.get(from..begin).unwrap_or_default());
        // Something that is neither a comma nor a space stands for the value.
        own.push('_');
        from = end.max(from);
    }
    own.push_str(raw.get(from..).unwrap_or_default());
    own
}

fn without_comments(text: &str) -> String {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    lines.collect::<String>()
}

fn has_new_escape(raw: &str) -> bool {
    let mut characters = raw.chars();
    while let Some(c) = characters.next() {
        if c == '\\' && matches!(characters.next(), Some('e' | 'x')) {
            return true;
        }
    }
    false
}

/// `07:30` where TOML 1.0 wants `07:30:00`.
fn lacks_seconds(raw: &str) -> bool {
    let Some((_, rest)) = raw.split_once(':') else { return false };
    // The two digits of the minute, then a second colon or not; an offset has a colon, too.
    rest.get(2..3) != Some(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> (bool, usize) {
        let toml = Toml::parse(text.as_bytes()).unwrap();
        let mut walk = Walk { toml: &toml, dotted: None, newer: Vec::new() };
        walk.table(toml.root());
        (walk.dotted.is_some(), walk.newer.len())
    }

    #[test]
    fn only_what_is_new_is_found() {
        for (text, expected) in [
            ("a = { b = 1, c = [\n 1,\n 2,\n] } # {\n\n", (false, 0)),
            ("a = { b = \"\"\"\nx,\n\"\"\" }", (false, 0)),
            ("a = { b = \"},\" }", (false, 0)),
            ("a = { b = 1,\n c = 2 }", (false, 1)),
            ("a = { b = 1, }", (false, 1)),
            ("a = { b = 1, # x\n}", (false, 2)),
            ("a = [{ b = { c = 1, } }]", (false, 1)),
            ("a = \"\\e[0m\"", (false, 1)),
            ("a = \"\\x41\"", (false, 1)),
            ("a = \"\\\\e\"", (false, 0)),
            ("a = '\\e'", (false, 0)),
            ("a = 07:30", (false, 1)),
            ("a = 2024-01-01T07:30Z", (false, 1)),
            ("a = 2024-01-01T07:30:00+01:00", (false, 0)),
            ("a = 2024-01-01", (false, 0)),
            ("a.b = 1", (true, 0)),
            ("x = { a.b = 1 }", (true, 0)),
            ("[a.b]\nc = 1", (false, 0)),
        ] {
            assert_eq!(found(text), expected, "{text}");
        }
    }
}
