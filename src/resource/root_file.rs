//! A file of root's that is ours as a whole, and the directories above it.

use std::path::Path;

use anyhow::Result;

use super::Context;
use crate::change::{Change, FileKind, FileOp, Meta, Op, Owner, Place, Seen};
use crate::facts::{Facts, MOST_BYTES};
use crate::fault::{fault, look_and_move};

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
    /// Why it is written.
    pub(super) why: &'a str,
    /// What of a text counts; `None` for all of it.
    pub(super) meaning: Option<fn(&str) -> String>,
}

impl RootFile<'_> {
    /// Make it what it must be. One that somebody else wrote is refused without `--adopt`.
    pub(super) fn plan(self, context: &Context<'_>, changes: &mut Vec<Change>) -> Result<()> {
        let Self { kind, path, text, mode, directories, why, meaning } = self;
        let facts = context.facts;
        let shown = path.display();
        let before = match facts.entry(path)? {
            None => None,
            Some(seen) if seen.kind == FileKind::Regular => facts.file(path, MOST_BYTES)?,
            Some(seen) => {
                let (what, repair) = (format!("{shown} is {}", seen.kind), look_and_move(path));
                return Err(match kind {
                    "deploy" => fault("deploy-file-kind", what, repair),
                    _ => fault("file-kind", what, repair),
                });
            }
        };
        let means = |text: &str| meaning.map_or_else(|| text.to_owned(), |meaning| meaning(text));
        let meta = Meta { owner: Owner::Root, mode };
        let place = Place::System(path.into());
        let found = before.as_ref().map(|seen| seen.text().into_owned());
        let is_same = match (&found, &text) {
            (None, None) => true,
            (Some(found), Some(text)) => means(found) == means(text),
            _ => false,
        };
        if let (Some(found), false) = (&found, is_same) {
            let is_ours = found.starts_with(MARK) || kind == "deploy" || found.trim().is_empty();
            if text.is_none() && !is_ours {
                return Ok(());
            }
            if !is_ours && !context.options.adopt {
                return Err(fault(
                    "file-foreign",
                    format!("{shown} was written by somebody else, and differs from what the profile wants"),
                    mend!(
                        "look at it: $ cat {}; to replace it: $ {} --adopt --only {}",
                        shown,
                        context.options.command,
                        kind
                    ),
                ));
            }
        }
        match (before, text) {
            (Some(seen), Some(_)) if is_same => changes.extend(set_meta(facts, kind, place, seen, meta)?),
            (before, Some(text)) => {
                if let Some(directory) = path.parent() {
                    plan_directories(facts, kind, directory, directories, changes)?;
                }
                changes.push(Change::of(kind, why, FileOp::new(place, before, text.into_bytes(), meta)));
            }
            (Some(seen), None) => {
                let file = FileOp { after: None, ..FileOp::new(place, Some(seen), Vec::new(), meta) };
                changes.push(Change::of(kind, "the profile wants nothing of it", file));
            }
            (None, None) => {}
        }
        Ok(())
    }
}

/// Owner and mode of a file whose bytes stay.
fn set_meta(
    facts: &Facts<'_>,
    kind: &'static str,
    place: Place,
    seen: Seen,
    after: Meta,
) -> Result<Option<Change>> {
    let mode = after.mode;
    if seen.mode == mode && facts.ids(&Owner::Root)? == Some((seen.uid, seen.gid)) {
        return Ok(None);
    }
    let why = format!(
        "it has mode {:04o} and owner {}:{} instead of {mode:04o} and root",
        seen.mode, seen.uid, seen.gid
    );
    Ok(Some(Change::of(kind, why, Op::Metadata { place, before: seen, after })))
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
