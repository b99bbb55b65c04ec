//! Who but root could change what is found at a path; and directories that root writes in, in which nobody else may have a
//! hand.
//!
//! Nobody can swap what was looked at for something else: what is above it was found to be root's alone before.

use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, Result};
use nix::errno::Errno;

use super::{Dir, FileKind, MOST_LINKS, Root, Stat, parts};
use crate::fault::{fault, quoted};
use crate::repair::{Repair, run};

/// Where any program may write, and has to.
const FOR_EVERYBODY: [&str; 4] = ["/tmp", "/var/tmp", "/dev/shm", "/run/lock"];

impl Root {
    /// Why somebody but root could change the thing at `path`, of this owner, group and mode; `None` when nobody could.
    pub fn distrust(&self, path: &Path, stat: Stat) -> Option<String> {
        let Stat { uid, gid, mode, .. } = stat;
        if !self.trusted.contains(&uid) {
            return Some(format!("{} belongs to uid {uid}", path.display()));
        }
        let by_group = mode & 0o020 != 0 && gid != 0 && gid != self.owner().gid;
        if by_group || mode & 0o002 != 0 {
            return Some(format!("{} has mode {mode:04o}", path.display()));
        }
        None
    }

    /// Why somebody but root could change an open directory or one above it; `None` when nobody could.
    pub fn untrusted(&self, dir: &Dir) -> io::Result<Option<String>> {
        let mut path = PathBuf::from("/");
        for part in parts(dir.path()) {
            path.push(part);
            // Whoever comes to a directory has opened those above.
            let open = self.known(&path).ok_or(io::ErrorKind::NotFound)?;
            if let Some(reason) = self.distrust(&path, open.stat()?) {
                return Ok(Some(reason));
            }
        }
        Ok(None)
    }

    /// Why somebody but root could change which thing is found at a path, directories and links on the way included;
    /// `None` when nobody could, or nothing is there.
    pub fn way_of_others(&self, path: &Path) -> io::Result<Option<String>> {
        self.others(path, false)
    }

    /// Why somebody but root could change which thing is found at a path, or the thing itself.
    pub fn change_by_others(&self, path: &Path) -> io::Result<Option<String>> {
        self.others(path, true)
    }

    fn others(&self, path: &Path, itself: bool) -> io::Result<Option<String>> {
        let (mut here, mut todo, mut links) = (PathBuf::from("/"), parts(path), 0);
        loop {
            if !self.closed.borrow().contains(&here) {
                let Some(stat) = self.stat(&here, false)? else { return Ok(None) };
                // The mode of a link says nothing.
                let mode = if stat.kind == FileKind::Link { 0 } else { stat.mode };
                let why = self.distrust(&here, Stat { mode, ..stat });
                match stat.kind {
                    FileKind::Directory | FileKind::Link if why.is_some() => return Ok(why),
                    FileKind::Directory => {
                        self.closed.borrow_mut().insert(here.clone());
                    }
                    FileKind::Link => {
                        links += 1;
                        if links > MOST_LINKS {
                            return Err(Errno::ELOOP.into());
                        }
                        let link = self.walk(&here, false)?.ok_or(io::ErrorKind::NotFound)?;
                        let target = link.dir.read_link(&link.name)?;
                        here.pop();
                        if target.is_absolute() {
                            here = PathBuf::from("/");
                        }
                        parts(&target).into_iter().rev().for_each(|part| todo.push_front(part));
                    }
                    _ if !todo.is_empty() => return Err(io::ErrorKind::NotADirectory.into()),
                    _ => return Ok(why.filter(|_| itself)),
                }
            }
            while todo.front().is_some_and(|part| part == "..") {
                here.pop();
                todo.pop_front();
            }
            match todo.pop_front() {
                Some(part) => here.push(part),
                None => return Ok(None),
            }
        }
    }

    /// The directory at `path`, for writing: it must exist, and nobody but root may have a hand in it.
    pub fn secure_dir(&self, path: &Path) -> Result<Rc<Dir>> {
        let dir =
            self.dir(path).with_context(|| format!("cannot open {}", path.display()))?.ok_or_else(|| {
                let repair = mend!("make it as root: $ install -d -m 0755 {}", quoted(path));
                fault("directory-missing", format!("the directory {} does not exist", path.display()), repair)
            })?;
        let cannot = || format!("cannot look at {}", path.display());
        if let Some(reason) = self.untrusted(&dir).with_context(cannot)? {
            let what = format!("{} can be changed by others than root: {reason}", path.display());
            return Err(fault("directory-untrusted", what, self.close(dir.path()).with_context(cannot)?));
        }
        Ok(dir)
    }

    /// The commands after which only root can change what is found at a path: the thing itself, the directories above it
    /// and those that links lead to. From the top down, and through no link: until a directory is closed, others lay
    /// there what they like.
    pub fn close(&self, path: &Path) -> io::Result<Repair> {
        let (mut steps, mut todo) = (Vec::new(), vec![path.to_path_buf()]);
        while let Some(path) = todo.pop() {
            let mut way: Vec<&Path> = path.ancestors().collect();
            way.reverse();
            for part in way {
                let shown = quoted(part);
                let Some(stat) = self.stat(part, false)? else { continue };
                let is_link = stat.kind == FileKind::Link;
                if FOR_EVERYBODY.iter().any(|place| part == Path::new(place)) {
                    return Ok(mend!("{} is there for everybody: put it into a directory of root's", shown));
                }
                let stat = Stat { mode: if is_link { 0 } else { stat.mode }, ..stat };
                let is_foreign = !self.trusted.contains(&stat.uid);
                let is_open = self.distrust(part, Stat { uid: self.owner.uid, ..stat }).is_some();
                let chown = is_foreign.then(|| format!("chown -h root:root {shown}"));
                let chmod = is_open.then(|| format!("chmod go-w {shown}"));
                for step in chown.into_iter().chain(chmod) {
                    if !steps.contains(&step) {
                        steps.push(step);
                    }
                }
                let led = if is_link { self.walk(part, true)?.map(|led| led.path()) } else { None };
                todo.extend(led.filter(|led| !path.starts_with(led)));
            }
        }
        if steps.is_empty() {
            let (path, shown) = (path.display(), quoted(path));
            return Ok(mend!(
                "let nobody but root change {} and the directories above it: $ namei -l {}",
                path,
                shown
            ));
        }
        Ok(Repair::all(steps.into_iter().map(run)))
    }

    /// Checks that nobody but root has a hand in the directories above a path, as far as they are there.
    ///
    /// # Errors
    /// Whose hand it is. An error of the system where a link or a file lies in the way.
    pub fn check_trusted(&self, path: &Path) -> Result<()> {
        for above in path.ancestors().skip(1) {
            let is_open = self.dir(above)?.is_some();
            match if is_open { None } else { self.stat(above, false)? } {
                None if !is_open => {}
                // A link that leads nowhere.
                Some(stat) if stat.kind != FileKind::Directory => {
                    return Err(io::Error::from(io::ErrorKind::NotADirectory).into());
                }
                // There, or made by another run just now.
                _ => return self.secure_dir(above).map(drop),
            }
        }
        Ok(())
    }
}
