//! The mark of a run at work: an empty directory beside the journal, there from before the first change until nothing
//! of the run is left to clean up.
//!
//! The journal knows which runs were killed, but only after three directories and an entry were opened and read, and
//! a run that has nothing to do would read them each time. The mark says whether there is anything to be read.

use std::ffi::OsStr;
use std::io::ErrorKind;

use anyhow::{Context, Result};
use nix::sys::signal::{SigSet, Signal};

use super::STATE;
use crate::sys::dir::Dir;

/// The name of the template for `gitlab-runner register` in the state directory; a killed run leaves it.
pub(super) const TEMPLATE: &str = "template.toml";

/// The name of the mark in the state directory.
const NAME: &str = "working";

/// Make the mark. It is durable when this returns.
pub(super) fn begin(state: &Dir) -> Result<()> {
    let made = match state.make_child(NAME.as_ref(), None, 0o700) {
        // Two attempts of one run, or the leftover of one that was killed before it had changed anything.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        made => made.and_then(|()| state.sync()),
    };
    made.with_context(|| format!("cannot use the state directory {STATE}, so nothing was changed"))
}

/// Take the mark away. If a power cut brings it back, the next run looks into the journal once in vain.
pub(super) fn end(state: &Dir) -> Result<()> {
    match state.remove_child(NAME.as_ref()) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        done => done.with_context(|| format!("cannot remove {STATE}/{NAME}")),
    }
}

/// True when a run is at work, or was killed.
pub(super) fn is_set(state: &Dir) -> Result<bool> {
    let found = state.stat_entry(NAME.as_ref());
    Ok(found.with_context(|| format!("cannot look at {STATE}/{NAME}"))?.is_some())
}

/// True for the name of the mark.
pub(super) fn is_mark(name: &OsStr) -> bool {
    name == NAME
}

/// What asks a process to end waits until the work is done or taken back. A file that grows over the
/// limit (`ulimit -f`) is an error of the write then, not the end in the middle of it.
pub(super) fn hold_signals() -> Result<()> {
    use Signal::{SIGALRM, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGXFSZ};
    let held = [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGALRM, SIGUSR1, SIGUSR2, SIGXFSZ];
    SigSet::from_iter(held).thread_block().context("cannot hold signals back")
}
