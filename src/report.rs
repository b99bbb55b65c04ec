//! What happened, for people and for programs.
//!
//! Owns the one JSON document and the text. Shows of a file only what its change allows
//! ([`Shown`]); must not write to the host.

mod difference;
mod document;
mod documents;
mod explanation;
mod findings;
pub mod text;
mod wrap;

use std::fmt::Write as _;

use document::{fold, left_out, plural, waits};

use crate::change::{Change, ChangeOutcome, Note, Notes, Op, Outcome, Shown, ShownKey, ValueChange};
use crate::fault::Nature;
use crate::plan::Plan;
use crate::repair::Reader;

pub use difference::changed_lines;
pub(crate) use document::SCHEMA;
pub use document::{DetailLevel, Diff, ManualStep, Remark, Report, ReportedChange, ReportedKey, Status};
pub use documents::{Listed, Profiles, Run, RunChange, Runs, Text};
pub use explanation::Explanation;
pub use findings::Diagnosis;
pub use text::{Style, escape};

impl Report {
    /// A report of a plan that is not carried out.
    pub fn planned(profiles: &[String], plan: &Plan, extent: DetailLevel) -> Self {
        let status = match (plan.changes.is_empty(), plan.notes.pending.is_empty()) {
            (false, _) => Status::Differs,
            (true, false) => Status::Pending,
            (true, true) => Status::Converged,
        };
        let changes: Vec<_> = plan.changes.iter().map(|change| (change, "planned")).collect();
        let count = changes.len();
        let msg = match status {
            Status::Differs => format!("{} to make", plural(count, "change")),
            Status::Pending => format!("as wanted, but {} for you", waits(plan.notes.pending.len())),
            _ => "the host is as the profile wants it".to_owned(),
        };
        Self { status, changed: count > 0, msg, ..Self::of(profiles, &changes, &plan.notes, extent) }
    }

    /// Where nothing differs, people see the warnings in one line: they were told when the host was changed.
    #[must_use]
    pub fn brief(mut self) -> Self {
        self.repeated = if self.changes.is_empty() { self.warnings.len() } else { 0 };
        self
    }

    /// A report of what was done. `after` is the plan made again at the end.
    pub fn applied(
        profiles: &[String],
        plan: &Plan,
        outcome: &Outcome,
        after: Option<&Plan>,
        extent: DetailLevel,
    ) -> Self {
        let changes: Vec<_> =
            plan.changes.iter().zip(&outcome.fates).map(|(change, fate)| (change, fate.word())).collect();
        let rest = &after.unwrap_or(plan).notes;
        let made = outcome.fates.iter().filter(|fate| **fate == ChangeOutcome::Applied).count();
        let base = Self::of(profiles, &changes, rest, extent);
        // What is to be said of a change is found before it, and not by the second look: all as `plan` says it.
        let mut report = Self { changed: made > 0, warnings: Vec::new(), ..base };
        report.warn(&plan.notes.warnings);
        let found_after = rest.warnings.iter().filter(|note| !plan.notes.warnings.contains(note)).cloned();
        report.warn(&found_after.collect::<Vec<_>>());
        report.warn(&outcome.warnings);
        for (index, detail) in &outcome.details {
            if let Some(shown) = report.shown.get_mut(*index) {
                shown.push(detail.clone());
            }
        }
        if let Some(error) = &outcome.error {
            report.fail(error);
        } else if rest.pending.is_empty() {
            report.status = Status::Changed;
            report.msg = format!("{} made", plural(made, "change"));
        } else {
            report.status = Status::Pending;
            report.msg = format!("{} made, {} for you", plural(made, "change"), waits(rest.pending.len()));
        }
        report
    }

    /// A report of an error before anything was planned.
    pub fn failed(profiles: &[String], error: &anyhow::Error) -> Self {
        let mut report = Self { schema: SCHEMA, profiles: profiles.to_vec(), ..Self::default() };
        report.fail(error);
        report
    }

