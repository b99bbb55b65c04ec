//! What is known of the host, read-only.
//!
//! Resources see the host through [`Facts`] alone. No method writes, so that a plan can't change
//! anything by construction; tests feed facts instead of a host.

#[cfg(test)]
pub(crate) mod fake;
pub mod live;
mod looks;
pub mod machine;
mod package;
pub mod programs;
pub mod service;
mod shut;
pub mod ssh;
mod unit;

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::change::{FileKind, Owner, Place, Seen};
use crate::fault::{self, fault};
use crate::keys::Version;
pub use crate::sys::accounts::Account;
use crate::sys::dir::{Entry, Kind, Stat};
pub use crate::sys::exec::Finished;
pub use unit::UnitState;

/// No file in a home or under `/etc` that we read is larger; a sparse one must not fill the memory.
pub const MOST_BYTES: u64 = 1024 * 1024;

/// A `config.toml` of 50,000 runners is a legitimate one.
pub const MOST_CONFIG_BYTES: u64 = 64 * 1024 * 1024;

/// How long a program may take that only answers a question.
const ASKING: std::time::Duration = std::time::Duration::from_secs(15);

/// When a file last changed, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// Its bytes, or what somebody set with `touch`.
    pub modified: i64,
    /// Its bytes, owner, mode or names: nobody can set that.
    pub changed: i64,
}

/// The read-only view of a host or of a tree.
pub trait Facts {
    /// True for the machine itself, false for a `--root` tree.
    fn is_host(&self) -> bool;

    /// The file or directory at an absolute path, links resolved; `None` when it does not exist.
    ///
    /// # Errors
    /// When it can't be read, or is larger than `cap` bytes.
    fn file(&self, path: &Path, cap: u64) -> Result<Option<Seen>>;

    /// The file that root is pointed at by a profile; `None` when there is none.
    ///
    /// # Errors
    /// When somebody but root could have put it there or changed it, a link on the way included.
    fn given_file(&self, path: &Path, cap: u64) -> Result<Option<Seen>> {
        self.file(path, cap)
    }

    /// Why somebody but root could change which thing is found at a path, links resolved; `None` when nobody could.
    ///
    /// # Errors
    /// When a directory on the way can't be looked at.
    fn way_of_others(&self, path: &Path) -> Result<Option<String>>;

    /// Like [`Facts::file`], for a file that another program rewrites in place: while `whole` says that
    /// the bytes are torn, it looks again, three times, a fifth of a second apart.
    ///
    /// # Errors
    /// Those of [`Facts::file`].
    fn settled(&self, path: &Path, cap: u64, whole: &dyn Fn(&[u8]) -> bool) -> Result<Option<Seen>>;

    /// What an absolute path leads to, links resolved, without its bytes.
    fn stat(&self, path: &Path) -> Result<Option<Seen>>;

    /// What lies at an absolute path itself, no link followed, without its bytes.
    fn entry(&self, path: &Path) -> Result<Option<Seen>>;

    /// The names in a directory; empty when it does not exist.
    fn names(&self, directory: &Path) -> Result<Vec<String>> {
        Ok(self.entries(directory)?.into_iter().map(|(name, _)| name).collect())
    }

    /// The same with what each is, where the file system tells: a link is a link.
    fn entries(&self, directory: &Path) -> Result<Vec<(String, Option<FileKind>)>>;

    /// Read these paths now, with one change to the account's rights; [`Facts::home`] then hands out the result, once
    /// for each time that a path is named here. What can't be read is read again then, for its error. An absolute path
    /// is a file outside the home: [`Facts::file`] and [`Facts::shut_out`] then use the result.
    fn expect_home(&self, _account: &Account, _paths: &[&str]) {}

    /// Things below the account's home, no link followed, in the order asked for.
    fn home(&self, account: &Account, relative: &[&str]) -> Result<Vec<Option<Seen>>>;

    /// The names in a directory below the account's home, no link followed; empty when it does not exist.
    fn home_names(&self, account: &Account, relative: &str) -> Result<Vec<String>>;

    /// True for a directory of root's below the account's home that can become the account's and gives it nothing:
    /// what lies in it is the account's own, or a file that everybody can read.
    ///
    /// # Errors
    /// When it can't be looked at.
    fn keeps_nothing_back(&self, account: &Account, relative: &str) -> Result<bool>;

