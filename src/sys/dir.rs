//! An open directory, and what can be done in it without ever naming a path twice.
//!
//! Owns reading, making and removing entries relative to a handle. Follows no link: [`super::root`]
//! resolves those that root placed. In a directory of the account every call is made with the
//! account's rights.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, fchmod, fstat, fstatat, mkdirat};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, fsync, unlinkat};

use super::identity::{Guard, Identity, RootGuard};
pub use crate::seen::{FileKind, Seen, Stat};

/// An open directory.
#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
    path: PathBuf,
    identity: Option<Identity>,
    /// In the account's home: what root keeps in it may be given to the account.
    adopts: bool,
}

/// What an open file is and holds.
pub(super) fn seen(file: &File, cap: u64) -> io::Result<Seen> {
    let stat = Stat::from(fstat(file)?);
    let bytes = if stat.kind == FileKind::Regular { read_all(file, stat.size, cap)? } else { Vec::new() };
    Ok(Seen { stat, bytes, resolved: None })
}

pub(super) const READ: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_NONBLOCK)
    .union(OFlag::O_NOCTTY)
    .union(OFlag::O_CLOEXEC);

/// A name in a directory, and what it is the name of; `None` where the file system does not tell.
pub type NamedKind = (OsString, Option<FileKind>);

/// For a list of what is in a directory.
pub(super) const LIST: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);

/// What is in an open directory, sorted by names.
pub(super) fn list(directory: OwnedFd) -> io::Result<Vec<NamedKind>> {
    let mut found: Vec<NamedKind> = Vec::new();
    for entry in rustix::fs::Dir::new(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            found.push((OsStringExt::from_vec(name.to_vec()), FileKind::of(entry.file_type())));
        }
    }
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(found)
}

impl Dir {
    /// Wrap an open directory. `path` is for messages.
    pub fn new(fd: OwnedFd, path: PathBuf, identity: Option<Identity>) -> Self {
        Self { fd, path, identity, adopts: false }
    }

    /// The path by which it was opened, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The same directory, entered from now on with the rights of an account.
    pub(super) fn with_identity(self, identity: Option<Identity>, path: PathBuf, adopts: bool) -> Self {
        Self { path, identity, adopts, ..self }
    }

    /// The same directory by a handle of its own, as the top of a tree.
    pub(super) fn as_top(&self) -> io::Result<Self> {
        Ok(Self::new(self.fd.try_clone()?, PathBuf::from("/"), None))
    }

    /// Whose rights are used in it, when not the process's own.
    pub fn identity(&self) -> Option<Identity> {
        self.identity
    }

    /// Use the rights that belong to this directory as long as the value lives.
    pub fn enter_identity(&self) -> io::Result<Option<Guard>> {
        self.identity.map(Guard::enter).transpose()
    }

    /// Facts of the directory itself.
    pub fn stat(&self) -> io::Result<Stat> {
        Ok(fstat(&self.fd)?.into())
    }

    /// Facts of an entry, not following it; `None` when there is none.
    pub fn stat_entry(&self, name: &OsStr) -> io::Result<Option<Stat>> {
        let _rights = self.enter_identity()?;
        self.stat_below(name.as_ref(), false)
    }

    /// Facts of what a link of the kernel's leads to, such as `/proc/PID/root`.
    pub(super) fn stat_through(&self, name: &OsStr) -> io::Result<Stat> {
        Ok(fstatat(&self.fd, name, AtFlags::empty())?.into())
    }

