//! The one document of a run, as `--json` prints it: its fields and their meaning.
//!
//! Owns no rule about what goes into it, and no text for people.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use crate::change::Note;
use crate::fault;
use crate::repair::{Reader, Repair};

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
    pub changes: Vec<ReportedChange>,
    /// What waits for a person or another program.
    pub pending: Vec<Remark>,
    /// True and worth knowing; on failure also the errors with their repairs, which come first. Of many alike one says how
    /// many more there are.
    pub warnings: Vec<Remark>,
    /// The account's public key, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_key: Option<ReportedKey>,
    /// The runs that were undone, the newest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub undone: Vec<String>,
    /// What `gitlab` takes back what it changed, the last change first: nothing does that by itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub undo: Vec<ManualStep>,
    /// What a person does where GitLab is not asked (`gitlab plan --offline`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub by_hand: Vec<ManualStep>,
    /// So many of the warnings, the first ones, are errors.
    #[serde(skip)]
    pub(super) errors: usize,
    #[serde(skip)]
    pub(super) shown: Vec<Vec<String>>,
    #[serde(skip)]
    pub(super) right: Vec<(&'static str, String)>,
    #[serde(skip)]
    pub(super) reader: Reader,
    /// The error is that the caller is not root.
    #[serde(skip)]
    pub needs_root: bool,
    /// So many of the warnings, the first ones, people have seen before.
    #[serde(skip)]
    pub(super) repeated: usize,
    /// So many warnings are told of by one.
    #[serde(skip)]
    pub(super) left_out: usize,
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
#[schemars(rename = "Line")]
pub struct ReportedChange {
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
    #[schemars(with = "String")]
    pub repair: Repair,
}

/// The public half of the account's key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Key")]
pub struct ReportedKey {
    /// The command that tries it on its server.
    #[serde(skip)]
    pub(super) test: String,
    /// The account whose key it is.
    pub account: String,
    /// Where the `.pub` file is.
    pub path: String,
    /// The line for *Deploy keys*.
    pub line: String,
    /// `SHA256:…`.
    pub fingerprint: String,
}

/// Something that a person does in GitLab, or takes back there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Step")]
pub struct ManualStep {
    /// Where and what, as the web page or the API calls it.
    pub what: String,
    /// The same as a line for a shell, with GitLab's own program glab.
    pub command: String,
}

impl Remark {
    /// An error with its repair.
    pub fn of(error: &anyhow::Error) -> Self {
        Self {
            code: fault::find(error).map_or("error", |fault| fault.code).to_owned(),
            message: format!("{error:#}"),
            repair: fault::repair(error),
        }
    }
}

impl From<&Note> for Remark {
    fn from(note: &Note) -> Self {
        let Note { code, message, repair, .. } = note.clone();
        Self { code: code.to_owned(), message, repair }
    }
}

/// So many alike are shown.
const MOST_ALIKE: usize = 20;

/// Of those with the same key the first ones; the last of these then stands for itself and all others, so many.
pub(super) fn fold<T, K: Ord>(
    all: Vec<T>,
    key: impl Fn(&T) -> K,
    stand_for: impl Fn(&mut T, usize),
) -> Vec<T> {
    let (mut known, mut kept) = (BTreeMap::<K, (usize, usize)>::new(), Vec::new());
    for one in all {
        let (count, last) = known.entry(key(&one)).or_default();
        *count += 1;
        if *count <= MOST_ALIKE {
            *last = kept.len();
            kept.push(one);
        }
    }
    for (count, last) in known.into_values().filter(|(count, _)| *count > MOST_ALIKE) {
        stand_for(&mut kept[last], count - MOST_ALIKE + 1);
    }
    kept
}

pub(super) fn left_out(count: usize) -> String {
    format!("{count} more like it are left out here")
}

pub(super) fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("{count} {noun}") } else { format!("{count} {noun}s") }
}

pub(super) fn waits(count: usize) -> String {
    if count == 1 { "1 thing waits".to_owned() } else { format!("{count} things wait") }
}
