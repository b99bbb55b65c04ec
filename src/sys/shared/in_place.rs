//! Writing into a file that can't be replaced because it is a mount of its own.
//!
//! A write lease keeps readers out while the bytes are neither old nor new. Both versions lie in the state
//! directory before the first byte is written: a run that dies in the middle is repaired by the next one.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, OFlag, fallocate, openat};
use nix::sys::stat::{Mode, fstat};
use serde::{Deserialize, Serialize};

use super::super::dir::{Dir, FileKind, Seen, Stat, read_all, set_meta};
use super::super::identity::{Identity, is_root};
use super::super::lease::{LeaseKind, Watch};
use super::super::root::Root;
use super::super::staged;
use super::super::waiting::Waiting;
use super::target::{After, SharedTarget, in_use, is_same, not_taken_back, stamp};
use crate::fault::{Fault, fault, quoted};

/// How the names of copies begin.
const COPY: &str = "in-place-";

/// A file that is written in place.
#[derive(Debug, Default)]
pub(super) struct InPlace {
    copy: Option<OsString>,
    written: bool,
}

impl InPlace {
    /// Write `after` where `before` is.
    pub(super) fn write(
        &mut self,
        target: &SharedTarget,
        before: &Seen,
        after: &After,
        not_before: (i64, i64),
    ) -> Result<()> {
        let mut name = OsString::from(COPY);
        name.push(&target.name);
        name.push(format!("-{:x}-{:x}", before.identity.0, before.identity.1));
        keep_both(target, &name, before, after).context("cannot keep a copy for repair")?;
        self.copy = Some(name);
        let file = watch(target)?;
        let now = file.begun();
        let same = now.identity == before.identity
            && (now.mode, now.uid, now.gid) == (before.mode, before.uid, before.gid)
            && is_same(file.file(), &before.bytes)?;
        if !same {
            return Err(target.changed());
        }
        self.written = true;
        set_meta(file.file().as_fd(), after.owner, after.mode)?;
        exchange(file.file(), &before.bytes, &after.bytes, not_before)?;
        Ok(())
    }

    /// The write holds: the copy goes.
    pub(super) fn finish(&mut self, target: &SharedTarget) -> Result<()> {
        if let Some(copy) = self.copy.take() {
            target.state.unlink(&copy)?;
            target.state.sync()?;
        }
        Ok(())
    }

    /// Write the former bytes again.
    pub(super) fn roll_back(&mut self, target: &SharedTarget, before: &Seen, after: &After) -> Result<()> {
        if self.written {
            let file = watch(target)?;
            let now = read_all(file.file(), file.begun().size, file.begun().size)?;
            if file.begun().identity != before.identity || !is_torn(&now, &before.bytes, &after.bytes) {
                self.finish(target)?;
                return Err(not_taken_back(&target.path()));
            }
            // Where even this fails, the copy stays for the next run.
            if now != before.bytes {
                exchange(file.file(), &now, &before.bytes, file.begun().modified)?;
            }
            let owner = is_root().then_some(Identity { uid: before.uid, gid: before.gid });
            set_meta(file.file().as_fd(), owner, before.mode)?;
        }
        self.finish(target)
    }
}

/// Open for writing, and keep everybody out.
fn watch(target: &SharedTarget) -> Result<Watch> {
    let flags = OFlag::O_RDWR | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let file = openat(&target.dir, target.name.as_os_str(), flags, Mode::empty()).map_err(io::Error::from)?;
    let file = File::from(file);
    if Stat::from(fstat(&file)?).kind != FileKind::Regular {
        return Err(target.changed());
    }
    let path = target.path();
    Watch::over(file, &path, LeaseKind::All, &target.waiting)?.ok_or_else(|| in_use(&path))
}

