//! Looks for which the kernel goes the whole way anew, with the rights of now: no handle that was opened with other
//! rights stands for a part of it.

use std::fs::File;
use std::io;
use std::path::Path;

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};

use super::Root;
use crate::sys::dir::{READ, Seen, seen};
use crate::sys::fast_open::{self, FastOpen};

impl Root {
    /// Read a file to which no link leads, by a way that the kernel goes anew with the rights of now; the inner `None`
    /// when nothing is there, the outer one when that can't be told so simply.
    pub fn read_at_once(&self, path: &Path, cap: u64) -> Option<Option<Seen>> {
        match fast_open::open(&self.top, path, READ) {
            FastOpen::Open(fd) => seen(&File::from(fd), cap).ok().map(Some),
            FastOpen::Missing => Some(None),
            FastOpen::Unknown => None,
        }
    }

    /// Whether the process may read the thing at `path` now, links resolved inside the tree: the kernel goes the whole
    /// way anew, through no handle that was opened with other rights. `entered` asks whether a directory may be
    /// passed through instead.
    pub fn may_open(&self, path: &Path, entered: bool) -> io::Result<()> {
        let relative = path.strip_prefix("/").unwrap_or(path);
        let (relative, flags) = if entered {
            (relative.join("."), OFlag::O_PATH | OFlag::O_CLOEXEC)
        } else {
            (relative.to_owned(), READ.difference(OFlag::O_NOFOLLOW))
        };
        let resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
        openat2(&*self.top, &relative, OpenHow::new().flags(flags).resolve(resolve))?;
        Ok(())
    }
}
