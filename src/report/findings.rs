//! The findings of `doctor`: one document for programs, one line a finding for people.

use std::fmt::Write as _;

use serde::Serialize;

use super::text::{BOLD, DIM, GREEN, RED, YELLOW, wrap};
use super::{Remark, Report, SCHEMA, Status, Style, escape, plural};
use crate::finding::{COULD_NOT_LOOK, FINE, Finding, Verdict};

/// What an examination found. Serialized, it is the document of `doctor --json`.
#[derive(Debug, Clone, Serialize)]
pub struct Diagnosis {
    /// Always false: looking changes nothing.
    pub changed: bool,
    /// True when there was no examination.
    pub failed: bool,
    /// One sentence on the whole.
    pub msg: String,
    /// Version of this document.
    pub schema: u32,
    /// `converged`, `differs` (there is a problem) or `failed`.
    pub status: Status,
    /// The profiles whose needs were looked at.
    pub profiles: Vec<String>,
    /// Every answer.
    pub findings: Vec<Finding>,
    /// Why there was no examination.
    pub warnings: Vec<Remark>,
    /// Why these profiles, when nobody named one.
    #[serde(skip)]
    pub chosen: Option<String>,
}

impl Diagnosis {
    /// A document of these findings.
    #[must_use]
    pub fn of(profiles: &[String], chosen: Option<String>, findings: Vec<Finding>) -> Self {
        let count = |status| findings.iter().filter(|finding| finding.status == status).count();
        let (problems, unknown) = (count(Verdict::Problem), count(Verdict::Unknown));
        let mut msg = match problems {
            0 => "no problem found".to_owned(),
            count => plural(count, "problem"),
        };
        if unknown > 0 {
            let _ = write!(msg, ", {} could not be looked at", plural(unknown, "thing"));
        }
        let status = if problems > 0 { Status::Differs } else { Status::Converged };
        Self {
            changed: false,
            failed: false,
            msg,
            schema: SCHEMA,
            status,
            profiles: profiles.to_vec(),
            findings,
            warnings: Vec::new(),
            chosen,
        }
    }

    /// A document of an error that left nothing to find.
    #[must_use]
    pub fn failed(profiles: &[String], error: &anyhow::Error) -> Self {
        let Report { msg, warnings, .. } = Report::failed(profiles, error);
        let document = Self::of(profiles, None, Vec::new());
        Self { failed: true, msg, status: Status::Failed, warnings, ..document }
    }

    /// True when something could have been looked at, and was not.
    #[must_use]
    pub fn is_incomplete(&self) -> bool {
        self.findings.iter().any(|finding| finding.code == COULD_NOT_LOOK)
    }

    /// One line a finding, with the repair of problems; quiet: problems only; with details: the repair of
    /// everything, and the codes.
    #[must_use]
    pub fn results(&self, style: Style) -> String {
        let mut out = String::new();
        let width = self.findings.iter().map(|finding| finding.check.len()).max().unwrap_or_default();
        for finding in &self.findings {
            let Finding { check, code, status, message, repair } = finding;
            if style.quiet && *status != Verdict::Problem {
                continue;
            }
            let (symbol, color) = match status {
                Verdict::Problem => ("✗", RED),
                Verdict::Unknown => ("?", DIM),
                Verdict::Ok if code == FINE => ("✓", GREEN),
                Verdict::Ok => ("!", YELLOW),
            };
            let shown = if style.details && code != FINE { format!(" [{code}]") } else { String::new() };
            // Programs that read lines get one for each finding; a terminal gets lines that fit.
            let indent = width + 4;
            let room = style.columns.map_or(usize::MAX, |_| style.width().saturating_sub(indent).max(20));
            let text = wrap(&(lines(message) + &shown), room).join(&format!("\n{:indent$}", ""));
            let _ = writeln!(out, "{} {check:width$}  {text}", style.paint(color, symbol));
            if !repair.is_empty() && (*status == Verdict::Problem || style.details) {
                let _ = writeln!(out, "    {}", style.paint(DIM, &lines(repair)));
            }
        }
        if !self.failed && !style.quiet {
            let why = self.chosen.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
            let color = if self.status == Status::Differs { RED } else { BOLD };
            let _ = writeln!(out, "{}{why}: {}", self.profiles.join(","), style.paint(color, &self.msg));
        }
        out
    }

    /// Why there was no examination. For standard error.
    #[must_use]
    pub fn problems(&self, style: Style) -> String {
        let mut out = String::new();
        for remark in &self.warnings {
            let _ = writeln!(out, "{}: {}", style.paint(RED, "error"), lines(&remark.message));
            if !remark.repair.is_empty() {
                let _ = writeln!(out, "    {}", lines(&remark.repair));
            }
        }
        out
    }
}

/// Shown data on as many lines as it has, the further ones indented.
fn lines(text: &str) -> String {
    text.lines().map(escape).collect::<Vec<_>>().join("\n      ")
}
