//! New keys in inline tables, `{ a = 1 }`.

use toml_edit::{InlineTable, Value};

use super::edit::{PatchError, Step};
use super::layout::{last_inline_entry, slice};
use super::new_entries::NewEntries;
use super::quote;
use super::target::Node;
use super::walk::{Splice, Walk};

impl<'t> Walk<'t> {
    /// Walks into an inline table, and writes the keys that it lacks after its last one.
    ///
    /// Line breaks and a comma before the brace are TOML 1.1: they stay where they are, and none is added.
    /// `braces` is the length of the path at the enclosing braces.
    pub(super) fn inline_table(
        &mut self,
        table: &'t InlineTable,
        node: &Node<'_>,
        braces: usize,
    ) -> Result<(), PatchError> {
        self.only_keys(table.span(), node)?;
        let mut fresh = NewEntries::default();
        for (key, node) in &node.keys {
            self.path.push(Step::from(*key));
            match table.get(key) {
                Some(Value::InlineTable(below)) if below.is_dotted() && node.target.is_none() => {
                    self.inline_table(below, node, braces)?;
                }
                // With the others, below.
                Some(value) if node.takes(value) => {}
                Some(value) => self.value(value, node)?,
                None => fresh.add(self, key, node, table.span().as_ref())?,
            }
            self.path.pop();
        }
        self.remove_entries(table, node)?;
        if fresh.is_empty() {
            return Ok(());
        }
        let prefix = self.dotted_prefix(braces);
        let entries = fresh.entries(&prefix, false).join(", ");
        let piece = if let Some(last) = last_inline_entry(table) {
            Splice::new(last.end..last.end, format!(", {entries}"))
        } else {
            let span = table.span().ok_or_else(|| self.fail(None, "has no place"))?;
            let open = span.start + 1;
            let blank = slice(self.text, open..span.end).starts_with([' ', '\t', '\r', '\n']);
            let tail = if blank { "" } else { " " };
            Splice::new(open..open, format!(" {entries}{tail}"))
        };
        self.splices.push(piece);
        Ok(())
    }

    /// The keys of the path from a depth on, as they stand before a dotted key.
    pub(super) fn dotted_prefix(&self, depth: usize) -> String {
        let below = self.path.get(depth..).unwrap_or_default();
        let keys = below.iter().filter_map(|step| match step {
            Step::Key(key) => Some(quote::key(key) + "."),
            Step::Index(_) => None,
        });
        keys.collect()
    }
}
