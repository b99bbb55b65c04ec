//! What root is pointed at: a file or a tree, by a path that somebody gave.
//!
//! Owns the question whether anybody but root and whoever called it could have put something else there. Every
//! component of the path is opened by handle and looked at. An ordinary user reads with no more than their own rights,
//! so nothing is asked then.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, Result};
use nix::fcntl::OFlag;

use super::{Dir, FileKind, Root, Seen, Stat, parts, unusable};
use crate::fault::{fault, quoted};
use crate::repair::Repair;
use crate::sys::identity::is_root;

/// Why a thing is not read: somebody but root and its caller could have put it there.
#[derive(Debug)]
pub struct Distrust {
    /// The component that is not to be trusted.
    pub at: PathBuf,
    /// What of it is to blame.
    pub what: Blame,
    /// The same for people, a clause.
    pub why: String,
}

/// What of a component is to blame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blame {
    /// It is a link; with where it leads if root or the caller laid it.
    Link(Option<PathBuf>),
    /// A directory that others can change, or a place where they put a name.
    Place,
    /// The file itself, in directories that only root and the caller can change.
    File,
}

impl Distrust {
    /// What is wrong, of `what`: the profile X, the file Y.
    pub fn told(&self, what: &str) -> String {
        match self.what {
            Blame::Link(Some(_)) => format!("{what} is not read: {}, and root follows none", self.why),
            _ => format!("{what} can be changed by others than root: {}", self.why),
        }
    }

    /// What to do now about a file that lies there. It never gives to root what others may have made,
    /// and others may have it open for writing: a copy is made that nobody else can change, to be read then.
    pub fn repair(&self, file: &Path) -> Repair {
        let shown = quoted(file);
        match &self.what {
            Blame::Link(Some(target)) => mend!("give the path without the link: {}", quoted(target)),
            Blame::File => mend!(
                "put a copy that only root can change in its place, and read that: $ install -o root -g root -m 0644 {0} {0}.new && mv -f {0}.new {0} && cat {0}",
                shown
            ),
            Blame::Link(None) | Blame::Place => {
                let copy = Path::new(SAFE).join(file.file_name().unwrap_or_default());
                let copy = quoted(&copy);
                mend!(
                    "take a copy that only root can change, read that, and give its path: $ install -D -o root -g root -m 0644 {0} {1} && cat {1}",
                    shown,
                    copy
                )
            }
        }
    }
}

/// Where only root can write on every host that is set up as usual.
const SAFE: &str = "/etc/runner-prep";

/// Why a thing was not read.
#[derive(Debug)]
pub enum Refusal {
    /// It is not to be trusted.
    Distrust(Distrust),
    /// The system refused something.
    System(io::Error),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

/// Where a path led.
struct Followed {
    dir: Rc<Dir>,
    /// Empty for the directory itself.
    name: OsString,
    /// Every directory on the way lets everybody through.
    is_open: bool,
}

impl Root {
    /// The same tree, worked on for a person whose files are as good as root's where root is pointed at them.
    #[must_use]
    pub fn called_by(mut self, caller: Option<u32>) -> Self {
        self.owners.extend(caller);
        self
    }

    /// True when what a user has is as good as root's where root is pointed at it.
    pub fn is_owner(&self, uid: u32) -> bool {
        self.owners.contains(&uid)
    }

    /// Read the file that root is pointed at; `None` when there is none. Follows no link, waits for no FIFO. With it
    /// whether everybody may read it.
    ///
    /// # Errors
    /// When a component of its path belongs to somebody else than root and its caller, can be written by others, or is
    /// a link; and when it can't be read.
    pub fn pointed_at(&self, path: &Path, cap: u64) -> Result<Option<(Seen, bool)>, Refusal> {
        let path = std::path::absolute(path)?;
        if self.owner.uid != 0 {
            return Ok(self.read(&path, cap)?.map(|entry| (entry, true)));
        }
        // Where nothing is, there is nothing to distrust.
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        if let Some(None) = self.open_at_once(&path, flags) {
            return Ok(None);
        }
        let Some(found) = self.look(&path)? else { return Ok(None) };
        if found.name.is_empty() {
            return Ok(Some((found.dir.stat()?.into(), found.is_open)));
        }
        let Some(entry) = found.dir.read(&found.name, cap)? else { return Ok(None) };
        let (at, stat) = (found.dir.path().join(&found.name), entry.stat);
        // In a directory where everybody makes names, one may be a second name of a file of root's.
        let shared = found.dir.stat()?.mode & 0o002 != 0;
        let why = match self.distrusts(&at, stat) {
            None if shared && stat.links != 1 => Some(format!("{} has {} names", at.display(), stat.links)),
            why => why,
        };
        match why {
            Some(why) if stat.kind == FileKind::Regular => {
                Err(refusal(&at, if shared { Blame::Place } else { Blame::File }, why))
            }
            _ => Ok(Some((entry, found.is_open && stat.mode & 0o004 != 0))),
        }
    }

