//! The begin of the process, where the standard library's own is not used.
//!
//! Owns what of that one a root's program can't do without. Called once, before anything else.

use std::os::fd::IntoRawFd;
use std::process::abort;

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use super::raw;

/// See that the three standard handles are open, so that no file of ours gets one of their numbers and with it what is
/// meant for a person; and that a reader who goes away is an error of the write, not the end in the middle of the work.
pub fn begin() {
    for number in raw::closed_standard_handles() {
        // The lowest number that is free, so that it is this one. Without it nothing that is written is safe.
        match open("/dev/null", OFlag::O_RDWR, Mode::empty()).map(IntoRawFd::into_raw_fd) {
            Ok(made) if made == number => {}
            _ => abort(),
        }
    }
    if raw::ignore_broken_pipes().is_err() {
        abort();
    }
}
