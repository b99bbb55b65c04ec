//! The tree that is worked on: `/`, or the directory given with `--root`.
//!
//! Owns the way from an absolute path to an open directory: each component by handle, links that root
//! placed resolved inside the tree, and on the way the question who could change any of it. Must not
//! write.

mod at_once;
mod home;
pub mod pointed;
mod secure;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, Result};
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use super::dir::{Dir, FileKind, LIST, NamedKind, READ, Seen, Stat, list, seen};
use super::identity::{Identity, is_root};
use crate::fault::fault;

/// As many links as the kernel follows before it says `ELOOP`.
const MOST_LINKS: usize = 40;

/// The tree that is worked on.
#[derive(Debug)]
pub struct Root {
    top: Rc<Dir>,
    host: bool,
    /// Who owns what belongs to root.
    owner: Identity,
    /// The tree's own path on the machine, for tools that need one.
    location: PathBuf,
    /// What root keeps in an account's home may be given to the account.
    adopts: bool,
    /// User ids whose directories are as good as root's: root, and in a tree its owner.
    trusted: [u32; 2],
    /// User ids whose files root may be pointed at: those, and whoever called root to work.
    owners: Vec<u32>,
    /// By their paths, as bytes: comparing paths part by part takes longer than all else that is done with them.
    open: RefCell<BTreeMap<OsString, Rc<Dir>>>,
    /// Directories that nobody but root can change: whoever changes that is root.
    closed: RefCell<BTreeSet<PathBuf>>,
    /// The text of `/etc/nsswitch.conf`, once somebody asked.
    name_services: RefCell<Option<Rc<str>>>,
}

/// A path taken apart: the open directory and the name in it.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The directory that holds (or would hold) the entry.
    pub dir: Rc<Dir>,
    /// The entry's name in it.
    pub name: OsString,
    /// True when a symbolic link was followed on the way.
    pub via_link: bool,
    /// What the entry was, where the way led past it.
    seen: Option<Stat>,
}

impl Resolved {
    /// The path inside the tree after all links.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join(&self.name)
    }

    /// What the entry is, not following it; `None` when there is none.
    pub fn stat(&self) -> io::Result<Option<Stat>> {
        match self.seen {
            Some(stat) => Ok(Some(stat)),
            None if self.name.is_empty() => self.dir.stat().map(Some),
            None => self.dir.stat_entry(&self.name),
        }
    }
}

