//! What a command ends with, where its output goes, and how much of it there is.

use std::io::Write;

use crate::cli::{Cli, Color, Environment};
use crate::report::text::Details;
use crate::report::{DetailLevel, Report, Status, Style};

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

impl Exit {
    /// Of a command that has written what it could.
    pub(super) fn of(report: &Report) -> Self {
        match report.status {
            Status::Failed => Self::Error,
            _ if report.pending.is_empty() => Self::Converged,
            _ => Self::Pending,
        }
    }

    /// Of a command that only looks: whether it says that the host differs, and that something waits.
    pub(super) fn looked(report: &Report, differs: bool, waits: bool) -> Self {
        match report.status {
            Status::Failed => Self::Error,
            Status::Differs if differs => Self::Differs,
            Status::Pending if waits => Self::Pending,
            _ => Self::Converged,
        }
    }
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

/// How the program was called: all that a command goes by beside its own arguments.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    pub(super) cli: &'a Cli,
    pub(super) environment: Environment,
    pub(super) style: Style,
}

impl<'a> Call<'a> {
    /// For a terminal of so many columns, or for none.
    pub fn new(cli: &'a Cli, environment: Environment, columns: Option<usize>) -> Self {
        let color = match cli.global.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => columns.is_some() && !environment.plain,
        };
        let details = if cli.global.verbose { Details::Checks } else { Details::Few };
        Self { cli, environment, style: Style { color, quiet: cli.global.quiet, details, columns } }
    }

    /// This call, with what differs shown to people.
    pub(super) fn with_differences(self) -> Self {
        Self { style: self.style.with_differences(), ..self }
    }

    /// What of each change will be seen.
    pub(super) fn extent(self) -> DetailLevel {
        match self.style.details {
            _ if self.cli.global.json => DetailLevel::Diff,
            Details::Few => DetailLevel::Lines,
            Details::Differences | Details::Checks => DetailLevel::Differences,
        }
    }
}
