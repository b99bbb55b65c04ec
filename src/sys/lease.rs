//! Noticing who else opens a file, while they have to wait: file leases (`F_SETLEASE`, fcntl(2)).
//!
//! Owns taking a lease and the question whether somebody came. While a read lease is held, an open for
//! writing waits in the kernel; while a write lease is held, any open does.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::libc::{F_RDLCK, F_UNLCK, F_WRLCK, SIGURG};
use nix::sys::stat::fstat;

use super::dir::Stat;
use super::process_list::Look;
use super::raw::{self, LeaseCommand};
use super::root::Root;
use super::waiting::Waiting;
use crate::fault::fault;

/// The error of a file that could not be opened because somebody has a lease on it, with who that is: whoever has
/// one keeps everybody waiting, for as long as the kernel lets it.
pub fn held(machine: &Root, path: &Path, inode: u64) -> anyhow::Error {
    let path = path.display();
    let (who, repair) = match holder(machine, inode) {
        Some(pid) => (
            format!("process {pid} holds a lease on it"),
            mend!("see what it is, end it, and run the same command again: $ ps -fp {0}; $ kill {0}", pid),
        ),
        None => (
            "another program holds a lease on it".to_owned(),
            "see which one, and run the same command again: grep LEASE /proc/locks".into(),
        ),
    };
    fault("in-use", format!("{path} can't be read: {who}"), repair)
}

/// A process that holds a lease on the file of this inode, as `/proc/locks` shows it (proc(5)).
fn holder(machine: &Root, inode: u64) -> Option<u32> {
    let mut look = Look::begin(machine).ok()?;
    let locks = look.bytes("", "locks").ok()??;
    // `1: LEASE  ACTIVE    WRITE 4242 fe:00:1573 0 EOF`
    String::from_utf8_lossy(&locks).lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, "LEASE", _, _, pid, file, ..] = words[..] else { return None };
        let is_it = file.rsplit(':').next()?.parse() == Ok(inode);
        pid.parse().ok().filter(|_| is_it)
    })
}

/// How long others may keep a file open before we give up.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// How often we look whether they are done.
const PAUSE: Duration = Duration::from_millis(20);

/// Whom a lease keeps waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LeaseKind {
    /// Everybody who opens the file for writing, or truncates it.
    Writers,
    /// Everybody who opens the file.
    All,
}

/// An open file that is watched until the value goes.
#[derive(Debug)]
pub(super) struct Watch {
    file: File,
    /// The lease's type; without leases on this file system, nothing.
    lease: Option<i32>,
    begun: Stat,
}

impl Watch {
    /// Watch a file as soon as nobody has it open that the lease would keep out; `None` when somebody has it open all the time.
    ///
    /// Where there are no leases (NFS, some FUSE), only what became of the file is seen, not who waits.
    pub(super) fn over(
        file: File,
        path: &Path,
        kind: LeaseKind,
        waiting: &Waiting,
    ) -> io::Result<Option<Self>> {
        let kind = match kind {
            LeaseKind::Writers => F_RDLCK,
            LeaseKind::All => F_WRLCK,
        };
        // Without leases on this file system the answer is none.
        let ask = || {
            // SIGURG is ignored unless a program asks for it; the default of SIGIO is to end it.
            let taken = raw::lease(file.as_fd(), LeaseCommand::Signal(SIGURG))
                .and_then(|_| raw::lease(file.as_fd(), LeaseCommand::Set(kind)));
            match taken {
                Ok(_) => Ok::<_, io::Error>(Some(Some(kind))),
                Err(Errno::EINTR | Errno::EAGAIN) => Ok(None),
                Err(_) => Ok(Some(None)),
            }
        };
        let what = format!("the program that has {} open", path.display());
        let Some(lease) = waiting.until(&what, PATIENCE, PAUSE, ask)? else { return Ok(None) };
        let begun = fstat(&file)?.into();
        Ok(Some(Self { file, lease, begun }))
    }

    /// The file.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// The facts of the file when the watch began.
    pub(super) fn begun(&self) -> Stat {
        self.begun
    }

    /// False where the file system has no leases.
    pub(super) fn is_leased(&self) -> bool {
        self.lease.is_some()
    }

    /// True when somebody waits for the file, or wrote to it.
    pub(super) fn is_disturbed(&self) -> io::Result<bool> {
        if let Some(kind) = self.lease {
            if raw::lease(self.file.as_fd(), LeaseCommand::Get)? != kind {
                return Ok(true);
            }
        }
        let now = Stat::from(fstat(&self.file)?);
        Ok((now.size, now.modified) != (self.begun.size, self.begun.modified))
    }

    /// Look for that long; true as soon as somebody came.
    pub(super) fn is_disturbed_within(&self, time: Duration) -> io::Result<bool> {
        let ask = || Ok::<_, io::Error>(self.is_disturbed()?.then_some(()));
        Ok(Waiting::silent().until("somebody", time, Duration::from_millis(1), ask)?.is_some())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // The end of the file handle would end it, too, if no child has inherited a copy.
        raw::lease(self.file.as_fd(), LeaseCommand::Set(F_UNLCK)).ok();
    }
}
