//! The findings of `doctor`: one document for programs, what matters first for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Serialize;

use super::document::{Remark, Report, SCHEMA, Status, fold, left_out, plural};
use super::text::{BOLD, DIM, Details, GREEN, RED, Style, YELLOW, escape, problem, repair as tell_repair};
use super::wrap::wrap;
use crate::finding::{COULD_NOT_LOOK, FINE, Finding, NEEDS_HOST, Verdict};
use crate::repair::Reader;

/// What an examination found. Serialized, it is the document of `doctor --json`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
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
    /// What there is besides problems, and is shown on request.
    #[serde(skip)]
    more: String,
}

impl Diagnosis {
    /// A document of these findings.
    pub fn of(profiles: &[String], chosen: Option<String>, findings: Vec<Finding>) -> Self {
        let follows = Consequences::of(&findings);
        let count = |status| causes(&findings).filter(|cause| follows.weight(cause) == status).count();
        let (problems, unknown) = (count(Verdict::Problem), count(Verdict::Unknown));
        let mut msg = match problems {
            0 => "no problem found".to_owned(),
            count => plural(count, "problem"),
        };
        if unknown > 0 {
            let _ = write!(msg, ", {} could not be looked at", plural(unknown, "thing"));
        }
        let well = |fine| {
            let well = causes(&findings).filter(|cause| follows.weight(cause) == Verdict::Ok);
            well.filter(|cause| is_said(cause, fine)).count()
        };
        let more = match (well(false), well(true)) {
            (0, 0) => String::new(),
            (0, fine) => format!("; {fine} fine (-v)"),
            (remarks, 0) => format!("; {} (-v)", plural(remarks, "remark")),
            (remarks, fine) => format!("; {}, {fine} fine (-v)", plural(remarks, "remark")),
        };
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
            more,
        }
    }

    /// A document of an error that left nothing to find.
    pub fn failed(profiles: &[String], error: &anyhow::Error) -> Self {
        let Report { msg, warnings, .. } = Report::failed(profiles, error);
        let document = Self::of(profiles, None, Vec::new());
        Self { failed: true, msg, status: Status::Failed, warnings, ..document }
    }

    /// Let every repair be one for this reader, as [`Report::addressed`] does.
    #[must_use]
    pub fn addressed(mut self, reader: &Reader) -> Self {
        if !reader.wants_all {
            let key = |finding: &Finding| {
                (finding.check.clone(), finding.code.clone(), finding.status, finding.because_of.is_some())
            };
            self.findings = fold(self.findings, key, |finding, count| {
                finding.message = left_out(count);
                finding.repair = "$ runner-prep doctor -v".into();
            });
        }
        for finding in &mut self.findings {
            finding.repair = reader.address(&finding.repair);
        }
        for remark in &mut self.warnings {
            remark.repair = reader.address(&remark.repair);
        }
        self
    }

    /// True when something could have been looked at, and was not.
    pub fn is_incomplete(&self) -> bool {
        self.findings.iter().any(|finding| finding.code == COULD_NOT_LOOK)
    }

    /// Problems first, each with its repair; then what could not be seen, then what is worth knowing. Quiet:
    /// problems only; with details: every repair, and what is fine, too.
    pub fn results(&self, style: Style) -> String {
        let mut out = String::new();
        let with_checks = style.details == Details::Checks;
        let follows = &Consequences::of(&self.findings);
        let is = |wanted: Verdict, fine: bool| {
            move |finding: &&Finding| is_said(finding, fine) && follows.weight(finding) == wanted
        };
        self.block(&mut out, style, follows, ("✗", RED), true, is(Verdict::Problem, false));
        if self.failed || style.quiet {
            return out;
        }
        self.block(&mut out, style, follows, ("?", YELLOW), true, is(Verdict::Unknown, false));
        self.block(&mut out, style, follows, ("!", YELLOW), with_checks, is(Verdict::Ok, false));
        if with_checks {
            self.block(&mut out, style, follows, ("✓", GREEN), false, is(Verdict::Ok, true));
        }
        let of_host: Vec<&str> = self
            .findings
            .iter()
            .filter(|finding| finding.code == NEEDS_HOST)
            .map(|finding| finding.check.as_str())
            .collect();
        if !of_host.is_empty() {
            let text = format!("only a running host can answer: {}", of_host.join(", "));
            entry(&mut out, style, ("?", DIM), &text);
        }
        let why = self.chosen.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
        let color = if self.status == Status::Differs { RED } else { BOLD };
        let more = if with_checks { "" } else { &self.more };
        let summary = escape(&format!("{}{why}: {}{more}", self.profiles.join(","), self.msg));
        for line in wrap(&summary, style.width(), style.width()) {
            let _ = writeln!(out, "{}", style.paint(color, &line));
        }
        out
    }

    /// Some of the findings, each with its repair; neighbours that one command repairs show it once.
    fn block(
        &self,
        out: &mut String,
        style: Style,
        follows: &Consequences<'_>,
        mark: (&str, &str),
        with_repair: bool,
        which: impl Fn(&&Finding) -> bool,
    ) {
        let mut chosen = causes(&self.findings).filter(which).peekable();
        while let Some(finding) = chosen.next() {
            let Finding { check, code, message, repair, .. } = finding;
            let code = if code == FINE { String::new() } else { format!(" [{code}]") };
            entry(out, style, mark, &format!("{check}: {message}{code}"));
            let follows = follows.from(finding);
            if style.details == Details::Checks {
                for Finding { check, code, message, .. } in follows {
                    entry(out, style, (" ", DIM), &format!("because of it: {check}: {message} [{code}]"));
                }
            } else if !follows.is_empty() {
                let named = follows.iter().map(|Finding { check, code, .. }| format!("{check} [{code}]"));
                let named: Vec<String> = named.collect();
                entry(out, style, (" ", DIM), &format!("because of it: {}", named.join(", ")));
            }
            let is_last = chosen.peek().is_none_or(|next| next.repair != *repair);
            if with_repair && is_last {
                tell_repair(out, style, repair, true);
            }
        }
    }

    /// Why there was no examination. For standard error.
    pub fn problems(&self, style: Style) -> String {
        let mut out = String::new();
        for remark in &self.warnings {
            problem(&mut out, style, "error", RED, remark);
        }
        out
    }
}

