//! A throwaway directory for `--root`.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::listing::{listing, stamps};
use super::place::{Place, ids};
use super::process::{Run, program, run_limited};
use super::secrets::Secrets;
use super::{PATH, is_root};

/// A throwaway `/` for `--root`, laid out as a fresh Debian, without an account for the runner and without a
/// `config.toml`. Everything in it belongs to root when root runs the tests, else to the caller.
pub(crate) struct Tree {
    place: Place,
    /// Ends with the value, if it was made for it.
    _kept: Option<tempfile::TempDir>,
}

const PASSWD: &str = "\
root:x:0:0:root:/root:/bin/bash
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
bin:x:2:2:bin:/bin:/usr/sbin/nologin
sys:x:3:3:sys:/dev:/usr/sbin/nologin
man:x:6:12:man:/var/cache/man:/usr/sbin/nologin
mail:x:8:8:mail:/var/mail:/usr/sbin/nologin
www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
sshd:x:100:65534::/run/sshd:/usr/sbin/nologin
";
const GROUP: &str = "\
root:x:0:
daemon:x:1:
bin:x:2:
sys:x:3:
mail:x:8:
man:x:12:
sudo:x:27:
www-data:x:33:
shadow:x:42:
users:x:100:
nogroup:x:65534:
";
const LOGIN_DEFS: &str = "\
# As Debian ships it, without the comments.
MAIL_DIR        /var/mail
UMASK\t\t022
UID_MIN\t\t\t 1000
UID_MAX\t\t\t60000
#SYS_UID_MIN\t\t  101
#SYS_UID_MAX\t\t  999
GID_MIN\t\t\t 1000
GID_MAX\t\t\t60000
#HOME_MODE\t0700
USERGROUPS_ENAB yes
ENCRYPT_METHOD SHA512
";
/// Debian's own policy, also what a [`super::Host`] starts with.
pub(crate) const SUDOERS: &str = "\
Defaults\tenv_reset
Defaults\tmail_badpass
Defaults\tsecure_path=\"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\"
Defaults\tuse_pty
root\tALL=(ALL:ALL) ALL
%sudo\tALL=(ALL:ALL) ALL
@includedir /etc/sudoers.d
";

impl Tree {
    /// The fresh host.
    pub(crate) fn new() -> Self {
        let kept = tempfile::Builder::new().prefix("tree-").tempdir().expect("a temporary directory");
        // Other accounts have to get in when a test runs something as them.
        std::fs::set_permissions(kept.path(), std::fs::Permissions::from_mode(0o755))
            .expect("mode of the tree");
        let place = Place::new(kept.path().join("root"));
        for (path, mode) in [
            ("", 0o755),
            ("etc/ssh", 0o755),
            ("etc/sudoers.d", 0o750),
            ("home", 0o755),
            ("root", 0o700),
            ("run", 0o755),
            ("tmp", 0o1777),
            ("usr/local/bin", 0o755),
            ("usr/local/sbin", 0o755),
            ("usr/sbin", 0o755),
            ("var/lib", 0o755),
            ("var/mail", 0o2775),
        ] {
            place.dir(path, mode);
        }
        let shadow: String = PASSWD
            .lines()
            .filter_map(|l| l.split(':').next())
            .fold(String::new(), |all, name| all + name + ":*:19000:0:99999:7:::\n");
        let gshadow: String = GROUP
            .lines()
            .filter_map(|l| l.split(':').next())
            .fold(String::new(), |all, name| all + name + ":*::\n");
        for (path, text, mode) in [
            ("etc/passwd", PASSWD, 0o644),
            ("etc/group", GROUP, 0o644),
            ("etc/shadow", &*shadow, 0o640),
            ("etc/gshadow", &*gshadow, 0o640),
            ("etc/subuid", "", 0o644),
            ("etc/subgid", "", 0o644),
            ("etc/login.defs", LOGIN_DEFS, 0o644),
            ("etc/default/useradd", "SHELL=/bin/sh\n", 0o644),
            ("etc/shells", "/bin/sh\n/bin/bash\n", 0o644),
            ("etc/skel/.bash_logout", "clear_console -q\n", 0o644),
            ("etc/hostname", "runner-host\n", 0o644),
            ("etc/sudoers", SUDOERS, 0o440),
            ("usr/bin/bash", "#!/bin/sh\n", 0o755),
            ("usr/bin/sh", "#!/bin/sh\n", 0o755),
            ("usr/bin/rsync", "#!/bin/sh\n", 0o755),
        ] {
            place.file(path, text.as_bytes(), mode);
        }
        place.own("etc/shadow", 0, 42);
        place.own("etc/gshadow", 0, 42);
        place.link("bin", "usr/bin");
        place.link("sbin", "usr/sbin");
        Self { place, _kept: Some(kept) }
    }

    /// The same in another directory.
    pub(crate) fn copy(&self) -> Self {
        let kept = tempfile::Builder::new().prefix("tree-").tempdir().expect("a temporary directory");
        std::fs::set_permissions(kept.path(), std::fs::Permissions::from_mode(0o755))
            .expect("mode of the tree");
        let copy = Self { place: Place::new(kept.path().join("root")), _kept: Some(kept) };
        self.copy_to(copy.top());
        copy
    }

    /// Puts a copy into a directory, which is made if it is missing.
    pub(crate) fn copy_to(&self, top: &Path) {
        let done = Command::new("cp").arg("-a").arg("-T").arg(self.top()).arg(top).output().expect("cp");
        assert!(done.status.success(), "copy of a tree: {}", String::from_utf8_lossy(&done.stderr));
    }

