//! What an examination of a host found, as plain data: the vocabulary between `doctor` and `report`.
//!
//! Must not touch the host. A finding is shown and logged: it never holds a value of `config.toml` that a
//! profile does not name, nor a line of a file that can hold secrets.

use schemars::JsonSchema;
use serde::Serialize;

use crate::repair::Repair;

/// What a check came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Fine; with another code than `ok`, fine and worth knowing.
    Ok,
    /// Jobs fail or are at risk because of it.
    Problem,
    /// Nobody could look: the reason is in the message.
    Unknown,
}

/// The code of a finding that is nothing but fine.
pub const FINE: &str = "ok";

/// The code where looking failed, so that nothing is known although it could be.
pub const COULD_NOT_LOOK: &str = "could-not-look";

/// The code where the running machine would have to be looked at, and a tree is.
pub const NEEDS_HOST: &str = "needs-host";

/// One answer of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Finding {
    /// The check's name.
    pub check: String,
    /// Stable identifier, in `kebab-case`.
    pub code: String,
    /// What it came to.
    pub status: Verdict,
    /// The reason in one line.
    pub message: String,
    /// What to do: a command or a setting; empty where nothing is to be done. Of a finding that follows from another,
    /// the other's.
    #[schemars(with = "String")]
    pub repair: Repair,
    /// The finding that this one follows from; absent where it stands for itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because_of: Option<Because>,
    /// What it is about, where the host has several of them: a cause and what follows from it have the same.
    #[serde(skip)]
    pub subject: String,
}

/// Another finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Because {
    /// Its check.
    pub check: String,
    /// Its code.
    pub code: String,
}

/// The answers of one check while it is made.
#[derive(Debug)]
pub struct Findings {
    check: String,
    subject: String,
    list: Vec<Finding>,
}

impl Findings {
    /// No answer yet.
    pub fn of(check: &str) -> Self {
        Self { check: check.to_owned(), subject: String::new(), list: Vec::new() }
    }

    /// Take over the answers of another check.
    pub fn extend(&mut self, other: Self) {
        self.list.extend(other.list);
    }

    /// The next finding is about this one thing, of which the host has several.
    pub fn about(&mut self, subject: impl Into<String>) -> &mut Self {
        self.subject = subject.into();
        self
    }

    /// All is well: what was seen.
    pub fn fine(&mut self, message: impl Into<String>) {
        self.add(Verdict::Ok, FINE, message, "");
    }

    /// All is well, where nothing has been said yet: what was seen.
    pub fn else_fine(&mut self, message: impl Into<String>) {
        if self.is_empty() {
            self.fine(message);
        }
    }

    /// It does not work, or is only worth knowing.
    pub fn weigh(
        &mut self,
        is_problem: bool,
        code: &str,
        message: impl Into<String>,
        repair: impl Into<Repair>,
    ) {
        self.add(if is_problem { Verdict::Problem } else { Verdict::Ok }, code, message, repair);
    }

    /// It works, and is worth knowing.
    pub fn note(&mut self, code: &str, message: impl Into<String>, repair: impl Into<Repair>) {
        self.add(Verdict::Ok, code, message, repair);
    }

    /// It does not work, or will not.
    pub fn problem(&mut self, code: &str, message: impl Into<String>, repair: impl Into<Repair>) {
        self.add(Verdict::Problem, code, message, repair);
    }

    /// It could not be looked at.
    pub fn unknown(&mut self, code: &str, message: impl Into<String>, repair: impl Into<Repair>) {
        self.add(Verdict::Unknown, code, message, repair);
    }

    /// True while there is no answer.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// True when nothing is said but that all is well.
    pub fn is_all_fine(&self) -> bool {
        self.list.iter().all(|finding| finding.code == FINE)
    }

    /// The answers.
    pub fn into_list(self) -> Vec<Finding> {
        self.list
    }

    /// One answer.
    pub fn add(
        &mut self,
        status: Verdict,
        code: &str,
        message: impl Into<String>,
        repair: impl Into<Repair>,
    ) {
        self.list.push(Finding {
            check: self.check.clone(),
            code: code.to_owned(),
            status,
            message: message.into(),
            repair: repair.into(),
            because_of: None,
            subject: std::mem::take(&mut self.subject),
        });
    }
}

/// Where the cause of a job's error lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// On the runner's host.
    Host,
    /// In the job, which is in `.gitlab-ci.yml`.
    Job,
    /// In the settings of GitLab.
    Gitlab,
    /// In another error, which stands above it in the log.
    Above,
}

/// One cause that an error of a job can have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Cause {
    /// The code by which `doctor` finds it on the host; absent where it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    /// Where it lies.
    pub origin: Origin,
    /// What it is.
    pub cause: &'static str,
    /// What mends it in general.
    #[schemars(with = "String")]
    pub repair: Repair,
}

/// What an error of a job means, or a code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Explained {
    /// The known text that the error fits, with `…` for what varies; or the code. Never what was given.
    pub subject: &'static str,
    /// The first line that fits, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// What it can come from.
    pub causes: Vec<Cause>,
    /// Of a code: the errors that jobs show because of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<&'static str>,
}
