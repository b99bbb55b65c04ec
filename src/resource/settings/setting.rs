//! A wanted value, and its notation.

use std::fmt;

use crate::keys::{self, GLOBAL};
use crate::runner_config::{DOCKER, RUNNERS, SERVICES};
use crate::text::toml_patch::Scalar;

/// A wanted value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::resource) enum Setting {
    /// The key has this value.
    Scalar(Scalar),
    /// The list has these elements, among others.
    List(Vec<String>),
    /// The list has just these elements: the words of a command, policies in their order.
    Words(Vec<String>),
}

impl Setting {
    /// The text that it is, or the elements of the list.
    pub(in crate::resource) fn texts(&self) -> &[String] {
        match self {
            Self::Scalar(Scalar::String(text)) => std::slice::from_ref(text),
            Self::List(list) | Self::Words(list) => list,
            Self::Scalar(_) => &[],
        }
    }

    /// True for what gitlab-runner assumes where this key is absent.
    pub(in crate::resource) fn is_default(&self, section: &str, key: &str) -> bool {
        match self {
            // Without it there is one slot.
            Self::Scalar(Scalar::Integer(value)) if key == "concurrent" => *value == 1,
            _ if keys::differs_when_absent(key) => false,
            // Of the others it is not known.
            _ if ![GLOBAL, "session_server", RUNNERS, DOCKER, SERVICES].contains(&section) => false,
            Self::Scalar(Scalar::Bool(value)) => !value,
            Self::Scalar(Scalar::Integer(value)) => *value == 0,
            Self::Scalar(Scalar::String(value)) => value.is_empty(),
            Self::List(list) | Self::Words(list) => list.is_empty(),
        }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scalar(scalar) => scalar.fmt(f),
            Self::List(list) | Self::Words(list) => {
                let elements: Vec<String> =
                    list.iter().map(|text| Scalar::from(text.as_str()).to_string()).collect();
                write!(f, "[{}]", elements.join(", "))
            }
        }
    }
}
