//! A file of root's that is ours as a whole, and the directories above it.

use std::path::Path;

use anyhow::Result;

use super::Context;
use crate::change::{Change, Content, FileKind, FileOp, Meta, Op, Owner, Place, ReadBy, Seen};
use crate::facts::{Facts, MOST_BYTES};
use crate::fault::{Nature, fault, look_and_move};

/// The first words of a file of ours.
pub(super) const MARK: &str = "# Managed by runner-prep";

/// What such a file is to be.
pub(super) struct RootFile<'a> {
    /// The kind of the resource that it belongs to.
    pub(super) kind: &'static str,
    /// Where it is.
    pub(super) path: &'a Path,
    /// What it says; nothing: one of ours goes away.
    pub(super) text: Option<String>,
    /// Its permission bits.
    pub(super) mode: u32,
    /// The permission bits of missing directories above it.
    pub(super) directories: u32,
    /// Why it is made, and why it is written anew.
    pub(super) why: [&'a str; 2],
    /// What of a text counts.
    pub(super) meaning: fn(&str) -> String,
    /// It has rules of sudo's.
    pub(super) of_sudo: bool,
}

/// The text of a file of ours.
pub(super) fn marked(text: &str) -> String {
    format!("{MARK}: edit its profile, not this file.\n{text}")
}

impl<'a> RootFile<'a> {
    /// One that everybody may read, and of which every byte counts.
    pub(super) fn new(kind: &'static str, path: &'a Path, text: Option<String>, why: &'a str) -> Self {
        let (why, meaning) = ([why; 2], str::to_owned);
        Self { kind, path, text, mode: 0o644, directories: 0o755, why, meaning, of_sudo: false }
    }

    /// Make it what it must be. One that somebody else wrote is refused without `--adopt`. Returns when it changed last.
    pub(super) fn plan(self, context: &Context<'_>, changes: &mut Vec<Change>) -> Result<(i64, i64)> {
        let Self { kind, path, text, mode, directories, why: [missing, differs], meaning, of_sudo } = self;
        let facts = context.facts;
        let shown = path.display();
        // The file first, which tells all; what is there instead of one, or behind a link, is looked at by itself.
        let is_file = |seen: &Seen| seen.kind == FileKind::Regular && seen.resolved.is_none();
        let before = facts.file(path, MOST_BYTES)?;
        if !before.as_ref().is_some_and(is_file) {
            if let Some(seen) = facts.entry(path)?.filter(|entry| entry.kind != FileKind::Regular) {
                let (what, repair) = (format!("{shown} is {}", seen.kind), look_and_move(path));
                return Err(match kind {
                    _ if of_sudo => fault("sudoers-kind", what, repair),
                    "deploy" => fault("deploy-file-kind", what, repair),
                    _ => fault("file-kind", what, repair),
                });
            }
        }
        let written = before.as_ref().map(|seen| seen.changed).unwrap_or_default();
        let found = before.as_ref().map(|seen| seen.text().into_owned());
        let is_same = found.as_deref().map(meaning) == text.as_deref().map(meaning);
        if let (Some(found), false) = (&found, is_same) {
            let (is_marked, says_nothing) = (found.starts_with(MARK), meaning(found).trim().is_empty());
            if text.is_none() && !is_marked && (says_nothing || !of_sudo) {
                return Ok(written);
            }
            // Nothing but comments is nobody's loss.
            let is_ours = is_marked || says_nothing || (kind == "deploy" && !of_sudo);
            if !is_ours && !context.options.adopt {
                let adopt = format!("{} --adopt --only {kind}", context.options.command);
                return Err(if of_sudo {
                    foreign_rules(path, found, &adopt)
                } else {
                    let message = format!(
                        "{shown} was written by somebody else, and differs from what the profile wants"
                    );
                    let repair = mend!("look at it: $ cat {}; to replace it: $ {}", shown, adopt);
                    fault("file-foreign", message, repair)
                });
            }
        }
        let (place, meta) = (Place::System(path.into()), Meta { owner: Owner::Root, mode });
        match (before, text) {
            (None, None) => {}
            (Some(seen), Some(_)) if is_same => {
                if seen.mode != mode || facts.ids(&Owner::Root)? != Some((seen.uid, seen.gid)) {
                    let wants = if of_sudo { "; sudo wants" } else { " instead of" };
                    let (now, uid, gid) = (seen.mode, seen.uid, seen.gid);
                    let why =
                        format!("it has mode {now:04o} and owner {uid}:{gid}{wants} {mode:04o} and root");
                    changes.push(Change::of(kind, why, Op::Metadata { place, before: seen, after: meta }));
                }
            }
            (before, text) => {
                if let (Some(_), Some(directory)) = (&text, path.parent()) {
                    plan_directories(facts, kind, directory, directories, changes)?;
                }
                let why = match (&before, &text, of_sudo) {
                    (_, None, true) => "the profile allows nothing of it",
                    (_, None, false) => "the profile wants nothing of it",
                    (None, Some(_), _) => missing,
                    (Some(_), Some(_), _) => differs,
                };
                let after = text.map(|text| Content::ready(text.into_bytes()));
                let account = context.target.name.clone();
                let reader = of_sudo.then_some(ReadBy::Sudo { account });
                let file = FileOp { after, reader, ..FileOp::new(place, before, Vec::new(), meta) };
                changes.push(Change::of(kind, why, file));
            }
        }
        Ok(written)
    }
}

/// Rules that somebody else wrote; `adopt` replaces them.
fn foreign_rules(path: &Path, found: &str, adopt: &str) -> anyhow::Error {
    let lines = found.lines().take(40);
    let lines: Vec<String> = lines.map(|line| line.chars().filter(|c| !c.is_control()).collect()).collect();
    Nature::Foreign.fault(
        "sudoers-foreign",
        format!("{} was written by somebody else and says:\n    {}", path.display(), lines.join("\n    ")),
        // Alone: in the home --adopt takes over other things, and gives what is root's there to the account.
        mend!("compare it with the profile; to replace it: $ {}", adopt),
    )
}

/// Make the missing ones of a directory and those above it, root's.
pub(super) fn plan_directories(
    facts: &Facts<'_>,
    kind: &'static str,
    path: &Path,
    mode: u32,
    changes: &mut Vec<Change>,
) -> Result<()> {
    let mut missing: Vec<&Path> = Vec::new();
    for directory in path.ancestors() {
        if facts.stat(directory)?.is_some() {
            break;
        }
        missing.push(directory);
    }
    for directory in missing.into_iter().rev() {
        if changes.iter().any(|change| Path::new(&change.id) == directory) {
            continue;
        }
        let after = Meta { owner: Owner::Root, mode };
        let op = Op::Directory { place: Place::System(directory.into()), before: None, after };
        changes.push(Change::of(kind, "the directory is missing", op));
    }
    Ok(())
}
