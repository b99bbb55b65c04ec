//! What was observed at a path.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use crate::file_kind::FileKind;

/// A file or directory as it was observed. `Debug` and every report leave the bytes out.
#[derive(Clone, PartialEq, Eq)]
pub struct Seen {
    /// Kind of thing.
    pub kind: FileKind,
    /// Content of a regular file.
    pub bytes: Vec<u8>,
    /// Permission bits.
    pub mode: u32,
    /// Owning user.
    pub uid: u32,
    /// Owning group.
    pub gid: u32,
    /// Number of names (hard links).
    pub links: u64,
    /// Device and inode: the identity of the open file.
    pub identity: (u64, u64),
    /// When bytes last changed, in seconds since 1970 and nanoseconds, or what somebody set with `touch`.
    pub modified: (i64, i64),
    /// When bytes, owner, mode or names last changed, likewise: nobody can set that.
    pub changed: (i64, i64),
    /// Where links led, when the path was not the file's own.
    pub resolved: Option<PathBuf>,
}

impl Seen {
    /// The bytes as text, what is not UTF-8 replaced.
    pub fn text(&self) -> Cow<'_, str> {
        // The reader that replaces takes each byte by itself.
        std::str::from_utf8(&self.bytes).map_or_else(|_| String::from_utf8_lossy(&self.bytes), Cow::Borrowed)
    }

    /// What it is that a file of its own would not be.
    pub fn oddity(&self) -> String {
        match self.kind {
            FileKind::Regular => format!("a file with {} names (hard links)", self.links),
            kind => kind.to_string(),
        }
    }
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Seen({:?}, {} bytes, {:04o} {}:{})",
            self.kind,
            self.bytes.len(),
            self.mode,
            self.uid,
            self.gid
        )
    }
}
