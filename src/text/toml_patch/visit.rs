//! The walk over a document and the edits, from the root down.

use toml_edit::{Item, Value};

use super::edit::{PatchError, Step};
use super::list;
use super::new_entries::{self, NewEntries};
use super::standard::TablePlace;
use super::target::{EditTarget, Node};
use super::walk::{Splice, Walk};

impl<'t> Walk<'t> {
    /// Walks into something that a table holds.
    pub(super) fn item(
        &mut self,
        from: &TablePlace<'t>,
        item: &'t Item,
        node: &Node<'_>,
    ) -> Result<(), PatchError> {
        match item {
            Item::Value(value) => self.value(value, node),
            Item::Table(table) => self.table(from.child(table, self.path.len()), node),
            Item::ArrayOfTables(_) if node.target.is_some() => {
                Err(self.fail(item.span(), "is a list of tables, not a value"))
            }
            Item::ArrayOfTables(tables) => {
                self.only_indexes(item.span(), node)?;
                let mut last = None;
                for (index, table) in tables.iter().enumerate() {
                    last = Some(table);
                    let Some(node) = node.indexes.get(&index) else { continue };
                    self.path.push(Step::Index(index));
                    if node.removes() {
                        self.remove_table(table)?;
                    } else {
                        self.table(from.child(table, self.path.len()), node)?;
                    }
                    self.path.pop();
                }
                let fresh = new_entries::appended(self, node, tables.len(), item.span().as_ref())?;
                if let (Some(last), false) = (last, fresh.is_empty()) {
                    self.more_tables(from, last, &fresh);
                }
                Ok(())
            }
            Item::None => Err(self.fail(None, "is not there")),
        }
    }

    /// Walks into a value, or replaces it.
    pub(super) fn value(&mut self, value: &'t Value, node: &Node<'_>) -> Result<(), PatchError> {
        let span = value.span();
        match (value, &node.target) {
            (Value::InlineTable(_), Some(_)) => Err(self.fail(span, "is a table, not a value")),
            (Value::InlineTable(table), None) => self.inline_table(table, node, self.path.len()),
            (Value::Array(array), Some(target)) => {
                let pieces = list::edit(self.text, array, target);
                let pieces = pieces.map_err(|(span, message)| self.fail(span, message))?;
                self.splices.extend(pieces);
                Ok(())
            }
            (Value::Array(array), None) => {
                self.only_indexes(value.span(), node)?;
                let mut gone = Vec::new();
                for (index, element) in array.iter().enumerate() {
                    let Some(node) = node.indexes.get(&index) else { continue };
                    self.path.push(Step::Index(index));
                    if node.removes() && element.is_inline_table() {
                        gone.push(index);
                    } else {
                        self.value(element, node)?;
                    }
                    self.path.pop();
                }
                let fresh = new_entries::appended(self, node, array.len(), span.as_ref())?;
                let fresh: Vec<String> = fresh.iter().map(NewEntries::braces).collect();
                let pieces = list::tables(self.text, array, &fresh, &gone);
                let pieces = pieces.map_err(|(span, message)| self.fail(span, message))?;
                self.splices.extend(pieces);
                Ok(())
            }
            (_, Some(EditTarget::Scalar(new))) => {
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
}
