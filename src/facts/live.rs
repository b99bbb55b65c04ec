//! Facts of a real host or tree.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, Result};

use super::looks::Looks;
pub use super::looks::unreadable;
use super::machine::Machine;
use super::shut::{shut, shut_by_mode};
use super::{ASKING, Account, Facts, MOST_BYTES, Times, UnitState, name_services, package, programs, seen};
use crate::change::{FileKind, Owner, Place, Seen};
use crate::fault::{self, Fault, fault};
use crate::keys::Version;
use crate::repair::on_machine;
use crate::sys::accounts;
use crate::sys::dir::{Dir, Entry, Named};
use crate::sys::exec::{self, Finished, Tool};
use crate::sys::identity::{self, Guard, Identity};
use crate::sys::root::{Root, below, descend};
use crate::sys::sudo;
pub use crate::sys::sudo::{INPUT, broken};
use crate::sys::writable;

/// The host or tree as it is now.
#[derive(Debug)]
pub struct Live<'a> {
    root: &'a Root,
    /// Where tools are taken from: the machine itself, also for a tree.
    machine: &'a Root,
    /// Asked of NSS once; only accounts that exist, since a missing one may be made.
    known: RefCell<Vec<Account>>,
    /// The account's home, opened once; only one that exists.
    opened: RefCell<Option<(PathBuf, Rc<Dir>)>>,
    /// What was read because it will be asked for, by its path as bytes, as often as it will be.
    ahead: RefCell<BTreeMap<OsString, Vec<Option<Seen>>>>,
    /// What was found readable for the account because it will be asked for.
    readable: RefCell<Vec<PathBuf>>,
    /// Programs that did not end when they were asked with the account's rights: the account makes them wait, and once
    /// is enough.
    hung: RefCell<Vec<(PathBuf, Fault)>>,
}

impl<'a> Live<'a> {
    /// Look at `root` with the tools of `machine`.
    #[must_use]
    pub fn new(root: &'a Root, machine: &'a Root) -> Self {
        Self {
            root,
            machine,
            known: RefCell::default(),
            opened: RefCell::default(),
            ahead: RefCell::default(),
            readable: RefCell::default(),
            hung: RefCell::default(),
        }
    }

    /// The names in a directory below the account's home, no link followed; empty when it does not exist.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn home_names(&self, account: &Account, relative: &Path) -> Result<Vec<OsString>> {
        let path = account.home.join(relative);
        let Some(home) = self.home_of(account)? else { return Ok(Vec::new()) };
        let names =
            descend(&home, relative).and_then(|dir| dir.map_or_else(|| Ok(Vec::new()), |dir| dir.names()));
        names.map_err(|error| unreadable(None, &path, 0, error))
    }
}

