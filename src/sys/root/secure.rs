//! Directories that root writes in: nobody else may have a hand in them.

use std::io;
use std::path::Path;
use std::rc::Rc;

use anyhow::{Context, Result};

use super::{Dir, FileKind, Root, Stat};
use crate::fault::{fault, quoted};
use crate::repair::{Repair, run};

/// Where any program may write, and has to.
const FOR_EVERYBODY: [&str; 4] = ["/tmp", "/var/tmp", "/dev/shm", "/run/lock"];

impl Root {
    /// The directory at `path`, for writing: it must exist, and nobody but root may have a hand in it.
    pub fn secure_dir(&self, path: &Path) -> Result<Rc<Dir>> {
        let dir =
            self.dir(path).with_context(|| format!("cannot open {}", path.display()))?.ok_or_else(|| {
                fault(
                    "directory-missing",
                    format!("the directory {} does not exist", path.display()),
                    mend!("make it as root: $ install -d -m 0755 {}", quoted(path)),
                )
            })?;
        let cannot = || format!("cannot look at {}", path.display());
        if let Some(reason) = self.untrusted(&dir).with_context(cannot)? {
            return Err(fault(
                "directory-untrusted",
                format!("{} can be changed by others than root: {reason}", path.display()),
                self.close(dir.path()).with_context(cannot)?,
            ));
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
