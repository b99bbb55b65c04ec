//! Whose rights the process uses: root's own, or for a moment the account's.
//!
//! The account's home is enemy territory, so every system call there is made with the account's own
//! effective ids (`seteuid(2)`). The real and saved ids stay root's: the account can neither signal
//! nor trace a process in that state (`kill(2)`, `ptrace(2)`), and no child has to be trusted.
//! Must not read or write files.

use std::cell::Cell;
use std::ffi::CString;
use std::io;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{Gid, Uid, getegid, geteuid, getgrouplist, setegid, seteuid, setgroups};

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
    pub fn current() -> Self {
        Self { uid: geteuid().as_raw(), gid: getegid().as_raw() }
    }
}

/// The effective user id of this process.
pub fn user() -> u32 {
    geteuid().as_raw()
}

/// True when the process may act for every account.
pub fn is_root() -> bool {
    geteuid().is_root()
}

/// Make the process hard to look into: no core dump, no tracing by others, no inherited groups. And the same
/// wherever it was started: a known umask. Call once, before anything secret is read, while the process has one thread.
pub fn harden() -> Result<()> {
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    setrlimit(Resource::RLIMIT_CORE, 0, 0).context("cannot switch core dumps off")?;
    hide().context("cannot switch tracing off")?;
    match setgroups(&[]) {
        // So says the kernel to all but root. A user namespace with a single id forbids it, too, and then no other account
        // exists in it.
        Ok(()) | Err(Errno::EPERM) => {}
        Err(error) => return Err(error).context("cannot drop the supplementary groups"),
    }
    Ok(())
}

thread_local! {
    /// The account whose rights are used now. The rights themselves belong to the process; this only saves
    /// asking the kernel, and the process has one thread while it uses them.
    static ENTERED: Cell<Option<Identity>> = const { Cell::new(None) };
}

/// Neither tracing nor core dumps. The kernel sets this anew at every change of an effective id, to what
/// `fs.suid_dumpable` says, and systemd-coredump for one sets that to 2.
fn hide() -> nix::Result<()> {
    nix::sys::prctl::set_dumpable(false)
}

/// While it lives, system calls are made with the account's rights. Inside another guard of the same
/// account it costs nothing, so that a batch can take one around all its steps.
#[derive(Debug)]
pub struct Guard {
    /// False inside another guard, which restores.
    outermost: bool,
}

impl Guard {
    /// Take the rights of `identity`.
    pub fn enter(identity: Identity) -> io::Result<Self> {
        match ENTERED.get() {
            Some(entered) if entered == identity => return Ok(Self { outermost: false }),
            Some(_) => return Err(io::Error::other("the rights of another account are in use")),
            None => {}
        }
        // The group first: once the user is no longer root, the group can't be changed.
        setegid(Gid::from_raw(identity.gid))?;
        if let Err(error) = seteuid(Uid::from_raw(identity.uid)).and_then(|()| hide()) {
            restore();
            return Err(error.into());
        }
        ENTERED.set(Some(identity));
        Ok(Self { outermost: true })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.outermost {
            restore();
            ENTERED.set(None);
        }
    }
}

/// Look with all rights of an account, those of its further groups among them, as its jobs have them. Only where
/// its own ids did not suffice: it asks for the groups by name.
pub fn with_groups<T>(name: &str, identity: Identity, look: impl FnOnce() -> T) -> io::Result<T> {
    let name = CString::new(name)?;
    let groups = getgrouplist(&name, Gid::from_raw(identity.gid))?;
    setgroups(&groups)?;
    let seen = Guard::enter(identity).map(|_rights| look());
    // Root's own calls need none.
    if setgroups(&[]).is_err() {
        std::process::abort();
    }
    seen
}

/// While it lives, root's own rights are used again, also inside a [`Guard`].
#[derive(Debug)]
pub struct RootGuard(Option<Identity>);

impl RootGuard {
    /// Lay the account's rights down, if they are in use.
    pub fn enter() -> Self {
        let entered = ENTERED.take();
        if entered.is_some() {
            restore();
        }
        Self(entered)
    }
}

impl Drop for RootGuard {
    fn drop(&mut self) {
        if let Some(identity) = self.0 {
            // Going on with root's rights in the account's home is what must never happen.
            match Guard::enter(identity) {
                Ok(guard) => std::mem::forget(guard),
                Err(_) => std::process::abort(),
            }
        }
    }
}

/// Back to root, or not one step further: continuing with the wrong rights could write a root-owned
/// file where the account can reach it.
fn restore() {
    if seteuid(Uid::from_raw(0)).is_err() || setegid(Gid::from_raw(0)).is_err() {
        std::process::abort();
    }
    // This can't fail with a valid argument, and what it guards against needs a crash as well.
    hide().ok();
}
