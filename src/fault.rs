//! Errors that a person can act on: what, where, why, and what to do now.
//!
//! Lies below all other modules. Must not hold secrets: a fault is shown, logged and put into `--json`.

use std::fmt;

/// An error with its repair. Everything else in a chain of contexts says where and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Stable identifier for `--json`, in `kebab-case`.
    pub code: &'static str,
    /// What is wrong and where, one sentence without a final stop.
    pub what: String,
    /// What to do now: a command or a setting.
    pub repair: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Fault {}

/// Make a [`Fault`] as an error value.
pub fn fault(code: &'static str, what: impl Into<String>, repair: impl Into<String>) -> anyhow::Error {
    Fault { code, what: what.into(), repair: repair.into() }.into()
}

/// The first [`Fault`] in a chain of causes, if one is there.
#[must_use]
pub fn find(error: &anyhow::Error) -> Option<&Fault> {
    error.chain().find_map(|cause| cause.downcast_ref::<Fault>())
}