/// Write `new` over `old`; on an error `old` again.
fn exchange(file: &File, old: &[u8], new: &[u8], not_before: (i64, i64)) -> io::Result<()> {
    let length = i64::try_from(new.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
    // Room first: a full disk shall be found before the first byte is written.
    match fallocate(file, FallocateFlags::FALLOC_FL_KEEP_SIZE, 0, length.max(1)) {
        Ok(()) | Err(Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EINVAL) => {}
        Err(error) => return Err(error.into()),
    }
    let done = overwrite(file, new).and_then(|()| stamp(file, not_before));
    if done.is_err() {
        overwrite(file, old).and_then(|()| stamp(file, not_before)).ok();
    }
    done
}

fn overwrite(file: &File, bytes: &[u8]) -> io::Result<()> {
    file.write_all_at(bytes, 0)?;
    file.set_len(bytes.len() as u64)?;
    file.sync_all()
}

/// The first line of a copy; the old bytes and then the new ones follow it.
#[derive(Debug, Serialize, Deserialize)]
struct Header {
    path: PathBuf,
    old: usize,
    new: usize,
}

fn keep_both(target: &SharedTarget, name: &OsStr, before: &Seen, after: &After) -> Result<()> {
    let header = Header { path: target.path(), old: before.bytes.len(), new: after.bytes.len() };
    let mut bytes = serde_json::to_vec(&header)?;
    bytes.push(b'\n');
    bytes.extend_from_slice(&before.bytes);
    bytes.extend_from_slice(&after.bytes);
    staged::write(&target.state, name, &bytes, 0o600)?;
    Ok(target.state.sync()?)
}

/// True for the name of a copy that a run left which died while it wrote in place: [`repair`] has to come before
/// anything else.
pub fn is_copy(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(COPY.as_bytes())
}

/// Put back what runs left half written that died. Under the lock only.
pub fn repair(root: &Root, state: &Rc<Dir>, waiting: &Waiting) -> Result<Vec<Fault>> {
    let cannot = || format!("cannot repair what a killed run left, from {}", state.path().display());
    staged::sweep_all(state).with_context(cannot)?;
    let mut repaired = Vec::new();
    for name in state.names().with_context(cannot)?.iter().filter(|name| is_copy(name)) {
        repaired.extend(repair_from(root, state, name, waiting).with_context(cannot)?);
        state.unlink(name).and_then(|()| state.sync()).with_context(cannot)?;
    }
    Ok(repaired)
}

fn repair_from(root: &Root, state: &Rc<Dir>, name: &OsStr, waiting: &Waiting) -> Result<Option<Fault>> {
    let Some(copy) = state.read(name, u64::MAX)? else {
        return Ok(None);
    };
    let unreadable = || {
        let path = state.path().join(name);
        let repair = mend!("look at it; to go on without it, move it away: $ mv {} /root/", quoted(&path));
        fault("interrupted-write", format!("{} is not a copy of ours", path.display()), repair)
    };
    let end = copy.bytes.iter().position(|byte| *byte == b'\n').ok_or_else(unreadable)?;
    let header: Header = serde_json::from_slice(&copy.bytes[..end]).map_err(|_| unreadable())?;
    let (old, new) = copy.bytes[end + 1..].split_at_checked(header.old).ok_or_else(unreadable)?;
    let parent = header.path.parent().unwrap_or(Path::new("/"));
    let file_name = header.path.file_name().ok_or_else(unreadable)?;
    if root.dir(parent)?.is_none() {
        return Ok(None);
    }
    let parent = root.secure_dir(parent)?;
    if parent.stat_entry(file_name)?.is_none_or(|stat| stat.kind != FileKind::Regular) {
        return Ok(None);
    }
    let target = SharedTarget {
        dir: parent,
        name: file_name.to_owned(),
        state: Rc::clone(state),
        waiting: waiting.clone(),
    };
    let file = watch(&target)?;
    let size = file.begun().size;
    let now = read_all(file.file(), size, size)?;
    if now == old || now == new || !is_torn(&now, old, new) {
        return Ok(None);
    }
    overwrite(file.file(), old)?;
    stamp(file.file(), file.begun().modified)?;
    let shown = header.path.display();
    Ok(Some(Fault::new(
        "interrupted-write",
        format!("{shown} was half written by a run that was killed; its former bytes are back"),
        "nothing is left to do; this run starts from those bytes",
    )))
}

/// True for bytes that only our own write can have left: each from the old file or the new one, or, after
/// a power cut, none. What another program wrote since is not like that.
fn is_torn(now: &[u8], old: &[u8], new: &[u8]) -> bool {
    let lengths = old.len().min(new.len())..=old.len().max(new.len());
    lengths.contains(&now.len())
        && now
            .iter()
            .enumerate()
            .all(|(at, byte)| *byte == 0 || old.get(at) == Some(byte) || new.get(at) == Some(byte))
}

#[cfg(test)]
mod tests {
    use super::is_torn;

    #[test]
    fn what_a_killed_write_leaves_is_told_from_what_others_wrote() {
        let (old, new) = (b"token = \"a\"\n".as_slice(), b"token = \"a\"\nkey = true\n".as_slice());
        for end in 0..=new.len() {
            let mut torn = new[..end].to_vec();
            torn.extend_from_slice(old.get(end..).unwrap_or_default());
            assert!(is_torn(&torn, old, new), "{end}");
            assert!(is_torn(&torn, new, old), "{end}");
        }
        assert!(is_torn(b"token = \"a\"\nkey \0\0\0\0\0\0\0", old, new));
        assert!(!is_torn(b"token = \"b\"\n", old, new));
        assert!(!is_torn(b"", old, new));
        assert!(!is_torn(b"token = \"a\"\nkey = true\nmore = 1\n", old, new));
    }
}
