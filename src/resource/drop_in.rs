//! What every sudo drop-in has in common: what the host must have for a rule to mean what it says, and the
//! file that holds it.
//!
//! Whether sudo accepts a rule is asked by `apply`, from the real `visudo`.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::Context;
use crate::change::{
    Allowed, Change, Check, Content, FileKind, FileOp, Meta, Notes, Op, Owner, Place, Seen, Shown, Swap,
};
use crate::facts::{Facts, MOST_BYTES, programs};
use crate::fault::fault;
use crate::policy::{RUST_SUDOERS, SECURE_PATH, SUDOERS_DIRECTORY as DIRECTORY, includes_drop_ins};
use crate::text::sudo_defaults::{SecurePath, joined};
use crate::text::sudo_include::include;

const MODE: u32 = 0o440;

/// The first line of a file of ours.
const MARK: &str = "# Managed by runner-prep";

/// The file of `[sudoers]`.
pub(super) const RULES: &str = "/etc/sudoers.d/gitlab-runner";
/// The file of `[[deploy]]`.
pub(super) const DEPLOYMENTS: &str = "/etc/sudoers.d/gitlab-runner-deploy";

/// No more included files are looked at: they may include one another in a circle.
const MOST_FILES: usize = 1000;

/// A file of rules below `/etc/sudoers.d`.
pub(super) struct DropIn {
    /// The kind of the resource that it belongs to.
    pub(super) kind: &'static str,
    /// Where it is.
    pub(super) path: &'static str,
    /// Its lines, without newlines. None: the account may run nothing, and a file of ours goes away.
    pub(super) rules: Vec<String>,
    /// What must be allowed by them.
    pub(super) allowed: Vec<Allowed>,
    /// Why it is made when it is missing.
    pub(super) missing: String,
}

impl DropIn {
    /// The change that makes the file what it must be; none when it is.
    pub(super) fn plan(&self, context: &Context<'_>) -> Result<Vec<Change>> {
        let facts = context.facts;
        let path = Path::new(self.path);
        let place = Place::System(path.into());
        let meta = Meta { owner: Owner::Root, mode: MODE };
        let text = format!("{MARK}: edit its profile, not this file.\n{}\n", self.rules.join("\n"));
        // The file first, which tells all; what is there instead of one, or behind a link, is looked at by itself.
        let is_file = |seen: &Seen| seen.kind == FileKind::Regular && seen.resolved.is_none();
        let before = facts.file(path, MOST_BYTES)?;
        if !before.as_ref().is_some_and(is_file) {
            let entry = facts.entry(path)?.filter(|entry| entry.kind != FileKind::Regular);
            if let Some(entry) = entry {
                return Err(fault(
                    "sudoers-kind",
                    format!("{} is {}", self.path, entry.kind),
                    format!("see what it is for, and remove it: ls -l {}", self.path),
                ));
            }
        }
        let change =
            |why: String, op: Op| vec![Change { kind: self.kind, id: self.path.to_owned(), why, op }];
        let Some(seen) = before else {
            if self.rules.is_empty() {
                return Ok(Vec::new());
            }
            return Ok(change(self.missing.clone(), self.file(context, place, None, Some(text), meta)));
        };
        let found = seen.text().into_owned();
        let is_ours = found.starts_with(MARK) || context.options.adopt;
        if self.rules.is_empty() {
            if !is_ours && !rules(&found).is_empty() {
                return Err(self.foreign(context, &found));
            }
            if !is_ours {
                return Ok(Vec::new());
            }
            let why = "the profile allows nothing of it".to_owned();
            return Ok(change(why, self.file(context, place, Some(seen), None, meta)));
        }
        if rules(&found) != rules(&text) {
            if !is_ours {
                return Err(self.foreign(context, &found));
            }
            let why = "its rules are not the ones of the profile".to_owned();
            return Ok(change(why, self.file(context, place, Some(seen), Some(text), meta)));
        }
        let root = facts.ids(&Owner::Root)?;
        if seen.mode == MODE && root == Some((seen.uid, seen.gid)) {
            return Ok(Vec::new());
        }
        let why = format!(
            "it has mode {:04o} and owner {}:{}; sudo wants 0440 and root",
            seen.mode, seen.uid, seen.gid
        );
        Ok(change(why, Op::Metadata { place, before: seen, after: meta }))
    }

    fn file(
        &self,
        context: &Context<'_>,
        place: Place,
        before: Option<Seen>,
        text: Option<String>,
        meta: Meta,
    ) -> Op {
        let check = Check::Sudoers { account: context.target.name.clone(), allowed: self.allowed.clone() };
        Op::File(Box::new(FileOp {
            place,
            before,
            after: text.map(|text| Content::ready(text.into_bytes())),
            meta,
            check,
            shown: Shown::Text,
            swap: Swap::Replace,
        }))
    }

