//! Documents as bare values, and what an edit makes of them: the yardstick for the patches.

use std::collections::BTreeMap;

use runner_prep::text::toml_patch::{Action, Edit, Scalar, Step};
use toml_edit::{Item, Table, Value};

/// A value without its layout.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Plain {
    Scalar(String),
    List(Vec<Plain>),
    Table(BTreeMap<String, Plain>),
}

pub(crate) fn plain_table(table: &Table) -> Plain {
    let entries = table.iter().map(|(key, item)| (key.to_owned(), plain_item(item)));
    Plain::Table(entries.collect())
}

fn plain_item(item: &Item) -> Plain {
    match item {
        Item::None => unreachable!(),
        Item::Value(value) => plain(value),
        Item::Table(table) => plain_table(table),
        Item::ArrayOfTables(tables) => Plain::List(tables.iter().map(plain_table).collect()),
    }
}

fn plain(value: &Value) -> Plain {
    match value {
        Value::String(value) => Plain::string(value.value()),
        Value::Integer(value) => Plain::Scalar(format!("integer {}", value.value())),
        Value::Float(value) => Plain::Scalar(format!("float {}", value.value())),
        Value::Boolean(value) => Plain::Scalar(format!("boolean {}", value.value())),
        Value::Datetime(value) => Plain::Scalar(format!("time {}", value.value())),
        Value::Array(array) => Plain::List(array.iter().map(plain).collect()),
        Value::InlineTable(table) => {
            let entries = table.iter().map(|(key, value)| (key.to_owned(), plain(value)));
            Plain::Table(entries.collect())
        }
    }
}

impl Plain {
    pub(crate) fn string(value: &str) -> Self {
        Self::Scalar(format!("string {value}"))
    }

    pub(crate) fn strings(values: &[String]) -> Self {
        Self::List(values.iter().map(|value| Self::string(value)).collect())
    }

    pub(crate) fn at(&self, path: &[Step]) -> Option<&Self> {
        let Some((step, rest)) = path.split_first() else {
            return Some(self);
        };
        match (self, step) {
            (Self::Table(table), Step::Key(key)) => table.get(key)?.at(rest),
            (Self::List(list), Step::Index(index)) => list.get(*index)?.at(rest),
            _ => None,
        }
    }

    pub(crate) fn put(&mut self, path: &[Step], value: Self) {
        match (self, path) {
            (this, []) => *this = value,
            (Self::Table(table), [Step::Key(key), rest @ ..]) => {
                let below = table.entry(key.clone()).or_insert_with(|| match rest {
                    [Step::Index(_), ..] => Self::List(Vec::new()),
                    _ => Self::Table(BTreeMap::new()),
                });
                below.put(rest, value);
            }
            // A place behind the last one is a new table.
            (Self::List(list), [Step::Index(index), rest @ ..]) => {
                list.resize((index + 1).max(list.len()), Self::Table(BTreeMap::new()));
                list[*index].put(rest, value);
            }
            _ => unreachable!(),
        }
    }

    fn remove(&mut self, path: &[Step]) {
        match (self, path) {
            (Self::Table(table), [Step::Key(key)]) => drop(table.remove(key)),
            (Self::Table(table), [Step::Key(key), rest @ ..]) => {
                if let Some(below) = table.get_mut(key) {
                    below.remove(rest);
                }
            }
            (Self::List(list), [Step::Index(index)]) => drop(list.remove(*index)),
            (Self::List(list), [Step::Index(index), rest @ ..]) => {
                if let Some(element) = list.get_mut(*index) {
                    element.remove(rest);
                }
            }
            _ => {}
        }
    }

    /// Without tables that hold nothing: the last dotted key takes its table along.
    pub(crate) fn pruned(&self) -> Self {
        match self {
            Self::Table(table) => {
                let kept = table.iter().map(|(key, value)| (key.clone(), value.pruned()));
                Self::Table(kept.filter(|(_, value)| *value != Self::Table(BTreeMap::new())).collect())
            }
            Self::List(list) => Self::List(list.iter().map(Self::pruned).collect()),
            Self::Scalar(_) => self.clone(),
        }
    }

    /// Without lists that hold nothing, at any depth of tables, and without what then holds nothing.
    pub(crate) fn filled(&self) -> Self {
        match self {
            Self::Table(table) => {
                let kept = table.iter().map(|(key, value)| (key.clone(), value.filled()));
                let empty = [Self::List(Vec::new()), Self::Table(BTreeMap::new())];
                Self::Table(kept.filter(|(_, value)| !empty.contains(value)).collect())
            }
            Self::List(list) => Self::List(list.iter().map(Self::filled).collect()),
            Self::Scalar(_) => self.clone(),
        }
    }

    /// What one edit makes of the whole document.
    pub(crate) fn edited(&self, edit: &Edit) -> Self {
        let mut new = self.clone();
        let old = self.at(&edit.path);
        let mut list = match old {
            Some(Self::List(list)) => list.clone(),
            _ => Vec::new(),
        };
        match &edit.action {
            Action::Set(Scalar::Bool(value)) => {
                new.put(&edit.path, Self::Scalar(format!("boolean {value}")));
            }
            Action::Set(Scalar::Integer(value)) => {
                new.put(&edit.path, Self::Scalar(format!("integer {value}")));
            }
            Action::Set(Scalar::String(value)) => new.put(&edit.path, Self::string(value)),
            Action::Remove => new.remove(&edit.path),
            // Of layout alone: whether a table without keys stands there.
            Action::Unmake => {}
            Action::SetList(values) => new.put(&edit.path, Self::strings(values)),
            Action::Insert(value) => {
                list.push(Self::string(value));
                new.put(&edit.path, Self::List(list));
            }
            Action::Replace { index, value } => {
                list[*index] = Self::string(value);
                new.put(&edit.path, Self::List(list));
            }
            Action::RemoveElement(value) => {
                list.retain(|element| *element != Self::string(value));
                if old.is_some() {
                    new.put(&edit.path, Self::List(list));
                }
            }
        }
        new
    }

    /// The text of a string.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Scalar(text) => text.strip_prefix("string ").unwrap_or(text).to_owned(),
            _ => unreachable!(),
        }
    }
}
