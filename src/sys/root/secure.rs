//! Directories that root writes in: nobody else may have a hand in them.

use std::io;
use std::path::Path;
use std::rc::Rc;

use anyhow::{Context, Result};

use super::{Dir, FileKind, Root};
use crate::fault::{fault, quoted};
use crate::repair::Repair;

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
                self.close(&dir).with_context(cannot)?,
            ));
        }
        Ok(dir)
    }

    /// The commands after which only root can change an open directory. What is there for everybody stays as it is.
    fn close(&self, dir: &Dir) -> io::Result<Repair> {
        let mut steps = Vec::new();
        for path in dir.path().ancestors() {
            let Some(stat) = self.known(path).map(|open| open.stat()).transpose()? else { continue };
            if self.distrust(path, stat).is_none() {
                continue;
            }
            let shown = quoted(path);
            if FOR_EVERYBODY.contains(&path.to_string_lossy().as_ref()) {
                return Ok(mend!("{} is there for everybody: name a directory of root's", shown));
            }
            if !self.trusted.contains(&stat.uid) {
                steps.push(mend!("$ chown root:root {}", shown));
            }
            steps.push(mend!("$ chmod go-w {}", shown));
        }
        Ok(Repair::all(steps))
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