    /// [`Root::pointed_at`] with words for what is wrong, for a caller who has none.
    ///
    /// # Errors
    /// As [`Root::pointed_at`].
    pub fn given_file(&self, path: &Path, cap: u64) -> Result<Option<Seen>> {
        let shown = path.display();
        match self.pointed_at(path, cap) {
            Err(Refusal::Distrust(distrust)) => Err(fault(
                "file-untrusted",
                distrust.told(&format!("the file {shown}")),
                distrust.repair(&std::path::absolute(path)?),
            )),
            Err(Refusal::System(error)) => Err(error).with_context(|| format!("cannot read {shown}")),
            Ok(found) => Ok(found.map(|(entry, _)| entry)),
        }
    }

    /// Open a tree of this machine that root is pointed at.
    ///
    /// # Errors
    /// As [`Root::pointed_at`], and when it is not a directory.
    pub fn tree(&self, path: &Path) -> Result<Self> {
        let absolute = std::path::absolute(path)?;
        if !is_root() {
            return Self::open(path);
        }
        let found = match self.look(&absolute) {
            Ok(Some(found)) if found.name.is_empty() => found,
            Ok(Some(_)) => return Err(unusable(path, "Not a directory")),
            Ok(None) => return Err(unusable(path, "No such file or directory")),
            Err(Refusal::System(error)) => return Err(unusable(path, &error.to_string())),
            Err(Refusal::Distrust(Distrust { what, why, .. })) => {
                return Err(fault(
                    "root-untrusted",
                    format!("the tree {} can be changed by others than root: {why}", path.display()),
                    match what {
                        Blame::Link(Some(target)) => mend!("--root {}", quoted(&target)),
                        _ => "run this as the owner of the tree, who needs no root for it; or make the tree where only root can write, as in /var/lib/machines".into(),
                    },
                ));
            }
        };
        let location = found.dir.path().to_path_buf();
        let host = location == Path::new("/");
        Self::of(found.dir.as_top()?, host, location)
    }

    /// Go to the last component of a path, through no link, and look at each directory on the way.
    fn look(&self, path: &Path) -> Result<Option<Followed>, Refusal> {
        let check = |dir: &Rc<Dir>, is_last: bool| {
            let stat = dir.stat()?;
            // Where everybody makes names and nobody takes away those of others (`/tmp`), the owner of each says whose
            // it is.
            let is_shared = stat.uid == 0 && stat.mode & 0o1000 != 0 && !is_last;
            let stat = if is_shared { Stat { mode: stat.mode & !0o022, ..stat } } else { stat };
            let why = self.distrusts(dir.path(), stat);
            why.map_or(Ok(stat.mode & 0o001 != 0), |why| Err(refusal(dir.path(), Blame::Place, why)))
        };
        let mut todo = parts(path);
        let mut above: Vec<Rc<Dir>> = Vec::new();
        let mut here = Rc::clone(&self.top);
        let mut is_open = check(&here, todo.is_empty())?;
        while let Some(part) = todo.pop_front() {
            if part == ".." {
                here = above.pop().unwrap_or_else(|| Rc::clone(&self.top));
                continue;
            }
            let Some(stat) = here.stat_entry(&part)? else { return Ok(None) };
            match stat.kind {
                FileKind::Directory => {
                    let Some(dir) = self.enter(&here, &part)? else { return Ok(None) };
                    above.push(std::mem::replace(&mut here, dir));
                    is_open &= check(&here, todo.is_empty())?;
                }
                FileKind::Link => {
                    let (at, target) = (here.path().join(&part), here.read_link(&part)?);
                    let rest: PathBuf = todo.iter().collect();
                    // Where it leads is only said when its owner is to be trusted: a person goes there next.
                    let leads = || without_dots(&here.path().join(&target).join(rest));
                    let what = Blame::Link(self.is_owner(stat.uid).then(leads));
                    return Err(refusal(&at, what, format!("{} is a link", at.display())));
                }
                _ if todo.is_empty() => return Ok(Some(Followed { dir: here, name: part, is_open })),
                _ => return Err(io::Error::from(io::ErrorKind::NotADirectory).into()),
            }
        }
        Ok(Some(Followed { dir: here, name: OsString::new(), is_open }))
    }

    /// Why others could change a thing that root is pointed at: no group at all may write it, and the caller may own it.
    fn distrusts(&self, at: &Path, stat: Stat) -> Option<String> {
        if !self.is_owner(stat.uid) {
            return Some(format!("{} belongs to uid {}", at.display(), stat.uid));
        }
        (stat.mode & 0o022 != 0).then(|| format!("{} has mode {:04o}", at.display(), stat.mode))
    }
}

fn refusal(at: &Path, what: Blame, why: String) -> Refusal {
    Refusal::Distrust(Distrust { at: at.to_path_buf(), what, why })
}

/// The path without `.` and `..`, for one whose directories are no links.
fn without_dots(path: &Path) -> PathBuf {
    let mut normalized = PathBuf::from("/");
    for part in parts(path) {
        if part == ".." {
            normalized.pop();
        } else {
            normalized.push(part);
        }
    }
    normalized
}
