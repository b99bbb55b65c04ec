//! The documents of `--json` that are no reports: what the commands that only answer a question print.

use schemars::JsonSchema;
use serde::Serialize;

use super::document::{SCHEMA, plural};

/// What `undo --list --json` prints: the runs that can be undone.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Runs {
    /// Always false: looking changes nothing.
    pub changed: bool,
    /// Always false: an error is a report.
    pub failed: bool,
    /// One sentence on the whole.
    pub msg: String,
    /// Version of this document.
    pub schema: u32,
    /// The runs, the newest first.
    pub runs: Vec<Run>,
}

impl Runs {
    /// A document of these runs.
    pub fn of(runs: Vec<Run>) -> Self {
        Self { changed: false, failed: false, msg: plural(runs.len(), "run"), schema: SCHEMA, runs }
    }
}

/// A run that is kept.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub struct Run {
    /// What `undo --to` takes.
    pub id: String,
    /// `complete`, `incomplete`, `undone` or `damaged`.
    pub state: &'static str,
    /// When it was, in UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// The version of the program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The profiles that were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub profiles: Vec<String>,
    /// What it changed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<RunChange>,
    /// Why nothing is known of a damaged one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A change of a run that is kept.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct RunChange {
    /// Kind of resource.
    pub kind: String,
    /// What was changed.
    pub id: String,
    /// `create`, `update`, `remove` or `repair`.
    pub action: String,
}

/// What `profile list --json` prints.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Profiles {
    /// Local and built-in ones, by name.
    pub profiles: Vec<Listed>,
}

/// A profile that there is.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Listed {
    /// What `--profile` takes.
    pub name: String,
    /// What it is for.
    pub summary: String,
    /// `built-in`, or the path of the file.
    pub origin: String,
}

/// What `profile show`, `template`, `man` and `completions` print with `--json`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Text {
    /// The profiles that were asked for; none for a manual page and completions.
    pub profiles: Vec<String>,
    /// What is printed without `--json`.
    pub text: String,
}
