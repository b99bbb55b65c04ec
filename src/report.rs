//! What happened, for people and for programs.
//!
//! Owns the one JSON document and the text. Shows of a file only what its change allows
//! ([`Shown`]); must not write to the host.

mod documents;
mod explanation;
mod findings;
mod remote;
pub mod text;
mod wrap;

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Serialize;

use crate::change::{Change, Note, Op, PublicKey, Shown, ValueChange};
use crate::change::{ChangeOutcome, Outcome};
use crate::plan::Plan;
use crate::repair::Reader;
pub use documents::{Listed, Profiles, Run, RunChange, Runs, Text};
pub use explanation::Explanation;
pub use findings::Diagnosis;
pub use remote::{Remote, Step};
pub use text::{Style, changed_lines, escape};

/// The version of the document; it only ever gains fields.
pub(crate) const SCHEMA: u32 = 1;

/// What a run found or did. Serialized, it is the document of `--json`; its first fields are those that
/// Ansible expects of a module.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub struct Report {
    /// True when the host was changed, or would be (`plan`, `check`, `--dry-run`).
    pub changed: bool,
    /// True when the run ended with an error.
    pub failed: bool,
    /// One sentence on the whole.
    pub msg: String,
    /// Before and after, without secrets.
    pub diff: Vec<Diff>,
    /// Version of this document.
    pub schema: u32,
    /// `converged`, `changed`, `differs`, `pending` or `failed`.
    pub status: Status,
    /// The profiles that were asked for.
    pub profiles: Vec<String>,
    /// Each change with its reason and what became of it.
    pub changes: Vec<Line>,
    /// What waits for a person or another program.
    pub pending: Vec<Remark>,
    /// True and worth knowing; on failure also the error with its repair.
    pub warnings: Vec<Remark>,
    /// The account's public key, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_key: Option<Key>,
    /// The runs that were undone, the newest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub undone: Vec<String>,
    /// What `gitlab` takes back what it changed, the last change first: nothing does that by itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub undo: Vec<Step>,
    /// What a person does where GitLab is not asked (`gitlab plan --offline`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub by_hand: Vec<Step>,
    #[serde(skip)]
    shown: Vec<Vec<String>>,
    #[serde(skip)]
    right: Vec<(&'static str, String)>,
    #[serde(skip)]
    reader: Reader,
    /// So many of the warnings, the first ones, people have seen before.
    #[serde(skip)]
    repeated: usize,
}

/// How much a report holds of each change. What nobody will see is not put together: with many runners it takes longer
/// than to write the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DetailLevel {
    /// That it is, why, and what became of it.
    Lines,
    /// And how it is shown to people.
    Differences,
    /// And both its sides, for programs.
    Diff,
}

/// The state of the host in one word.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As wanted, and nothing was written.
    #[default]
    Converged,
    /// As wanted now.
    Changed,
    /// Not as wanted, and nothing was written.
    Differs,
    /// All that can be is as wanted; the rest waits.
    Pending,
    /// An error ended the run.
    Failed,
}

/// Before and after of one change, as Ansible shows them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Diff {
    /// Title of the old side.
    pub before_header: String,
    /// Title of the new side.
    pub after_header: String,
    /// The old side.
    pub before: String,
    /// The new side.
    pub after: String,
}

/// One change in a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Line {
    /// Kind of resource.
    pub kind: &'static str,
    /// What is changed.
    pub id: String,
    /// `create`, `update`, `remove` or `repair`.
    pub action: &'static str,
    /// The path, when it is one.
    pub path: Option<String>,
    /// The reason.
    pub why: String,
    /// `planned`, `applied`, `rolled-back`, `failed` or `not-reached`.
    pub outcome: &'static str,
}

/// A warning or something that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Remark {
    /// Stable identifier.
    pub code: String,
    /// What it is.
    pub message: String,
    /// What to do about it.
    pub repair: String,
}

/// The public half of the account's key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Key {
    /// The command that tries it on its server.
    #[serde(skip)]
    test: String,
    /// The account whose key it is.
    pub account: String,
    /// Where the `.pub` file is.
    pub path: String,
    /// The line for *Deploy keys*.
    pub line: String,
    /// `SHA256:…`.
    pub fingerprint: String,
}