    fn foreign(&self, context: &Context<'_>, found: &str) -> anyhow::Error {
        let lines = found.lines().take(40);
        let lines: Vec<String> =
            lines.map(|line| line.chars().filter(|c| !c.is_control()).collect()).collect();
        let shown = lines.join("\n    ");
        fault(
            "sudoers-foreign",
            format!("{} was written by somebody else and says:\n    {shown}", self.path),
            // Alone: in the home --adopt takes over other things, and gives what is root's there to the account.
            format!(
                "compare it with the profile; to replace it: {} --adopt --only {}",
                context.options.command, self.kind
            ),
        )
    }
}

/// What a sudoers file says, without comments and blanks at the ends. A carriage return is no blank: sudo
/// refuses the line that has one.
fn rules(text: &str) -> Vec<&str> {
    let lines = text.split('\n').map(|line| line.trim_matches([' ', '\t']));
    lines.filter(|line| !line.is_empty() && !is_comment(line)).collect()
}

/// `#include` is none, and neither is `#` before a number: that is a user id (sudoers(5), "Other special
/// characters").
fn is_comment(line: &str) -> bool {
    let is_rule = |rest: &str| {
        rest.starts_with("include") || rest.starts_with(|c: char| c.is_ascii_digit() || c == '-')
    };
    line.strip_prefix('#').is_some_and(|rest| !is_rule(rest))
}

/// The parts of sudo's policy that decide whether a drop-in means anything.
pub(super) struct Policy {
    secure_path: String,
}

impl Policy {
    /// Read `/etc/sudoers` and look at the drop-in directory, for the sake of an account.
    pub(super) fn read(facts: &dyn Facts, account: &str, notes: &mut Notes) -> Result<Self> {
        let main = Path::new("/etc/sudoers");
        let file = facts.file(main, MOST_BYTES)?.filter(|file| file.kind == FileKind::Regular);
        let Some(file) = file else {
            return Err(fault(
                "sudo-missing",
                "/etc/sudoers does not exist: sudo is not installed",
                programs::install(facts, &["sudo"])?,
            ));
        };
        let text = file.text().into_owned();
        if !includes_drop_ins(&text) {
            return Err(fault(
                "sudoers-not-included",
                format!("/etc/sudoers does not include {DIRECTORY}, a rule there would be dead"),
                format!("add this line at its end with visudo: @includedir {DIRECTORY}"),
            ));
        }
        warn_of_rust(facts, notes)?;
        let make = format!("install -d -m 0750 -o root -g root {DIRECTORY}");
        // Asked first: what it opens on the way serves the next looks. Said last.
        let distrust = facts.distrust(Path::new(DIRECTORY));
        match facts.entry(Path::new(DIRECTORY))? {
            Some(seen) if seen.kind == FileKind::Directory => {}
            Some(seen) => {
                return Err(fault(
                    "sudoers-directory",
                    format!("{DIRECTORY} is {}", seen.kind),
                    format!(
                        "move it away, then its rules into a new one: mv {DIRECTORY} {DIRECTORY}.old; {make}"
                    ),
                ));
            }
            None => {
                return Err(fault(
                    "sudoers-directory",
                    format!("{DIRECTORY} does not exist"),
                    format!("make it: {make}"),
                ));
            }
        }
        if let Some(reason) = distrust? {
            return Err(fault(
                "sudoers-directory",
                format!("sudo ignores {DIRECTORY} or others can write there: {reason}"),
                format!("chown root:root {DIRECTORY}; chmod 0750 {DIRECTORY}"),
            ));
        }
        let names = look_around(facts, notes)?;
        let mut search = Search { facts, account, names, found: SecurePath::default(), files: 0 };
        search.read(main, &text);
        Ok(Self { secure_path: search.found.value().unwrap_or(SECURE_PATH).to_owned() })
    }

    /// What to type for a program: its name where sudo finds it by that, else its path.
    pub(super) fn name_of(&self, path: &Path) -> String {
        let found = self.secure_path.split(':').any(|dir| Some(Path::new(dir)) == path.parent());
        let shown = if found { path.file_name() } else { Some(path.as_os_str()) };
        shown.unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
    }
}

/// sudo-rs has a main file of its own where somebody made one.
fn warn_of_rust(facts: &dyn Facts, notes: &mut Notes) -> Result<()> {
    if let Some(file) = facts.file(Path::new(RUST_SUDOERS), MOST_BYTES)? {
        if !includes_drop_ins(&file.text()) {
            notes.warn(
                "sudoers-rs",
                format!("sudo-rs reads {RUST_SUDOERS} instead of /etc/sudoers, and it does not include {DIRECTORY}: a rule there is dead for it"),
                format!("add this line at its end: @includedir {DIRECTORY}; or remove {RUST_SUDOERS}"),
            );
        }
    }
    Ok(())
}

/// Every sudo skips the other names (sudoers(5), "Including other files").
fn is_read(name: &str) -> bool {
    !name.contains('.') && !name.ends_with('~')
}

/// The names that sudo reads in a directory, in its order.
fn names(mut entries: Vec<(String, Option<FileKind>)>) -> Vec<String> {
    entries.retain(|(name, _)| is_read(name));
    entries.sort_by(|(one, _), (other, _)| one.cmp(other));
    entries.into_iter().map(|(name, _)| name).collect()
}

