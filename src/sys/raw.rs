//! The system calls that no safe wrapper offers: the one file with `unsafe` blocks in it.
//!
//! Each block states why it is sound. Nothing else belongs here.
#![expect(unsafe_code, reason = "pre_exec(3p)-style hooks and F_SETLEASE have no safe wrapper")]

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::errno::Errno;
use nix::libc::{self, c_int};
use nix::unistd::{Gid, Uid};

/// Start the child in a session of its own, so that it has no controlling terminal: with one, it could
/// type into root's shell (`TIOCSTI`). And without any handle but the standard three, whatever our own
/// caller left open: an account can trace what runs with its rights and use its handles.
pub(super) fn in_new_session(command: &mut Command) {
    // SAFETY: the hook runs between fork and exec and makes system calls only, which are
    // async-signal-safe; it allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(|| {
            nix::unistd::setsid()?;
            close_handles_at_exec();
            Ok(())
        });
    }
}

/// Start the child with the rights of an account and all its groups.
pub(super) fn with_groups(command: &mut Command, uid: Uid, gid: Gid, groups: Vec<Gid>) {
    // SAFETY: as above: three system calls on what was made before the fork.
    unsafe {
        command.pre_exec(move || {
            nix::unistd::setgroups(&groups)?;
            nix::unistd::setresgid(gid, gid, gid)?;
            Ok(nix::unistd::setresuid(uid, uid, uid)?)
        });
    }
}

/// Do this in the child before it gives up root's rights and becomes the program.
pub(super) fn before_rights(
    command: &mut Command,
    hook: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
) {
    // SAFETY: the process has one thread whenever it starts another one, so that no lock of the allocator is held in the
    // child.
    unsafe { command.pre_exec(hook) };
}

/// Hear of the end of children, also when whoever started this process had it ignored (`SIGCHLD`): then the kernel
/// keeps no exit codes, and no tool's answer would be known.
pub(super) fn hear_of_children() -> nix::Result<()> {
    use nix::sys::signal::{SigHandler, Signal, signal};
    // SAFETY: the default action runs none of our code; nothing in this program installs a handler that this
    // could take away.
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) }.map(drop)
}

/// Own a handle that the process was started with; `None` when there is none of that number.
pub(super) fn inherited(number: RawFd) -> Option<OwnedFd> {
    // SAFETY: fcntl(2) with F_GETFD reads a flag and takes no pointer; any number is allowed.
    if number <= 2 || unsafe { libc::fcntl(number, libc::F_GETFD) } < 0 {
        return None;
    }
    // SAFETY: the handle is open, and nothing else in this program owns one above 2 that it was started
    // with: its caller made it for this purpose, and this is called once, before any other is opened.
    Some(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Mark every handle above the standard three. Where the kernel is older than 5.11, one by one.
pub(super) fn close_handles_at_exec() {
    /// As many as a process can have open unless it asked for more (`ulimit -n`).
    const USUAL: libc::c_int = 1024;
    let (first, last): (libc::c_uint, libc::c_uint) = (3, libc::c_uint::MAX);
    // SAFETY: the call takes three numbers and no memory; a handle marked like this stays open, so that
    // nothing that Rust owns is closed.
    let marked = unsafe { libc::syscall(libc::SYS_close_range, first, last, libc::CLOSE_RANGE_CLOEXEC) };
    if marked != 0 {
        for handle in 3..USUAL {
            // SAFETY: as above; for a number that is not a handle it fails and does nothing.
            unsafe { libc::fcntl(handle, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }
}

/// The commands of fcntl(2) that are about leases and take a number.
#[derive(Debug, Clone, Copy)]
pub(super) enum LeaseCommand {
    /// Take (`F_RDLCK`, `F_WRLCK`) or give back (`F_UNLCK`) a lease.
    Set(c_int),
    /// The type that the lease has, or will have when the break that is pending is done.
    Get,
    /// Which signal tells of a break, instead of SIGIO, whose default action ends the process.
    Signal(c_int),
}

/// `F_SETSIG`, which the libc crate lacks; the number is the same in all of Linux's architectures that Rust
/// has a standard library for.
const F_SETSIG: c_int = 10;

/// Ask the kernel about the lease on an open file.
pub(super) fn lease(file: BorrowedFd<'_>, command: LeaseCommand) -> nix::Result<c_int> {
    let (command, argument) = match command {
        LeaseCommand::Set(kind) => (libc::F_SETLEASE, kind),
        LeaseCommand::Get => (libc::F_GETLEASE, 0),
        LeaseCommand::Signal(signal) => (F_SETSIG, signal),
    };
    // SAFETY: the descriptor is open as long as the borrow lives; each of the three commands takes its
    // argument by value, so that the kernel reads and writes none of our memory.
    Errno::result(unsafe { libc::fcntl(file.as_raw_fd(), command, argument) })
}

/// Requests of ioctl(2) on an open namespace, `ioctl_nsfs(2)`.
const NS_GET_USERNS: libc::Ioctl = libc::_IO(0xb7, 1);
const NS_GET_OWNER_UID: libc::Ioctl = libc::_IO(0xb7, 4);

/// The user namespace that a namespace belongs to.
pub(super) fn user_namespace(space: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // SAFETY: the request takes no argument; the kernel touches none of our memory.
    let handle = Errno::result(unsafe { libc::ioctl(space.as_raw_fd(), NS_GET_USERNS) })?;
    // SAFETY: the kernel has just made this handle for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(handle) })
}

/// The user who made a user namespace.
pub(super) fn maker_of_user_namespace(space: BorrowedFd<'_>) -> io::Result<u32> {
    let mut uid: libc::uid_t = 0;
    // SAFETY: the kernel writes one number of this type, which lives until the call returns.
    Errno::result(unsafe { libc::ioctl(space.as_raw_fd(), NS_GET_OWNER_UID, &raw mut uid) })?;
    Ok(uid)
}

/// Make the mount at a path, and all below it, read-only or writable again (`mount_setattr(2)`, Linux 5.12).
pub(super) fn set_mounts_read_only(path: &CStr, read_only: bool) -> io::Result<()> {
    let flag = libc::MOUNT_ATTR_RDONLY;
    let (attr_set, attr_clr) = if read_only { (flag, 0) } else { (0, flag) };
    let attributes = libc::mount_attr { attr_set, attr_clr, propagation: 0, userns_fd: 0 };
    // SAFETY: the kernel reads a string that ends in NUL and a structure of the size that is given with it;
    // both live until the call returns.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            libc::AT_RECURSIVE,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
