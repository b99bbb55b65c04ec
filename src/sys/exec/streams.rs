//! What a tool is given and what it prints, at the same time.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// As much of a tool's output as is kept.
const MOST_OUTPUT: usize = 256 * 1024;

/// How long nothing may come before the tool itself is looked at.
const PAUSE: Duration = Duration::from_millis(200);

/// Read two streams until both end or the deadline passes. `look` is called now and then while nothing comes. The input goes meanwhile: else each could wait for the other.
pub(super) fn listen(
    mut feed: Option<(File, &[u8])>,
    mut stdout: impl Read + AsFd + AsRawFd,
    out: &mut Vec<u8>,
    mut stderr: impl Read + AsFd + AsRawFd,
    err: &mut Vec<u8>,
    deadline: Instant,
    look: &mut dyn FnMut(),
) -> io::Result<()> {
    let ours = feed.as_ref().map(|(pipe, _)| pipe.as_fd());
    for fd in [stdout.as_fd(), stderr.as_fd()].into_iter().chain(ours) {
        fcntl(fd, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    }
    let (mut out_open, mut err_open) = (true, true);
    feed = feed.and_then(give);
    while out_open || err_open || feed.is_some() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        let mut waiting = Vec::with_capacity(3);
        if let Some((pipe, _)) = &feed {
            waiting.push(PollFd::new(pipe.as_fd(), PollFlags::POLLOUT));
        }
        if out_open {
            waiting.push(PollFd::new(stdout.as_fd(), PollFlags::POLLIN));
        }
        if err_open {
            waiting.push(PollFd::new(stderr.as_fd(), PollFlags::POLLIN));
        }
        match poll(&mut waiting, PollTimeout::try_from(left.min(PAUSE)).unwrap_or(PollTimeout::MAX)) {
            Ok(0) => look(),
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        drop(waiting);
        feed = feed.and_then(give);
        out_open = out_open && drain(&mut stdout, out)?;
        err_open = err_open && drain(&mut stderr, err)?;
    }
    Ok(())
}

/// Write what there is room for; `None` at the end, or when nobody reads: a tool says that by its exit code.
fn give((mut pipe, mut rest): (File, &[u8])) -> Option<(File, &[u8])> {
    while !rest.is_empty() {
        match pipe.write(rest) {
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Some((pipe, rest)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
    None
}

/// Read what is there; false at the end of the stream. Only so much at once: a tool that prints faster than
/// it is read must not keep us from looking at the clock.
fn drain(stream: &mut impl Read, into: &mut Vec<u8>) -> io::Result<bool> {
    let mut chunk = [0; 4096];
    for _ in 0..16 {
        match stream.read(&mut chunk) {
            Ok(0) => return Ok(false),
            Ok(count) => {
                let room = MOST_OUTPUT.saturating_sub(into.len());
                into.extend_from_slice(&chunk[..count.min(room)]);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}
