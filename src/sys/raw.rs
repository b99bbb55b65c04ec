//! The system calls that no safe wrapper offers: the one file with `unsafe` in it.
//!
//! Each block states why it is sound. Nothing else belongs here.
#![expect(unsafe_code, reason = "pre_exec(3p)-style hooks and F_SETLEASE have no safe wrapper")]

use std::ffi::CStr;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::libc;

/// Start the child in a session of its own, so that it has no controlling terminal: with one, it could
/// type into root's shell (`TIOCSTI`).
pub(super) fn in_new_session(command: &mut Command) {
    // SAFETY: the hook runs between fork and exec and makes one system call, setsid(2), which is
    // async-signal-safe; it allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(|| {
            nix::unistd::setsid()?;
            Ok(())
        });
    }
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

/// Mark all handles above standard error to be closed when another program is started.
pub(super) fn close_others_on_exec() {
    // SAFETY: close_range(2) with CLOSE_RANGE_CLOEXEC and fcntl(2) with F_SETFD set a flag of handles and
    // take no pointer; an owner of such a handle may go on using it.
    unsafe {
        if libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) == 0 {
            return;
        }
        // Before Linux 5.11.
        for number in 3..4096 {
            libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC);
        }
    }
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
