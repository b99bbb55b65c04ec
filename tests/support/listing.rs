//! The state of a directory as sorted lines of text, to compare before with after.

use std::fs::Metadata;
use std::hash::Hasher;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// Files above this size are compared by size alone; a sparse file of a terabyte is one of the hostile inputs.
const DIGEST_LIMIT: u64 = 16 << 20;

/// One line for each thing below `top`, itself included as `.`: mode, owner, kind, size or target, digest, path.
/// No link is followed and nothing but a regular file is opened.
pub(crate) fn listing(top: impl AsRef<Path>) -> Vec<String> {
    collect(top.as_ref(), false)
}

/// [`listing`] with inode, mtime and ctime on each line. The ctime also changes by a `chown` or `chmod` to what
/// already was, and by any change of an ACL or an attribute, so equal stamps mean that nothing was written.
pub(crate) fn stamps(top: impl AsRef<Path>) -> Vec<String> {
    collect(top.as_ref(), true)
}

/// The lines that only one of two listings has: `-` for before, `+` for after.
pub(crate) fn differences(before: &[String], after: &[String]) -> Vec<String> {
    let gone = before.iter().filter(|line| !after.contains(line)).map(|line| format!("- {line}"));
    let new = after.iter().filter(|line| !before.contains(line)).map(|line| format!("+ {line}"));
    gone.chain(new).collect()
}

/// Demands two equal listings and shows only what differs.
#[track_caller]
pub(crate) fn assert_unchanged(before: &[String], after: &[String]) {
    assert!(before == after, "something changed:\n{}", differences(before, after).join("\n"));
}

fn collect(top: &Path, stamped: bool) -> Vec<String> {
    let mut lines = Vec::new();
    let mut waiting = vec![top.to_path_buf()];
    while let Some(path) = waiting.pop() {
        // What vanishes while we look is a difference that the caller's comparison shows.
        let Ok(meta) = std::fs::symlink_metadata(&path) else {
            continue;
        };
        let name =
            path.strip_prefix(top).ok().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        lines.push((name.to_path_buf(), line(&path, name, &meta, stamped)));
        if meta.is_dir() {
            match std::fs::read_dir(&path) {
                Ok(entries) => waiting.extend(entries.flatten().map(|entry| entry.path())),
                Err(error) => {
                    lines.push((name.join("?"), format!("unreadable: {} {}", error.kind(), name.display())));
                }
            }
        }
    }
    lines.sort();
    lines.into_iter().map(|(_, line)| line).collect()
}

fn line(path: &Path, name: &Path, meta: &Metadata, stamped: bool) -> String {
    let kind = meta.file_type();
    let (letter, size, digest) = if kind.is_symlink() {
        let target =
            std::fs::read_link(path).map_or_else(|_| "?".into(), |target| format!("->{}", target.display()));
        ("l", target, "-".into())
    } else if kind.is_dir() {
        // The size of a directory is the file system's own business.
        ("d", "-".into(), "-".into())
    } else if kind.is_file() {
        ("f", meta.len().to_string(), digest(path, meta.len()))
    } else if kind.is_fifo() {
        ("p", "-".into(), "-".into())
    } else if kind.is_socket() {
        ("s", "-".into(), "-".into())
    } else {
        (if kind.is_block_device() { "b" } else { "c" }, meta.rdev().to_string(), "-".into())
    };
    let mode = meta.mode() & 0o7777;
    let mut line =
        format!("{mode:04o} {}:{} {letter} {size} {digest} {}", meta.uid(), meta.gid(), name.display());
    if stamped {
        use std::fmt::Write as _;
        let _ = write!(
            line,
            " inode={} mtime={}.{:09} ctime={}.{:09}",
            meta.ino(),
            meta.mtime(),
            meta.mtime_nsec(),
            meta.ctime(),
            meta.ctime_nsec()
        );
    }
    line
}

/// A digest that tells two contents apart; nobody attacks it, so the standard library's will do.
fn digest(path: &Path, size: u64) -> String {
    if size > DIGEST_LIMIT {
        return "large".into();
    }
    std::fs::read(path).map_or_else(
        |error| format!("unreadable:{:?}", error.kind()),
        |bytes| {
            let mut hasher = std::hash::DefaultHasher::new();
            hasher.write(&bytes);
            format!("{:016x}", hasher.finish())
        },
    )
}
