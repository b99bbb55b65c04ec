//! A path with no link on it, opened in one call instead of one for each directory.
//!
//! Whether there is a link the kernel says itself (`openat2(2)`, Linux 5.6), and whether the links of the tree lead
//! to anything. Where they do, or anything else is odd, the answer is that nothing is known, and [`super::root`] goes
//! from directory to directory.

use std::os::fd::OwnedFd;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};

use super::dir::Dir;

/// What came of an attempt to open a path at once.
pub(super) enum FastOpen {
    /// The thing at the path.
    Open(OwnedFd),
    /// Nothing is there.
    Missing,
    /// Ask in another way.
    Unknown,
}

/// Open an absolute path of the tree whose top this is.
pub(super) fn open(top: &Dir, path: &Path, flags: OFlag) -> FastOpen {
    let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS;
    let relative = path.strip_prefix("/").unwrap_or(path);
    match openat2(top, relative, OpenHow::new().flags(flags).resolve(resolve)) {
        Ok(fd) => FastOpen::Open(fd),
        Err(Errno::ENOENT) if !relative.as_os_str().is_empty() => FastOpen::Missing,
        Err(Errno::ELOOP) => {
            // Links lead where they would in a chroot of the tree.
            let flags = OFlag::O_PATH | OFlag::O_CLOEXEC | (flags & OFlag::O_NOFOLLOW);
            let resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
            match openat2(top, relative, OpenHow::new().flags(flags).resolve(resolve)) {
                Err(Errno::ENOENT) => FastOpen::Missing,
                _ => FastOpen::Unknown,
            }
        }
        Err(_) => FastOpen::Unknown,
    }
}