impl Facts for Live<'_> {
    fn is_host(&self) -> bool {
        self.root.is_host()
    }

    fn file(&self, path: &Path, cap: u64) -> Result<Option<Seen>> {
        let ahead = self.ahead.borrow_mut().get_mut(path.as_os_str()).and_then(Vec::pop);
        if let Some(known) = ahead {
            return Ok(known);
        }
        let read = self.root.read(path, cap);
        let read = read.map_err(|error| unreadable(Some(self.root), path, cap, error))?;
        Ok(read.map(|(entry, resolved)| Seen { resolved, ..seen(entry) }))
    }

    fn given_file(&self, path: &Path, cap: u64) -> Result<Option<Seen>> {
        Ok(self.root.given_file(path, cap)?.map(seen))
    }

    fn way_of_others(&self, path: &Path) -> Result<Option<String>> {
        self.root.way_of_others(path).map_err(|error| unreadable(Some(self.root), path, 0, error))
    }

    fn settled(&self, path: &Path, cap: u64, whole: &dyn Fn(&[u8]) -> bool) -> Result<Option<Seen>> {
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

    fn stat(&self, path: &Path) -> Result<Option<Seen>> {
        self.look(path, true)
    }

    fn entry(&self, path: &Path) -> Result<Option<Seen>> {
        self.look(path, false)
    }

    fn entries(&self, directory: &Path) -> Result<Vec<(String, Option<FileKind>)>> {
        let cannot = || format!("cannot list {}", directory.display());
        let found = self.root.entries(directory).with_context(cannot)?.unwrap_or_default();
        let named = |(name, kind): Named| (name.to_string_lossy().into_owned(), kind.map(super::kind));
        Ok(found.into_iter().map(named).collect())
    }

    fn expect_home(&self, account: &Account, paths: &[&str]) {
        let mut ahead: BTreeMap<OsString, Vec<Option<Seen>>> = BTreeMap::new();
        let mut readable = Vec::new();
        if let Ok(Some(home)) = self.home_of(account) {
            if let Ok(_rights) = home.act() {
                let mut looks =
                    Looks { account, machine: self.machine, home: &home, directories: BTreeMap::new() };
                // A directory after what lies in it: then it is open already.
                for name in paths.iter().rev() {
                    let path = account.home.join(name).into_os_string();
                    if name.starts_with('/') {
                        // What is read with the account's rights can be read by it.
                        let is_root = self.root.owner().uid == 0;
                        let read = || self.root.read_at_once(Path::new(name), MOST_BYTES);
                        if let Some(entry) = is_root.then(read).flatten() {
                            ahead.insert(path, vec![entry.map(seen)]);
                            readable.push(name.into());
                        }
                    } else if let Some(known) = ahead.get_mut(&path) {
                        known.extend(known.first().cloned());
                    } else if let Ok(seen) = looks.at(Path::new(name)) {
                        ahead.insert(path, vec![seen]);
                    }
                }
            }
        }
        self.ahead.replace(ahead);
        self.readable.replace(readable);
    }

    fn home(&self, account: &Account, relative: &[&str]) -> Result<Vec<Option<Seen>>> {
        let paths = relative.iter().map(|name| account.home.join(name));
        let ahead: Vec<_> =
            paths.map(|path| self.ahead.borrow_mut().get_mut(path.as_os_str()).and_then(Vec::pop)).collect();
        if ahead.iter().all(Option::is_some) {
            return Ok(ahead.into_iter().flatten().collect());
        }
        let Some(home) = self.home_of(account)? else { return Ok(vec![None; relative.len()]) };
        // One taking of the account's rights and one look at each directory for the whole batch.
        let _rights = home.act()?;
        let mut looks = Looks { account, machine: self.machine, home: &home, directories: BTreeMap::new() };
        let seen = relative.iter().zip(ahead);
        seen.map(|(name, ahead)| ahead.map_or_else(|| looks.at(Path::new(name)), Ok)).collect()
    }

    fn home_names(&self, account: &Account, relative: &str) -> Result<Vec<String>> {
        let names = Live::home_names(self, account, Path::new(relative))?;
        Ok(names.into_iter().map(|name| name.to_string_lossy().into_owned()).collect())
    }

    fn keeps_nothing_back(&self, account: &Account, relative: &str) -> Result<bool> {
        let Some(home) = self.home_of(account)? else { return Ok(false) };
        let dir = descend(&home, Path::new(relative));
        let nothing = dir.and_then(|dir| dir.map_or(Ok(false), |dir| dir.keeps_nothing_back()));
        nothing.map_err(|error| unreadable(None, &account.home.join(relative), 0, error))
    }

    fn is_mount(&self, account: &Account, relative: &str) -> Result<bool> {
        let Some(home) = self.home_of(account)? else { return Ok(false) };
        let found = below(&home, Path::new(relative))
            .and_then(|found| found.map_or(Ok(false), |(dir, name)| writable::is_mount(&dir, &name)));
        found.map_err(|error| unreadable(None, &account.home.join(relative), 0, error))
    }

    fn times(&self, path: &Path) -> Result<Option<Times>> {
        let stat = self.root.stat(path, true).map_err(|error| unreadable(Some(self.root), path, 0, error))?;
        Ok(stat.map(|stat| Times { modified: stat.modified.0, changed: stat.changed.0 }))
    }

    fn runner_version(&self, start: bool) -> Result<Option<Version>> {
        package::oldest(self, start && self.root.is_host())
    }

    fn account(&self, name: &str) -> Result<Option<Account>> {
        if let Some(known) = self.known.borrow().iter().find(|known| known.name == name) {
            return Ok(Some(known.clone()));
        }
        let found = accounts::account(self.root, name)?;
        self.known.borrow_mut().extend(found.clone());
        Ok(found)
    }

    fn name_services(&self, database: &str) -> Result<Vec<String>> {
        let text = self.root.name_services().context("cannot read /etc/nsswitch.conf")?;
        Ok(name_services(&text, database))
    }

    fn members(&self, group: &str) -> Result<Option<Vec<String>>> {
        accounts::members(self.root, group)
    }

    fn group_id(&self, group: &str) -> Result<Option<u32>> {
        accounts::group_id(self.root, group)
    }

    fn ids(&self, owner: &Owner) -> Result<Option<(u32, u32)>> {
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

    fn distrust(&self, path: &Path) -> Result<Option<String>> {
        self.root.change_by_others(path).map_err(|error| unreadable(Some(self.root), path, 0, error))
    }

    fn tool(&self, name: &str) -> Option<PathBuf> {
        exec::find(self.machine, name)
    }

    fn install_tool(&self, name: &'static str) -> Result<String> {
        let command = programs::install(&Live::new(self.machine, self.machine), &[name])?;
        Ok(if self.root.is_host() { command } else { on_machine(&command) })
    }

    fn unit_state(&self, unit: &str) -> Result<Option<UnitState>> {
        if !self.root.is_host() || self.stat(Path::new("/run/systemd/system"))?.is_none() {
            return Ok(None);
        }
        let [reload, pid] = UnitState::PROPERTIES;
        let said = Machine::new(self.root).ask("systemctl", &["show", unit, reload, pid], b"")?;
        let said = said.filter(Finished::success).context("systemctl does not answer")?;
        Ok(Some(UnitState::read(&said.stdout)))
    }

    fn program(&self) -> Option<PathBuf> {
        self.root.is_host().then(exec::own_program).flatten()
    }

    fn shut_out(&self, account: &Account, path: &Path) -> Result<Option<PathBuf>> {
        if self.readable.borrow().iter().any(|known| known == path) {
            return Ok(None);
        }
        if self.root.owner().uid != 0 {
            return shut_by_mode(self, path);
        }
        let look = || shut(self.root, path);
        let own = Guard::enter(rights(account)).map(|_rights| look());
        let shut = match own.with_context(|| format!("cannot take the rights of {}", account.name))? {
            Some(_) if self.root.is_host() => {
                let looked = identity::with_groups(&account.name, rights(account), look);
                looked.with_context(|| format!("cannot take the groups of {}", account.name))?
            }
            seen => seen,
        };
        Ok(shut)
    }

    fn ask(
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
        let fault = done.as_ref().err().and_then(fault::find).filter(|fault| fault.code == "tool-hangs");
        self.hung.borrow_mut().extend(fault.map(|fault| (program, fault.clone())));
        done.map(Some)
    }

    fn check_writable(&self, place: &Place, confined: bool) -> Result<()> {
        let Place::Home { account, relative, .. } = place else {
            return writable::check_below(&place.path(), confined, |above| self.root.dir(above));
        };
        let account = self.account(account)?;
        let home = account.map(|account| self.home_of(&account)).transpose()?.flatten();
        home.map_or(Ok(()), |home| writable::check_below(relative, confined, |above| descend(&home, above)))
    }

    fn sudo(&self, account: Option<&Account>, arguments: &[&str]) -> Result<Option<Finished>> {
        let program = self.tool("sudo").filter(|_| self.root.is_host() && identity::is_root());
        let Some(program) = program else { return Ok(None) };
        let tool = Tool::new(&program).args(arguments).patience(ASKING);
        match account {
            Some(account) => tool.account(&account.name, rights(account)).run().map(Some),
            None => tool.run().map(Some),
        }
    }

    fn policy_objection(&self, text: &[u8]) -> Result<Option<String>> {
        sudo::objection(self.root, self.machine, text)
    }

    fn scan_host_keys(&self, host: &str, port: u16) -> Result<String> {
        let program = self.tool("ssh-keyscan").ok_or_else(|| {
            let repair = self.install_tool("ssh").unwrap_or_default();
            fault("tool-missing", "ssh-keyscan of this machine is not installed", repair)
        })?;
        let asked = Tool::new(&program).args(["-T", "10", "-p", &port.to_string(), "--", host]).run()?;
        if asked.stdout.trim().is_empty() {
            return Err(fault(
                "host-unreachable",
                format!("{host}, port {port} shows no host key: {}", asked.complaint()),
                "see whether the server is reached from here, or give its key line in the profile",
            ));
        }
        Ok(asked.stdout)
    }

    fn host_name(&self) -> Result<String> {
        if self.root.is_host() {
            let name = nix::unistd::gethostname().context("cannot read the host's name")?;
            return Ok(name.to_string_lossy().into_owned());
        }
        let file = self.file(Path::new("/etc/hostname"), MOST_BYTES)?;
        let name = file.map(|seen| seen.text().trim().to_owned());
        Ok(name.filter(|name| !name.is_empty()).unwrap_or_else(|| "localhost".to_owned()))
    }
}

impl Live<'_> {
    fn home_of(&self, account: &Account) -> Result<Option<Rc<Dir>>> {
        if let Some((path, home)) = self.opened.borrow().as_ref() {
            if *path == account.home {
                return Ok(Some(Rc::clone(home)));
            }
        }
        let rights = self.owner_in_tree(rights(account));
        let home = self.root.home(&account.name, &account.home, rights)?;
        *self.opened.borrow_mut() = home.clone().map(|home| (account.home.clone(), home));
        Ok(home)
    }

    fn look(&self, path: &Path, follow: bool) -> Result<Option<Seen>> {
        let stat =
            self.root.stat(path, follow).map_err(|error| unreadable(Some(self.root), path, 0, error))?;
        Ok(stat.map(|stat| seen(Entry { stat, bytes: Vec::new() })))
    }

    /// An ordinary user who prepares a tree owns what will belong to the account.
    fn owner_in_tree(&self, account: Identity) -> Identity {
        if self.root.owner().uid == 0 { account } else { self.root.owner() }
    }
}

fn rights(account: &Account) -> Identity {
    Identity { uid: account.uid, gid: account.gid }
}
