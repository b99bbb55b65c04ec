//! Who but root could change what is found at a path.
//!
//! Nobody can swap what was looked at for something else: what is above it was found to be root's alone before.

use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::{Dir, FileKind, MOST_LINKS, Root, Stat, parts};

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
}
