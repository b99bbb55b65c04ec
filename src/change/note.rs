//! What is said beside the changes: warnings, what waits, the public key.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::repair::Repair;

/// Something a person should know that is not a change: a warning, or what waits for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Stable identifier for `--json`, in `kebab-case`.
    pub code: &'static str,
    /// What it is, in one line.
    pub message: String,
    /// What to do about it.
    pub repair: Repair,
    /// What it means for jobs.
    pub harm: Harm,
    /// The key of `[runners.docker]` that it stands on: it is so only where gitlab-runner reads that key.
    pub key: Option<&'static str>,
}

/// What a note means for jobs: `doctor` says it so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// They go well.
    None,
    /// They fail or leak.
    Jobs,
    /// Nobody can tell.
    Unknown,
    /// A check of `doctor` looks at it, too, and has more to say.
    Examined,
}

/// What resources have to say beside their changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notes {
    /// What the next warnings are about, as the beginning of a line; empty where they say so themselves.
    pub about: String,
    /// True and worth knowing, asks for nothing.
    pub warnings: Vec<Note>,
    /// What the warnings say.
    said: BTreeSet<(&'static str, String)>,
    /// Can't be done yet: waits for a person or another program.
    pub pending: Vec<Note>,
    /// What was looked at and is as wanted: the kind of resource, and what it is.
    pub right: Vec<(&'static str, String)>,
    /// Programs that jobs of the profile call, by name or path. The plan says which of them are missing.
    pub calls: Vec<String>,
    /// Those that were looked for and are missing, so that something of the profile waits for them.
    pub lacks: Vec<String>,
    /// Groups that the account is to join.
    pub joins: Vec<String>,
    /// A runner is to be registered by `apply`, and what is wanted of it need not wait for a person.
    pub registers: bool,
    /// The executors of the runners that are registered.
    pub executors: BTreeSet<String>,
    /// The account's public key, as it is now.
    pub public_key: Option<ShownKey>,
    /// What the changes of a kind of resource mean to jobs, where more is known than that they are wanted; and what is without
    /// them.
    pub meanings: Vec<(&'static str, Note)>,
}

impl Notes {
    /// Add something that is as wanted.
    pub fn right(&mut self, kind: &'static str, what: impl Into<String>) {
        self.right.push((kind, what.into()));
    }

    /// Add a program that jobs call.
    pub fn call(&mut self, program: impl Into<String>) {
        let program = program.into();
        if !self.calls.contains(&program) {
            self.calls.push(program);
        }
    }

    /// Say what the changes of a kind mean to jobs.
    pub fn means(&mut self, kind: &'static str, code: &'static str, message: String, harm: Harm) {
        self.meanings.push((kind, Note::new(code, message, Repair::default(), harm)));
    }

    /// Add a warning of what does jobs no harm.
    pub fn warn(&mut self, code: &'static str, message: impl Into<String>, repair: impl Into<Repair>) {
        self.say(Note::new(code, message, repair, Harm::None));
    }

    /// Add a warning of what makes jobs fail or leak.
    pub fn harm(&mut self, code: &'static str, message: impl Into<String>, repair: impl Into<Repair>) {
        self.say(Note::new(code, message, repair, Harm::Jobs));
    }

    /// Add a warning of what a check of `doctor` looks at, too.
    pub fn examined(&mut self, code: &'static str, message: impl Into<String>, repair: impl Into<Repair>) {
        self.say(Note::new(code, message, repair, Harm::Examined));
    }

    /// Add a warning of what makes jobs fail or leak where this key is read.
    pub fn harm_by(
        &mut self,
        code: &'static str,
        key: &'static str,
        message: impl Into<String>,
        repair: impl Into<Repair>,
    ) {
        self.say(Note { key: Some(key), ..Note::new(code, message, repair, Harm::Jobs) });
    }

    /// Add a warning. Several resources may see the same.
    pub fn say(&mut self, mut note: Note) {
        note.message.insert_str(0, &self.about);
        if self.said.insert((note.code, note.message.clone())) {
            self.warnings.push(note);
        }
    }

    /// Add something that waits, and jobs fail until then.
    pub fn wait(&mut self, code: &'static str, message: impl Into<String>, repair: impl Into<Repair>) {
        self.pending.push(Note::new(code, message, repair, Harm::Jobs));
    }

    /// Add something that waits for somebody to look, because nobody can tell whether jobs fail.
    pub fn doubt(&mut self, code: &'static str, message: impl Into<String>, repair: impl Into<Repair>) {
        self.pending.push(Note::new(code, message, repair, Harm::Unknown));
    }
}

impl Note {
    /// A note with all that belongs to it.
    pub fn new(
        code: &'static str,
        message: impl Into<String>,
        repair: impl Into<Repair>,
        harm: Harm,
    ) -> Self {
        Self { code, message: message.into(), repair: repair.into(), harm, key: None }
    }
}

/// A name that a report shows beside the changes: the public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownKey {
    /// The account whose key it is.
    pub account: String,
    /// The server that it is for: what `ssh -T` calls it.
    pub server: String,
    /// Where the `.pub` file is.
    pub path: PathBuf,
    /// The line for *Deploy keys*, without a newline.
    pub line: String,
    /// `SHA256:…` as `ssh-keygen -l` prints it.
    pub fingerprint: String,
}