/// Whether a finding is one that is fine, or another one; what needs a running host is neither.
fn is_said(finding: &Finding, fine: bool) -> bool {
    (finding.code == FINE) == fine && finding.code != NEEDS_HOST
}

/// The findings that stand for themselves.
fn causes(findings: &[Finding]) -> impl Iterator<Item = &Finding> {
    findings.iter().filter(|finding| finding.because_of.is_none())
}

/// The findings that follow from others, by the check, the code and the subject of those.
struct Consequences<'f>(BTreeMap<[&'f str; 3], Vec<&'f Finding>>);

impl<'f> Consequences<'f> {
    fn of(findings: &'f [Finding]) -> Self {
        let mut by_cause: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for finding in findings {
            if let Some(because) = &finding.because_of {
                let cause = [because.check.as_str(), &because.code, &finding.subject];
                by_cause.entry(cause).or_default().push(finding);
            }
        }
        Self(by_cause)
    }

    /// What follows from a finding.
    fn from<'a>(&'a self, cause: &'a Finding) -> &'a [&'a Finding] {
        let key = [cause.check.as_str(), &cause.code, &cause.subject];
        self.0.get(&key).map(Vec::as_slice).unwrap_or_default()
    }

    /// What a finding and all that follows from it come to.
    fn weight(&self, cause: &Finding) -> Verdict {
        let all = || self.from(cause).iter().map(|finding| finding.status).chain([cause.status]);
        let has = |status: Verdict| all().any(|one| one == status);
        [Verdict::Problem, Verdict::Unknown].into_iter().find(|status| has(*status)).unwrap_or(Verdict::Ok)
    }
}

/// One entry behind its mark, on lines that fit.
pub(super) fn entry(out: &mut String, style: Style, (symbol, color): (&str, &str), text: &str) {
    let shown = text.lines().flat_map(|line| wrap(&escape(line), style.width() - 2, style.width() - 2));
    let shown: Vec<String> = shown.collect();
    let _ = writeln!(out, "{} {}", style.paint(color, symbol), shown.join("\n  "));
}
