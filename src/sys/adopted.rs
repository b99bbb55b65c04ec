//! What a program has started in the background, and left running at its end.
//!
//! For as long as [`Adopted`] lives, this process gets every orphan below it as a child of its own, so that it finds
//! them, whatever session or group they went to. A child keeps its number until it is waited for: nobody else is killed.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::process_list;
use super::root::Root;

/// How long what is left has to be gone. An account can start faster than anybody ends.
const PATIENCE: Duration = Duration::from_secs(2);

/// The children that come by the death of those who started them.
#[derive(Debug)]
pub(super) struct Adopted {
    own: Vec<u32>,
}

impl Adopted {
    /// Adopt from now on.
    pub(super) fn begin() -> Self {
        set_child_subreaper(true).ok();
        Self { own: children().unwrap_or_default() }
    }

    /// End all that was adopted, and what those have started in turn.
    pub(super) fn end(&self) {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let all = children().unwrap_or_default();
            let mut left = all.into_iter().filter(|pid| !self.own.contains(pid)).peekable();
            if left.peek().is_none() {
                return;
            }
            for pid in left.filter_map(|pid| i32::try_from(pid).ok()).map(Pid::from_raw) {
                // What has ended by itself only waits to be collected.
                if !matches!(waitpid(pid, Some(WaitPidFlag::WNOHANG)), Ok(WaitStatus::StillAlive)) {
                    continue;
                }
                kill(pid, Signal::SIGKILL).ok();
                // Whoever traces it is told of its end first, and may keep quiet: no waiting.
                waitpid(pid, Some(WaitPidFlag::WNOHANG)).ok();
            }
            super::waiting::rest(Duration::from_millis(2));
        }
    }
}

impl Drop for Adopted {
    fn drop(&mut self) {
        set_child_subreaper(false).ok();
    }
}

fn children() -> io::Result<Vec<u32>> {
    process_list::children(&Root::open(Path::new("/")).map_err(io::Error::other)?)
}