impl Report {
    /// A report of a plan that is not carried out.
    #[must_use]
    pub fn planned(profiles: &[String], plan: &Plan, extent: DetailLevel) -> Self {
        let status = match (plan.changes.is_empty(), plan.pending.is_empty()) {
            (false, _) => Status::Differs,
            (true, false) => Status::Pending,
            (true, true) => Status::Converged,
        };
        let changes: Vec<_> = plan.changes.iter().map(|change| (change, "planned")).collect();
        let count = changes.len();
        let msg = match status {
            Status::Differs => format!("{} to make", plural(count, "change")),
            Status::Pending => format!("as wanted, but {} for you", waits(plan.pending.len())),
            _ => "the host is as the profile wants it".to_owned(),
        };
        Self { status, changed: count > 0, msg, ..Self::of(profiles, &changes, plan, extent) }
    }

    /// The same, where nothing differs with its warnings in one line for people: they were said when it was changed.
    #[must_use]
    pub fn brief(mut self) -> Self {
        self.repeated = if self.changes.is_empty() { self.warnings.len() } else { 0 };
        self
    }

    /// A report of what was done. `after` is the plan made again at the end.
    #[must_use]
    pub fn applied(
        profiles: &[String],
        plan: &Plan,
        outcome: &Outcome,
        after: Option<&Plan>,
        extent: DetailLevel,
    ) -> Self {
        let changes: Vec<_> =
            plan.changes.iter().zip(&outcome.fates).map(|(change, fate)| (change, fate.word())).collect();
        let rest = after.unwrap_or(plan);
        let made = outcome.fates.iter().filter(|fate| **fate == ChangeOutcome::Applied).count();
        let base = Self::of(profiles, &changes, rest, extent);
        // What is to be said of a change is found before it, and not by the second look: all as `plan` says it.
        let mut report = Self { changed: made > 0, warnings: Vec::new(), ..base };
        report.warn(&plan.warnings);
        let found_after = rest.warnings.iter().filter(|note| !plan.warnings.contains(note)).cloned();
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
    #[must_use]
    pub fn failed(profiles: &[String], error: &anyhow::Error) -> Self {
        let mut report = Self { schema: SCHEMA, profiles: profiles.to_vec(), ..Self::default() };
        report.fail(error);
        report
    }

    /// Let every repair be one for this reader.
    #[must_use]
    pub fn addressed(mut self, reader: Reader) -> Self {
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
        self.msg = format!("{error:#}");
        let found = crate::fault::find(error);
        self.warnings.insert(
            0,
            Remark {
                code: found.map_or("error", |fault| fault.code).to_owned(),
                message: self.msg.clone(),
                repair: crate::fault::repair(error),
            },
        );
    }

    /// Add what was met beside the plan.
    pub fn warn(&mut self, notes: &[Note]) {
        self.warnings.extend(notes.iter().map(Remark::from));
    }

    /// The answer to `key`.
    #[must_use]
    pub fn of_key(key: PublicKey) -> Self {
        let msg = format!("the SSH key of {}", key.account);
        Self { schema: SCHEMA, msg, ..Self::default() }.with_key(Some(key))
    }

    fn with_key(mut self, key: Option<PublicKey>) -> Self {
        self.public_key = key.map(|PublicKey { account, server, path, line, fingerprint }| Key {
            test: format!("sudo -H -u {account} ssh -T {server}"),
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
        notes: &Plan,
        extent: DetailLevel,
    ) -> Self {
        let remarks = |notes: &[Note]| notes.iter().map(Remark::from).collect();
        let of =
            |wanted: DetailLevel| changes.iter().filter(move |_| extent == wanted).map(|(change, _)| *change);
        Self {
            schema: SCHEMA,
            profiles: profiles.to_vec(),
            diff: of(DetailLevel::Diff).map(diff).collect(),
            changes: changes.iter().map(|(change, outcome)| line(change, outcome)).collect(),
            warnings: remarks(&notes.warnings),
            pending: remarks(&notes.pending),
            shown: of(DetailLevel::Differences).map(text::details).collect(),
            right: notes.right.clone(),
            ..Self::default()
        }
        .with_key(notes.public_key.clone())
    }
}

impl From<&Note> for Remark {
    fn from(note: &Note) -> Self {
        let Note { code, message, repair } = note.clone();
        Self { code: code.to_owned(), message, repair }
    }
}

fn line(change: &Change, outcome: &'static str) -> Line {
    Line {
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
        Op::Metadata { before, after, .. } => {
            (format!("mode {:04o}, owner {}:{}\n", before.mode, before.uid, before.gid), text::meta(after))
        }
        Op::File(file) => match &file.shown {
            Shown::Text => {
                let text =
                    |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
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

fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("{count} {noun}") } else { format!("{count} {noun}s") }
}

fn waits(count: usize) -> String {
    if count == 1 { "1 thing waits".to_owned() } else { format!("{count} things wait") }
}
