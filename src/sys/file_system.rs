//! What the file system of a directory has left, and what it forbids: statvfs(3).

use std::io;
use std::path::Path;

use rustix::fs::{StatVfsMountFlags, fstatvfs};

use super::root::Root;

/// A file system, as it is mounted where somebody looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileSystem {
    /// The number of its device: the same wherever it is mounted.
    pub device: u64,
    /// Bytes.
    pub bytes: Room,
    /// Files and directories. File systems that make them as they are needed have no limit, and a total of 0.
    pub inodes: Room,
    /// The set-user-id bit of a program in it has no effect.
    pub nosuid: bool,
    /// A device file in it opens no device.
    pub nodev: bool,
}

/// How much there is of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// What an ordinary user can still have.
    pub free: u64,
    /// What there is at all.
    pub total: u64,
}

/// The file system of a directory, links resolved; `None` when there is no such directory.
pub fn of(root: &Root, directory: &Path) -> io::Result<Option<FileSystem>> {
    let Some(directory) = root.dir(directory)? else { return Ok(None) };
    let found = fstatvfs(&*directory)?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Ok(Some(FileSystem {
        device: directory.stat()?.identity.0,
        bytes: Room { free: bytes(found.f_bavail), total: bytes(found.f_blocks) },
        inodes: Room { free: found.f_favail, total: found.f_files },
        nosuid: found.f_flag.contains(StatVfsMountFlags::NOSUID),
        nodev: found.f_flag.contains(StatVfsMountFlags::NODEV),
    }))
}
