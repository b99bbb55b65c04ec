//! What was observed at a path. Lies below all that look at files; must not look itself.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::path::PathBuf;

use nix::sys::stat::FileStat;
use rustix::fs::FileType;

/// What kind of thing a path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link, not followed.
    Link,
    /// A FIFO: never opened for its content, as all that follow.
    Fifo,
    /// A socket.
    Socket,
    /// A device.
    Device,
}

impl FileKind {
    /// What a file system says in the list of a directory; some say nothing.
    pub fn of(found: FileType) -> Option<Self> {
        Some(match found {
            FileType::RegularFile => Self::Regular,
            FileType::Directory => Self::Directory,
            FileType::Symlink => Self::Link,
            FileType::Fifo => Self::Fifo,
            FileType::Socket => Self::Socket,
            FileType::CharacterDevice | FileType::BlockDevice => Self::Device,
            FileType::Unknown => return None,
        })
    }

    /// A file for which a reader waits, or that never ends.
    pub fn is_special(self) -> bool {
        matches!(self, Self::Fifo | Self::Socket | Self::Device)
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Regular => "a regular file",
            Self::Directory => "a directory",
            Self::Link => "a symbolic link",
            Self::Fifo => "a FIFO",
            Self::Socket => "a socket",
            Self::Device => "a device",
        })
    }
}

/// The facts of `stat(2)` that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// What the entry is.
    pub kind: FileKind,
    /// Permission bits.
    pub mode: u32,
    /// Owning user.
    pub uid: u32,
    /// Owning group.
    pub gid: u32,
    /// Number of names (hard links).
    pub links: u64,
    /// Size in bytes.
    pub size: u64,
    /// Device and inode: the identity of the open file.
    pub identity: (u64, u64),
    /// When bytes last changed, in seconds since 1970 and nanoseconds, or what somebody set with `touch`.
    pub modified: (i64, i64),
    /// When bytes, owner, mode or names last changed, likewise: nobody can set that.
    pub changed: (i64, i64),
}

impl From<FileStat> for Stat {
    fn from(stat: FileStat) -> Self {
        Self {
            kind: FileKind::of(FileType::from_raw_mode(stat.st_mode)).unwrap_or(FileKind::Device),
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            #[allow(clippy::useless_conversion, reason = "the field's width differs between architectures")]
            links: stat.st_nlink.into(),
            size: u64::try_from(stat.st_size).unwrap_or_default(),
            identity: (stat.st_dev, stat.st_ino),
            modified: (stat.st_mtime, stat.st_mtime_nsec),
            changed: (stat.st_ctime, stat.st_ctime_nsec),
        }
    }
}

/// A file or directory as it was observed: its [`Stat`], and more. `Debug` and every report leave the bytes out.
#[derive(Clone, PartialEq, Eq)]
pub struct Seen {
    /// What `fstat(2)` said of the open file, or `fstatat(2)` of what can't be opened.
    pub stat: Stat,
    /// Content of a regular file; empty for everything else.
    pub bytes: Vec<u8>,
    /// Where links led, when the path was not the file's own.
    pub resolved: Option<PathBuf>,
}

impl Deref for Seen {
    type Target = Stat;

    fn deref(&self) -> &Stat {
        &self.stat
    }
}

impl From<Stat> for Seen {
    fn from(stat: Stat) -> Self {
        Self { stat, bytes: Vec::new(), resolved: None }
    }
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
        write!(f, "Seen({:?}, {} bytes)", self.stat, self.bytes.len())
    }
}
