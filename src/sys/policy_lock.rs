//! The locks that the two visudo take on a file while somebody edits it.
//!
//! visudo of sudo locks with `lockf(3)`, the one of sudo-rs with `flock(2)`. Neither waits for the other kind,
//! so both are taken. Ours are held while the file is replaced; visudo then says that it is busy.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, openat};
use nix::sys::stat::Mode;
use rustix::fs::FlockOperation;

use super::dir::{FileKind, Stat};
use super::lock::{try_lock, whole_file};
use super::root::Root;
use crate::fault::fault;

/// Held until dropped: the kernel gives both locks back when the handle is closed, and can't refuse that.
#[derive(Debug)]
pub struct PolicyLock {
    _held: OwnedFd,
}

impl PolicyLock {
    /// Lock the file at `path`; `None` where there is none, or none that can be written, or where the lock says nothing.
    ///
    /// # Errors
    /// When somebody has it open in visudo. There is no waiting for a person.
    pub fn take(root: &Root, path: &Path) -> Result<Option<Self>> {
        let cannot = || format!("cannot lock {}", path.display());
        let Some(found) = root.walk(path, false).with_context(cannot)? else {
            return Ok(None);
        };
        let stat = found.stat().with_context(cannot)?.filter(|stat| stat.kind == FileKind::Regular);
        let Some(Stat { mode, gid, .. }) = stat else { return Ok(None) };
        // What others can open, any job can lock for ever.
        let is_open = mode & 0o007 != 0 || mode & 0o070 != 0 && gid != 0;
        let busy = || if is_open { Ok(None) } else { Err(busy(path)) };
        // A lock for writing wants a handle for writing.
        let flags = OFlag::O_RDWR | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let name: &OsStr = &found.name;
        let handle = match openat(&*found.dir, name, flags, Mode::empty()) {
            Ok(handle) => handle,
            // Nothing is replaced where nothing can be written; the writer will say it better.
            Err(Errno::EPERM | Errno::EACCES | Errno::EROFS | Errno::ENOENT) => return Ok(None),
            Err(error) => return Err(io::Error::from(error)).with_context(cannot),
        };
        if !try_lock(&handle, FlockOperation::NonBlockingLockExclusive).with_context(cannot)? {
            return busy();
        }
        // Of the open file, not of the process: closing another handle of the same file must not drop it.
        match fcntl(&handle, FcntlArg::F_OFD_SETLK(&whole_file()?)) {
            Ok(_) => Ok(Some(Self { _held: handle })),
            Err(Errno::EAGAIN | Errno::EACCES) => busy(),
            Err(error) => Err(io::Error::from(error)).with_context(cannot),
        }
    }
}

fn busy(path: &Path) -> anyhow::Error {
    let path = path.display();
    fault(
        "policy-locked",
        format!("somebody has {path} open in visudo"),
        mend!("wait until they are done, then run again; see who it is: $ fuser -v {}", path),
    )
}