    /// Let every repair be one for this reader. What an account has a hand in can be said of each of thousands of lines.
    #[must_use]
    pub fn addressed(mut self, reader: Reader) -> Self {
        let see = if reader.profiles.is_empty() { "-v shows them" } else { "$ runner-prep plan -v" };
        let stand_for = |remark: &mut Remark, count| {
            (remark.message, remark.repair) = (format!("{} ({})", left_out(count), remark.code), see.into());
        };
        let count = self.warnings.len();
        for remarks in [&mut self.warnings, &mut self.pending].into_iter().filter(|_| !reader.wants_all) {
            *remarks = fold(std::mem::take(remarks), |remark| remark.code.clone(), stand_for);
        }
        self.left_out = count - self.warnings.len();
        self.repeated = self.repeated.saturating_sub(self.left_out);
        for remark in self.warnings.iter_mut().chain(&mut self.pending) {
            remark.repair = reader.address(&remark.repair);
        }
        self.reader = reader;
        self
    }

    /// Turn it into the report of an error.
    pub fn fail(&mut self, error: &anyhow::Error) {
        self.failed = true;
        self.status = Status::Failed;
        self.needs_root = crate::fault::is(error, Nature::NotRoot);
        let remark = Remark::of(error);
        self.msg.clone_from(&remark.message);
        self.warnings.insert(0, remark);
        self.errors += 1;
    }

    /// Errors beside the one that ended the run. What one repair mends is said once.
    pub fn fail_beside(&mut self, errors: &[anyhow::Error]) {
        for remark in errors.iter().map(Remark::of) {
            let is_same = |known: &Remark| known.code == remark.code && known.repair == remark.repair;
            if !self.warnings.iter().take(self.errors).any(is_same) {
                self.warnings.insert(self.errors, remark);
                self.errors += 1;
            }
        }
    }

    /// Add what was met beside the plan.
    pub fn warn(&mut self, notes: &[Note]) {
        self.warnings.extend(notes.iter().map(Remark::from));
    }

    /// The answer to `key`.
    pub fn of_key(key: ShownKey) -> Self {
        let msg = format!("the SSH key of {}", key.account);
        Self { schema: SCHEMA, msg, ..Self::default() }.with_key(Some(key))
    }

    fn with_key(mut self, key: Option<ShownKey>) -> Self {
        self.public_key = key.map(|ShownKey { account, server, path, line, fingerprint }| ReportedKey {
            test: format!("sudo -H -u {account} setsid -w ssh -T {server}"),
            account,
            path: path.display().to_string(),
            line,
            fingerprint,
        });
        self
    }

