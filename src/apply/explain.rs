//! Errors of the system that administrators meet, with place, cause and repair.

use std::io;
use std::path::Path;

use crate::change::Place;
use crate::fault::{Nature, fault, quoted};
use crate::sys::writable::{busy, read_only};

/// What the plan saw is no longer there.
pub(super) fn changed(place: &Place) -> anyhow::Error {
    let what = format!("{place} was changed since it was looked at");
    Nature::Raced.fault("changed-meanwhile", what, "run the same command again")
}

/// An error of a change says which one it is, once.
pub(super) fn of_change(error: anyhow::Error, kind: &str, id: &str) -> anyhow::Error {
    let is_told = format!("{error:#}").contains(id);
    error.context(if is_told { kind.to_owned() } else { format!("{kind} {id}") })
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
    let whole = place.path();
    let directory = whole.parent().unwrap_or(Path::new("/"));
    let (shown, path, parent) = (directory.display(), quoted(&whole), quoted(directory));
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOSPC | Errno::EDQUOT) => fault(
            "disk-full",
            format!("no space left for {place}"),
            mend!("make room: $ df -h {0}; $ df -i {0}", parent),
        ),
        Some(Errno::EROFS) => read_only(directory),
        Some(Errno::EPERM) => fault(
            "immutable",
            format!("the kernel refuses to change {place}: it or {shown} may be immutable"),
            mend!("see which one: $ lsattr -d {0} {1}; $ chattr -ia {1}; $ chattr -ia {0}", path, parent),
        ),
        Some(Errno::EACCES) => Nature::Obstacle.fault(
            "not-permitted",
            format!("no permission to write {place}"),
            "run the same command with sudo",
        ),
        Some(Errno::EBUSY) => busy(&place.path()),
        Some(Errno::EEXIST) => Nature::Raced.fault(
            "changed-meanwhile",
            format!("{place} appeared meanwhile"),
            "run the same command again",
        ),
        Some(Errno::ELOOP | Errno::ENOTDIR) => fault(
            "path-unusable",
            format!("{place} can't be reached: a link or a file is where a directory should be"),
            mend!("see which one, and remove it: $ namei -l {}", path),
        ),
        _ => anyhow::Error::new(error).context(format!("cannot write {place}")),
    }
}