/// Tell what lies in the directory and is no file, where sudo looks for files; returns the names that it reads.
fn look_around(facts: &dyn Facts, notes: &mut Notes) -> Result<Vec<String>> {
    let entries = facts.entries(Path::new(DIRECTORY))?;
    for (name, kind) in entries.iter().filter(|(name, _)| is_read(name)) {
        if *kind == Some(FileKind::Regular) {
            continue;
        }
        let path = Path::new(DIRECTORY).join(name);
        let shown = path.display();
        let repair = format!("see what it is for, and move it away: ls -ld {shown}");
        match facts.stat(&path)?.map(|seen| seen.kind) {
            Some(FileKind::Regular) => {}
            Some(FileKind::Special(kind)) => {
                let what = format!("{shown} is {kind}: sudo-rs waits for it for ever, at every call");
                return Err(fault("sudoers-special-file", what, repair));
            }
            Some(kind) => notes.warn(
                "sudoers-no-file",
                format!("{shown} is {kind}: sudo passes over it, and sudo-rs complains of it at every call"),
                repair,
            ),
            None => notes.warn(
                "sudoers-no-file",
                format!("{shown} is a link that leads nowhere: sudo passes over it, sudo-rs complains of it"),
                repair,
            ),
        }
    }
    Ok(names(entries))
}

/// The way through sudo's files in the order in which it reads them.
struct Search<'a> {
    facts: &'a dyn Facts,
    account: &'a str,
    /// The files of the usual directory, which was looked at already.
    names: Vec<String>,
    found: SecurePath,
    files: usize,
}

impl Search<'_> {
    /// Read a file and those that it includes. What can't be read is visudo's matter.
    fn read(&mut self, file: &Path, text: &str) {
        let beside = file.parent().unwrap_or(Path::new("/"));
        for line in joined(text) {
            match include(&line, beside) {
                None => self.found.take(&line, self.account),
                Some(it) if it.is_directory => {
                    let names = if it.path == Path::new(DIRECTORY) {
                        self.names.clone()
                    } else {
                        names(self.facts.entries(&it.path).unwrap_or_default())
                    };
                    for name in names {
                        self.include(&it.path.join(name));
                    }
                }
                Some(it) => self.include(&it.path),
            }
        }
    }

    fn include(&mut self, file: &Path) {
        // Ours set nothing.
        if self.files < MOST_FILES && ![RULES, DEPLOYMENTS].iter().any(|ours| file == Path::new(ours)) {
            self.files += 1;
            // Of what is no file there is nothing to read.
            if let Ok(Some(seen)) = self.facts.file(file, MOST_BYTES) {
                self.read(file, &seen.text());
            }
        }
    }
}

/// The program must be root's own, and the one that `sudo NAME` finds.
pub(super) fn check_command(facts: &dyn Facts, policy: &Policy, path: &Path) -> Result<()> {
    let shown = path.display();
    let name = path.file_name().context("a checked path names a file")?.to_string_lossy();
    // Asked first: what it opens on the way serves the next looks. Said last.
    let distrust = facts.distrust(path);
    let seen = facts.stat(path)?.ok_or_else(|| {
        fault(
            "command-missing",
            format!("the command {shown} does not exist"),
            "correct it in sudoers.commands of the profile, or install the program that it means",
        )
    })?;
    if seen.kind != FileKind::Regular || seen.mode & 0o111 == 0 {
        return Err(fault(
            "command-kind",
            format!("the command {shown} is no program: it is {} with mode {:04o}", seen.kind, seen.mode),
            "name an executable file in sudoers.commands",
        ));
    }
    if let Some(reason) = distrust? {
        return Err(fault(
            "command-untrusted",
            format!(
                "the command {shown} can be changed by others than root, who would then be root: {reason}"
            ),
            "make the program and every directory above it root's own, not writable by group or others",
        ));
    }
    let found = policy
        .secure_path
        .split(':')
        .filter(|dir| dir.starts_with('/'))
        .map(|dir| Path::new(dir).join(&*name));
    for candidate in found {
        if candidate == path {
            return Ok(());
        }
        let is_program = |seen: &Seen| seen.kind == FileKind::Regular && seen.mode & 0o111 != 0;
        let Some(first) = facts.stat(&candidate)?.filter(is_program) else {
            continue;
        };
        if first.identity == seen.identity {
            return Ok(());
        }
        return Err(not_found_first(path, &candidate));
    }
    Err(fault(
        "command-not-in-secure-path",
        format!("`sudo {name}` does not find {shown}: it is in no directory of secure_path"),
        format!("secure_path is {}; name a program that lies there", policy.secure_path),
    ))
}

fn not_found_first(path: &Path, candidate: &Path) -> anyhow::Error {
    fault(
        "command-shadowed",
        format!(
            "`sudo` finds {} before {}, and the rule would not match it",
            candidate.display(),
            path.display()
        ),
        format!("put {} into sudoers.commands, or remove it", candidate.display()),
    )
}
