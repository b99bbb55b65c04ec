//! Checks that two documents differ by the wanted edits and by nothing else.

use toml_edit::{Table, Value};

use super::edit::{PatchError, Step};
use super::list::{same_scalar, strings};
use super::target::{EditTarget, Node};
use super::view::View;
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
    let mut check = Verification { text, path: Vec::new() };
    check.view([View::Table(before), View::Table(after)], Some(wanted))
}

struct Verification<'c> {
    text: &'c str,
    path: Vec<Step>,
}

impl<'c> Verification<'c> {
    /// Compares a value before and after, and everything below it.
    fn view(&mut self, [before, after]: [View<'c>; 2], node: Option<&'c Node<'c>>) -> Result<(), PatchError> {
        if let Some(target) = node.and_then(|node| node.target.as_ref()) {
            let met = target_met(before, after, target);
            return self.unless(met, before, "is not what was asked for");
        }
        let is_list = before.length().is_some() || after.length().is_some();
        if is_list || node.is_some_and(|node| !node.indexes.is_empty()) {
            return self.lists([before, after], node);
        }
        match (before, after) {
            (View::Value(old), View::Value(new)) => self.unless(same(old, new), before, "is another value"),
            (View::Table(_) | View::Nothing, View::Table(_) | View::Nothing) => {
                // Dotted keys make a table by being there, and the last one that goes takes it along.
                let wanted = before.is_there() == after.is_there() || node.is_some();
                self.unless(wanted, before, "is there only before or only after")?;
                self.tables([before, after], node)
            }
            _ if before.is_there() && after.is_there() => self.unless(false, before, "has another type"),
            _ => self.unless(false, before, "is there only before or only after"),
        }
    }

    /// Compares lists: of the elements before, some tables go, and others come behind the rest.
    fn lists(
        &mut self,
        [before, after]: [View<'c>; 2],
        node: Option<&'c Node<'c>>,
    ) -> Result<(), PatchError> {
        let length = |view: View<'_>| if view.is_there() { view.length() } else { Some(0) };
        let (Some(old), Some(new)) = (length(before), length(after)) else {
            return self.unless(false, before, "has another type");
        };
        let asked = |index: usize| node.and_then(|node| node.indexes.get(&index));
        let come = node.map_or(0, |node| node.indexes.range(old..).count());
        let kept: Vec<usize> = (0..old).filter(|index| !asked(*index).is_some_and(Node::removes)).collect();
        // Headers make a list by being there, and the last one that goes takes it along.
        let there = match (before.is_there(), after.is_there()) {
            (false, true) => come > 0,
            (true, false) => kept.len() < old,
            _ => true,
        };
        self.unless(there && kept.len() + come == new, before, "has another length")?;
        for (place, index) in kept.into_iter().chain(old..old + come).enumerate() {
            self.path.push(Step::Index(index));
            self.view([before.element(index), after.element(place)], asked(index))?;
            self.path.pop();
        }
        Ok(())
    }

    fn tables(
        &mut self,
        [before, after]: [View<'c>; 2],
        node: Option<&'c Node<'c>>,
    ) -> Result<(), PatchError> {
        let items = |view: View<'c>| {
            let table = if let View::Table(table) = view { Some(table) } else { None };
            table.into_iter().flat_map(|table| table.iter())
        };
        let has = |view: View<'c>, key: &str| view.key(key).is_there();
        let mut both = 0;
        for (key, old) in items(before) {
            let new = after.key(key);
            both += usize::from(new.is_there());
            self.key(key, [View::item(Some(old)), new], node)?;
        }
        // Nearly always there is nothing new in a table, and its keys need not be looked for.
        if items(after).count() > both {
            for (key, new) in items(after).filter(|(key, _)| !has(before, key)) {
                self.key(key, [View::Nothing, View::item(Some(new))], node)?;
            }
        }
        for (key, _) in node.into_iter().flat_map(|node| node.keys.iter()) {
            if !has(before, key) && !has(after, key) {
                self.key(key, [View::Nothing; 2], node)?;
            }
        }
        Ok(())
    }

    /// Compares what stands at a key of a table.
    fn key(
        &mut self,
        key: &'c str,
        sides: [View<'c>; 2],
        node: Option<&'c Node<'c>>,
    ) -> Result<(), PatchError> {
        self.path.push(Step::from(key));
        self.view(sides, node.and_then(|node| node.key(key)))?;
        self.path.pop();
        Ok(())
    }

    fn unless(&self, fine: bool, before: View<'_>, message: &str) -> Result<(), PatchError> {
        if fine {
            return Ok(());
        }
        let span = match before {
            View::Value(value) => value.span(),
            View::Tables(tables) => tables.span(),
            _ => None,
        };
        let offset = span.map_or(0, |span| span.start);
        let message = format!("this layout can't take the edit ({message})");
        Err(walk::error(self.text, &self.path, offset, message))
    }
}

fn target_met(before: View<'_>, after: View<'_>, target: &EditTarget<'_>) -> bool {
    if let EditTarget::Absent = target {
        return !after.is_there();
    }
    if let EditTarget::Scalar(wanted) = target {
        return matches!(after, View::Value(value) if same_scalar(value, wanted));
    }
    let old = match before {
        View::Nothing => None,
        View::Value(Value::Array(array)) => match strings(array) {
            Ok(old) => Some(old),
            Err(_) => return false,
        },
        _ => return false,
    };
    match (target.list(old.as_deref()), after) {
        (Ok(None), View::Nothing) => true,
        (Ok(Some(wanted)), View::Value(Value::Array(array))) => {
            strings(array).is_ok_and(|strings| strings == wanted)
        }
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
