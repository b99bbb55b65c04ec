//! Errors of the system that administrators meet, with place, cause and repair.

use std::io;
use std::path::Path;

use crate::change::Place;
use crate::fault::fault;

/// What the plan saw is no longer there.
pub(super) fn changed(place: &Place) -> anyhow::Error {
    fault(
        "changed-meanwhile",
        format!("{place} was changed since it was looked at"),
        "run the same command again",
    )
}

/// An error of the system gets its explanation, one that has its own keeps it.
pub(super) fn explained(error: anyhow::Error, place: &Place) -> anyhow::Error {
    match error.downcast::<io::Error>() {
        Ok(error) => explain(error, place),
        Err(error) => error,
    }
}

/// The errors that administrators meet, with the repair.
fn explain(error: io::Error, place: &Place) -> anyhow::Error {
    use nix::errno::Errno;
    let parent = place.path().parent().unwrap_or(Path::new("/")).display().to_string();
    let (code, what, repair) = match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOSPC | Errno::EDQUOT) => (
            "disk-full",
            format!("no space left for {place}"),
            format!("make room: df -h {parent}; df -i {parent}"),
        ),
        Some(Errno::EROFS) => (
            "read-only",
            format!("{parent} is on a read-only file system"),
            format!("mount it writable: findmnt --target {parent}"),
        ),
        Some(Errno::EPERM) => (
            "immutable",
            format!("the kernel refuses to change {place}: it or {parent} may be immutable"),
            format!("look with lsattr -d {place} {parent}, and take the flag off with chattr -i"),
        ),
        Some(Errno::EACCES) => (
            "not-permitted",
            format!("no permission to write {place}"),
            "run as root: sudo runner-prep …".to_owned(),
        ),
        Some(Errno::EBUSY) => (
            "busy",
            format!("{place} is a mount point of its own and can't be replaced"),
            "mount its directory instead of the single file".to_owned(),
        ),
        Some(Errno::EEXIST) => (
            "changed-meanwhile",
            format!("{place} appeared meanwhile"),
            "run the same command again".to_owned(),
        ),
        Some(Errno::ELOOP | Errno::ENOTDIR) => (
            "path-unusable",
            format!("{place} can't be reached: a link or a file is where a directory should be"),
            format!("see which one, and remove it: namei -l {place}"),
        ),
        _ => return anyhow::Error::new(error).context(format!("cannot write {place}")),
    };
    fault(code, what, repair)
}
