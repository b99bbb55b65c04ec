//! Files that are old or new, whole, at every instant.
//!
//! Owns the temporary file beside the target and its way into place and back. A [`Staged`] that is
//! dropped before [`Staged::keep`] leaves the host as it was. Must not decide what is written.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::rc::Rc;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, RenameFlags, openat, renameat, renameat2};
use nix::sys::stat::{Mode, fstat};
use nix::unistd::{UnlinkatFlags, linkat, unlinkat};

use super::dir::{Dir, Stat, set_meta};
use super::identity::Identity;

/// Marks our temporary files; the dot keeps sudo from reading them in `sudoers.d` (sudoers(5)).
const MARK: &str = ".runner-prep.";

/// A candidate for the place `name` in `dir`.
#[derive(Debug)]
pub struct Staged {
    dir: Rc<Dir>,
    name: OsString,
    temp: OsString,
    made: (u64, u64),
    /// `temp` is the final aside name: `finish` must not delete it.
    keep: bool,
    state: StagedState,
}

/// A commit that holds. All that is left to do is to drop the old file; nothing can put it back.
#[must_use]
#[derive(Debug)]
pub struct FileCommit {
    dir: Rc<Dir>,
    old: Option<OsString>,
}

impl FileCommit {
    /// Drop the old file.
    pub fn finish(self) -> io::Result<()> {
        self.old.map_or(Ok(()), |old| self.dir.unlink(&old))
    }

