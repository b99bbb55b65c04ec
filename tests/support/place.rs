//! Putting things into a directory that stands for a host's `/`, with exact modes whatever the umask is.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::is_root;

/// A directory that stands for `/`.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    top: PathBuf,
}

impl Place {
    pub(crate) fn new(top: PathBuf) -> Self {
        Self { top }
    }

    pub(crate) fn top(&self) -> &Path {
        &self.top
    }

    /// The real path of a path of that host, with or without its leading `/`.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.top.join(path.trim_start_matches('/'))
    }

    pub(crate) fn file(&self, path: &str, bytes: &[u8], mode: u32) {
        self.parents(path);
        let path = self.path(path);
        std::fs::write(&path, bytes).unwrap_or_else(|error| panic!("write {}: {error}", path.display()));
        chmod(&path, mode);
    }

    pub(crate) fn dir(&self, path: &str, mode: u32) {
        self.make(Path::new(path.trim_matches('/')));
        let path = self.path(path);
        chmod(&path, mode);
    }

    pub(crate) fn link(&self, path: &str, target: &str) {
        self.parents(path);
        let path = self.path(path);
        symlink(target, &path).unwrap_or_else(|error| panic!("link {}: {error}", path.display()));
    }

    pub(crate) fn fifo(&self, path: &str, mode: u32) {
        self.parents(path);
        let path = self.path(path);
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::from_bits_truncate(mode)).expect("a FIFO");
        chmod(&path, mode);
    }

    /// Gives a thing to an owner, without following a link. Only root can; for others everything stays theirs.
    pub(crate) fn own(&self, path: &str, uid: u32, gid: u32) {
        if is_root() {
            let path = self.path(path);
            std::os::unix::fs::lchown(&path, Some(uid), Some(gid))
                .unwrap_or_else(|error| panic!("chown {}: {error}", path.display()));
        }
    }

    /// Adds a line to a file that ends in a newline.
    pub(crate) fn append(&self, path: &str, line: &str) {
        let path = self.path(path);
        let mut text = std::fs::read_to_string(&path).unwrap_or_default();
        text.push_str(line);
        text.push('\n');
        std::fs::write(&path, text).unwrap_or_else(|error| panic!("append to {}: {error}", path.display()));
    }

    /// The lines of an account and its own group in the four databases, and its home at 0755.
    /// An ordinary user can only make things that they own, so the account gets their ids then.
    pub(crate) fn account(&self, name: &str, uid: u32, home: &str) {
        let (uid, gid) = ids(uid);
        // The machine may have given the number to an account of its own, and sudo takes the first name.
        let passwd = std::fs::read_to_string(self.path("etc/passwd")).unwrap_or_default();
        // An ordinary user has one number for all accounts of a tree, and may be `nobody`.
        let is_twin = |line: &&str| line.split(':').nth(2) == Some(&uid.to_string());
        let is_other = |line: &&str| !is_twin(line) || !is_root() && !line.starts_with("nobody:");
        let others: String = passwd.lines().filter(is_other).flat_map(|line| [line, "\n"]).collect();
        self.file("etc/passwd", others.as_bytes(), 0o644);
        self.append("etc/passwd", &format!("{name}:x:{uid}:{gid}:GitLab Runner:{home}:/bin/bash"));
        self.append("etc/group", &format!("{name}:x:{gid}:"));
        self.append("etc/shadow", &format!("{name}:!:19000:0:99999:7:::"));
        self.append("etc/gshadow", &format!("{name}:!::"));
        self.dir(home, 0o755);
        self.own(home, uid, gid);
    }

    fn parents(&self, path: &str) {
        let relative = Path::new(path.trim_start_matches('/'));
        self.make(relative.parent().unwrap_or(Path::new("")));
    }

    /// Makes what is missing of a directory and of those above it, each at 0755.
    fn make(&self, relative: &Path) {
        let mut directory = self.top.clone();
        for step in std::iter::once(Path::new("")).chain(relative.iter().map(Path::new)) {
            if !step.as_os_str().is_empty() {
                directory.push(step);
            }
            if std::fs::symlink_metadata(&directory).is_err() {
                std::fs::create_dir(&directory)
                    .unwrap_or_else(|error| panic!("mkdir {}: {error}", directory.display()));
                chmod(&directory, 0o755);
            }
        }
    }
}

/// Sets a mode whatever the umask made of it.
fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode))
        .unwrap_or_else(|error| panic!("chmod {}: {error}", path.display()));
}

/// The ids that things of an account get: the wanted ones for root, else the caller's own.
pub(crate) fn ids(uid: u32) -> (u32, u32) {
    if is_root() { (uid, uid) } else { (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw()) }
}
