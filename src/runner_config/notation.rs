//! Notations of TOML that older versions of gitlab-runner refuse although they are valid.

use std::ops::Range;

use toml_edit::{Item, TableLike, Value};

use crate::keys::Version;
use crate::repair::Repair;
use crate::text::toml_patch::Toml;

const OLDEST: Version = Version(0, 0, 0);
/// From here on TOML 1.0 is read (BurntSushi/toml 1.2; 0.3 before).
const READS_TOML_1_0: Version = Version(15, 9, 0);
/// From here on the additions of TOML 1.1 are read (BurntSushi/toml 1.6; 1.4 before).
const READS_TOML_1_1: Version = Version(18, 9, 0);

/// One such notation in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notation {
    /// Stable identifier.
    pub code: &'static str,
    /// What it is.
    pub what: &'static str,
    /// Where, in bytes; `None` for the file as a whole.
    pub offset: Option<usize>,
    /// What to do.
    pub repair: Repair,
    /// The versions of gitlab-runner that refuse it.
    refused: Range<Version>,
}

impl Notation {
    /// Who refuses to read it, where that is the version that runs, or may be.
    pub fn who_refuses(&self, version: Option<Version>) -> Option<String> {
        let Range { start, end } = self.refused;
        match version {
            Some(version) => self.refused.contains(&version).then(|| format!("gitlab-runner {version}")),
            None if start == OLDEST => Some(format!("gitlab-runner before {end}")),
            None => Some(format!("gitlab-runner from {start} until {end}")),
        }
    }
}

/// All in a file that people know as `shown`; of the dotted keys the first.
pub fn notations(toml: &Toml, shown: &str) -> Vec<Notation> {
    let mut walk = NotationWalk { toml, dotted: None, newer: Vec::new() };
    walk.table(toml.root());
    let bom = toml.has_bom().then(|| Notation {
        code: "config-bom",
        what: "a byte order mark at its beginning",
        offset: None,
        repair: mend!("remove it: $ sed -i '1s/^\\xEF\\xBB\\xBF//' {}", crate::fault::quoted(shown)),
        refused: OLDEST..READS_TOML_1_0,
    });
    let dotted = walk.dotted.map(|offset| Notation {
        code: "config-dotted-keys",
        what: "a dotted key",
        offset: Some(offset),
        repair: "write it under a header of its own: [runners.docker]".into(),
        refused: OLDEST..READS_TOML_1_0,
    });
    bom.into_iter().chain(dotted).chain(walk.newer).collect()
}

struct NotationWalk<'t> {
    toml: &'t Toml,
    /// Where the first dotted key is.
    dotted: Option<usize>,
    newer: Vec<Notation>,
}

impl NotationWalk<'_> {
    fn table(&mut self, table: &dyn TableLike) {
        for (name, item) in table.iter() {
            if item.as_table_like().is_some_and(TableLike::is_dotted) && self.dotted.is_none() {
                let key = table.key(name).and_then(toml_edit::Key::span);
                self.dotted = Some(key.map_or(0, |span| span.start));
            }
            self.item(item);
        }
    }

    fn newer(&mut self, offset: usize, refused: Range<Version>, what: &'static str, repair: &'static str) {
        let is_1_0 = refused.end == READS_TOML_1_0;
        let newest =
            Notation { code: "config-toml-1-1", what, offset: Some(offset), repair: repair.into(), refused };
        self.newer.push(if is_1_0 { Notation { code: "config-toml-1-0", ..newest } } else { newest });
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
        let (by_1_0, by_1_1) = (OLDEST..READS_TOML_1_0, OLDEST..READS_TOML_1_1);
        let mut newer = |refused, what, repair| self.newer(span.start, refused, what, repair);
        match value {
            Value::Array(array) => {
                let types = || array.iter().map(Value::type_name);
                if types().any(|one| types().next() != Some(one)) {
                    newer(by_1_0, "a list of values of several types", "let its elements be of one type");
                }
                array.iter().for_each(|value| self.value(value));
            }
            Value::InlineTable(table) => {
                // A dotted key makes an inline table without braces.
                if raw.starts_with('{') {
                    let inner = table.iter().filter_map(|(_, value)| value.span());
                    let own = without(raw, span.start, inner);
                    if own.contains('\n') {
                        let repair = "write that inline table on one line, or as a table of its own";
                        newer(by_1_1, "an inline table over several lines", repair);
                    }
                    if own
                        .trim_end()
                        .strip_suffix('}')
                        .is_some_and(|own| without_comments(own).ends_with(','))
                    {
                        // What read TOML before 1.0 did not mind.
                        let repair = "take the last comma out of that inline table";
                        let refused = READS_TOML_1_0..READS_TOML_1_1;
                        newer(refused, "a comma at the end of an inline table", repair);
                    }
                }
                self.table(table);
            }
            Value::String(_) if raw.starts_with('"') && has_new_escape(raw) => {
                let repair = "write the character as \\u and four hexadecimal digits";
                newer(by_1_1, "a `\\e` or `\\x` escape", repair);
            }
            Value::String(_) if is_new_text(raw) => {
                let what = "quotes at the end of a text over several lines, or a space behind a `\\` there";
                newer(
                    by_1_0,
                    what,
                    "write the quotes as \\u0022 or \\u0027, and let the line end with the `\\`",
                );
            }
            Value::Integer(_) if raw.contains(['x', 'o', 'b']) => {
                newer(by_1_0, "a number that is not decimal", "write it in decimal notation");
            }
            Value::Float(number) if !number.value().is_finite() => {
                newer(by_1_0, "a number without end", "write a number, or take it out");
            }
            Value::Datetime(_) if lacks_seconds(raw) => {
                newer(by_1_1, "a time without seconds", "add them: 07:30:00");
            }
            Value::Datetime(_) if raw.contains(':') && (!raw.contains('T') || raw.contains('z')) => {
                let repair = "write it as 2030-01-31T00:00:00Z";
                newer(
                    by_1_0,
                    "a time without a date, without a T before it, or with a small z behind it",
                    repair,
                );
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

/// A text over several lines whose last characters are quotes, or with a line that ends with `\\` and spaces.
fn is_new_text(raw: &str) -> bool {
    let quote = raw.get(..1).unwrap_or_default();
    let inner = [quote; 3].concat();
    let Some(inner) = raw.strip_prefix(&inner).and_then(|raw| raw.strip_suffix(&inner)) else { return false };
    let is_continued = |line: &str| {
        let line = line.trim_end_matches([' ', '\t', '\r']);
        line.chars().rev().take_while(|c| *c == '\\').count() % 2 == 1
    };
    let is_ended = |line: &str| line.ends_with([' ', '\t', '\r']) && is_continued(line);
    inner.ends_with(quote) || (quote == "\"" && inner.split('\n').any(is_ended))
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
        let mut walk = NotationWalk { toml: &toml, dotted: None, newer: Vec::new() };
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