    /// The directory that the file lies in.
    pub fn dir(&self) -> &Rc<Dir> {
        &self.dir
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StagedState {
    /// The candidate lies under the temporary name, if it is needed at all.
    Waiting,
    /// The candidate is live; the old file has the temporary name.
    Exchanged,
    /// The candidate is live where nothing was.
    Appeared,
    /// The old file has the temporary name, and nothing has its own.
    Removed,
    /// Nothing is left to undo.
    Done,
}

impl Staged {
    /// Write `bytes` to a temporary file in `dir`, with owner and mode as they shall be.
    ///
    /// The content never exists with a wider mode or for another owner. Extended attributes and the
    /// ACL of `like` are copied, in an account's home the ACL alone; without it, what the directory hands down
    /// is removed.
    pub fn create(
        dir: &Rc<Dir>,
        name: &OsStr,
        bytes: &[u8],
        owner: Option<Identity>,
        mode: u32,
        like: Option<&File>,
    ) -> io::Result<Self> {
        let (temp, mut file) = open_temp(dir, name)?;
        // From here on the guard removes the temporary file.
        let staged = Self {
            dir: Rc::clone(dir),
            name: name.to_owned(),
            temp,
            made: Stat::from(fstat(&file)?).identity,
            keep: false,
            state: StagedState::Waiting,
        };
        {
            let _rights = dir.enter_identity()?;
            // In the account's home the file is the account's already.
            let owner = owner.filter(|_| dir.identity().is_none());
            set_meta(file.as_fd(), owner, 0o600)?;
            copy_attributes(&file, like, dir.identity().is_some())?;
            set_meta(file.as_fd(), owner, mode)?;
            file.write_all(bytes)?;
            file.sync_all()?;
        }
        Ok(staged)
    }

    /// Prepare to take away the file `name` of `dir`.
    pub fn removal(dir: &Rc<Dir>, name: &OsStr, made: (u64, u64)) -> io::Result<Self> {
        let mut staged = Self::aside(dir, name, &temp_name(name)?, made);
        staged.keep = false;
        Ok(staged)
    }

    /// Prepare to give the file `name` of `dir` the name `aside`, which must be free.
    pub fn aside(dir: &Rc<Dir>, name: &OsStr, aside: &OsStr, made: (u64, u64)) -> Self {
        let (name, temp) = (name.to_owned(), aside.to_owned());
        Self { dir: Rc::clone(dir), name, temp, made, keep: true, state: StagedState::Waiting }
    }

    /// The candidate's path, for the tools that check it.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join(&self.temp)
    }

    /// The directory that the file lies in.
    pub fn dir(&self) -> &Rc<Dir> {
        &self.dir
    }

    /// The candidate's device and inode.
    pub(super) fn made(&self) -> (u64, u64) {
        self.made
    }

    /// The file under the temporary name: the candidate, or after the commit the old file.
    pub(super) fn set_aside(&self) -> io::Result<File> {
        self.dir.open(&self.temp)
    }

    /// True when the candidate has the place, and the old file the temporary name.
    pub(super) fn is_exchanged(&self) -> bool {
        self.state == StagedState::Exchanged
    }

    /// Exchange back after a commit, and keep the candidate for now.
    pub(super) fn retreat(&mut self) -> io::Result<()> {
        let _rights = self.dir.enter_identity()?;
        exchange(&self.dir, &self.temp, &self.name)?;
        self.state = StagedState::Waiting;
        Ok(())
    }

    /// Leave everything as it is now: both files hold what must not be lost.
    pub(super) fn leave(&mut self) {
        self.state = StagedState::Done;
    }

    /// Put the candidate in the place of the file with the identity `old`, or where nothing is.
    pub fn commit(&mut self, old: Option<(u64, u64)>) -> io::Result<()> {
        let _rights = self.dir.enter_identity()?;
        match old {
            None => {
                appear(&self.dir, &self.temp, &self.name)?;
                self.state = StagedState::Appeared;
            }
            Some(old) => {
                exchange(&self.dir, &self.temp, &self.name)?;
                self.state = StagedState::Exchanged;
                if self.identity_of(&self.temp)? != Some(old) {
                    return Err(changed_meanwhile());
                }
            }
        }
        Ok(())
    }

    /// Put the candidate in the place of whatever is there, which is gone then: for files that only we write.
    pub fn replace(&mut self) -> io::Result<()> {
        let _rights = self.dir.enter_identity()?;
        renameat(&*self.dir, self.temp.as_os_str(), &*self.dir, self.name.as_os_str())?;
        self.state = StagedState::Done;
        Ok(())
    }

    /// Take the file with the identity `old` away.
    pub fn commit_removal(&mut self, old: (u64, u64)) -> io::Result<()> {
        let _rights = self.dir.enter_identity()?;
        appear(&self.dir, &self.name, &self.temp)?;
        self.state = StagedState::Removed;
        if self.identity_of(&self.temp)? == Some(old) { Ok(()) } else { Err(changed_meanwhile()) }
    }

    /// The commit holds: from here on there is no way back.
    pub fn keep(&mut self) -> FileCommit {
        let state = std::mem::replace(&mut self.state, StagedState::Done);
        let has_old = matches!(state, StagedState::Exchanged | StagedState::Removed) && !self.keep;
        FileCommit { dir: Rc::clone(&self.dir), old: has_old.then(|| std::mem::take(&mut self.temp)) }
    }

    /// The commit holds: drop the old file.
    pub fn finish(&mut self) -> io::Result<()> {
        self.keep().finish()
    }

    /// Put everything back as it was before [`Staged::create`].
    pub fn roll_back(&mut self) -> io::Result<()> {
        let _rights = self.dir.enter_identity()?;
        let state = std::mem::replace(&mut self.state, StagedState::Done);
        match state {
            StagedState::Waiting if self.keep => {}
            StagedState::Waiting => match self.dir.unlink(&self.temp) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => removed?,
            },
            StagedState::Exchanged => {
                exchange(&self.dir, &self.temp, &self.name)?;
                self.dir.unlink(&self.temp)?;
            }
            StagedState::Appeared => {
                // Only what we made: somebody may have put another file there since.
                if self.identity_of(&self.name)? == Some(self.made) {
                    self.dir.unlink(&self.name)?;
                }
            }
            StagedState::Removed => appear(&self.dir, &self.temp, &self.name)?,
            StagedState::Done => {}
        }
        Ok(())
    }

    fn identity_of(&self, name: &OsStr) -> io::Result<Option<(u64, u64)>> {
        Ok(self.dir.stat_entry(name)?.map(|stat| stat.identity))
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Errors were reported by whoever called roll_back; here only the last chance is taken.
        self.roll_back().ok();
    }
}

/// Make a file that only we see, where nothing is.
pub(super) fn write(dir: &Rc<Dir>, name: &OsStr, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = Staged::create(dir, name, bytes, None, mode, None)?;
    file.commit(None)?;
    file.finish()
}

/// Remove temporary files that a killed run left beside `name`; returns how many.
pub fn sweep(dir: &Rc<Dir>, name: &OsStr) -> io::Result<usize> {
    let mut removed = 0;
    for entry in leftovers(dir, name)? {
        match dir.unlink(&entry) {
            Ok(()) => removed += 1,
            // No directory is ours: an account may make some with such a name, and is not to hold anything up.
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => {}
            Err(error) => return Err(error),
        }
    }
    Ok(removed)
}

