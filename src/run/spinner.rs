//! Something that moves on a terminal while a person has to wait: for a key, which takes seconds when it is an RSA key,
//! or for another program.
//!
//! Nothing is written where standard error is not a terminal: two of three times nobody is there. One that can't take a
//! line back (`TERM=dumb`) is told once.

use std::cell::RefCell;
use std::fs::File;
use std::io::{IsTerminal, Write, stderr};
use std::os::fd::AsFd;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::exit::Call;
use crate::report::escape;
use crate::sys::waiting::Waiting;

const FRAMES: [&str; 4] = ["|", "/", "-", "\\"];

const PAUSE: Duration = Duration::from_millis(100);

/// Nobody wants to read of what is over by then.
const DELAY: Duration = Duration::from_millis(500);

/// The terminal that a person sees, if there is one who wants to.
pub(super) struct Spinner {
    terminal: File,
    is_dumb: bool,
    columns: usize,
}

impl Spinner {
    /// `None` where nobody looks.
    pub(super) fn new(call: Call<'_>) -> Option<Self> {
        if call.cli.global.quiet || !stderr().is_terminal() {
            return None;
        }
        // Not by way of `stderr()`, which the program holds for itself.
        let terminal = File::from(stderr().as_fd().try_clone_to_owned().ok()?);
        let columns = rustix::termios::tcgetwinsize(&terminal).map_or(0, |size| usize::from(size.ws_col));
        Some(Self {
            terminal,
            is_dumb: call.environment.dumb,
            columns: if columns == 0 { 80 } else { columns },
        })
    }

    /// Show it for the `turn`th time, on the line that the cursor is on.
    fn turn(&mut self, what: &str, turn: usize) {
        // A line that wraps is not taken back by a carriage return.
        let what: String = escape(what).chars().take(self.columns.saturating_sub(4)).collect();
        if !self.is_dumb {
            write!(self.terminal, "\r{} {what} ", FRAMES[turn % FRAMES.len()]).ok();
        } else if turn == 0 {
            writeln!(self.terminal, "{what}").ok();
        }
    }

    /// Back to the begin of an empty line.
    fn clear(&mut self) {
        if !self.is_dumb {
            write!(self.terminal, "\r\u{1b}[K").ok();
        }
    }

    /// Do some work. The thread that shows it has ended when this returns.
    pub(super) fn during<T>(mut self, what: &str, work: impl FnOnce() -> T) -> T {
        let (done, end) = channel::<()>();
        thread::scope(|scope| {
            let show = move || {
                for turn in 0.. {
                    self.turn(what, turn);
                    if end.recv_timeout(PAUSE) != Err(RecvTimeoutError::Timeout) {
                        break;
                    }
                }
                self.clear();
            };
            // A host that lets no thread start makes the key all the same.
            thread::Builder::new().spawn_scoped(scope, show).ok();
            let made = work();
            drop(done);
            made
        })
    }
}

/// What is waited for, told on the terminal. By whoever waits, and not by a thread: one that was started before signals are
/// held back would be ended by them, and the program with it.
pub(super) fn waiting(call: Call<'_>) -> Waiting {
    let Some(spinner) = Spinner::new(call) else { return Waiting::silent() };
    let shown = RefCell::new(OnScreen { spinner, begun: None, turns: 0 });
    Waiting::told(move |what| {
        if let Ok(mut shown) = shown.try_borrow_mut() {
            shown.tell(what);
        }
    })
}

/// What is on the screen of a wait.
struct OnScreen {
    spinner: Spinner,
    begun: Option<Instant>,
    turns: u32,
}

impl OnScreen {
    fn tell(&mut self, what: Option<&str>) {
        let Some(what) = what else {
            if self.turns > 0 {
                self.spinner.clear();
            }
            (self.begun, self.turns) = (None, 0);
            return;
        };
        let begun = *self.begun.get_or_insert_with(Instant::now);
        if begun.elapsed() >= DELAY + PAUSE * self.turns {
            self.spinner.turn(&format!("waiting for {what}"), self.turns as usize);
            self.turns += 1;
        }
    }
}
