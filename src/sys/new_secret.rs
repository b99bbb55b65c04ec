//! A new file with a secret, in a directory that whoever runs the program named.
//!
//! Never writes into a file that is there already, and leaves none without its content.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// The file; it goes with the value unless its content is kept.
#[derive(Debug)]
pub struct NewSecret {
    file: File,
    path: PathBuf,
    is_kept: bool,
}

impl NewSecret {
    /// True where something has that name already; a link counts.
    #[expect(clippy::disallowed_methods, reason = "a name in a directory of one's own")]
    pub fn is_taken(path: &Path) -> bool {
        std::fs::symlink_metadata(path).is_ok()
    }

    /// Make the file, for its owner alone. No link at its name is followed.
    ///
    /// # Errors
    /// When there is something of that name, or it can't be made.
    #[expect(clippy::disallowed_methods, reason = "a directory of one's own, in which root changes nothing")]
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        Ok(Self { file, path: path.to_owned(), is_kept: false })
    }

    /// Write its content, a line, down to the disk.
    ///
    /// # Errors
    /// When that fails: then there is no file.
    #[expect(clippy::disallowed_methods, reason = "only its name has to be on the disk, too")]
    pub fn keep(mut self, secret: &[u8]) -> io::Result<()> {
        self.file.write_all(secret)?;
        self.file.write_all(b"\n")?;
        self.file.sync_all()?;
        let directory = self.path.parent().filter(|directory| !directory.as_os_str().is_empty());
        File::open(directory.unwrap_or(Path::new(".")))?.sync_all()?;
        self.is_kept = true;
        Ok(())
    }
}

impl Drop for NewSecret {
    #[expect(clippy::disallowed_methods, reason = "made by this value")]
    fn drop(&mut self) {
        if !self.is_kept {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
