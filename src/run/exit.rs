//! What a command ends with, where its output goes, and how much of it there is.

use std::io::Write;

use crate::cli::Cli;
use crate::report::text::Details;
use crate::report::{DetailLevel, Style};

/// The exit codes: an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// The host is as wanted, changed or not.
    Converged = 0,
    /// It differs, and nothing was to be written.
    Differs = 1,
    /// Bad usage, bad profile, refused, or failed and taken back.
    Error = 2,
    /// As wanted as can be, but something waits for a person.
    Pending = 3,
}

/// Where output goes: the two streams, and whether the first is a terminal.
pub struct Streams<'a> {
    /// Results.
    pub out: &'a mut dyn Write,
    /// Problems.
    pub err: &'a mut dyn Write,
    /// Columns of the terminal that results go to; `None` when they go elsewhere.
    pub columns: Option<usize>,
}

/// What of each change will be seen.
pub(super) fn extent(cli: &Cli, style: Style) -> DetailLevel {
    match style.details {
        _ if cli.global.json => DetailLevel::Diff,
        Details::Few => DetailLevel::Lines,
        Details::Differences | Details::Checks => DetailLevel::Differences,
    }
}
