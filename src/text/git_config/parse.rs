//! The grammar of git-config(1), as git's own `config.c` reads it.

use crate::text::position::TextError;

/// What stands in a file, in its order.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// A section's header, which ends at byte `end`.
    Section {
        /// See [`canonical`].
        name: Vec<u8>,
        /// Where its `[` is.
        start: usize,
        end: usize,
    },
    /// A variable of the section before it. One before the first section is of none.
    Variable {
        /// Lower case.
        key: Vec<u8>,
        /// `None` for a key without `=`, which means true.
        value: Option<Vec<u8>>,
        /// Where the key starts.
        start: usize,
        /// Where its value ends: after the line end, or at the end of the file.
        end: usize,
        /// The file ends in a backslash, perhaps with a line end, that waits for a further line.
        open: bool,
    },
}

/// Reads a whole file. The error stands where git gives up.
pub(super) fn parse(text: &[u8]) -> Result<Vec<Item>, TextError> {
    let mut reader = ConfigParser { text, at: 0 };
    if text.starts_with(b"\xef\xbb\xbf") {
        reader.at = 3;
    }
    let mut items = Vec::new();
    loop {
        let start = reader.at;
        match reader.next() {
            None => return Ok(items),
            Some(b'#' | b';') => reader.skip_line(),
            Some(byte) if is_space(byte) => {}
            Some(b'[') => {
                let name = reader.section()?;
                items.push(Item::Section { name, start, end: reader.at });
            }
            Some(byte) if byte.is_ascii_alphabetic() => {
                items.push(reader.variable(start)?);
            }
            Some(_) => {
                reader.at = start;
                return Err(reader.error("a line starts with neither a key nor a section"));
            }
        }
    }
}

/// A section's name as git compares it: the name in lower case, and the subsection as it is after a dot.
pub(super) fn canonical(section: &str) -> Vec<u8> {
    let (name, rest) = section.split_at(section.find('.').unwrap_or(section.len()));
    [name.to_ascii_lowercase().as_bytes(), rest.as_bytes()].concat()
}

/// The bytes that `config.c` calls space.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

fn is_key(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-'
}

struct ConfigParser<'a> {
    text: &'a [u8],
    at: usize,
}

impl ConfigParser<'_> {
    /// The next byte; a CRLF is one newline.
    fn next(&mut self) -> Option<u8> {
        let rest = self.text.get(self.at..)?;
        let (byte, length) = match rest {
            [] => return None,
            [b'\r', b'\n', ..] => (b'\n', 2),
            [byte, ..] => (*byte, 1),
        };
        self.at += length;
        Some(byte)
    }

    /// The next byte, without taking it.
    fn peek(&self) -> Option<u8> {
        ConfigParser { text: self.text, at: self.at }.next()
    }

    fn skip_line(&mut self) {
        while !matches!(self.next(), None | Some(b'\n')) {}
    }

    /// A mistake at the present place.
    fn error(&self, message: &str) -> TextError {
        let before = self.text.get(..self.at).unwrap_or(self.text);
        let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let line = before.split(|byte| *byte == b'\n').count();
        TextError::new(line, before.len() - line_start + 1, message)
    }

    /// The name of a section, after its `[`.
    fn section(&mut self) -> Result<Vec<u8>, TextError> {
        let mut name = Vec::new();
        loop {
            let start = self.at;
            match self.next() {
                Some(b']') if !name.is_empty() => return Ok(name),
                Some(byte) if is_key(byte) || byte == b'.' => name.push(byte.to_ascii_lowercase()),
                Some(b' ' | b'\t' | b'\r') => break,
                _ => {
                    self.at = start;
                    return Err(self.error("a section's name is malformed, or its `]` is missing"));
                }
            }
        }
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r')) {
            self.next();
        }
        if self.peek() != Some(b'"') {
            return Err(self.error("a subsection's name stands in quotation marks"));
        }
        self.next();
        name.push(b'.');
        loop {
            let start = self.at;
            let mut byte = self.next();
            if byte == Some(b'"') {
                break;
            }
            if byte == Some(b'\\') {
                byte = self.next();
            }
            match byte {
                None | Some(b'\n') => {
                    self.at = start;
                    return Err(self.error("a subsection's name has no end"));
                }
                Some(byte) => name.push(byte),
            }
        }
        if self.peek() != Some(b']') {
            return Err(self.error("a section's `]` is missing"));
        }
        self.next();
        Ok(name)
    }

    /// A variable, of whose key the first byte, at `start`, was read.
    fn variable(&mut self, start: usize) -> Result<Item, TextError> {
        while self.peek().is_some_and(is_key) {
            self.next();
        }
        let key = self.text.get(start..self.at).unwrap_or_default().to_ascii_lowercase();
        while matches!(self.peek(), Some(b' ' | b'\t')) {
            self.next();
        }
        let (value, open) = match self.peek() {
            None => (None, false),
            Some(b'\n') => {
                self.next();
                (None, false)
            }
            Some(b'=') => {
                self.next();
                let (value, open) = self.value()?;
                (Some(value), open)
            }
            Some(_) => return Err(self.error("after a key, `=` is missing")),
        };
        let end = self.at;
        Ok(Item::Variable { key, value, start, end, open })
    }

    /// A value, to the end of its last line, and whether the file ends before it does.
    fn value(&mut self) -> Result<(Vec<u8>, bool), TextError> {
        let mut value = Vec::new();
        // Spaces at the end do not count: the length before them.
        let mut trimmed = None;
        let mut quoted = false;
        let mut open = false;
        loop {
            let start = self.at;
            let byte = self.next();
            match byte {
                None | Some(b'\n') if quoted => {
                    self.at = start;
                    return Err(self.error("a value's quotation mark is missing"));
                }
                None | Some(b'\n') => {
                    value.truncate(trimmed.unwrap_or(value.len()));
                    return Ok((value, open));
                }
                Some(byte) if is_space(byte) && !quoted => {
                    if !value.is_empty() {
                        trimmed = trimmed.or(Some(value.len()));
                        value.push(byte);
                    }
                    continue;
                }
                Some(b'#' | b';') if !quoted => {
                    self.skip_line();
                    value.truncate(trimmed.unwrap_or(value.len()));
                    return Ok((value, false));
                }
                _ => trimmed = None,
            }
            match byte {
                Some(b'"') => quoted = !quoted,
                Some(b'\\') => match self.next() {
                    None => open = true,
                    Some(b'\n') => open = self.peek().is_none(),
                    Some(b't') => value.push(b'\t'),
                    Some(b'b') => value.push(0x08),
                    Some(b'n') => value.push(b'\n'),
                    Some(byte @ (b'\\' | b'"')) => value.push(byte),
                    Some(_) => {
                        self.at = start;
                        return Err(self.error("a backslash stands before a character that needs none"));
                    }
                },
                Some(byte) => value.push(byte),
                None => {}
            }
        }
    }
}
