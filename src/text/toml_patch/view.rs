//! What is at one place of a document, in whichever notation.

use toml_edit::{ArrayOfTables, Item, TableLike, Value};

use super::edit::{Scalar, Step};

/// What is at one place of one document.
#[derive(Clone, Copy)]
pub enum View<'t> {
    /// Nothing is there.
    Nothing,
    /// A table, however it is written.
    Table(&'t dyn TableLike),
    /// `[[tables]]`.
    Tables(&'t ArrayOfTables),
    /// Anything else.
    Value(&'t Value),
}

impl<'t> View<'t> {
    /// What is below it.
    #[must_use]
    pub fn below(self, step: &Step) -> Self {
        match step {
            Step::Key(key) => self.key(key),
            Step::Index(index) => self.element(*index),
        }
    }

    /// What is at a key of a table.
    pub(super) fn key(self, key: &str) -> Self {
        match self {
            Self::Table(table) => Self::item(table.get(key)),
            _ => Self::Nothing,
        }
    }

    /// What is at a place of a list.
    pub(super) fn element(self, index: usize) -> Self {
        match self {
            Self::Tables(tables) => tables.get(index).map_or(Self::Nothing, |table| Self::Table(table)),
            Self::Value(Value::Array(array)) => array.get(index).map_or(Self::Nothing, Self::value),
            _ => Self::Nothing,
        }
    }

    /// The number of elements of a list of any kind.
    pub(super) fn length(self) -> Option<usize> {
        match self {
            Self::Tables(tables) => Some(tables.len()),
            Self::Value(Value::Array(array)) => Some(array.len()),
            _ => None,
        }
    }

    pub(super) fn is_there(self) -> bool {
        !matches!(self, Self::Nothing)
    }

    pub(super) fn item(item: Option<&'t Item>) -> Self {
        match item {
            None | Some(Item::None) => Self::Nothing,
            Some(Item::Table(table)) => Self::Table(table),
            Some(Item::ArrayOfTables(tables)) => Self::Tables(tables),
            Some(Item::Value(value)) => Self::value(value),
        }
    }

    fn value(value: &'t Value) -> Self {
        match value {
            Value::InlineTable(table) => Self::Table(table),
            value => Self::Value(value),
        }
    }

    /// The keys of a table; nothing counts as one without keys. `None` when it is something else.
    pub fn keys(self) -> Option<Vec<&'t str>> {
        match self {
            Self::Nothing => Some(Vec::new()),
            Self::Table(table) => Some(table.iter().map(|(key, _)| key).collect()),
            _ => None,
        }
    }

    /// As a list of strings; nothing counts as an empty one. `None` when it is something else.
    pub fn strings(self) -> Option<Vec<&'t str>> {
        match self {
            Self::Nothing => Some(Vec::new()),
            Self::Value(Value::Array(array)) => array.iter().map(Value::as_str).collect(),
            _ => None,
        }
    }

    /// As a scalar that may be absent; `None` when it is something else.
    pub fn scalar(self) -> Option<Option<Scalar>> {
        match self {
            Self::Nothing => Some(None),
            Self::Value(value) => Scalar::of(value).map(Some),
            _ => None,
        }
    }

    /// The elements of a list of any kind.
    pub fn children(self) -> Option<Vec<Self>> {
        match self {
            Self::Tables(tables) => Some(tables.iter().map(|table| Self::Table(table)).collect()),
            Self::Value(Value::Array(array)) => Some(array.iter().map(Self::value).collect()),
            _ => None,
        }
    }
}
