//! One `runner-prep` at a time for each tree, and nobody in visudo while a rule is replaced.
//!
//! Our own lock lies in our own state directory, which only root can enter: on a file that others can open,
//! any job could hold it for ever. It does not stop gitlab-runner, which knows no locks.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, openat};
use nix::libc;
use nix::sys::stat::Mode;
use rustix::fs::FlockOperation;

use super::dir::{Dir, FileKind, Stat};
use super::root::Root;
use super::waiting::Waiting;
use crate::fault::fault;

/// How often we look whether it is free.
const PAUSE: Duration = Duration::from_millis(50);

/// Lock an open file for this handle (`flock(2)`), as long as it is open; false while another has it.
///
/// Not nix's `Flock`: it panics when the kernel refuses to unlock at the end.
fn try_lock(file: &OwnedFd, how: FlockOperation) -> io::Result<bool> {
    match rustix::fs::flock(file, how) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// A lock of a whole file for writing, as fcntl(2) wants it.
pub(super) fn whole_file() -> Result<libc::flock> {
    Ok(libc::flock {
        l_type: libc::c_short::try_from(libc::F_WRLCK)?,
        l_whence: libc::c_short::try_from(libc::SEEK_SET)?,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    })
}

/// Held until dropped.
#[derive(Debug)]
pub struct Lock {
    /// The kernel gives the lock back when this is closed, everywhere.
    held: OwnedFd,
}

impl Lock {
    /// One more handle: the lock is held until that is closed, too.
    pub(super) fn handle(&self) -> io::Result<OwnedFd> {
        self.held.try_clone()
    }

    /// Wait until nobody holds the lock in `dir`, but no longer than `patience`; true when somebody held it, and holds it
    /// no more. Makes nothing, and takes nothing that another run would wait for.
    ///
    /// # Errors
    /// When it can't be looked at.
    pub fn watch(dir: &Dir, patience: Duration, waiting: &Waiting) -> io::Result<bool> {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let fd = openat(dir, OsStr::new("lock"), flags, Mode::empty())?;
        let mut was_held = false;
        let ask = || {
            let is_free = try_lock(&fd, FlockOperation::NonBlockingLockShared)?;
            was_held |= !is_free;
            Ok::<_, io::Error>(is_free.then_some(()))
        };
        let ended = waiting.until("another runner-prep to end", patience, PAUSE, ask)?;
        Ok(was_held && ended.is_some())
    }

    /// Wait for the lock in `dir`, but no longer than `patience`.
    ///
    /// # Errors
    /// When another run still holds it then, or it can't be made.
    pub fn take(dir: &Rc<Dir>, patience: Duration, waiting: &Waiting) -> Result<Self> {
        let path = dir.path().join("lock");
        let cannot = || format!("cannot lock {}", path.display());
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let fd = openat(&**dir, OsStr::new("lock"), flags, Mode::from_bits_truncate(0o600))
            .map_err(io::Error::from)
            .with_context(cannot)?;
        let what = format!("another runner-prep to end: {}", path.display());
        let ask =
            || Ok::<_, io::Error>(try_lock(&fd, FlockOperation::NonBlockingLockExclusive)?.then_some(()));
        match waiting.until(&what, patience, PAUSE, ask).with_context(cannot)? {
            Some(()) => Ok(Self { held: fd }),
            None => Err(fault(
                "locked",
                format!("another runner-prep has held {} for {} s", path.display(), patience.as_secs()),
                mend!("wait for it, or see who it is: $ fuser {}", path.display()),
            )),
        }
    }
}

/// The locks that the two visudo take on a file while somebody edits it. visudo of sudo locks with `lockf(3)`, the one of
/// sudo-rs with `flock(2)`. Neither waits for the other kind, so both are taken. Ours are held while the file is replaced;
/// visudo then says that it is busy.
///
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
    let repair = mend!("wait until they are done, then run again; see who it is: $ fuser -v {}", path);
    fault("policy-locked", format!("somebody has {path} open in visudo"), repair)
}
