//! Files as they would be, for one program alone: mounted where it looks, in a namespace that goes with it.
//!
//! Writes to memory only: no file of the machine is opened for writing. It is for setuid
//! programs alone: neither they nor a process that has just given up root's rights can be traced by an account, which else
//! could use what is only supposed (ptrace(2), `PR_SET_DUMPABLE`).

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, open};
use nix::mount::{MsFlags, mount};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::mkdir;

use super::confine::{lay_over, mount_in_private};

/// A file of root's as it would be.
#[derive(Debug, Clone)]
pub struct Supposed {
    /// Where.
    pub path: PathBuf,
    /// What is in it.
    pub bytes: Vec<u8>,
    /// Its mode.
    pub mode: u32,
}

/// Let this process, and what it becomes, find these files. What lies beside them stays to be seen.
///
/// # Errors
/// Where namespaces are forbidden (a container), or where there is no overlayfs.
pub(super) fn suppose(files: &[Supposed]) -> io::Result<()> {
    let (flags, directory) = (MsFlags::MS_NOSUID | MsFlags::MS_NODEV, OFlag::O_PATH | OFlag::O_CLOEXEC);
    let Some(base) = files.first().and_then(|file| file.path.parent()) else { return Ok(()) };
    mount_in_private()?;
    // The memory lies over the first directory, until all is mounted, and then behind it. A file that is there is covered by
    // itself, so that nothing else that is mounted beside it is.
    let first = open(base, directory, Mode::empty())?;
    mount(Some("tmpfs"), base, Some("tmpfs"), flags, Some("mode=0700,size=4m"))?;
    for (number, Supposed { path, bytes, mode }) in files.iter().enumerate().rev() {
        let (parent, name) = (path.parent().unwrap_or(Path::new("/")), path.file_name().unwrap_or_default());
        let [upper, work] = ["upper", "work"].map(|kind| base.join(format!("{kind}-{number}")));
        mkdir(&upper, Mode::S_IRWXU)?;
        let create = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        let copy = open(&upper.join(name), create, Mode::S_IRUSR)?;
        fchmod(&copy, Mode::from_bits_truncate(*mode))?;
        File::from(copy).write_all(bytes)?;
        if number > 0 && path.exists() {
            mount(Some(&upper.join(name)), path, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
            continue;
        }
        let below = if number == 0 { first.try_clone()? } else { open(parent, directory, Mode::empty())? };
        lay_over(&below, parent, &upper, &work)?;
    }
    Ok(())
}
