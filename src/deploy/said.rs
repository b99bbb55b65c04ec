//! What the parts of a deployment say to each other and to people: exit codes, names, lines.

use std::io::{Write, stderr};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// Our own exit code for errors, as everywhere in this program. Everything else is rsync's.
pub(super) const ERROR: u8 = 2;

/// What rsync calls the other side; nobody reads it.
pub(super) const PEER: &str = "checkout";

/// As a shell says it.
pub(super) fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(ERROR)
}

/// A line for people, on standard error; a closed one is no reason to stop.
pub(super) fn complain(text: &str) {
    writeln!(stderr(), "runner-deploy: {}", plain(text)).ok();
}

/// The text without characters that a terminal obeys.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { '?' } else { c }).collect()
}
