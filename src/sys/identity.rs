//! Whose rights the process uses: root's own, or for a moment the account's.
//!
//! The account's home is enemy territory, so every system call there is made with the account's own
//! effective ids (`seteuid(2)`). The real and saved ids stay root's: the account can neither signal
//! nor trace a process in that state (`kill(2)`, `ptrace(2)`), and no child has to be trusted.
//! Must not read or write files.

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{Gid, Uid, getegid, geteuid, getgroups, setegid, seteuid, setgroups};

/// User and group of an account, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
}

impl Identity {
    /// The effective ids of this process.
    #[must_use]
    pub fn current() -> Self {
        Self { uid: geteuid().as_raw(), gid: getegid().as_raw() }
    }
}

/// True when the process may act for every account.
#[must_use]
pub fn is_root() -> bool {
    geteuid().is_root()
}

/// Make the process hard to look into: no core dump, no tracing by others, no inherited groups, and a
/// known umask. Call once, before anything secret is read, while the process has one thread.
pub fn harden() -> Result<()> {
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    setrlimit(Resource::RLIMIT_CORE, 0, 0).context("cannot switch core dumps off")?;
    nix::sys::prctl::set_dumpable(false).context("cannot switch tracing off")?;
    if is_root() && !getgroups().context("cannot list the supplementary groups")?.is_empty() {
        match setgroups(&[]) {
            // A user namespace with a single id forbids it, and then no other account exists in it.
            Ok(()) | Err(Errno::EPERM) => {}
            Err(error) => return Err(error).context("cannot drop the supplementary groups"),
        }
    }
    Ok(())
}

/// While it lives, system calls are made with the account's rights. Does not nest.
#[derive(Debug)]
pub struct Guard(());

impl Guard {
    /// Take the rights of `identity`.
    pub fn enter(identity: Identity) -> std::io::Result<Self> {
        // The group first: once the user is no longer root, the group can't be changed.
        setegid(Gid::from_raw(identity.gid))?;
        if let Err(error) = seteuid(Uid::from_raw(identity.uid)) {
            restore();
            return Err(error.into());
        }
        Ok(Self(()))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        restore();
    }
}

/// Back to root, or not one step further: continuing with the wrong rights could write a root-owned
/// file where the account can reach it.
fn restore() {
    if seteuid(Uid::from_raw(0)).is_err() || setegid(Gid::from_raw(0)).is_err() {
        std::process::abort();
    }
}