    /// Whether something is mounted at a path below the home.
    ///
    /// # Errors
    /// When it can't be looked at.
    fn is_mount(&self, _account: &Account, _relative: &str) -> Result<bool> {
        Ok(false)
    }

    /// When the file at an absolute path was written and changed, links resolved.
    fn times(&self, path: &Path) -> Result<Option<Times>>;

    /// The version of the installed gitlab-runner; `None` when none is installed or it does not say.
    /// dpkg's database is read. On the host the program itself and rpm are asked as well, but only if `start`:
    /// a converged run starts no process. Where they differ the oldest counts: a program that was put beside its
    /// package may be the one that runs.
    ///
    /// # Errors
    /// When the database can't be read.
    fn runner_version(&self, start: bool) -> Result<Option<Version>>;

    /// The account of that name.
    fn account(&self, name: &str) -> Result<Option<Account>>;

    /// Where the system's library looks for a database, nsswitch.conf(5): what each line about it names.
    ///
    /// # Errors
    /// When the file can't be read.
    fn name_services(&self, database: &str) -> Result<Vec<String>> {
        let file = self.file(Path::new("/etc/nsswitch.conf"), MOST_BYTES)?;
        Ok(file.map(|file| name_services(&file.text(), database)).unwrap_or_default())
    }

    /// The members of a group; `None` when there is no such group.
    fn members(&self, group: &str) -> Result<Option<Vec<String>>>;

    /// The number of a group; `None` when there is no such group.
    ///
    /// # Errors
    /// When the database can't be read.
    fn group_id(&self, group: &str) -> Result<Option<u32>>;

    /// The numbers behind an owner; `None` when the account does not exist yet.
    fn ids(&self, owner: &Owner) -> Result<Option<(u32, u32)>>;

    /// Why somebody but root could change the file at this path, or a directory above it; `None` when
    /// nobody could.
    fn distrust(&self, path: &Path) -> Result<Option<String>>;

    /// A program of the machine (not of a tree), found where distributions install programs.
    fn tool(&self, name: &str) -> Option<PathBuf>;

    /// The file of this very program on the host; `None` in a tree, which has another one or none.
    fn program(&self) -> Option<PathBuf>;

    /// What shuts the account out of a file that its jobs must read: the file itself or a directory on the way, links
    /// resolved; `None` when it can read it, or when nothing is there. The kernel answers with the account's rights;
    /// an ordinary user who prepares a tree can't take them, and goes by the modes.
    ///
    /// # Errors
    /// When it can't be looked at.
    fn shut_out(&self, account: &Account, path: &Path) -> Result<Option<PathBuf>>;

    /// What a program of the machine says when the account starts it in its home, as its jobs do; `None` when it is
    /// not installed. Whatever it says is the account's word.
    ///
    /// # Errors
    /// When it can't be started, or does not end in time.
    fn ask(
        &self,
        account: &Account,
        program: &str,
        arguments: &[&str],
        input: &[u8],
    ) -> Result<Option<Finished>>;

    /// Refuse a place where nothing can be made or replaced, as far as that can be seen without a write. In a
    /// `confined` process a read-only file system says nothing: only the process may see it like that.
    ///
    /// # Errors
    /// What stands in the way: a read-only file system, a flag of chattr(1), missing rights.
    fn check_writable(&self, _place: &Place, _confined: bool) -> Result<()> {
        Ok(())
    }

    /// Ask `sudo` of the host, as root or with an account's rights, without a terminal; `None` in a tree, and where
    /// there is no sudo.
    ///
    /// # Errors
    /// When it does not end in time.
    fn sudo(&self, _account: Option<&Account>, _arguments: &[&str]) -> Result<Option<Finished>> {
        Ok(None)
    }

    /// What every `visudo` of the machine objects to in a text, which it calls [`live::INPUT`]; `None` when one is
    /// content. No line of the text may include a file.
    ///
    /// # Errors
    /// When none is installed, or one does not end in time.
    fn policy_objection(&self, _text: &[u8]) -> Result<Option<String>> {
        Ok(None)
    }