    fn of(
        profiles: &[String],
        changes: &[(&Change, &'static str)],
        notes: &Notes,
        extent: DetailLevel,
    ) -> Self {
        let of =
            |wanted: DetailLevel| changes.iter().filter(move |_| extent == wanted).map(|(change, _)| *change);
        Self {
            diff: of(DetailLevel::Diff).map(diff).collect(),
            changes: changes.iter().map(|(change, outcome)| line(change, outcome)).collect(),
            shown: of(DetailLevel::Differences).map(difference::details).collect(),
            ..Self::saying(profiles, notes)
        }
    }

    /// What is said beside all changes.
    fn saying(profiles: &[String], notes: &Notes) -> Self {
        let remarks = |notes: &[Note]| notes.iter().map(Remark::from).collect();
        Self {
            schema: SCHEMA,
            profiles: profiles.to_vec(),
            warnings: remarks(&notes.warnings),
            pending: remarks(&notes.pending),
            right: notes.right.clone(),
            ..Self::default()
        }
        .with_key(notes.public_key.clone())
    }
}

fn line(change: &Change, outcome: &'static str) -> ReportedChange {
    ReportedChange {
        kind: change.kind,
        id: change.id.clone(),
        action: change.op.action(),
        path: change.op.place().map(|place| place.path().display().to_string()),
        why: change.why.clone(),
        outcome,
    }
}

/// Both sides of a change, as far as they may be shown.
fn diff(change: &Change) -> Diff {
    let header = change.op.place().map_or_else(|| change.id.clone(), ToString::to_string);
    let (before, after) = match &change.op {
        Op::Account(_) => (String::new(), format!("account {}\n", change.id)),
        Op::Register(_) => (String::new(), format!("runner {}\n", change.id)),
        Op::Directory { before, after, .. } => (
            before.as_ref().map(|meta| format!("mode {:04o}\n", meta.mode)).unwrap_or_default(),
            format!("mode {:04o}\n", after.mode),
        ),
        Op::RemoveDirectory { before, .. } => (format!("mode {:04o}\n", before.mode), String::new()),
        Op::Metadata { before, after, .. } => (
            format!("mode {:04o}, owner {}:{}\n", before.mode, before.uid, before.gid),
            difference::meta(after),
        ),
        Op::File(file) => match &file.shown {
            Shown::Text => {
                let text = |bytes: Option<&[u8]>| {
                    difference::shown(&String::from_utf8_lossy(bytes.unwrap_or_default())).to_owned()
                };
                let before = file.before.as_ref().map(|seen| seen.bytes.as_slice());
                (text(before), text(file.after.as_ref().and_then(|content| content.peek())))
            }
            Shown::Values(values) => {
                let side = |pick: fn(&ValueChange) -> Option<&str>| {
                    values.iter().fold(String::new(), |mut text, value| {
                        if let Some(shown) = pick(value) {
                            let _ = writeln!(text, "{} = {shown}", value.name);
                        }
                        text
                    })
                };
                (side(|value| value.before.as_deref()), side(|value| value.after.as_deref()))
            }
            Shown::Label(label) => (String::new(), format!("{label}\n")),
        },
    };
    Diff { before_header: header.clone(), after_header: header, before, after }
}

impl Report {
    /// A report of changes in GitLab, planned or made, each with its value before and after, and of what takes them back.
    pub fn remote(
        profiles: &[String],
        changes: Vec<(ReportedChange, ValueChange)>,
        undo: Vec<ManualStep>,
        notes: &Notes,
        extent: DetailLevel,
    ) -> Self {
        let count = |outcome| changes.iter().filter(|(change, _)| change.outcome == outcome).count();
        let (to_make, made, waiting) = (count("planned"), count("applied"), notes.pending.len());
        let what = if made > 0 { format!("{} made", plural(made, "change")) } else { String::new() };
        let (status, msg) = match (to_make, made, waiting) {
            (0, 0, 0) => (Status::Converged, "GitLab is as the profile wants it".to_owned()),
            (0, 0, _) => (Status::Pending, format!("as wanted, but {} for you", waits(waiting))),
            (0, _, 0) => (Status::Changed, what),
            (0, _, _) => (Status::Pending, format!("{what}, {} for you", waits(waiting))),
            _ => (Status::Differs, format!("{} to make", plural(to_make, "change"))),
        };
        let shown = |(_, value): &(_, ValueChange)| {
            if extent == DetailLevel::Differences { difference::value(value) } else { Vec::new() }
        };
        let diff = changes.iter().filter(|_| extent == DetailLevel::Diff).map(diff_of_value).collect();
        Self {
            status,
            msg,
            changed: to_make + made > 0,
            diff,
            shown: changes.iter().map(shown).collect(),
            changes: changes.into_iter().map(|(change, _)| change).collect(),
            undo,
            ..Self::saying(profiles, notes)
        }
    }

    /// The steps that lead to what is wanted, where nobody was asked what of it is there.
    pub fn steps(profiles: &[String], by_hand: Vec<ManualStep>) -> Self {
        let msg =
            format!("{} by hand; GitLab was not asked what of it is done", plural(by_hand.len(), "step"));
        Self {
            schema: SCHEMA,
            msg,
            profiles: profiles.to_vec(),
            status: Status::Pending,
            by_hand,
            ..Self::default()
        }
    }
}

fn diff_of_value((change, value): &(ReportedChange, ValueChange)) -> Diff {
    let side = |value: &Option<String>| value.as_ref().map(|value| format!("{value}\n")).unwrap_or_default();
    let header = change.id.clone();
    let (before, after) = (side(&value.before), side(&value.after));
    Diff { before_header: header.clone(), after_header: header, before, after }
}
