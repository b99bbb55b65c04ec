//! Where in a text something is wrong.

use std::error::Error;
use std::fmt;

/// A mistake in a text, with its place. Never holds the text itself, which may be a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextError {
    /// What is wrong, for a human.
    pub message: String,
    /// The line, counted from 1.
    pub line: usize,
    /// The column in bytes, counted from 1.
    pub column: usize,
}

impl TextError {
    /// A mistake at `line` and `column`, both counted from 1.
    #[must_use]
    pub fn new(line: usize, column: usize, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { message, line, column }
    }
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.message)
    }
}

impl Error for TextError {}
