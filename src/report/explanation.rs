//! What errors of jobs and codes mean: one document for programs, the same in lines for people.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Serialize;

use super::document::{SCHEMA, plural};
use super::findings::entry;
use super::text::{BOLD, RED, Style, repair};
use super::wrap::wrap;
use crate::finding::{Cause, Explained, Origin};

/// Which of several causes it is.
const ON_HOST: &str = "the host was not looked at. On it, doctor says which of these it is, where, and the exact repair: sudo runner-prep doctor";

/// What `doctor --explain --json` prints, and `doctor --json` with the text of an error or a log.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Explanation {
    /// Always false: nothing is written.
    pub changed: bool,
    /// Always false: an error is a report.
    pub failed: bool,
    /// One sentence on the whole.
    pub msg: String,
    /// Version of this document.
    pub schema: u32,
    /// What is known, in the order of the log; empty where nothing is.
    pub explanations: Vec<Explained>,
}

impl Explanation {
    /// A document of these; `rest` is what else is to be said of what was read.
    pub fn of(explanations: Vec<Explained>, rest: &str) -> Self {
        let mut msg = match &explanations[..] {
            [] => {
                "nothing in it is known; on the host, look for the cause: sudo runner-prep doctor".to_owned()
            }
            [Explained { line: None, subject, .. }] => format!("{subject} is a code of doctor"),
            all => format!("{} known", plural(all.len(), "error")),
        };
        if !rest.is_empty() {
            msg.extend(["; ", rest]);
        }
        Self { changed: false, failed: false, msg, schema: SCHEMA, explanations }
    }

    /// Each error with its causes and their repairs, then what to do on the host.
    pub fn results(&self, style: Style) -> String {
        let mut out = String::new();
        for Explained { subject, line, causes, errors } in &self.explanations {
            let line = line.map(|line| format!(" (line {line})")).unwrap_or_default();
            entry(&mut out, style, ("✗", RED), &format!("{}{line}", closed(subject)));
            for Cause { code, origin, cause, repair: what } in causes {
                let origin = match origin {
                    Origin::Host => "on the host: ",
                    Origin::Job => "in the job: ",
                    Origin::Gitlab => "in GitLab: ",
                    Origin::Above => "",
                };
                let code = code.filter(|code| code != subject);
                let code = code.map(|code| format!(" [{code}]")).unwrap_or_default();
                let width = style.width() - 2;
                for line in wrap(&format!("{origin}{cause}{code}"), width, width) {
                    let _ = writeln!(out, "  {line}");
                }
                repair(&mut out, style, what, true);
            }
            if !errors.is_empty() {
                let _ = writeln!(out, "  a job shows:");
                out.extend(errors.iter().map(|error| format!("    {error}\n")));
            }
        }
        if style.quiet {
            return out;
        }
        let has_code = self.explanations.iter().flat_map(|one| &one.causes).any(|cause| cause.code.is_some());
        let summary = if has_code { format!("{}; {ON_HOST}", self.msg) } else { self.msg.clone() };
        for line in wrap(&summary, style.width(), style.width()) {
            let _ = writeln!(out, "{}", style.paint(BOLD, &line));
        }
        out
    }
}

/// A text that goes on in the log, with the bracket or quote closed that it ends in.
fn closed(subject: &str) -> String {
    let count = |c: char| subject.matches(c).count();
    let mut text = subject.to_owned();
    for (is_open, end) in [(count('(') > count(')'), "…)"), (count('"') % 2 == 1, "…\"")] {
        text.push_str(if is_open { end } else { "" });
    }
    text
}
