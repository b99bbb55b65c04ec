//! What can be asked of a document: the public words of this module.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::quote;

/// One step of the way to a value: a key of a table, or a place in a list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Step {
    /// A key of a table, as it reads without quotes and escapes.
    Key(String),
    /// A place in a list or in a list of tables, counted from 0. The place behind the last table of such a list,
    /// which need not be there, stands for a new one.
    Index(usize),
}

impl fmt::Display for Step {
    /// The key without quotes, or the number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => f.write_str(key),
            Self::Index(index) => index.fmt(f),
        }
    }
}

/// A path for people: `runners[0].docker`, its keys without quotes.
pub fn dotted(path: &[Step]) -> String {
    joined(path, str::to_owned)
}

/// The same with its keys as they are to be written.
pub(super) fn joined(path: &[Step], written: impl Fn(&str) -> String) -> String {
    let mut shown = String::new();
    for step in path {
        match step {
            Step::Index(index) => shown.extend(["[", &index.to_string(), "]"]),
            Step::Key(key) => {
                let dot = if shown.is_empty() { "" } else { "." };
                shown.extend([dot, &written(key)]);
            }
        }
    }
    shown
}

impl From<&str> for Step {
    fn from(key: &str) -> Self {
        Self::Key(key.to_owned())
    }
}

impl From<String> for Step {
    fn from(key: String) -> Self {
        Self::Key(key)
    }
}

impl From<usize> for Step {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

/// A value that is not a list and no table.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Scalar {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A text.
    String(String),
}

impl Scalar {
    /// A value of a document; `None` for what is none of the three.
    pub fn of(value: &toml_edit::Value) -> Option<Self> {
        match value {
            toml_edit::Value::Boolean(value) => Some(Self::Bool(*value.value())),
            toml_edit::Value::Integer(value) => Some(Self::Integer(*value.value())),
            toml_edit::Value::String(value) => Some(Self::String(value.value().clone())),
            _ => None,
        }
    }

    /// The text that it is.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// What [`fmt::Display`] wrote; `None` for any other text.
    pub fn read(notation: &str) -> Option<Self> {
        Self::of(&notation.parse().ok()?)
    }
}

impl From<bool> for Scalar {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Scalar {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<&str> for Scalar {
    fn from(value: &str) -> Self {
        Self::String(value.to_owned())
    }
}

impl fmt::Display for Scalar {
    /// Writes the value as TOML 1.0.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(f),
            Self::Integer(value) => value.fmt(f),
            Self::String(value) => f.write_str(&quote::string(value)),
        }
    }
}

/// What to do with the value at a path.
///
/// The actions on elements need a list of strings. They speak of the list as it is before the patch: places
/// and removals name old elements, and new elements go to its end in the order of the edits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Give the key this value, in place of another scalar of any type.
    Set(Scalar),
    /// Take the key with its value away; nothing happens if it is not there. A comment on its line stays. At a place
    /// of a list of tables: take that table away with all its keys.
    Remove,
    /// At a table: take its header away, or the whole table where it stands between braces, when no key of it is left.
    /// Tables below it stay.
    Unmake,
    /// Make the list hold exactly these strings. Elements that stay keep their bytes.
    SetList(Vec<String>),
    /// Append a string to the list, and make the list if there is none.
    Insert(String),
    /// Put another string in the place of one element.
    Replace {
        /// The element's place, counted from 0.
        index: usize,
        /// What to write there.
        value: String,
    },
    /// Remove every element that equals this string; nothing happens if there is none.
    RemoveElement(String),
}

/// One edit: a path from the root of the document, and what to do there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// The way to the value.
    pub path: Vec<Step>,
    /// What to do with it.
    pub action: Action,
}

impl Edit {
    /// An edit at a path.
    pub fn new(path: impl Into<Vec<Step>>, action: Action) -> Self {
        Self { path: path.into(), action }
    }

    /// An edit that sets a scalar.
    pub fn set(path: impl Into<Vec<Step>>, value: impl Into<Scalar>) -> Self {
        Self::new(path, Action::Set(value.into()))
    }

    /// An edit that appends a string to a list.
    pub fn insert(path: impl Into<Vec<Step>>, value: impl Into<String>) -> Self {
        Self::new(path, Action::Insert(value.into()))
    }
}

/// The document that came out of a patch.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Patched {
    /// The whole new text, with the byte order mark if there was one.
    pub text: String,
}

impl fmt::Debug for Patched {
    /// Leaves the text out: it can hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Patched").field("bytes", &self.text.len()).finish()
    }
}

/// Why a document can't take an edit, and where it says so. Never holds a value of the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatchError {
    /// The keys on the way to the value, as in `runners[0].docker`.
    pub path: String,
    /// What stands in the way.
    pub message: String,
    /// The line of what stands in the way, counted from 1.
    pub line: usize,
    /// The column in characters, counted from 1.
    pub column: usize,
}

impl fmt::Display for PatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, message, line, column } = self;
        write!(f, "line {line}, column {column}: {path}: {message}")
    }
}

impl std::error::Error for PatchError {}