    /// The command that installs a tool of the machine itself, also where a tree is looked at.
    ///
    /// # Errors
    /// When the machine can't be looked at.
    fn install_tool(&self, name: &'static str) -> Result<String>;

    /// What the systemd that runs has of a unit; `None` in a tree, and where none runs.
    ///
    /// # Errors
    /// When it does not answer in time.
    fn unit_state(&self, _unit: &str) -> Result<Option<UnitState>> {
        Ok(None)
    }

    /// Ask a server for its host keys, over the network: the lines of `ssh-keyscan`.
    ///
    /// # Errors
    /// When `ssh-keyscan` is not installed or the server does not answer.
    fn scan_host_keys(&self, host: &str, port: u16) -> Result<String>;

    /// The machine's name (`uname -n`), in a tree the one in `/etc/hostname`.
    fn host_name(&self) -> Result<String>;
}

fn name_services(text: &str, database: &str) -> Vec<String> {
    let of =
        |line: &str| Some(line.trim_start().strip_prefix(database)?.strip_prefix(':')?.trim().to_owned());
    text.lines().filter_map(of).collect()
}

/// What was read of the host, as resources see it.
fn seen(Entry { stat, bytes }: Entry) -> Seen {
    let Stat { kind, mode, uid, gid, links, identity, changed, .. } = stat;
    Seen { kind: self::kind(kind), bytes, mode, uid, gid, links, identity, changed, resolved: None }
}

/// What the kernel calls it, in the words of changes.
#[must_use]
pub fn kind(kind: Kind) -> FileKind {
    match kind {
        Kind::Regular => FileKind::Regular,
        Kind::Directory => FileKind::Directory,
        Kind::Link => FileKind::Link,
        Kind::Special(name) => FileKind::Special(name),
    }
}

/// The user id of this process: whoever prepares a tree owns what is in it.
#[must_use]
pub fn caller() -> u32 {
    crate::sys::identity::user()
}

/// The commands after which only root can change what is found at a path: the thing itself, the directories above it and
/// those that links lead to.
///
/// # Errors
/// When it can't be looked at.
pub fn close(facts: &dyn Facts, path: &Path) -> Result<String> {
    let root = facts.ids(&Owner::Root)?.map(|(uid, _)| uid);
    let (mut steps, mut todo) = (Vec::new(), vec![path.to_path_buf()]);
    while let Some(path) = todo.pop() {
        for part in path.ancestors() {
            let shown = fault::quoted(part);
            let Some(seen) = facts.entry(part)? else { continue };
            let is_link = seen.kind == FileKind::Link;
            if seen.mode & 0o1002 == 0o1002 && !is_link {
                // Where it is everybody's, as /tmp, programs need that.
                return Ok(format!("{shown} is there for everybody: put it into a directory of root's"));
            }
            if Some(seen.uid) != root {
                let option = if is_link { "-h " } else { "" };
                steps.push(format!("chown {option}root:root {shown}"));
            }
            if seen.mode & 0o022 != 0 && !is_link {
                steps.push(format!("chmod go-w {shown}"));
            }
            let led =
                if is_link { facts.file(part, MOST_BYTES)?.and_then(|seen| seen.resolved) } else { None };
            todo.extend(led.filter(|led| !path.starts_with(led)));
        }
    }
    let mut told = Vec::new();
    steps.retain(|step| {
        !told.contains(step) && {
            told.push(step.clone());
            true
        }
    });
    if steps.is_empty() {
        let shown = path.display();
        return Ok(format!(
            "let nobody but root change {shown} and the directories above it: namei -l {}",
            fault::quoted(path)
        ));
    }
    Ok(steps.join("; "))
}

/// What in a home belongs to somebody else and can't be used. It is never given to the account: whoever moved it
/// to that name can't be told.
#[must_use]
pub fn foreign_owner(account: &Account, path: &Path, uid: u32) -> anyhow::Error {
    let (name, aside, place) = (&account.name, fault::move_aside(&account.name, path), fault::quoted(path));
    // Not chown(1): the account can lay a link on the way before a person comes to it.
    let repair = if uid == 0 {
        format!(
            "see what it is, since {name} may have moved it there: ls -la {place}; if it is meant for jobs, run apply with --adopt; if not, move it away: {aside}"
        )
    } else {
        format!("see whose it is, and move it away: ls -la {place}; {aside}")
    };
    fault(
        "foreign-owner",
        format!("{} can't be used by {name}: it belongs to uid {uid}, not to {name}", path.display()),
        repair,
    )
}