    /// Open what a link of the kernel's leads to, such as `/proc/PID/ns/mnt`.
    pub(super) fn open_through(&self, name: &OsStr) -> io::Result<File> {
        let fd = openat(&self.fd, name, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
        Ok(File::from(fd))
    }

    /// Facts of what lies at a path below, links on the way followed as the kernel does.
    pub(super) fn stat_below(&self, path: &Path, follow: bool) -> io::Result<Option<Stat>> {
        let flags = if follow { AtFlags::empty() } else { AtFlags::AT_SYMLINK_NOFOLLOW };
        match fstatat(&self.fd, path, flags) {
            Ok(stat) => Ok(Some(stat.into())),
            Err(Errno::ENOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// A directory of that name, which is open.
    fn inside(&self, name: &OsStr, fd: OwnedFd) -> Self {
        Self { fd, path: self.path.join(name), identity: self.identity, adopts: self.adopts }
    }

    /// Read an entry. Never blocks on a FIFO, never follows a link, never reads more than `cap` bytes
    /// (more is `FileTooLarge`). `None` when there is no such entry.
    pub fn read(&self, name: &OsStr, cap: u64) -> io::Result<Option<Seen>> {
        let file = match self.open(name) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            // A link or a socket can't be opened like this, nor a directory of somebody else: say what it is
            // instead.
            Err(error) => {
                return match self.stat_entry(name)? {
                    Some(stat) if stat.kind != FileKind::Regular => Ok(Some(stat.into())),
                    _ => Err(error),
                };
            }
        };
        seen(&file, cap).map(Some)
    }

    /// Open an entry for reading and keep it open. Follows no link and waits for nobody.
    ///
    /// What the account locked itself out of is opened with root's rights: only a thing with one name that
    /// belongs to the account. A file that root keeps in a home stays shut, unless the administrator gives it
    /// away: the account can move it to any name there. A directory of root's shows what it is, not what is in it.
    pub fn open(&self, name: &OsStr) -> io::Result<File> {
        let refused = {
            let _rights = self.enter_identity()?;
            match openat(&self.fd, name, READ, Mode::empty()) {
                Ok(fd) => return Ok(File::from(fd)),
                Err(Errno::EACCES) => io::Error::from(Errno::EACCES),
                Err(error) => return Err(error.into()),
            }
        };
        let Some(identity) = self.identity else {
            return Err(refused);
        };
        let _root = RootGuard::enter();
        let file = File::from(openat(&self.fd, name, READ, Mode::empty())?);
        let stat = Stat::from(fstat(&file)?);
        let single = stat.kind == FileKind::Directory || (stat.kind == FileKind::Regular && stat.links == 1);
        let given = stat.uid == 0 && (self.adopts || stat.kind == FileKind::Directory);
        if single && (stat.uid == identity.uid || given) { Ok(file) } else { Err(refused) }
    }

    /// The directory of that name; `None` when there is none, an error when it is something else.
    pub fn child(&self, name: &OsStr) -> io::Result<Option<Self>> {
        let _rights = self.enter_identity()?;
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        match openat(&self.fd, name, flags, Mode::empty()) {
            Ok(fd) => Ok(Some(self.inside(name, fd))),
            Err(Errno::ENOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Names of all entries, sorted by bytes.
    pub fn names(&self) -> io::Result<Vec<OsString>> {
        Ok(self.entries()?.into_iter().map(|(name, _)| name).collect())
    }

    /// Names of all entries with what each is, where the file system tells.
    pub(super) fn entries(&self) -> io::Result<Vec<NamedKind>> {
        let _rights = self.enter_identity()?;
        self.entries_quietly()
    }

    fn entries_quietly(&self) -> io::Result<Vec<NamedKind>> {
        list(openat(&self.fd, ".", LIST, Mode::empty())?)
    }

    /// True for a directory of root's in a home that can be given to the account and gives it nothing: what lies
    /// in it is the account's own, or a file that everybody can read. Only root puts something into it meanwhile.
    pub fn keeps_nothing_back(&self) -> io::Result<bool> {
        let Some(account) = self.identity else { return Ok(false) };
        let _root = RootGuard::enter();
        let directory = self.stat()?;
        if directory.uid != 0 || directory.mode & 0o022 != 0 {
            return Ok(false);
        }
        for (name, _) in self.entries_quietly()? {
            let open_to_all =
                |stat: &Stat| stat.kind == FileKind::Regular && stat.links == 1 && stat.mode & 0o004 != 0;
            if self
                .stat_below(name.as_ref(), false)?
                .is_some_and(|stat| stat.uid != account.uid && !open_to_all(&stat))
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Where a symbolic link points.
    pub fn read_link(&self, name: &OsStr) -> io::Result<PathBuf> {
        let _rights = self.enter_identity()?;
        Ok(nix::fcntl::readlinkat(&self.fd, name)?.into())
    }

    /// Make a directory with exactly this owner and mode.
    pub fn make_child(&self, name: &OsStr, owner: Option<Identity>, mode: u32) -> io::Result<()> {
        let _rights = self.enter_identity()?;
        mkdirat(&self.fd, name, Mode::from_bits_truncate(0o700))?;
        let done = (|| {
            let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let fd = openat(&self.fd, name, flags, Mode::empty())?;
            set_meta(fd.as_fd(), owner, mode)?;
            Ok(fsync(&fd)?)
        })();
        if done.is_err() {
            unlinkat(&self.fd, name, UnlinkatFlags::RemoveDir).ok();
        }
        done
    }

    /// Make a directory for files that only root may see, and open it.
    pub(super) fn make_scratch(&self, name: &OsStr) -> io::Result<Rc<Self>> {
        self.make_child(name, None, 0o700)?;
        Ok(Rc::new(self.child(name)?.ok_or(io::ErrorKind::NotFound)?))
    }

    /// Remove it with all that is in it, if it is there.
    pub(super) fn remove_scratch(&self, name: &OsStr) -> io::Result<()> {
        let Some(dir) = self.child(name)? else { return Ok(()) };
        for entry in dir.names()? {
            if dir.stat_entry(&entry)?.is_some_and(|stat| stat.kind == FileKind::Directory) {
                dir.remove_scratch(&entry)?;
            } else {
                dir.unlink(&entry)?;
            }
        }
        self.remove_child(name)
    }

    /// Set owner and mode of an entry that still is what was seen (`identity`), through its handle.
    ///
    /// In the account's home only what is the account's, and it stays the account's: who moved something there
    /// can't be told, and root must give nothing away. Only what the administrator gives away, or a directory
    /// that keeps nothing back, becomes the account's.
    pub fn repair(
        &self,
        name: &OsStr,
        identity: (u64, u64),
        owner: Option<Identity>,
        mode: u32,
    ) -> io::Result<()> {
        let file = self.open(name)?;
        let stat = Stat::from(fstat(&file)?);
        if stat.identity != identity {
            return Err(io::Error::other("it was exchanged meanwhile"));
        }
        if stat.kind != FileKind::Directory && (stat.kind != FileKind::Regular || stat.links != 1) {
            return Err(io::Error::other("it is not a single regular file or directory"));
        }
        let Some(account) = self.identity else {
            return set_meta(file.as_fd(), owner, mode);
        };
        if stat.uid != account.uid {
            let harmless = || match stat.kind {
                // The very directory that was opened: by its name another one may be found meanwhile.
                FileKind::Directory => self.inside(name, file.try_clone()?.into()).keeps_nothing_back(),
                _ => Ok(false),
            };
            if stat.uid != 0 || owner != Some(account) || !(self.adopts || harmless()?) {
                return Err(io::Error::other(format!("it belongs to uid {}", stat.uid)));
            }
            let _root = RootGuard::enter();
            return set_meta(file.as_fd(), owner, mode & 0o1777);
        }
        if owner.is_some_and(|owner| owner.uid != account.uid) {
            return Err(io::Error::other("it would belong to another account"));
        }
        if owner.is_some_and(|owner| owner.gid != account.gid) {
            // Back to a group that it was found with, which only root can do; nothing ever lends that group's rights.
            let _root = RootGuard::enter();
            return set_meta(file.as_fd(), owner, mode & 0o1777);
        }
        let _rights = self.enter_identity()?;
        set_meta(file.as_fd(), owner, mode)
    }

    /// Remove a file.
    pub fn unlink(&self, name: &OsStr) -> io::Result<()> {
        let _rights = self.enter_identity()?;
        Ok(unlinkat(&self.fd, name, UnlinkatFlags::NoRemoveDir)?)
    }

    /// Remove an empty directory.
    pub fn remove_child(&self, name: &OsStr) -> io::Result<()> {
        let _rights = self.enter_identity()?;
        Ok(unlinkat(&self.fd, name, UnlinkatFlags::RemoveDir)?)
    }

    /// Make what happened in this directory durable.
    pub fn sync(&self) -> io::Result<()> {
        let _rights = self.enter_identity()?;
        Ok(fsync(openat(&self.fd, ".", LIST, Mode::empty())?)?)
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Owner before mode, so that a file never has the mode for the wrong owner; no call where nothing differs.
pub(super) fn set_meta(fd: BorrowedFd<'_>, owner: Option<Identity>, mode: u32) -> io::Result<()> {
    let now = Stat::from(fstat(fd)?);
    if let Some(owner) = owner.filter(|owner| (now.uid, now.gid) != (owner.uid, owner.gid)) {
        fchown(fd, Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)))?;
    }
    if Stat::from(fstat(fd)?).mode != mode {
        fchmod(fd, Mode::from_bits_truncate(mode))?;
    }
    Ok(())
}

/// Read a regular file whose size is known, at most `cap` bytes.
pub fn read_all(file: &File, size: u64, cap: u64) -> io::Result<Vec<u8>> {
    let too_large = || io::Error::from(io::ErrorKind::FileTooLarge);
    if size > cap {
        return Err(too_large());
    }
    // One byte more than expected: a single call reads the file and proves its end.
    let mut bytes = vec![0; usize::try_from(size).map_err(|_| too_large())? + 1];
    let mut filled = 0;
    loop {
        match file.read_at(&mut bytes[filled..], filled as u64) {
            Ok(0) => break,
            // A short read of a regular file is its end.
            Ok(count) if filled + count == bytes.len() - 1 => {
                filled += count;
                break;
            }
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if filled < bytes.len() {
            continue;
        }
        // It grew while we read.
        if filled as u64 > cap {
            return Err(too_large());
        }
        bytes.resize(bytes.len() + 65_536, 0);
    }
    bytes.truncate(filled);
    Ok(bytes)
}