/// Remove every temporary file in a directory that only we write to.
pub(super) fn sweep_all(dir: &Dir) -> io::Result<()> {
    for name in dir.names()?.iter().filter(|name| is_temp(name)) {
        dir.unlink(name)?;
    }
    Ok(())
}

/// The temporary files that a killed run left beside `name`.
pub(super) fn leftovers(dir: &Dir, name: &OsStr) -> io::Result<Vec<OsString>> {
    let mut prefix = OsString::from(".");
    prefix.push(name);
    prefix.push(MARK);
    let mut names = dir.names()?;
    names.retain(|entry| entry.as_encoded_bytes().starts_with(prefix.as_encoded_bytes()));
    Ok(names)
}

fn is_temp(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name.starts_with('.') && name.contains(MARK)
}

fn temp_name(name: &OsStr) -> io::Result<OsString> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let mut temp = OsString::from(".");
    temp.push(name);
    temp.push(MARK);
    temp.push(format!("{:016x}", u64::from_ne_bytes(random)));
    Ok(temp)
}

fn open_temp(dir: &Dir, name: &OsStr) -> io::Result<(OsString, File)> {
    let _rights = dir.enter_identity()?;
    let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let temp = temp_name(name)?;
    let fd = openat(dir, temp.as_os_str(), flags, Mode::from_bits_truncate(0o600))?;
    Ok((temp, File::from(fd)))
}

/// Give `file` the extended attributes of `like`; the ACL too, without which a copied mode would be wider. Most
/// others an account may not set.
fn copy_attributes(file: &File, like: Option<&File>, acl_alone: bool) -> io::Result<()> {
    const ACL: &str = "system.posix_acl_access";
    let mut has_acl = false;
    if let Some(like) = like {
        let mut names = vec![0; 65_536];
        let length = match rustix::fs::flistxattr(like, &mut names[..]) {
            Ok(length) => length,
            Err(rustix::io::Errno::NOTSUP) => 0,
            Err(error) => return Err(error.into()),
        };
        let mut value = vec![0; 65_536];
        for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
            let name = OsStr::from_bytes(name);
            if acl_alone && name != ACL {
                continue;
            }
            let length = rustix::fs::fgetxattr(like, name, &mut value[..])?;
            rustix::fs::fsetxattr(file, name, &value[..length], rustix::fs::XattrFlags::empty())?;
            has_acl |= name == ACL;
        }
    }
    if !has_acl {
        match rustix::fs::fremovexattr(file, ACL) {
            Ok(()) | Err(rustix::io::Errno::NODATA | rustix::io::Errno::NOTSUP) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Swap two names. Where the file system can't, the old file gets a second name before it is replaced.
fn exchange(dir: &Dir, temp: &OsStr, name: &OsStr) -> io::Result<()> {
    match renameat2(dir, temp, dir, name, RenameFlags::RENAME_EXCHANGE) {
        Ok(()) => Ok(()),
        Err(Errno::EINVAL | Errno::ENOSYS) => {
            let mut aside = temp.to_owned();
            aside.push(".old");
            linkat(dir, name, dir, aside.as_os_str(), AtFlags::empty())?;
            if let Err(error) = renameat(dir, temp, dir, name) {
                unlinkat(dir, aside.as_os_str(), UnlinkatFlags::NoRemoveDir)?;
                return Err(error.into());
            }
            Ok(renameat(dir, aside.as_os_str(), dir, temp)?)
        }
        Err(error) => Err(error.into()),
    }
}

/// Rename without ever replacing what is at `to`.
fn appear(dir: &Dir, from: &OsStr, to: &OsStr) -> io::Result<()> {
    match renameat2(dir, from, dir, to, RenameFlags::RENAME_NOREPLACE) {
        Ok(()) => Ok(()),
        Err(Errno::EINVAL | Errno::ENOSYS) => {
            linkat(dir, from, dir, to, AtFlags::empty())?;
            Ok(unlinkat(dir, from, UnlinkatFlags::NoRemoveDir)?)
        }
        Err(error) => Err(error.into()),
    }
}

fn changed_meanwhile() -> io::Error {
    io::Error::other("somebody else changed it meanwhile")
}
