//! The system calls that no safe wrapper offers: the one file with `unsafe` in it.
//!
//! Each block states why it is sound. Nothing else belongs here.
#![expect(unsafe_code, reason = "pre_exec(3p)-style hooks and F_SETLEASE have no safe wrapper")]

use std::os::unix::process::CommandExt;
use std::process::Command;

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
