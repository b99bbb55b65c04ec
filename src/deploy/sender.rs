//! The reading side of a deployment while it runs. It belongs to the job, which can stop it, trace it, or let it
//! say nothing for ever; the writing side is root's, and must not wait for that.
//!
//! rsync's own `--timeout` does not end it: the words that the writing side puts into the pipe to a stopped sender
//! count for it as a sign of life. So what the sender says passes through here, unread, and its silence is timed.

use std::fs::File;
use std::io::{Read, Write, stderr};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, ChildStdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::child::{ERROR, code, plain};
use crate::sys::exec::end_of;
use crate::sys::fd_passing::Socket;

/// A sender that was started.
pub(super) struct Sender {
    pub(super) child: Child,
    /// Where the receiver reads what the sender says.
    pub(super) output: OwnedFd,
    /// How long it may say nothing.
    pub(super) limit: Duration,
}

/// What becomes of a sender.
pub(super) struct SenderEnd {
    /// Gets a message when everything is passed on that it says to people.
    pub(super) said: Receiver<()>,
    /// It stood still and was killed.
    pub(super) stalled: Arc<AtomicBool>,
}

impl Sender {
    /// Pass on what it says to the receiver and to people, and when it has ended tell the receiver how. One that
    /// stands still is killed.
    pub(super) fn watch(self, socket: Socket) -> SenderEnd {
        let Self { mut child, output, limit } = self;
        let (done, said) = channel();
        if let Some(mut pipe) = child.stderr.take() {
            std::thread::spawn(move || {
                let mut chunk = [0; 4096];
                while let Ok(count) = pipe.read(&mut chunk) {
                    if count == 0 {
                        break;
                    }
                    // The job wrote it, and root's terminal may be what shows it.
                    let text = plain(&String::from_utf8_lossy(&chunk[..count]));
                    stderr().write_all(text.as_bytes()).ok();
                }
                done.send(()).ok();
            });
        }
        let stalled = Arc::new(AtomicBool::new(false));
        let mark = Arc::clone(&stalled);
        std::thread::spawn(move || {
            // rsync makes it one that never waits.
            fcntl(&output, FcntlArg::F_SETFL(OFlag::empty())).ok();
            let output = File::from(output);
            let speaks = child.stdout.take().is_none_or(|from| carry(from, &output, limit));
            // Before the receiver hears of it.
            mark.store(!speaks, Ordering::SeqCst);
            drop(output);
            let ended = if speaks { end_of(&mut child, Instant::now() + limit).ok().flatten() } else { None };
            if ended.is_none() {
                mark.store(true, Ordering::SeqCst);
                // Nobody waits for its end: who traces it is told first, and may keep it.
                child.kill().ok();
            }
            socket.answer(ended.map_or(ERROR, code)).ok();
        });
        SenderEnd { said, stalled }
    }
}

/// Pass bytes on until one side closes. False when none came for so long, with the other side ready for them.
fn carry(mut from: ChildStdout, mut to: &File, limit: Duration) -> bool {
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let mut waiting = [PollFd::new(from.as_fd(), PollFlags::POLLIN)];
        match poll(&mut waiting, PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX)) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(Errno::EINTR) => continue,
            Err(_) => return true,
        }
        match from.read(&mut chunk) {
            Ok(count) if count > 0 && to.write_all(&chunk[..count]).is_ok() => {}
            _ => return true,
        }
    }
}
