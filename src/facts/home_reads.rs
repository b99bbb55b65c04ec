//! A batch of looks at an account's home, and why a look fails.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::Result;

use super::{Account, MOST_BYTES, foreign_owner};
use crate::change::Seen;
use crate::fault::{Nature, fault, look_and_move, look_and_move_aside, quoted, with_repair};
use crate::repair::Repair;
use crate::sys::dir::{Dir, FileKind};
use crate::sys::identity;
use crate::sys::lease;
use crate::sys::root::{Root, descend};

/// A batch of looks at an account's home. Whoever makes it has taken the account's rights.
pub(super) struct HomeReads<'a> {
    pub(super) account: &'a Account,
    pub(super) machine: &'a Root,
    pub(super) home: &'a Rc<Dir>,
    pub(super) directories: BTreeMap<OsString, Option<Rc<Dir>>>,
}

impl HomeReads<'_> {
    pub(super) fn at(&mut self, relative: &Path) -> Result<Option<Seen>> {
        let path = self.account.home.join(relative);
        let (account, home) = (self.account, self.home);
        let cannot = |owner: Option<u32>, error| match home.identity() {
            Some(_) => locked(home, account, relative, owner, error),
            None => unreadable(None, &path, MOST_BYTES, error),
        };
        if let Some(dir) = self.directories.get(relative.as_os_str()) {
            let stat = dir.as_ref().map(|dir| dir.stat()).transpose().map_err(|error| cannot(None, error))?;
            return Ok(stat.map(Seen::from));
        }
        if relative.as_os_str().as_bytes().ends_with(b"/") {
            let stat = home.stat_entry(relative.file_name().unwrap_or_default());
            return stat.map(|stat| stat.map(Seen::from)).map_err(|error| cannot(None, error));
        }
        let parent = relative.parent().unwrap_or(relative);
        let file = relative.file_name().unwrap_or_default();
        let dir = if let Some(dir) = self.directories.get(parent.as_os_str()) {
            dir.clone()
        } else {
            let dir = descend(self.home, parent).map_err(|error| cannot(None, error))?;
            self.directories.insert(parent.as_os_str().to_owned(), dir.clone());
            dir
        };
        let Some(dir) = dir else { return Ok(None) };
        dir.read(file, MOST_BYTES).map_err(|error| match dir.stat_entry(file).ok().flatten() {
            Some(stat) if error.kind() == std::io::ErrorKind::WouldBlock => {
                lease::held(self.machine, &path, stat.identity.1)
            }
            stat => cannot(stat.map(|stat| stat.uid), error),
        })
    }
}

/// With the account's rights, which root takes in its home, root may be refused, too.
fn locked(
    home: &Rc<Dir>,
    account: &Account,
    relative: &Path,
    owner: Option<u32>,
    error: std::io::Error,
) -> anyhow::Error {
    use std::io::ErrorKind::{FileTooLarge, NotADirectory, PermissionDenied};
    let path = &account.home.join(relative);
    let aside = |path: &Path| look_and_move_aside(&account.name, path);
    match error.kind() {
        PermissionDenied => {}
        FileTooLarge => return too_large(path, MOST_BYTES, aside(path)),
        NotADirectory => {
            let is_in_the_way = |part: &&Path| descend(home, part).is_err();
            let place = relative.ancestors().skip(1).filter(is_in_the_way).last().unwrap_or(relative);
            return with_repair(unreadable(None, path, MOST_BYTES, error), aside(&account.home.join(place)));
        }
        _ => return unreadable(None, path, MOST_BYTES, error),
    }
    if let Some(uid) = owner.filter(|uid| *uid != account.uid) {
        return foreign_owner(account, path, uid);
    }
    let name = &account.name;
    Nature::Foreign.fault(
        "foreign-owner",
        format!("{} can't be looked at with the rights of {name}: a directory or a mount on the way refuses", path.display()),
        mend!(
            "see whose that directory is, since {0} may have moved it there, and what is mounted: $ namei -l {1}; findmnt -T {1}; \
             give it away only if it is meant for jobs",
            name,
            quoted(path)
        ),
    )
}

/// Why a file can't be read, with what to do about it.
pub fn unreadable(root: Option<&Root>, path: &Path, cap: u64, error: std::io::Error) -> anyhow::Error {
    use std::io::ErrorKind::{FileTooLarge, NotADirectory, PermissionDenied};
    let in_the_way = root.and_then(|root| in_the_way(root, path));
    let shown = path.display();
    let is_loop = error.raw_os_error() == Some(nix::libc::ELOOP);
    match error.kind() {
        FileTooLarge => too_large(path, cap, look_and_move(path)),
        PermissionDenied => Nature::Obstacle.fault(
            "not-permitted",
            format!("{shown} can't be read: permission denied"),
            if identity::is_root() {
                mend!(
                    "see whose it is, and give it to its account or move it away: $ namei -l {}",
                    quoted(path)
                )
            } else {
                "run the same command with sudo".into()
            },
        ),
        kind if is_loop || kind == NotADirectory => fault(
            "path-unusable",
            format!("{shown} can't be reached: a link or a file is where a directory should be"),
            in_the_way.map_or_else(
                || mend!("see which one, and make it a real directory: $ namei -l {}", quoted(path)),
                |place| look_and_move(&place),
            ),
        ),
        _ => anyhow::Error::new(error).context(format!("cannot read {shown}")),
    }
}

fn too_large(path: &Path, cap: u64, repair: Repair) -> anyhow::Error {
    Nature::Obstacle.fault("file-too-large", format!("{} is larger than {cap} bytes", path.display()), repair)
}

/// What lies on the way to a path where a directory should be.
fn in_the_way(root: &Root, path: &Path) -> Option<PathBuf> {
    let mut way: Vec<&Path> = path.ancestors().collect();
    way.reverse();
    let is_directory =
        |part: &&Path| matches!(root.stat(part, true), Ok(Some(stat)) if stat.kind == FileKind::Directory);
    way.into_iter().find(|part| !is_directory(part)).map(Path::to_path_buf)
}
