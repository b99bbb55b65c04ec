//! One `runner-prep` at a time for each tree.
//!
//! The lock lies in our own state directory, which only root can enter: on a file that others can open,
//! any job could hold it for ever. It does not stop gitlab-runner, which knows no locks.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::fcntl::{OFlag, openat};
use nix::libc;
use nix::sys::stat::Mode;
use rustix::fs::FlockOperation;

use super::dir::Dir;
use super::waiting::Waiting;
use crate::fault::fault;

/// How often we look whether it is free.
const PAUSE: Duration = Duration::from_millis(50);

/// Lock an open file for this handle (`flock(2)`), as long as it is open; false while another has it.
///
/// Not nix's `Flock`: it panics when the kernel refuses to unlock at the end.
pub(super) fn try_lock(file: &OwnedFd, how: FlockOperation) -> io::Result<bool> {
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