    /// A tree that lies somewhere already, and stays there.
    pub(crate) fn at(top: &Path) -> Self {
        Self { place: Place::new(top.to_path_buf()), _kept: None }
    }

    /// A file at 0644, with the directories above it.
    pub(crate) fn file(self, path: &str, bytes: impl AsRef<[u8]>) -> Self {
        self.file_mode(path, bytes, 0o644)
    }

    /// A file with its mode; replaces what an existing one holds and keeps its inode.
    pub(crate) fn file_mode(self, path: &str, bytes: impl AsRef<[u8]>, mode: u32) -> Self {
        self.place.file(path, bytes.as_ref(), mode);
        self
    }

    /// A directory with its mode, which an existing one gets as well.
    pub(crate) fn dir(self, path: &str, mode: u32) -> Self {
        self.place.dir(path, mode);
        self
    }

    /// A symbolic link.
    pub(crate) fn link(self, path: &str, target: &str) -> Self {
        self.place.link(path, target);
        self
    }

    /// A named pipe that nobody reads or writes.
    pub(crate) fn fifo(self, path: &str) -> Self {
        self.place.fifo(path, 0o600);
        self
    }

    /// An account with its own group and a home at 0755. For an ordinary user it has the caller's ids, because
    /// only so its home can belong to it.
    pub(crate) fn account(self, name: &str, uid: u32, home: &str) -> Self {
        self.place.account(name, uid, home);
        self
    }

    /// Gives a thing to the account with this uid and the group of the same number, as [`Tree::account`] makes
    /// them. For an ordinary user everything already is the account's.
    pub(crate) fn own(self, path: &str, uid: u32) -> Self {
        let (uid, gid) = ids(uid);
        self.place.own(path, uid, gid);
        self
    }

    /// `etc/gitlab-runner/config.toml` at 0600 in a directory at 0700, as gitlab-runner keeps it.
    pub(crate) fn config_toml(self, bytes: impl AsRef<[u8]>) -> Self {
        self.dir("etc/gitlab-runner", 0o700).file_mode("etc/gitlab-runner/config.toml", bytes, 0o600)
    }

    /// Writes a file again after the tree was made; the mode of an existing one stays.
    pub(crate) fn put(&self, path: &str, bytes: impl AsRef<[u8]>) {
        let mode = std::fs::metadata(self.path(path)).map_or(0o644, |meta| meta.mode() & 0o7777);
        self.place.file(path, bytes.as_ref(), mode);
    }

    /// Sets a mode after the tree was made.
    pub(crate) fn chmod(&self, path: &str, mode: u32) {
        std::fs::set_permissions(self.path(path), std::fs::Permissions::from_mode(mode)).expect("a mode");
    }

    /// Removes a file or a whole directory.
    pub(crate) fn remove(&self, path: &str) {
        let path = self.path(path);
        let gone = if path.is_dir() && !path.is_symlink() {
            std::fs::remove_dir_all(&path)
        } else {
            std::fs::remove_file(&path)
        };
        gone.unwrap_or_else(|error| panic!("remove {}: {error}", path.display()));
    }

    /// The tree's top, the argument of `--root`.
    pub(crate) fn top(&self) -> &Path {
        self.place.top()
    }

    /// Where a path of the tree really lies.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.place.path(path)
    }

    /// Whether something is there, a dangling link included.
    pub(crate) fn exists(&self, path: &str) -> bool {
        std::fs::symlink_metadata(self.path(path)).is_ok()
    }

    /// The bytes of a file.
    #[track_caller]
    pub(crate) fn read(&self, path: &str) -> Vec<u8> {
        let path = self.path(path);
        std::fs::read(&path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()))
    }

    /// The text of a file.
    #[track_caller]
    pub(crate) fn text(&self, path: &str) -> String {
        String::from_utf8(self.read(path)).unwrap_or_else(|_| panic!("{path} is not UTF-8"))
    }

    /// Mode, uid and gid of a thing, links not followed.
    #[track_caller]
    pub(crate) fn metadata(&self, path: &str) -> (u32, u32, u32) {
        let meta =
            std::fs::symlink_metadata(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        (meta.mode() & 0o7777, meta.uid(), meta.gid())
    }

    /// [`listing`] of the whole tree.
    pub(crate) fn listing(&self) -> Vec<String> {
        listing(self.top())
    }

    /// [`stamps`] of the whole tree.
    pub(crate) fn stamps(&self) -> Vec<String> {
        stamps(self.top())
    }

    /// The program with these arguments and `--root`, ready to be changed before it is started: a minimal
    /// environment, the tree as its directory.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.args(arguments).arg("--root").arg(self.top());
        command.env_clear().env("PATH", PATH).env("LC_ALL", "C").current_dir(self.top());
        command
    }

    /// Runs the program on this tree and holds it to the rule about secrets.
    #[track_caller]
    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        self.run_command(&mut self.command(arguments))
    }

    /// Like [`Tree::run`], for a command that the test changed.
    #[track_caller]
    pub(crate) fn run_command(&self, command: &mut Command) -> Run {
        let secrets = Secrets::below(self.top());
        let run = run_limited(command);
        secrets.assert_kept(&run);
        run
    }

    /// The uid that the account has which [`Tree::account`] made with this uid.
    pub(crate) fn uid(wanted: u32) -> u32 {
        if is_root() { wanted } else { ids(wanted).0 }
    }
}
