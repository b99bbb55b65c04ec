//! Checks that two documents differ by the wanted edits and by nothing else.

use toml_edit::{Array, ArrayOfTables, Item, Table, TableLike, Value};

use super::edit::{PatchError, Step};
use super::list::{same_scalar, strings};
use super::target::{EditTarget, Node};
use super::walk;

/// Checks that the tree `after` holds the values of `before` with the edits made, and no other difference.
///
/// Layout doesn't count, values and keys do. The error points into `text`, that of `before`, and holds no value.
pub(super) fn compare(
    text: &str,
    before: &Table,
    after: &Table,
    wanted: &Node<'_>,
) -> Result<(), PatchError> {
    let mut check = Check { text, path: Vec::new() };
    check.view(Some(&View::Table(before)), Some(&View::Table(after)), Some(wanted))
}

/// A value of either kind of document tree.
enum View<'t> {
    Table(&'t dyn TableLike),
    Tables(&'t ArrayOfTables),
    Array(&'t Array),
    Scalar(&'t Value),
}

impl<'t> View<'t> {
    fn item(item: &'t Item) -> Option<Self> {
        match item {
            Item::None => None,
            Item::Value(value) => Some(Self::value(value)),
            Item::Table(table) => Some(Self::Table(table)),
            Item::ArrayOfTables(tables) => Some(Self::Tables(tables)),
        }
    }

    fn value(value: &'t Value) -> Self {
        match value {
            Value::Array(array) => Self::Array(array),
            Value::InlineTable(table) => Self::Table(table),
            scalar => Self::Scalar(scalar),
        }
    }

    fn key(&self, key: &str) -> Option<Self> {
        match self {
            Self::Table(table) => table.get(key).and_then(Self::item),
            _ => None,
        }
    }

    fn element(&self, index: usize) -> Option<Self> {
        match self {
            Self::Tables(tables) => tables.get(index).map(|table| Self::Table(table)),
            Self::Array(array) => array.get(index).map(Self::value),
            _ => None,
        }
    }

    /// The number of elements of a list.
    fn length(&self) -> Option<usize> {
        match self {
            Self::Tables(tables) => Some(tables.len()),
            Self::Array(array) => Some(array.len()),
            _ => None,
        }
    }

    fn table(&self) -> Option<&'t dyn TableLike> {
        match self {
            Self::Table(table) => Some(*table),
            _ => None,
        }
    }
}

struct Check<'c> {
    text: &'c str,
    path: Vec<Step>,
}

impl<'c> Check<'c> {
    /// Compares a value before and after, and everything below it.
    fn view(
        &mut self,
        before: Option<&View<'c>>,
        after: Option<&View<'c>>,
        node: Option<&'c Node<'c>>,
    ) -> Result<(), PatchError> {
        if let Some(target) = node.and_then(|node| node.target.as_ref()) {
            let met = target_met(before, after, target);
            return self.unless(met, before, "is not what was asked for");
        }
        let is_list = |view: Option<&View<'_>>| view.is_some_and(|view| view.length().is_some());
        if is_list(before) || is_list(after) || node.is_some_and(|node| !node.indexes.is_empty()) {
            return self.lists(before, after, node);
        }
        match (before, after) {
            (Some(View::Scalar(old)), Some(View::Scalar(new))) => {
                self.unless(same(old, new), before, "is another value")
            }
            (Some(View::Table(_)) | None, Some(View::Table(_)) | None) => {
                // Dotted keys make a table by being there, and the last one that goes takes it along.
                let wanted = before.is_some() == after.is_some() || node.is_some();
                self.unless(wanted, before, "is there only before or only after")?;
                self.tables(before, after, node)
            }
            (Some(_), Some(_)) => self.unless(false, before, "has another type"),
            _ => self.unless(false, before, "is there only before or only after"),
        }
    }

    /// Compares lists: of the elements before, some tables go, and others come behind the rest.
    fn lists(
        &mut self,
        before: Option<&View<'c>>,
        after: Option<&View<'c>>,
        node: Option<&'c Node<'c>>,
    ) -> Result<(), PatchError> {
        let length = |view: Option<&View<'c>>| view.map_or(Some(0), View::length);
        let (Some(old), Some(new)) = (length(before), length(after)) else {
            return self.unless(false, before, "has another type");
        };
        let asked = |index: usize| node.and_then(|node| node.indexes.get(&index));
        let come = node.map_or(0, |node| node.indexes.range(old..).count());
        let kept: Vec<usize> = (0..old).filter(|index| !asked(*index).is_some_and(Node::removes)).collect();
        // Headers make a list by being there, and the last one that goes takes it along.
        let there = match (before, after) {
            (None, Some(_)) => come > 0,
            (Some(_), None) => kept.len() < old,
            _ => true,
        };
        self.unless(there && kept.len() + come == new, before, "has another length")?;
        for (place, index) in kept.into_iter().chain(old..old + come).enumerate() {
            let old = before.and_then(|view| view.element(index));
            let new = after.and_then(|view| view.element(place));
            self.path.push(Step::Index(index));
            self.view(old.as_ref(), new.as_ref(), asked(index))?;
            self.path.pop();
        }
        Ok(())
    }

    fn tables(
        &mut self,
        before: Option<&View<'c>>,
        after: Option<&View<'c>>,
        node: Option<&'c Node<'c>>,
    ) -> Result<(), PatchError> {
        let items =
            |view: Option<&View<'c>>| view.and_then(View::table).into_iter().flat_map(|table| table.iter());
        let has = |view: Option<&View<'c>>, key| view.is_some_and(|view| view.key(key).is_some());
        let mut both = 0;
        for (key, old) in items(before) {
            let new = after.and_then(|view| view.key(key));
            both += usize::from(new.is_some());
            self.key(key, View::item(old).as_ref(), new.as_ref(), node)?;
        }
        // Nearly always there is nothing new in a table, and its keys need not be looked for.
        if items(after).count() > both {
            for (key, new) in items(after).filter(|(key, _)| !has(before, key)) {
                self.key(key, None, View::item(new).as_ref(), node)?;
            }
        }
        for (key, _) in node.into_iter().flat_map(|node| node.keys.iter()) {
            if !has(before, key) && !has(after, key) {
                self.key(key, None, None, node)?;
            }
        }
        Ok(())
    }

    /// Compares what stands at a key of a table.
    fn key(
        &mut self,
        key: &'c str,
        old: Option<&View<'c>>,
        new: Option<&View<'c>>,
        table: Option<&'c Node<'c>>,
    ) -> Result<(), PatchError> {
        self.path.push(Step::from(key));
        self.view(old, new, table.and_then(|node| node.key(key)))?;
        self.path.pop();
        Ok(())
    }

    fn unless(&self, fine: bool, before: Option<&View<'_>>, message: &str) -> Result<(), PatchError> {
        if fine {
            return Ok(());
        }
        let span = match before {
            Some(View::Scalar(value)) => value.span(),
            Some(View::Array(array)) => array.span(),
            Some(View::Tables(tables)) => tables.span(),
            _ => None,
        };
        let offset = span.map_or(0, |span| span.start);
        let message = format!("this layout can't take the edit ({message})");
        Err(walk::error(self.text, &self.path, offset, message))
    }
}

fn target_met(before: Option<&View<'_>>, after: Option<&View<'_>>, target: &EditTarget<'_>) -> bool {
    if let EditTarget::Absent = target {
        return after.is_none();
    }
    if let EditTarget::Scalar(wanted) = target {
        return matches!(after, Some(View::Scalar(value)) if same_scalar(value, wanted));
    }
    let old = match before {
        None => None,
        Some(View::Array(array)) => match strings(array) {
            Ok(old) => Some(old),
            Err(_) => return false,
        },
        Some(_) => return false,
    };
    match (target.list(old.as_deref()), after) {
        (Ok(None), None) => true,
        (Ok(Some(wanted)), Some(View::Array(array))) => strings(array).is_ok_and(|strings| strings == wanted),
        _ => false,
    }
}

/// Whether two scalars have the same type and value.
fn same(old: &Value, new: &Value) -> bool {
    match (old, new) {
        (Value::String(old), Value::String(new)) => old.value() == new.value(),
        (Value::Integer(old), Value::Integer(new)) => old.value() == new.value(),
        (Value::Boolean(old), Value::Boolean(new)) => old.value() == new.value(),
        (Value::Datetime(old), Value::Datetime(new)) => old.value() == new.value(),
        (Value::Float(old), Value::Float(new)) => old.value().to_bits() == new.value().to_bits(),
        _ => false,
    }
}
