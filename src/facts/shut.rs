//! Whether somebody can read a file, and what keeps them from it.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::{Account, Facts};
use crate::sys::root::Root;

/// What keeps this process, with the rights that it has now, from reading a file.
pub(super) fn shut(root: &Root, path: &Path) -> Option<PathBuf> {
    // Where nothing is, or nothing that can be opened, others say so.
    let is_shut = |path: &Path, entered| match root.may_open(path, entered) {
        Err(error) => error.kind() == io::ErrorKind::PermissionDenied,
        Ok(()) => false,
    };
    if !is_shut(path, false) {
        return None;
    }
    let mut above: Vec<&Path> = path.ancestors().skip(1).collect();
    above.reverse();
    Some(above.into_iter().find(|directory| is_shut(directory, true)).unwrap_or(path).to_owned())
}

/// The same by what modes let an account do: what lies in its home is its own, where the owner of the tree has it.
pub(super) fn closed_by_mode(facts: &Facts<'_>, account: &Account, path: &Path) -> Result<Option<PathBuf>> {
    let mut way: Vec<&Path> = path.ancestors().filter(|path| path.parent().is_some()).collect();
    way.reverse();
    for part in way {
        let Some(seen) = facts.stat(part)? else { return Ok(None) };
        let is_own = part.starts_with(&account.home) && seen.uid == facts.root.owner().uid;
        let needed = if part == path { 0o004 } else { 0o001 } << if is_own { 6 } else { 0 };
        if seen.mode & needed == 0 {
            return Ok(Some(part.to_owned()));
        }
    }
    Ok(None)
}
