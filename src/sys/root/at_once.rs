//! Looks for which the kernel goes the whole way anew, in one call and with the rights of now: no handle that was opened
//! with other rights stands for a part of it.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::Mode;

use super::Root;
use crate::sys::dir::{READ, Seen, seen};

impl Root {
    /// Open an absolute path with no link on it in one call instead of one for each directory. Whether there is a link the
    /// kernel says itself (`openat2(2)`, Linux 5.6), and whether the links of the tree lead to anything. Where they do, or
    /// anything else is odd, the answer is the outer `None`, and who asks goes from directory to directory.
    pub fn open_at_once(&self, path: &Path, flags: OFlag) -> Option<Option<OwnedFd>> {
        let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS;
        let relative = path.strip_prefix("/").unwrap_or(path);
        match openat2(&*self.top, relative, OpenHow::new().flags(flags).resolve(resolve)) {
            Ok(fd) => Some(Some(fd)),
            Err(Errno::ENOENT) if !relative.as_os_str().is_empty() => Some(None),
            Err(Errno::ELOOP) => {
                // Links lead where they would in a chroot of the tree.
                let flags = OFlag::O_PATH | OFlag::O_CLOEXEC | (flags & OFlag::O_NOFOLLOW);
                let resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
                match openat2(&*self.top, relative, OpenHow::new().flags(flags).resolve(resolve)) {
                    Err(Errno::ENOENT) => Some(None),
                    _ => None,
                }
            }
            Err(_) => None,
        }
    }

    /// Read a file to which no link leads, by a way that the kernel goes anew with the rights of now; the inner `None`
    /// when nothing is there, the outer one when that can't be told so simply.
    pub fn read_at_once(&self, path: &Path, cap: u64) -> Option<Option<Seen>> {
        match self.open_at_once(path, READ)? {
            Some(fd) => seen(&File::from(fd), cap).ok().map(Some),
            None => Some(None),
        }
    }

    /// Whether the process may read the thing at `path` now, links resolved inside the tree: the kernel goes the whole
    /// way anew, through no handle that was opened with other rights. `entered` asks whether a directory may be
    /// passed through instead. Where there is no `openat2(2)`, or a filter of a container keeps it back, the machine's own
    /// paths are gone as by any program.
    pub fn may_open(&self, path: &Path, entered: bool) -> io::Result<()> {
        let relative = path.strip_prefix("/").unwrap_or(path);
        let (relative, flags) = if entered {
            (relative.join("."), OFlag::O_PATH | OFlag::O_CLOEXEC)
        } else {
            (relative.to_owned(), READ.difference(OFlag::O_NOFOLLOW))
        };
        let resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
        match openat2(&*self.top, &relative, OpenHow::new().flags(flags).resolve(resolve)) {
            Err(Errno::ENOSYS | Errno::EPERM) if self.is_host() => {
                openat(&*self.top, &relative, flags, Mode::empty())?;
            }
            opened => drop(opened?),
        }
        Ok(())
    }
}
