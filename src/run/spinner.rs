//! Something that moves on a terminal while a key is made: an RSA key takes seconds.
//!
//! Nothing is written where standard error is no terminal: two of three times nobody is there.

use std::fs::File;
use std::io::{IsTerminal, Write, stderr};
use std::os::fd::AsFd;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

const FRAMES: [&str; 4] = ["|", "/", "-", "\\"];

const PAUSE: Duration = Duration::from_millis(100);

/// Do some work. The thread that shows it has ended when this returns.
pub(super) fn during<T>(what: &str, work: impl FnOnce() -> T) -> T {
    // Not by way of `stderr()`, which the program holds for itself.
    let terminal = stderr().is_terminal().then(|| stderr().as_fd().try_clone_to_owned().ok()).flatten();
    let Some(mut terminal) = terminal.map(File::from) else {
        return work();
    };
    let (done, end) = channel::<()>();
    thread::scope(|scope| {
        let turn = move || {
            for frame in FRAMES.iter().cycle() {
                write!(terminal, "\r{frame} {what} ").ok();
                if end.recv_timeout(PAUSE) != Err(RecvTimeoutError::Timeout) {
                    break;
                }
            }
            // Back to the begin of an empty line.
            write!(terminal, "\r\u{1b}[K").ok();
        };
        // A host that lets no thread start makes the key all the same.
        thread::Builder::new().spawn_scoped(scope, turn).ok();
        let made = work();
        drop(done);
        made
    })
}
