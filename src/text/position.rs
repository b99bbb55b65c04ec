//! Places in a text as people count them, and the error that names one.

use std::fmt;

/// What is wrong with a text, and where.
///
/// It never holds a line or a value of the text: those can be secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextError {
    /// What is wrong, without a word of the text itself.
    pub message: String,
    /// The line, counted from 1.
    pub line: usize,
    /// The column in characters, counted from 1.
    pub column: usize,
}

impl TextError {
    /// A mistake at `line` and `column`, both counted from 1.
    pub fn new(line: usize, column: usize, message: impl Into<String>) -> Self {
        Self { message: message.into(), line, column }
    }

    /// An error at a byte offset of `text`.
    pub fn at(text: &str, offset: usize, message: impl Into<String>) -> Self {
        let (line, column) = line_column(text, offset);
        Self::new(line, column, message)
    }
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.message)
    }
}

impl std::error::Error for TextError {}

/// The nearest place at or before `offset` where a character starts.
pub fn floor(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

/// The line and the column in characters of a byte offset, both counted from 1.
///
/// An offset past the end counts as the end, one inside a character as that character.
pub fn line_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..floor(text, offset)).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default();
    (line, column.chars().count() + 1)
}

/// Where the lines of a text begin, for whoever names many places in it.
#[derive(Debug)]
pub struct LineStarts(Vec<usize>);

impl LineStarts {
    /// Those of a text.
    pub fn of(text: &str) -> Self {
        Self(std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect())
    }

    /// What [`line_column`] says of an offset of the same text.
    pub fn line_column(&self, text: &str, offset: usize) -> (usize, usize) {
        let line = self.0.partition_point(|start| *start <= floor(text, offset));
        let start = self.0.get(line.saturating_sub(1)).copied().unwrap_or_default();
        let (_, column) = line_column(text.get(start..).unwrap_or_default(), offset.saturating_sub(start));
        (line, column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_lines_and_characters_from_one() {
        let text = "aé€\r\nb\n";
        for (offset, expected) in [
            (0, (1, 1)),
            (1, (1, 2)),
            (2, (1, 2)), // inside é
            (3, (1, 3)),
            (6, (1, 4)),
            (8, (2, 1)),
            (9, (2, 2)),
            (10, (3, 1)),
            (99, (3, 1)),
        ] {
            assert_eq!(line_column(text, offset), expected, "offset {offset}");
            assert_eq!(LineStarts::of(text).line_column(text, offset), expected, "offset {offset}");
        }
        assert_eq!(line_column("", 0), (1, 1));
    }

    #[test]
    fn shows_the_place_first() {
        let error = TextError::at("a\nbc", 3, "no value");
        assert_eq!(error.to_string(), "line 2, column 2: no value");
    }
}
