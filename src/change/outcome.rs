//! What became of the changes: the vocabulary between `apply` and `report`.

use super::{Change, Note};

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeOutcome {
    /// It is done and stays.
    Applied,
    /// It was done and taken back.
    RolledBack,
    /// It could not be done.
    Failed,
    /// Its turn did not come.
    NotReached,
}

impl ChangeOutcome {
    /// The word for reports and `--json`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::RolledBack => "rolled-back",
            Self::Failed => "failed",
            Self::NotReached => "not-reached",
        }
    }
}

/// What an application did.
#[derive(Debug, Default)]
pub struct Outcome {
    /// For each change, in order.
    pub fates: Vec<ChangeOutcome>,
    /// Why it ended early.
    pub error: Option<anyhow::Error>,
    /// What it met on the way that a person should know.
    pub warnings: Vec<Note>,
    /// How it was done, for those who ask for details; each with the index of its change.
    pub details: Vec<(usize, String)>,
    /// All but accounts was taken back.
    pub taken_back: bool,
}

impl Outcome {
    /// Nothing was done, because of this.
    pub fn not_begun(changes: &[Change], error: anyhow::Error) -> Self {
        Self { fates: vec![ChangeOutcome::NotReached; changes.len()], error: Some(error), ..Self::default() }
    }
}
