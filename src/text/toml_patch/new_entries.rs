//! What a table lacks: the keys and tables to write that the document does not have yet.

use std::ops::Range;

use super::edit::{PatchError, Step};
use super::quote;
use super::target::Node;
use super::walk::Walk;

/// The keys that one table lacks, values already written as TOML.
#[derive(Debug, Default)]
pub(super) struct NewEntries<'e> {
    pub(super) values: Vec<(&'e str, String)>,
    pub(super) tables: Vec<(&'e str, NewEntries<'e>)>,
    /// Lists of tables.
    pub(super) lists: Vec<(&'e str, Vec<NewEntries<'e>>)>,
}

impl<'e> NewEntries<'e> {
    pub(super) fn is_empty(&self) -> bool {
        self.values.is_empty() && self.tables.is_empty() && self.lists.is_empty()
    }

    /// Adds what is asked for at a key that is not there; `span` is what is there, for an error to point at.
    pub(super) fn add(
        &mut self,
        walk: &mut Walk<'_>,
        key: &'e str,
        node: &Node<'e>,
        span: Option<&Range<usize>>,
    ) -> Result<(), PatchError> {
        if let Some(target) = &node.target {
            let value = target.fresh().map_err(|message| walk.fail(span.cloned(), message))?;
            self.values.extend(value.map(|value| (key, value)));
            return Ok(());
        }
        if !node.indexes.is_empty() {
            walk.only_indexes(span.cloned(), node)?;
            self.lists.push((key, appended(walk, node, 0, span)?));
            return Ok(());
        }
        let below = Self::below(walk, node, span)?;
        if !below.is_empty() {
            self.tables.push((key, below));
        }
        Ok(())
    }

    /// All that is asked for below a table that is not there.
    pub(super) fn below(
        walk: &mut Walk<'_>,
        node: &Node<'e>,
        span: Option<&Range<usize>>,
    ) -> Result<Self, PatchError> {
        let mut below = Self::default();
        for (key, node) in &node.keys {
            walk.path.push(Step::from(*key));
            below.add(walk, key, node, span)?;
            walk.path.pop();
        }
        Ok(below)
    }

    /// As one table between braces.
    pub(super) fn braces(&self) -> String {
        format!("{{ {} }}", self.entries("", false).join(", "))
    }

    /// One `key = value` an entry. Tables are written with dotted keys, or between braces.
    pub(super) fn entries(&self, prefix: &str, dotted: bool) -> Vec<String> {
        let at = |key: &str| format!("{prefix}{}", quote::key(key));
        let values = self.values.iter().map(|(key, value)| format!("{} = {value}", at(key)));
        let mut entries: Vec<String> = values.collect();
        for (key, below) in &self.tables {
            if dotted {
                entries.extend(below.entries(&(at(key) + "."), dotted));
            } else {
                entries.push(format!("{} = {}", at(key), below.braces()));
            }
        }
        for (key, list) in &self.lists {
            let list: Vec<String> = list.iter().map(Self::braces).collect();
            entries.push(format!("{} = [{}]", at(key), list.join(", ")));
        }
        entries
    }
}

/// The tables that come behind the `length` ones of a list, in their order.
pub(super) fn appended<'e>(
    walk: &mut Walk<'_>,
    node: &Node<'e>,
    length: usize,
    span: Option<&Range<usize>>,
) -> Result<Vec<NewEntries<'e>>, PatchError> {
    let mut all = Vec::new();
    for (index, node) in node.indexes.range(length..) {
        walk.path.push(Step::Index(*index));
        let fresh = NewEntries::below(walk, node, span)?;
        walk.path.pop();
        // A place that leaves none out, and a table with something in it.
        if *index != length + all.len() || fresh.is_empty() {
            return Err(walk.too_few(span.cloned(), *index, length));
        }
        all.push(fresh);
    }
    Ok(all)
}
