//! What lies below an account's home, seen with the account's rights, and what the account can read elsewhere.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, Result};

use super::home_reads::{HomeReads, unreadable};
use super::shut::{closed_by_mode, shut};
use super::{Account, Facts, MOST_BYTES, rights};
use crate::change::{FileKind, Seen};
use crate::fault::{AtHome, make_home};
use crate::repair::Repair;
use crate::sys::dir::Dir;
use crate::sys::identity::{self, Guard};
use crate::sys::root::{below, descend};
use crate::sys::writable;

impl Facts<'_> {
    /// Read these paths now, with one change to the account's rights; [`Facts::home`] then hands out the result, once
    /// for each time that a path is named here. What can't be read is read again then, for its error. An absolute path
    /// is a file outside the home: [`Facts::file`] and [`Facts::shut_out`] then use the result.
    pub fn expect_home(&self, account: &Account, paths: &[&str]) {
        let mut ahead: BTreeMap<OsString, Vec<Option<Seen>>> = BTreeMap::new();
        let mut readable = Vec::new();
        if let Ok(Some(home)) = self.home_of(account) {
            if let Ok(_rights) = home.enter_identity() {
                let mut reads =
                    HomeReads { account, machine: self.machine, home: &home, directories: BTreeMap::new() };
                // The handle was opened with root's rights: whether the account comes to its home is asked anew.
                if self.root.is_host() && matches!(self.root.stat(&account.home, true), Ok(Some(_))) {
                    readable.push(account.home.clone());
                }
                // A directory after what lies in it: then it is open already.
                for name in paths.iter().rev() {
                    let path = account.home.join(name).into_os_string();
                    if name.starts_with('/') {
                        // What is read with the account's rights can be read by it.
                        let is_root = self.root.owner().uid == 0;
                        let read = || self.root.read_at_once(Path::new(name), MOST_BYTES);
                        if let Some(entry) = is_root.then(read).flatten() {
                            ahead.insert(path, vec![entry]);
                            readable.push(name.into());
                        }
                    } else if let Some(known) = ahead.get_mut(&path) {
                        known.extend(known.first().cloned());
                    } else if let Ok(seen) = reads.at(Path::new(name)) {
                        ahead.insert(path, vec![seen]);
                    }
                }
            }
        }
        self.ahead.replace(ahead);
        self.readable.replace(readable);
    }

    /// Things below the account's home, no link followed, in the order asked for. What is in the home itself and ends with
    /// a slash is looked at and not read.
    pub fn home(&self, account: &Account, relative: &[&str]) -> Result<Vec<Option<Seen>>> {
        let paths = relative.iter().map(|name| account.home.join(name));
        let ahead: Vec<_> =
            paths.map(|path| self.ahead.borrow_mut().get_mut(path.as_os_str()).and_then(Vec::pop)).collect();
        if ahead.iter().all(Option::is_some) {
            return Ok(ahead.into_iter().flatten().collect());
        }
        let Some(home) = self.home_of(account)? else { return Ok(vec![None; relative.len()]) };
        // One taking of the account's rights and one look at each directory for the whole batch.
        let _rights = home.enter_identity()?;
        let mut reads =
            HomeReads { account, machine: self.machine, home: &home, directories: BTreeMap::new() };
        let seen = relative.iter().zip(ahead);
        seen.map(|(name, ahead)| ahead.map_or_else(|| reads.at(Path::new(name)), Ok)).collect()
    }

    /// One thing below the account's home, no link followed.
    pub fn home_file(&self, account: &Account, relative: &str) -> Result<Option<Seen>> {
        Ok(self.home(account, &[relative])?.into_iter().next().flatten())
    }

    /// The names in a directory below the account's home, no link followed; empty when it does not exist.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn home_names(&self, account: &Account, relative: &Path) -> Result<Vec<OsString>> {
        let path = account.home.join(relative);
        let Some(home) = self.home_of(account)? else { return Ok(Vec::new()) };
        let names =
            descend(&home, relative).and_then(|dir| dir.map_or_else(|| Ok(Vec::new()), |dir| dir.names()));
        names.map_err(|error| unreadable(None, &path, 0, error))
    }

    /// True for a directory of root's below the account's home that can become the account's and gives it nothing:
    /// what lies in it is the account's own, or a file that everybody can read.
    ///
    /// # Errors
    /// When it can't be looked at.
    pub fn keeps_nothing_back(&self, account: &Account, relative: &str) -> Result<bool> {
        let Some(home) = self.home_of(account)? else { return Ok(false) };
        let dir = descend(&home, Path::new(relative));
        let nothing = dir.and_then(|dir| dir.map_or(Ok(false), |dir| dir.keeps_nothing_back()));
        nothing.map_err(|error| unreadable(None, &account.home.join(relative), 0, error))
    }

    /// Whether something is mounted at a path below the home.
    ///
    /// # Errors
    /// When it can't be looked at.
    pub fn is_mount(&self, account: &Account, relative: &str) -> Result<bool> {
        let Some(home) = self.home_of(account)? else { return Ok(false) };
        let found = below(&home, Path::new(relative))
            .and_then(|found| found.map_or(Ok(false), |(dir, name)| writable::is_mount(&dir, &name)));
        found.map_err(|error| unreadable(None, &account.home.join(relative), 0, error))
    }

    /// Why an account has no home at all: nothing is there, or no directory. With a code and the repair.
    ///
    /// # Errors
    /// When it can't be looked at.
    pub fn lacks_home(&self, account: &Account) -> Result<Option<(&'static str, String, Repair)>> {
        let Account { name, home, .. } = account;
        if self.readable.borrow().iter().any(|known| known == home) {
            return Ok(None);
        }
        let shown = home.display();
        let (code, what, found) = match self.stat(home)?.map(|seen| seen.kind) {
            Some(FileKind::Directory) => return Ok(None),
            Some(kind) => ("home-unusable", format!("the home of {name} is {kind}: {shown}"), AtHome::Other),
            None => (
                "home-missing",
                format!("{name} has no home: {shown} does not exist"),
                self.where_home_is_missing(home)?,
            ),
        };
        Ok(Some((code, what, make_home(name, account.gid, home, found))))
    }

    /// What shuts the account out of a file that its jobs must read: the file itself or a directory on the way, links
    /// resolved; `None` when it can read it, or when nothing is there. The kernel answers with the account's rights;
    /// an ordinary user who prepares a tree can't take them, and goes by the modes.
    ///
    /// # Errors
    /// When it can't be looked at.
    pub fn shut_out(&self, account: &Account, path: &Path) -> Result<Option<PathBuf>> {
        if self.readable.borrow().iter().any(|known| known == path) {
            return Ok(None);
        }
        if self.root.owner().uid != 0 {
            return closed_by_mode(self, account, path);
        }
        let look = || shut(self.root, path);
        let own = Guard::enter(rights(account)).map(|_rights| look());
        let shut = match own.with_context(|| format!("cannot take the rights of {}", account.name))? {
            Some(_) if self.root.is_host() => {
                let looked = identity::with_groups(&account.name, rights(account), look);
                looked.with_context(|| format!("cannot take the groups of {}", account.name))?
            }
            seen => seen,
        };
        Ok(shut)
    }

    /// The file at an absolute path, links resolved, as the account reads it; `None` where it can't, or nothing is there.
    ///
    /// # Errors
    /// When it is too large, or no file.
    pub fn file_for(&self, account: &Account, path: &Path) -> Result<Option<Seen>> {
        use std::io::ErrorKind::{NotADirectory, NotFound, PermissionDenied};
        if self.shut_out(account, path)?.is_some() {
            return Ok(None);
        }
        let read = || self.root.read(path, MOST_BYTES);
        let read = match self.root.owner().uid {
            0 => identity::with_groups(&account.name, rights(account), read).and_then(|read| read),
            _ => read(),
        };
        match read {
            Ok(read) => Ok(read),
            Err(error) if [NotFound, NotADirectory, PermissionDenied].contains(&error.kind()) => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    pub(super) fn home_of(&self, account: &Account) -> Result<Option<Rc<Dir>>> {
        Ok(self.opened_home(account)?.map(|(home, _)| home))
    }

    pub(super) fn opened_home(&self, account: &Account) -> Result<Option<(Rc<Dir>, u32)>> {
        if let Some((path, home, mode)) = self.opened.borrow().as_ref() {
            if *path == account.home {
                return Ok(Some((Rc::clone(home), *mode)));
            }
        }
        let rights = self.owner_in_tree(rights(account));
        let home = self.root.home(&account.name, &account.home, rights)?;
        *self.opened.borrow_mut() = home.clone().map(|(home, mode)| (account.home.clone(), home, mode));
        Ok(home)
    }
}
