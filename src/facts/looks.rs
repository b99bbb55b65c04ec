//! A batch of looks at an account's home, and why a look fails.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::rc::Rc;

use anyhow::Result;

use super::{Account, MOST_BYTES, foreign_owner, seen};
use crate::change::Seen;
use crate::fault::fault;
use crate::sys::dir::{Dir, Entry};
use crate::sys::identity;
use crate::sys::lease;
use crate::sys::root::{Root, descend};

/// A batch of looks at an account's home. Whoever makes it has taken the account's rights.
pub(super) struct Looks<'a> {
    pub(super) account: &'a Account,
    pub(super) machine: &'a Root,
    pub(super) home: &'a Rc<Dir>,
    pub(super) directories: BTreeMap<OsString, Option<Rc<Dir>>>,
}

impl Looks<'_> {
    pub(super) fn at(&mut self, relative: &Path) -> Result<Option<Seen>> {
        let path = self.account.home.join(relative);
        let cannot = |owner: Option<u32>, error| match self.home.identity() {
            Some(_) => locked(self.account, &path, owner, error),
            None => unreadable(&path, MOST_BYTES, error),
        };
        if let Some(dir) = self.directories.get(relative.as_os_str()) {
            let stat = dir.as_ref().map(|dir| dir.stat()).transpose().map_err(|error| cannot(None, error))?;
            return Ok(stat.map(|stat| seen(Entry { stat, bytes: Vec::new() })));
        }
        let parent = relative.parent().unwrap_or(relative);
        let file = relative.file_name().unwrap_or_default();
        let dir = if let Some(dir) = self.directories.get(parent.as_os_str()) {
            dir.clone()
        } else {
            let dir = descend(self.home, parent).map_err(|error| cannot(None, error))?;
            self.directories.insert(parent.as_os_str().to_owned(), dir.clone());
            dir
        };
        let Some(dir) = dir else { return Ok(None) };
        let entry =
            dir.read(file, MOST_BYTES).map_err(|error| match dir.stat_entry(file).ok().flatten() {
                Some(stat) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    lease::held(self.machine, &path, stat.identity.1)
                }
                stat => cannot(stat.map(|stat| stat.uid), error),
            })?;
        Ok(entry.map(seen))
    }
}

/// With the account's rights, which root takes in its home, root may be refused, too.
fn locked(account: &Account, path: &Path, owner: Option<u32>, error: std::io::Error) -> anyhow::Error {
    if error.kind() != std::io::ErrorKind::PermissionDenied {
        return unreadable(path, MOST_BYTES, error);
    }
    if let Some(uid) = owner.filter(|uid| *uid != account.uid) {
        return foreign_owner(account, path, uid);
    }
    let (name, path) = (&account.name, path.display());
    fault(
        "foreign-owner",
        format!("{path} can't be used by {name}: a directory on the way shuts {name} out"),
        format!(
            "see who owns what: namei -l {path}; find out why, then give that directory to {name} or open it"
        ),
    )
}

/// Why a file can't be read, with what to do about it.
#[must_use]
pub fn unreadable(path: &Path, cap: u64, error: std::io::Error) -> anyhow::Error {
    use std::io::ErrorKind::{FileTooLarge, NotADirectory, PermissionDenied};
    let path = path.display();
    let is_loop = error.raw_os_error() == Some(nix::libc::ELOOP);
    match error.kind() {
        FileTooLarge => fault(
            "file-too-large",
            format!("{path} is larger than {cap} bytes"),
            format!("see what it is and move it away: ls -ls {path}"),
        ),
        PermissionDenied => fault(
            "not-permitted",
            format!("{path} can't be read: permission denied"),
            if identity::is_root() {
                format!("see whose it is, and give it to its account or move it away: namei -l {path}")
            } else {
                "run the same command with sudo".to_owned()
            },
        ),
        kind if is_loop || kind == NotADirectory => fault(
            "path-unusable",
            format!("{path} can't be reached: a link or a file is where a directory should be"),
            format!("see which one, and make it a real directory: namei -l {path}"),
        ),
        _ => anyhow::Error::new(error).context(format!("cannot read {path}")),
    }
}