impl Root {
    /// Open a tree. `/` is the host itself: there accounts come from NSS and everything is as root.
    pub fn open(path: &Path) -> Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let fd = open(path, flags, Mode::empty()).map_err(|error| unusable(path, error.desc()))?;
        let host = path.components().eq([Component::RootDir]);
        #[expect(clippy::disallowed_methods, reason = "tools that check a tree's files need its real path")]
        let location =
            std::fs::canonicalize(path).with_context(|| format!("cannot resolve {}", path.display()))?;
        Self::of(Dir::new(fd, PathBuf::from("/"), None), host, location)
    }

    fn of(top: Dir, host: bool, location: PathBuf) -> Result<Self> {
        let of_tree = || top.stat().with_context(|| format!("cannot look at {}", location.display()));
        let trusted = if host { [0, 0] } else { [0, of_tree()?.uid] };
        let owner = if is_root() { Identity { uid: 0, gid: 0 } } else { Identity::current() };
        let (top, open, owners) = (Rc::new(top), RefCell::default(), trusted.to_vec());
        Ok(Self {
            top,
            host,
            owner,
            location,
            adopts: false,
            trusted,
            owners,
            open,
            closed: RefCell::default(),
            name_services: RefCell::default(),
        })
    }

    /// Whether the administrator gives away what root keeps in an account's home.
    pub fn set_adopts(&mut self, adopts: bool) {
        self.adopts = adopts;
    }

    /// Where a path of the tree is on the machine.
    pub fn on_machine(&self, path: &Path) -> PathBuf {
        self.location.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// The tree's path on the machine, for tools with an option like `--prefix`; `None` for the host.
    pub fn prefix(&self) -> Option<&Path> {
        (!self.host).then_some(self.location.as_path())
    }

    /// True for `/`.
    pub fn is_host(&self) -> bool {
        self.host
    }

    /// Who owns what belongs to root: in a tree that an ordinary user prepares, that user.
    pub fn owner(&self) -> Identity {
        self.owner
    }

    /// The open directory at `path`, links resolved; `None` when it does not exist.
    pub fn dir(&self, path: &Path) -> io::Result<Option<Rc<Dir>>> {
        match self.walk(path, true)? {
            Some(found) if found.name.is_empty() => Ok(Some(found.dir)),
            Some(found) if found.stat()?.is_some() => Err(io::ErrorKind::NotADirectory.into()),
            _ => Ok(None),
        }
    }

    /// The directory and the name for `path`; a link at its end is followed if `follow`. `None` when a
    /// directory on the way does not exist.
    pub fn walk(&self, path: &Path, follow: bool) -> io::Result<Option<Resolved>> {
        let mut todo: VecDeque<OsString> = parts(path);
        let mut above: Vec<Rc<Dir>> = Vec::new();
        let mut here = Rc::clone(&self.top);
        let mut links = 0;
        while let Some(part) = todo.pop_front() {
            if part.as_bytes() == b".." {
                here = above.pop().unwrap_or_else(|| Rc::clone(&self.top));
                continue;
            }
            let last = todo.is_empty();
            if last && !follow {
                return Ok(Some(Resolved { dir: here, name: part, via_link: links > 0, seen: None }));
            }
            let path = here.path().join(&part);
            if let Some(dir) = self.known(&path) {
                above.push(std::mem::replace(&mut here, dir));
                continue;
            }
            if !last {
                // Nearly always a directory: open it and look at it then.
                match self.open_child(&here, &part, path) {
                    Ok(Some(dir)) => {
                        above.push(std::mem::replace(&mut here, dir));
                        continue;
                    }
                    Ok(None) => return Ok(None),
                    Err(error) if error.kind() == io::ErrorKind::NotADirectory => {}
                    Err(error) => return Err(error),
                }
            }
            match here.stat_entry(&part)? {
                Some(stat) if stat.kind == FileKind::Link => {
                    links += 1;
                    if links > MOST_LINKS {
                        return Err(io::Error::from(nix::errno::Errno::ELOOP));
                    }
                    let target = here.read_link(&part)?;
                    if target.is_absolute() {
                        above.clear();
                        here = Rc::clone(&self.top);
                    }
                    for part in parts(&target).into_iter().rev() {
                        todo.push_front(part);
                    }
                }
                Some(stat) if stat.kind == FileKind::Directory => match self.enter(&here, &part)? {
                    Some(dir) => above.push(std::mem::replace(&mut here, dir)),
                    None => return Ok(None),
                },
                Some(_) if !last => return Err(io::Error::from(io::ErrorKind::NotADirectory)),
                None if !last => return Ok(None),
                seen => return Ok(Some(Resolved { dir: here, name: part, via_link: links > 0, seen })),
            }
        }
        // The path names a directory: the entry is the directory itself.
        Ok(Some(Resolved { dir: here, name: OsString::new(), via_link: links > 0, seen: None }))
    }

    fn enter(&self, parent: &Rc<Dir>, name: &OsStr) -> io::Result<Option<Rc<Dir>>> {
        let path = parent.path().join(name);
        match self.known(&path) {
            Some(dir) => Ok(Some(dir)),
            None => self.open_child(parent, name, path),
        }
    }

    /// The directory at a path, where it was opened before.
    fn known(&self, path: &Path) -> Option<Rc<Dir>> {
        self.open.borrow().get(path.as_os_str()).cloned()
    }

    fn open_child(&self, parent: &Rc<Dir>, name: &OsStr, path: PathBuf) -> io::Result<Option<Rc<Dir>>> {
        let Some(child) = parent.child(name)? else {
            return Ok(None);
        };
        let dir = Rc::new(child);
        self.open.borrow_mut().insert(path.into_os_string(), Rc::clone(&dir));
        Ok(Some(dir))
    }

    /// Read the file at `path`, links resolved inside the tree; `None` when it does not exist.
    pub fn read(&self, path: &Path, cap: u64) -> io::Result<Option<Seen>> {
        match self.open_at_once(path, READ) {
            Some(Some(fd)) => return seen(&File::from(fd), cap).map(Some),
            Some(None) => return Ok(None),
            None => {}
        }
        let Some(found) = self.walk(path, true)? else { return Ok(None) };
        let seen = if found.name.is_empty() {
            Some(found.dir.stat()?.into())
        } else {
            found.dir.read(&found.name, cap)?
        };
        Ok(seen.map(|seen| Seen { resolved: found.via_link.then(|| found.path()), ..seen }))
    }

    /// What lies in the directory at `path`, links resolved, sorted by names; `None` when it does not exist. With it
    /// what each thing is, where the file system tells: of a link not what it leads to.
    pub fn entries(&self, path: &Path) -> io::Result<Option<Vec<NamedKind>>> {
        match self.open_at_once(path, LIST) {
            Some(Some(fd)) => list(fd).map(Some),
            Some(None) => Ok(None),
            None => self.dir(path)?.map(|dir| dir.entries()).transpose(),
        }
    }

    /// Facts of `path`; a link at its end is followed if `follow`.
    pub fn stat(&self, path: &Path, follow: bool) -> io::Result<Option<Stat>> {
        // On the machine itself links lead where the kernel follows them, in one call.
        if let Some(relative) = path.strip_prefix("/").ok().filter(|_| self.host) {
            let relative = if relative.as_os_str().is_empty() { Path::new(".") } else { relative };
            return self.top.stat_below(relative, follow);
        }
        self.walk(path, follow)?.map_or(Ok(None), |found| found.stat())
    }

    /// The text of `/etc/nsswitch.conf`, read once; empty when there is none.
    pub fn name_services(&self) -> io::Result<Rc<str>> {
        if let Some(known) = &*self.name_services.borrow() {
            return Ok(Rc::clone(known));
        }
        let read = self.read(Path::new("/etc/nsswitch.conf"), 1024 * 1024)?;
        let text: Rc<str> = read.map_or_else(Rc::default, |seen| seen.text().into());
        *self.name_services.borrow_mut() = Some(Rc::clone(&text));
        Ok(text)
    }

    /// Whether everybody may come through the directory at `path`, by its mode. One that was opened before need not be
    /// found again, and what does not exist is in nobody's way.
    pub fn lets_through(&self, path: &Path) -> io::Result<bool> {
        let stat = match self.known(path) {
            Some(dir) => Some(dir.stat()?),
            None => self.stat(path, true)?,
        };
        Ok(stat.is_none_or(|stat| stat.mode & 0o001 != 0))
    }
}

fn unusable(path: &Path, why: &str) -> anyhow::Error {
    let what = format!("cannot open the root directory {}: {why}", path.display());
    fault("root-unusable", what, "give --root the directory in which the tree has its /etc and /home")
}

/// The directory and name of a path below an open directory, following no link; `None` when a directory
/// on the way is missing.
pub fn below(dir: &Rc<Dir>, relative: &Path) -> io::Result<Option<(Rc<Dir>, OsString)>> {
    let (Some(parent), Some(name)) = (relative.parent(), relative.file_name()) else {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    };
    Ok(descend(dir, parent)?.map(|dir| (dir, name.to_owned())))
}

/// The directory at a path below an open one, following no link; `None` when it is missing.
pub fn descend(dir: &Rc<Dir>, relative: &Path) -> io::Result<Option<Rc<Dir>>> {
    let mut here = Rc::clone(dir);
    for name in parts(relative) {
        match here.child(&name)? {
            Some(child) => here = Rc::new(child),
            None => return Ok(None),
        }
    }
    Ok(Some(here))
}

/// The names in a path, without `/` and `.`.
fn parts(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsString::from("..")),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}
