//! The host or tree outside of homes, and the programs that are asked about it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::home_reads::unreadable;
use super::{ASKING, Account, Facts, MOST_BYTES, Supposed, package, programs, rights};
use crate::change::{FileKind, Owner, Place, Seen};
use crate::fault::{self, AtHome, Nature};
use crate::keys::Version;
use crate::repair::Repair;
use crate::seen::Stat;
use crate::sys::dir::NamedKind;
use crate::sys::exec::{self, Finished, Tool};
use crate::sys::identity::{self, Identity};
use crate::sys::root::descend;
use crate::sys::sudo::{self, PolicyText};
use crate::sys::{accounts, writable};

impl Facts<'_> {
    /// True for the machine itself, false for a `--root` tree.
    pub fn is_host(&self) -> bool {
        self.root.is_host()
    }

    /// The file or directory at an absolute path, links resolved; `None` when it does not exist.
    ///
    /// # Errors
    /// When it can't be read, or is larger than `cap` bytes.
    pub fn file(&self, path: &Path, cap: u64) -> Result<Option<Seen>> {
        let ahead = self.ahead.borrow_mut().get_mut(path.as_os_str()).and_then(Vec::pop);
        if let Some(known) = ahead {
            return Ok(known);
        }
        self.root.read(path, cap).map_err(|error| unreadable(Some(self.root), path, cap, error))
    }

    /// The text of the file at an absolute path; empty when it does not exist.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn text(&self, path: &Path) -> Result<String> {
        Ok(self.file(path, MOST_BYTES)?.map(|file| file.text().into_owned()).unwrap_or_default())
    }

    /// The file that root is pointed at by a profile; `None` when there is none.
    ///
    /// # Errors
    /// When somebody but root could have put it there or changed it, a link on the way included.
    pub fn given_file(&self, path: &Path, cap: u64) -> Result<Option<Seen>> {
        self.root.given_file(path, cap)
    }

    /// Why somebody but root could change which thing is found at a path, links resolved; `None` when nobody could.
    ///
    /// # Errors
    /// When a directory on the way can't be looked at.
    pub fn way_of_others(&self, path: &Path) -> Result<Option<String>> {
        self.root.way_of_others(path).map_err(|error| unreadable(Some(self.root), path, 0, error))
    }

    /// Like [`Facts::file`], for a file that another program rewrites in place: while `whole` says that
    /// the bytes are torn, it looks again, three times, a fifth of a second apart.
    ///
    /// # Errors
    /// Those of [`Facts::file`].
    pub fn settled(&self, path: &Path, cap: u64, whole: &dyn Fn(&[u8]) -> bool) -> Result<Option<Seen>> {
        let mut looks = 0;
        loop {
            let seen = self.file(path, cap)?;
            let torn =
                seen.as_ref().is_some_and(|seen| seen.kind == FileKind::Regular && !whole(&seen.bytes));
            if !torn || looks == 3 {
                return Ok(seen);
            }
            looks += 1;
            crate::sys::waiting::rest(std::time::Duration::from_millis(200));
        }
    }

    /// What an absolute path leads to, links resolved, without its bytes.
    pub fn stat(&self, path: &Path) -> Result<Option<Seen>> {
        self.look(path, true)
    }

    /// Whether everybody may come through a directory, by its mode.
    pub fn lets_through(&self, path: &Path) -> Result<bool> {
        self.root.lets_through(path).map_err(|error| unreadable(Some(self.root), path, 0, error))
    }

    /// What lies at an absolute path itself, no link followed, without its bytes.
    pub fn entry(&self, path: &Path) -> Result<Option<Seen>> {
        self.look(path, false)
    }

    /// What lies where a home should be that is not there: a link may, which leads to nothing.
    ///
    /// # Errors
    /// When it can't be looked at.
    pub fn where_home_is_missing(&self, home: &Path) -> Result<AtHome> {
        Ok(self.entry(home)?.map_or(AtHome::Nothing, |_| AtHome::Other))
    }

    /// The names in a directory; empty when it does not exist.
    pub fn names(&self, directory: &Path) -> Result<Vec<String>> {
        Ok(self.entries(directory)?.into_iter().map(|(name, _)| name).collect())
    }

    /// The same with what each is, where the file system tells: a link is a link.
    pub fn entries(&self, directory: &Path) -> Result<Vec<(String, Option<FileKind>)>> {
        let unreadable = |error| unreadable(Some(self.root), directory, 0, error);
        let found = self.root.entries(directory).map_err(unreadable)?.unwrap_or_default();
        let named = |(name, kind): NamedKind| (name.to_string_lossy().into_owned(), kind);
        Ok(found.into_iter().map(named).collect())
    }

    /// The version of the installed gitlab-runner; `None` when none is installed or it does not say.
    /// dpkg's database is read. On the host the program itself and rpm are asked as well, but only if `start`:
    /// a converged run starts no process. Where they differ the oldest counts: a program that was put beside its
    /// package may be the one that runs.
    ///
    /// # Errors
    /// When the database can't be read.
    pub fn runner_version(&self, start: bool) -> Result<Option<Version>> {
        package::oldest(self, start && self.root.is_host())
    }

    /// The account of that name.
    pub fn account(&self, name: &str) -> Result<Option<Account>> {
        if let Some(known) = self.known.borrow().iter().find(|known| known.name == name) {
            return Ok(Some(known.clone()));
        }
        let found = accounts::account(self.root, name)?;
        self.known.borrow_mut().extend(found.clone());
        Ok(found)
    }

    /// Where the system's library looks for a database, nsswitch.conf(5): what each line about it names.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn name_services(&self, database: &str) -> Result<Vec<String>> {
        let text = self.root.name_services().context("cannot read /etc/nsswitch.conf")?;
        let of =
            |line: &str| Some(line.trim_start().strip_prefix(database)?.strip_prefix(':')?.trim().to_owned());
        Ok(text.lines().filter_map(of).collect())
    }

    /// The members of a group; `None` when there is no such group.
    pub fn members(&self, group: &str) -> Result<Option<Vec<String>>> {
        accounts::members(self.root, group)
    }

    /// The number of a group; `None` when there is no such group.
    ///
    /// # Errors
    /// When the database can't be read.
    pub fn group_id(&self, group: &str) -> Result<Option<u32>> {
        accounts::group_id(self.root, group)
    }

    /// The numbers behind an owner; `None` when the account does not exist yet.
    pub fn ids(&self, owner: &Owner) -> Result<Option<(u32, u32)>> {
        let identity = match owner {
            Owner::Root => self.root.owner(),
            Owner::Ids(uid, gid) => Identity { uid: *uid, gid: *gid },
            Owner::Account(name) => match self.account(name)? {
                Some(account) => self.owner_in_tree(rights(&account)),
                None => return Ok(None),
            },
        };
        Ok(Some((identity.uid, identity.gid)))
    }

    /// Why somebody but root could change the file at this path, or a directory above it; `None` when
    /// nobody could.
    pub fn distrust(&self, path: &Path) -> Result<Option<String>> {
        self.root.change_by_others(path).map_err(|error| unreadable(Some(self.root), path, 0, error))
    }

    /// The same of something that was seen there itself, which is no link.
    pub fn distrust_seen(&self, path: &Path, seen: &Seen) -> Result<Option<String>> {
        let above = path.parent().map_or(Ok(None), |parent| self.distrust(parent))?;
        Ok(above.or_else(|| self.root.distrust(path, seen.stat)))
    }

    /// True for an executable regular file, links resolved. Directories that nobody but their owner can enter have none.
    pub fn is_program(&self, path: &Path) -> bool {
        exec::is_program(self.root, path)
    }

    /// The same, with what is known of the file.
    pub fn program_stat(&self, path: &Path) -> Option<Stat> {
        exec::program(self.root, path)
    }

    /// A program of the host or tree, as `runner-deploy` finds it there.
    pub fn installed(&self, name: &str) -> Option<PathBuf> {
        exec::find(self.root, name)
    }

    /// A program of the machine (not of a tree), found where distributions install programs.
    pub fn tool(&self, name: &str) -> Option<PathBuf> {
        exec::find(self.machine, name)
    }

    /// The command that installs a tool of the machine itself, also where a tree is looked at.
    ///
    /// # Errors
    /// When the machine can't be looked at.
    pub fn install_tool(&self, name: &'static str) -> Result<Repair> {
        let command = programs::install(&Facts::new(self.machine, self.machine), &[name])?;
        Ok(if self.root.is_host() { command } else { command.on_machine() })
    }

    /// The file of this very program on the host; `None` in a tree, which has another one or none.
    pub fn program(&self) -> Option<PathBuf> {
        self.root.is_host().then(exec::own_program).flatten()
    }

    /// What a program of the machine says when the account starts it in its home, as its jobs do; `None` when it is
    /// not installed. Whatever it says is the account's word.
    ///
    /// # Errors
    /// When it can't be started, or does not end in time.
    pub fn ask(
        &self,
        account: &Account,
        program: &str,
        arguments: &[&str],
        input: &[u8],
    ) -> Result<Option<Finished>> {
        let Some(program) = self.tool(program) else { return Ok(None) };
        if let Some((_, fault)) = self.hung.borrow().iter().find(|(hung, _)| *hung == program) {
            return Err(fault.clone().into());
        }
        let home = if self.root.is_host() { account.home.as_path() } else { Path::new("/") };
        let tool = Tool::new(&program)
            .args(arguments)
            .input(input)
            .env("HOME", home.as_os_str())
            .env("USER", account.name.as_ref())
            .env("LOGNAME", account.name.as_ref());
        // A passphrase that was made slow on purpose keeps ssh-keygen; nothing keeps the others.
        let tool = if program.ends_with("ssh-keygen") { tool } else { tool.patience(ASKING) };
        let is_other = identity::is_root() && account.uid != 0;
        let tool = if is_other { tool.account(&account.name, rights(account)) } else { tool };
        // git asks where it stands. In a home that is not there, or is shut, nobody can start anything.
        let is_git = program.ends_with("git") && self.root.is_host();
        let is_there = is_git && matches!(self.look(home, true), Ok(Some(_)));
        let done = if is_there { tool.within(home) } else { tool }.run();
        let fault = done.as_ref().err().and_then(fault::find).filter(|fault| fault.nature == Nature::Hangs);
        self.hung.borrow_mut().extend(fault.map(|fault| (program, fault.clone())));
        done.map(Some)
    }

    /// Refuse a place where nothing can be made or changed, or `replaced`, as far as that can be seen without a write.
    /// In a `confined` process mounts say nothing: only the process may see them.
    ///
    /// # Errors
    /// What stands in the way: a read-only file system, a flag of chattr(1), missing rights, a mount point.
    pub fn check_writable(&self, place: &Place, replaced: bool, confined: bool) -> Result<()> {
        let Place::Home { account, relative, .. } = place else {
            return writable::check_below(&place.path(), replaced, confined, |above| self.root.dir(above));
        };
        let Some(account) = self.account(account)? else { return Ok(()) };
        let Some(home) = self.home_of(&account)? else { return Ok(()) };
        writable::check_below(relative, replaced, confined, |above| descend(&home, above))
    }

    /// Refuse a path outside a home where others than root have a hand in the directories above, as far as they are
    /// there.
    ///
    /// # Errors
    /// Whose hand it is, or what lies where a directory should be.
    pub fn check_trusted(&self, path: &Path) -> Result<()> {
        let told = |error: anyhow::Error| Err(unreadable(Some(self.root), path, 0, error.downcast()?));
        self.root.check_trusted(path).or_else(told)
    }

    /// Refuse databases of accounts that `useradd` and its kin could not change.
    ///
    /// # Errors
    /// What stands in the way: as for any file, or a lock that does not go.
    pub fn check_accounts(&self, confined: bool) -> Result<()> {
        if self.tool("useradd").is_none() {
            let repair = self.install_tool("useradd")?;
            return Err(Nature::Obstacle.fault("tool-missing", "useradd is not installed", repair));
        }
        accounts::check(self.root, self.machine, confined)
    }

    /// The mode that `useradd` gives a new home, and the setting in `/etc/login.defs` that says so.
    ///
    /// # Errors
    /// When that file can't be read.
    pub fn new_home_mode(&self) -> Result<(u32, &'static str)> {
        accounts::home_mode(self.root)
    }

    /// Somebody without rights, in whom the account has no say: a program of theirs says of root's files what is so, and
    /// what those files start has no rights either. `None` in a tree, and where there is nobody else.
    ///
    /// # Errors
    /// When the accounts can't be read.
    pub fn nobody(&self, account: &Account) -> Result<Option<Account>> {
        let nobody = if self.root.is_host() { self.account("nobody")? } else { None };
        // A home that is there, and in which nothing is for it.
        let home = PathBuf::from("/root");
        Ok(nobody
            .filter(|nobody| ![0, account.uid].contains(&nobody.uid))
            .map(|nobody| Account { home, ..nobody }))
    }

    /// Ask `sudo` of the host, as root or with an account's rights, without a terminal, and as if these files were there;
    /// `None` in a tree, where there is no sudo, and where the kernel does not let it see what is not there.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn sudo(
        &self,
        account: Option<&Account>,
        arguments: &[&str],
        supposed: &[Supposed],
    ) -> Result<Option<Finished>> {
        let program = self.tool("sudo").filter(|_| self.root.is_host() && identity::is_root());
        let Some(program) = program else { return Ok(None) };
        let tool = Tool::new(&program).args(arguments).patience(ASKING).leaving_nothing().supposing(supposed);
        let tool = match account {
            Some(account) => tool.account(&account.name, rights(account)),
            None => tool,
        };
        or_forbidden(tool.run(), !supposed.is_empty())
    }

    /// What every `visudo` of the machine objects to in a text; `None` when one is content.
    ///
    /// # Errors
    /// When none is installed, or one does not end in time.
    pub fn policy_objection(&self, text: &PolicyText) -> Result<Option<String>> {
        sudo::objection(self.root, self.machine, text)
    }

    /// Ask a server for its host keys, over the network: the lines of `ssh-keyscan`.
    ///
    /// # Errors
    /// When `ssh-keyscan` is not installed or the server does not answer.
    pub fn scan_host_keys(&self, host: &str, port: u16) -> Result<String> {
        let program = self.tool("ssh-keyscan").ok_or_else(|| {
            let repair = self.install_tool("ssh").unwrap_or_default();
            Nature::Obstacle.fault("tool-missing", "ssh-keyscan of this machine is not installed", repair)
        })?;
        let asked = Tool::new(&program).args(["-T", "10", "-p", &port.to_string(), "--", host]).run()?;
        if asked.stdout.trim().is_empty() {
            let what = format!("{host}, port {port} shows no host key: {}", asked.complaint());
            let repair = "see whether the server is reached from here, or give its key line in the profile";
            return Err(Nature::Obstacle.fault("host-unreachable", what, repair));
        }
        Ok(asked.stdout)
    }

    /// The machine's name (`uname -n`), in a tree the one in `/etc/hostname`.
    pub fn host_name(&self) -> Result<String> {
        if self.root.is_host() {
            let name = nix::unistd::gethostname().context("cannot read the host's name")?;
            return Ok(name.to_string_lossy().into_owned());
        }
        let text = self.text(Path::new("/etc/hostname"))?;
        Ok(Some(text.trim()).filter(|name| !name.is_empty()).unwrap_or("localhost").to_owned())
    }

    pub(super) fn look(&self, path: &Path, follow: bool) -> Result<Option<Seen>> {
        let stat =
            self.root.stat(path, follow).map_err(|error| unreadable(Some(self.root), path, 0, error))?;
        Ok(stat.map(Seen::from))
    }

    /// An ordinary user who prepares a tree owns what will belong to the account.
    pub(super) fn owner_in_tree(&self, account: Identity) -> Identity {
        if self.root.owner().uid == 0 { account } else { self.root.owner() }
    }
}

/// What a program said that was to see what is not there; `None` where the kernel does not allow that.
pub(super) fn or_forbidden(done: Result<Finished>, is_private: bool) -> Result<Option<Finished>> {
    match done {
        Err(error) if is_private && error.downcast_ref::<std::io::Error>().is_some() => Ok(None),
        done => done.map(Some),
    }
}
