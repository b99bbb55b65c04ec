//! A batch of looks at an account's home.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::rc::Rc;

use anyhow::Result;

use super::live::{locked, unreadable};
use super::{Account, MOST_BYTES, seen};
use crate::change::Seen;
use crate::sys::dir::{Dir, Entry};
use crate::sys::root::descend;

/// A batch of looks at an account's home. Whoever makes it has taken the account's rights.
pub(super) struct Looks<'a> {
    pub(super) account: &'a Account,
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
        let entry = dir.read(file, MOST_BYTES).map_err(|error| {
            let stat = dir.stat_entry(file).ok().flatten();
            cannot(stat.map(|stat| stat.uid), error)
        })?;
        Ok(entry.map(seen))
    }
}
