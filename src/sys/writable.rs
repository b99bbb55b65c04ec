//! Whether something can be put into a directory, asked before anything is written.

use std::ffi::OsStr;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::rc::Rc;

use anyhow::{Context, Result};
use rustix::fs::{Access, AtFlags, IFlags, Mode, OFlags};
use rustix::io::Errno;

use super::dir::Dir;
use crate::fault::{Nature, fault, quoted};

/// Refuse a path where nothing can be put, or `replaced`; where its directory is yet to be made, the one that this
/// happens in. `open` opens a directory above it. A `confined` process sees mounts that others don't, and does not ask.
///
/// # Errors
/// The errors of `check`.
pub fn check_below(
    path: &Path,
    replaced: bool,
    confined: bool,
    open: impl Fn(&Path) -> io::Result<Option<Rc<Dir>>>,
) -> Result<()> {
    let mut name = path;
    for above in path.ancestors().skip(1) {
        match open(above) {
            Ok(Some(dir)) => {
                let name = name.file_name().unwrap_or_default();
                check(&dir, name, confined)?;
                // Nothing is mounted on what is not there, and what can't be looked at is the write's to tell.
                return if replaced && !confined && is_mount(&dir, name).unwrap_or(false) {
                    Err(busy(&dir.path().join(name)))
                } else {
                    Ok(())
                };
            }
            Ok(None) => name = above,
            // A link or a file where a directory should be is the write's to tell.
            Err(_) => return Ok(()),
        }
    }
    Ok(())
}

/// A single file that was mounted can't be replaced: the mount is of the file that was there.
pub fn busy(path: &Path) -> anyhow::Error {
    let shown = quoted(path);
    let repair = mend!(
        "mount its directory instead of the single file; who has mounted what: $ findmnt {0}; to take the mount away: $ umount {0}",
        shown
    );
    fault("busy", format!("{} is a mount point of its own and can't be replaced", path.display()), repair)
}

/// Nothing can be put into a directory.
pub fn read_only(directory: &Path) -> anyhow::Error {
    let repair = mend!(
        "mount it writable: $ mount -o remount,rw \"$(findmnt -n -o TARGET --target {})\"",
        quoted(directory)
    );
    fault("read-only", format!("{} is on a read-only file system", directory.display()), repair)
}

/// Whether something is mounted at this entry. A kernel before 5.8 does not tell.
///
/// # Errors
/// When it can't be looked at.
pub fn is_mount(dir: &Dir, name: &OsStr) -> io::Result<bool> {
    let _rights = dir.enter_identity()?;
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    let stat = rustix::fs::statx(dir, name, flags, rustix::fs::StatxFlags::empty())?;
    Ok(stat.stx_attributes.contains(rustix::fs::StatxAttributes::MOUNT_ROOT))
}

/// Refuse a directory in which this entry can't be made or replaced, with the rights that belong to the directory.
///
/// # Errors
/// A read-only file system, an immutable or append-only directory or entry, or missing rights, each with its repair.
fn check(dir: &Dir, name: &OsStr, confined: bool) -> Result<()> {
    let path = dir.path();
    let shown = path.display();
    let _rights = dir.enter_identity().with_context(|| format!("cannot look at {shown}"))?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    for (name, path) in [(OsStr::new("."), path.to_path_buf()), (name, path.join(name))] {
        // What can't be opened is told apart below, or does not matter.
        if let Ok(file) = rustix::fs::openat(dir, name, flags, Mode::empty()) {
            refuse_flags(&file, &path)?;
        }
    }
    match rustix::fs::accessat(dir, ".", Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS) {
        Err(Errno::ROFS) if !confined => Err(read_only(path)),
        Err(Errno::ACCESS) => {
            let owner = dir.stat().map(|stat| stat.uid).ok();
            let is_own = dir.identity().is_some_and(|identity| Some(identity.uid) == owner);
            Err(Nature::Obstacle.fault(
                "not-permitted",
                format!("no permission to write in {shown}"),
                if is_own {
                    mend!("let its owner write there: $ chmod u+rwx {}", quoted(path))
                } else {
                    mend!("see whose it is, and run as that user or as root: $ ls -ld {}", quoted(path))
                },
            ))
        }
        // Every other error is the write's to tell.
        _ => Ok(()),
    }
}

/// Refuse what can't be replaced or changed because of its flags, chattr(1).
///
/// # Errors
/// When it is immutable or append-only.
pub(super) fn refuse_flags(file: impl AsFd, path: &Path) -> Result<()> {
    // A file system without such flags has none to respect.
    let flags = rustix::fs::ioctl_getflags(file).unwrap_or(IFlags::empty());
    for (flag, word, letter) in [(IFlags::IMMUTABLE, "immutable", "i"), (IFlags::APPEND, "append-only", "a")]
    {
        if flags.contains(flag) {
            let repair = mend!(
                "take the flag off, and set it again after the change if you want it so: $ chattr -{} {}",
                letter,
                quoted(path)
            );
            return Err(fault("immutable", format!("{} is {word}", path.display()), repair));
        }
    }
    Ok(())
}
