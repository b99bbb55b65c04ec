//! Who else has a single file mounted, as `/proc` shows it; and what a file system has left and forbids, statvfs(3).
//!
//! A container that was given `config.toml` alone keeps the old inode after a rename, and with it the tokens
//! that it writes. Reads `/proc` only; what it finds is a snapshot.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{StatVfsMountFlags, fstatvfs};

use super::process_list::Look;
use super::root::Root;

/// A process in whose view the file is a mount of its own.
///
/// What an account mounts in a namespace that it made itself does not count: no program of root's sees it.
pub fn holder(machine: &Root, file: &File) -> io::Result<Option<u32>> {
    let mut look = Look::begin(machine)?;
    let Some(spot) = FileLocation::of(&mut look, file)? else {
        return Ok(None);
    };
    let (mut views, mut makers) = (BTreeSet::new(), BTreeMap::new());
    for pid in look.all()? {
        look.go_on()?;
        // A process may end while we look, and those of other accounts are root's to see.
        let Ok(space) = look.link(pid, "ns/mnt") else { continue };
        let maker = *makers.entry(space.clone()).or_insert_with(|| look.maker(pid, "mnt"));
        // Processes with the same namespace and root directory see the same mounts.
        let Ok(root) = look.link(pid, "root") else { continue };
        if maker != 0 || !views.insert((space, root)) {
            continue;
        }
        let Some(mounts) = look.bytes(&pid.to_string(), "mountinfo")? else { continue };
        let mut mounts = mounts.split(|byte| *byte == b'\n').filter_map(Mount::parse);
        if mounts.any(|mount| spot.is_root_of(&mount)) {
            return Ok(Some(pid));
        }
    }
    Ok(None)
}

/// Where a file lies in its file system, whatever is mounted where.
#[derive(Debug, PartialEq, Eq)]
struct FileLocation {
    device: Vec<u8>,
    path: PathBuf,
}

impl FileLocation {
    /// `None` when the kernel does not tell, for example for a file that was removed.
    fn of(look: &mut Look, file: &File) -> io::Result<Option<Self>> {
        let (own, number) = (std::process::id(), file.as_fd().as_raw_fd());
        let Some(info) = look.bytes(&own.to_string(), &format!("fdinfo/{number}"))? else { return Ok(None) };
        let id = info.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"mnt_id:"));
        let path = PathBuf::from(look.link(own, &format!("fd/{number}"))?);
        let Some(mounts) = look.bytes(&own.to_string(), "mountinfo")? else { return Ok(None) };
        let mut mounts = mounts.split(|byte| *byte == b'\n').filter_map(Mount::parse);
        Ok(id.and_then(|id| mounts.find(|mount| mount.id == id.trim_ascii())).and_then(|mount| {
            let inside = path.strip_prefix(&mount.point).ok()?;
            // `join` with nothing would add a slash.
            let path =
                if inside.as_os_str().is_empty() { mount.root.clone() } else { mount.root.join(inside) };
            Some(Self { device: mount.device.to_vec(), path })
        }))
    }

    fn is_root_of(&self, mount: &Mount<'_>) -> bool {
        mount.device == self.device && mount.root == self.path
    }
}

/// A line of `/proc/PID/mountinfo`, proc(5).
#[derive(Debug, PartialEq, Eq)]
struct Mount<'a> {
    id: &'a [u8],
    device: &'a [u8],
    /// The path in the file system that is seen at `point`.
    root: PathBuf,
    point: PathBuf,
}

impl<'a> Mount<'a> {
    /// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw`
    fn parse(line: &'a [u8]) -> Option<Self> {
        let mut fields = line.split(|byte| *byte == b' ');
        let (id, _parent, device) = (fields.next()?, fields.next()?, fields.next()?);
        Some(Self { id, device, root: unescape(fields.next()?), point: unescape(fields.next()?) })
    }
}

/// Space, tab, newline and backslash are written as `\` and three octal digits.
fn unescape(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        let octal = |digits: &[u8]| digits.iter().all(|digit| (b'0'..=b'7').contains(digit));
        match tail.first_chunk::<3>() {
            Some(digits) if first == b'\\' && octal(digits) => {
                bytes.push(digits.iter().fold(0_u8, |value, digit| (value << 3) | (digit - b'0')));
                rest = &tail[3..];
            }
            _ => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    std::ffi::OsString::from_vec(bytes).into()
}

/// A file system, as it is mounted where somebody looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileSystem {
    /// The number of its device: the same wherever it is mounted.
    pub device: u64,
    /// Bytes.
    pub bytes: Room,
    /// Files and directories. File systems that make them as they are needed have no limit, and a total of 0.
    pub inodes: Room,
    /// The set-user-id bit of a program in it has no effect.
    pub nosuid: bool,
    /// A device file in it opens no device.
    pub nodev: bool,
}

/// How much there is of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// What an ordinary user can still have.
    pub free: u64,
    /// What there is at all.
    pub total: u64,
}

/// The file system of a directory, links resolved; `None` when there is no such directory.
pub fn file_system(root: &Root, directory: &Path) -> io::Result<Option<FileSystem>> {
    let Some(directory) = root.dir(directory)? else { return Ok(None) };
    let found = fstatvfs(&*directory)?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Ok(Some(FileSystem {
        device: directory.stat()?.identity.0,
        bytes: Room { free: bytes(found.f_bavail), total: bytes(found.f_blocks) },
        inodes: Room { free: found.f_favail, total: found.f_files },
        nosuid: found.f_flag.contains(StatVfsMountFlags::NOSUID),
        nodev: found.f_flag.contains(StatVfsMountFlags::NODEV),
    }))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_line_of_mountinfo_is_taken_apart() {
        let line = br"73 46 254:0 /x/B/h/config.toml /x/B/c/a\040b\134c\011 rw,relatime shared:1 master:2 - ext4 /dev/vda rw";
        let mount = Mount::parse(line).unwrap();
        assert_eq!((mount.id, mount.device), (b"73".as_slice(), b"254:0".as_slice()));
        assert_eq!(mount.root, Path::new("/x/B/h/config.toml"));
        assert_eq!(mount.point, Path::new("/x/B/c/a b\\c\t"));
        assert_eq!(Mount::parse(b"73 46 254:0 /x"), None);
        assert_eq!(Mount::parse(b""), None);
    }

    #[test]
    fn only_the_same_file_of_the_same_device_is_meant() {
        let spot = FileLocation { device: b"254:0".to_vec(), path: "/srv/config.toml".into() };
        let is = |line: &str| Mount::parse(line.as_bytes()).is_some_and(|mount| spot.is_root_of(&mount));
        assert!(is("1 2 254:0 /srv/config.toml /etc/gitlab-runner/config.toml rw - ext4 /dev/vda rw"));
        assert!(!is("1 2 254:1 /srv/config.toml /etc/gitlab-runner/config.toml rw - ext4 /dev/vdb rw"));
        assert!(!is("1 2 254:0 /srv /etc/gitlab-runner rw - ext4 /dev/vda rw"));
        // The kernel marks the mount of a file that was replaced.
        assert!(!is("1 2 254:0 /srv/config.toml//deleted /etc/config.toml rw - ext4 /dev/vda rw"));
    }

    #[test]
    fn a_file_of_this_machine_has_its_spot() {
        let root = Root::open(Path::new("/")).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        let spot = FileLocation::of(&mut Look::begin(&root).unwrap(), file.as_file()).unwrap().unwrap();
        assert_eq!(spot.path.file_name(), file.path().file_name());
        assert_eq!(holder(&root, file.as_file()).unwrap(), None);
    }
}
