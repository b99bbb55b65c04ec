//! A host made of a few lines, for the tests of what only reads: facts are fed, changes come out, and the
//! changes can be made on the same model to ask again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::{Account, Facts, Finished, Times, foreign_owner};
use crate::change::{AccountOp, Change, FileKind, FileOp, Meta, Op, Owner, Seen};
use crate::fault::fault;
use crate::keys::Version;

/// The account that [`Fake::host`] has, and its home.
pub(crate) const ACCOUNT: &str = "gitlab-runner";
/// Its user and group id.
pub(crate) const ID: u32 = 998;
const HOME: &str = "/home/gitlab-runner";

/// A host.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fake {
    things: BTreeMap<PathBuf, Seen>,
    targets: BTreeMap<PathBuf, PathBuf>,
    accounts: Vec<Account>,
    groups: BTreeMap<String, (u32, Vec<String>)>,
    unreadable: BTreeSet<PathBuf>,
    untrusted: BTreeMap<PathBuf, String>,
    made: u64,
    version: Option<Version>,
    says: BTreeMap<String, String>,
    scanned: String,
}

impl Fake {
    /// Debian with sudo and rsync, and without an account for the runner.
    pub(crate) fn bare() -> Self {
        let directories = ["/", "/etc", "/home", "/srv", "/usr", "/usr/local"];
        directories
            .into_iter()
            .fold(Self::default(), |host, path| host.dir(path, 0o755, 0))
            .dir("/etc/ssh", 0o755, 0)
            .dir("/etc/sudoers.d", 0o750, 0)
            .dir("/usr/local/sbin", 0o755, 0)
            .file("/etc/sudoers", 0o440, 0, "root ALL=(ALL:ALL) ALL\n@includedir /etc/sudoers.d\n")
            .file("/usr/bin/rsync", 0o755, 0, "")
            .file("/usr/bin/sudo", 0o4755, 0, "")
            .file("/usr/local/bin/runner-prep", 0o755, 0, "")
            .account("root", 0, "/root")
    }

    /// The same with the account and its home.
    pub(crate) fn host() -> Self {
        Self::bare().account(ACCOUNT, ID, HOME).dir(HOME, 0o755, ID)
    }

    /// An account with a group of its own.
    pub(crate) fn account(mut self, name: &str, id: u32, home: &str) -> Self {
        let account = Account {
            name: name.into(),
            uid: id,
            gid: id,
            home: home.into(),
            shell: "/bin/bash".into(),
            alias: None,
        };
        self.accounts.push(account);
        self.group(name, id, &[])
    }

    /// A group.
    pub(crate) fn group(mut self, name: &str, id: u32, members: &[&str]) -> Self {
        self.groups.insert(name.into(), (id, members.iter().map(|name| (*name).to_owned()).collect()));
        self
    }

    /// A file of that user and the group of the same number.
    pub(crate) fn file(self, path: &str, mode: u32, owner: u32, text: impl AsRef<[u8]>) -> Self {
        self.thing(path, FileKind::Regular, mode, owner, text.as_ref())
    }

    /// A directory.
    pub(crate) fn dir(self, path: &str, mode: u32, owner: u32) -> Self {
        self.thing(path, FileKind::Directory, mode, owner, b"")
    }

    /// A FIFO or another thing that nobody opens.
    pub(crate) fn special(self, path: &str, kind: FileKind) -> Self {
        self.thing(path, kind, 0o666, 0, b"")
    }

    /// A symbolic link to an absolute path.
    pub(crate) fn link(mut self, path: &str, target: &str) -> Self {
        self.targets.insert(path.into(), target.into());
        self.thing(path, FileKind::Link, 0o777, 0, b"")
    }

    /// A second name for a file that is there already.
    pub(crate) fn hard_linked(mut self, path: &str) -> Self {
        if let Some(seen) = self.things.get_mut(Path::new(path)) {
            seen.links = 2;
        }
        self
    }

    /// Any look at this path fails.
    pub(crate) fn unreadable(mut self, path: &str) -> Self {
        self.unreadable.insert(path.into());
        self
    }

    /// Others than root can change what is at this path.
    pub(crate) fn untrusted(mut self, path: &str, why: &str) -> Self {
        self.untrusted.insert(path.into(), why.into());
        self
    }

    /// Nothing is at this path.
    pub(crate) fn without(mut self, path: &str) -> Self {
        self.things.remove(Path::new(path));
        self
    }

    /// gitlab-runner is installed in this version.
    pub(crate) fn version(self, version: Version) -> Self {
        Self { version: Some(version), ..self }
    }

    /// What a program says when the account asks it; every other one fails.
    pub(crate) fn says(mut self, program: &str, text: &str) -> Self {
        self.says.insert(program.into(), text.into());
        self
    }

    /// What `ssh-keyscan` says of any server.
    pub(crate) fn scanned(self, lines: &str) -> Self {
        Self { scanned: lines.into(), ..self }
    }

    fn thing(mut self, path: &str, kind: FileKind, mode: u32, owner: u32, bytes: &[u8]) -> Self {
        self.made += 1;
        let identity = (1, self.made);
        let (uid, gid) = (owner, owner);
        let bytes = bytes.to_vec();
        let seen = Seen { kind, bytes, mode, uid, gid, links: 1, identity, changed: (0, 0), resolved: None };
        self.things.insert(path.into(), seen);
        self
    }

    /// The host after the changes were made, each as its operation says.
    pub(crate) fn after(&self, changes: &[Change]) -> Self {
        changes.iter().fold(self.clone(), |host, change| host.changed(&change.op))
    }

    fn changed(mut self, op: &Op) -> Self {
        match op {
            Op::Register(_) => panic!("only gitlab-runner registers"),
            Op::Account(AccountOp::Create { name, .. }) => {
                let home = format!("/home/{name}");
                return self.account(name, 997, &home).dir(&home, 0o755, 997);
            }
            Op::Account(AccountOp::Join { name, group }) => {
                if let Some((_, members)) = self.groups.get_mut(group) {
                    members.push(name.clone());
                }
            }
            Op::Directory { place, after, .. } => {
                return self.put(&place.path(), FileKind::Directory, after, Vec::new());
            }
            Op::RemoveDirectory { place, .. } => drop(self.things.remove(&place.path())),
            Op::Metadata { place, after, before } => {
                return self.put(&place.path(), FileKind::Regular, after, before.bytes.clone());
            }
            Op::File(file) => {
                let FileOp { place, after, meta, .. } = &**file;
                match after {
                    Some(content) => {
                        if let Some(key) = content.unmade() {
                            let pair = crate::text::key_pair::ed25519(&key.comment).expect("a key");
                            key.made.get_or_init(|| pair);
                        }
                        let bytes = content.bytes().expect("the content of a change").to_vec();
                        return self.put(&place.path(), FileKind::Regular, meta, bytes);
                    }
                    None => drop(self.things.remove(&place.path())),
                }
            }
        }
        self
    }

    fn put(mut self, path: &Path, kind: FileKind, meta: &Meta, bytes: Vec<u8>) -> Self {
        let (uid, gid) = self.ids(&meta.owner).expect("owners are known").expect("the owner exists");
        self.made += 1;
        let identity = (1, self.made);
        let seen = Seen {
            kind,
            bytes,
            mode: meta.mode,
            uid,
            gid,
            links: 1,
            identity,
            changed: (0, 0),
            resolved: None,
        };
        self.things.insert(path.into(), seen);
        self
    }

    fn resolved(&self, path: &Path) -> PathBuf {
        self.targets.get(path).cloned().unwrap_or_else(|| path.into())
    }

    fn look(&self, path: &Path) -> Result<Option<Seen>> {
        if self.unreadable.contains(path) {
            return Err(fault("not-permitted", format!("{} can't be read", path.display()), "run as root"));
        }
        Ok(self.things.get(path).cloned())
    }
}

impl Facts for Fake {
    fn is_host(&self) -> bool {
        true
    }

    fn file(&self, path: &Path, _cap: u64) -> Result<Option<Seen>> {
        let target = self.resolved(path);
        let resolved = Some(target.clone()).filter(|target| target != path);
        Ok(self.look(&target)?.map(|seen| Seen { resolved, ..seen }))
    }

    fn settled(&self, path: &Path, cap: u64, whole: &dyn Fn(&[u8]) -> bool) -> Result<Option<Seen>> {
        let seen = self.file(path, cap)?;
        if let Some(seen) = &seen {
            whole(&seen.bytes);
        }
        Ok(seen)
    }

    fn stat(&self, path: &Path) -> Result<Option<Seen>> {
        Ok(self.look(&self.resolved(path))?.map(|seen| Seen { bytes: Vec::new(), ..seen }))
    }

    fn entry(&self, path: &Path) -> Result<Option<Seen>> {
        Ok(self.look(path)?.map(|seen| Seen { bytes: Vec::new(), ..seen }))
    }

    fn entries(&self, directory: &Path) -> Result<Vec<(String, Option<FileKind>)>> {
        let inside = self.things.iter().filter(|(path, _)| path.parent() == Some(directory));
        let named =
            |(path, seen): (&PathBuf, &Seen)| Some((path.file_name()?.to_str()?.to_owned(), Some(seen.kind)));
        Ok(inside.filter_map(named).collect())
    }

    fn home(&self, account: &Account, relative: &[&str]) -> Result<Vec<Option<Seen>>> {
        // With the account's rights, as on a host.
        let shut = |seen: &&Seen| {
            let readable = if seen.gid == account.gid { 0o040 } else { 0o004 };
            seen.kind == FileKind::Regular && seen.uid != account.uid && seen.mode & readable == 0
        };
        let look = |name: &&str| {
            let path = account.home.join(name);
            let seen = self.look(&path)?;
            match seen.as_ref().filter(shut) {
                Some(seen) => Err(foreign_owner(account, &path, seen.uid)),
                None => Ok(seen),
            }
        };
        relative.iter().map(look).collect()
    }

    fn keeps_nothing_back(&self, account: &Account, directory: &str) -> Result<bool> {
        let inside = self.home_names(account, directory)?;
        let path = account.home.join(directory);
        Ok(inside.iter().all(|name| {
            self.things
                .get(&path.join(name))
                .is_none_or(|seen| seen.uid == account.uid || seen.mode & 0o004 != 0)
        }))
    }

    fn home_names(&self, account: &Account, relative: &str) -> Result<Vec<String>> {
        self.names(&account.home.join(relative))
    }

    fn times(&self, _path: &Path) -> Result<Option<Times>> {
        Ok(None)
    }

    fn runner_version(&self, _start: bool) -> Result<Option<Version>> {
        Ok(self.version)
    }

    fn account(&self, name: &str) -> Result<Option<Account>> {
        Ok(self.accounts.iter().find(|account| account.name == name).cloned())
    }

    fn members(&self, group: &str) -> Result<Option<Vec<String>>> {
        Ok(self.groups.get(group).map(|(_, members)| members.clone()))
    }

    fn group_id(&self, group: &str) -> Result<Option<u32>> {
        Ok(self.groups.get(group).map(|(id, _)| *id))
    }

    fn ids(&self, owner: &Owner) -> Result<Option<(u32, u32)>> {
        Ok(match owner {
            Owner::Root => Some((0, 0)),
            Owner::Ids(uid, gid) => Some((*uid, *gid)),
            Owner::Account(name) => Facts::account(self, name)?.map(|account| (account.uid, account.gid)),
        })
    }

    fn way_of_others(&self, path: &Path) -> Result<Option<String>> {
        path.parent().map_or(Ok(None), |directory| self.distrust(directory))
    }

    fn distrust(&self, path: &Path) -> Result<Option<String>> {
        Ok(path.ancestors().find_map(|path| self.untrusted.get(path)).cloned())
    }

    fn tool(&self, name: &str) -> Option<PathBuf> {
        (name == "ssh-keygen").then(|| "/usr/bin/ssh-keygen".into())
    }

    fn install_tool(&self, name: &'static str) -> Result<String> {
        Ok(name.to_owned())
    }

    fn program(&self) -> Option<PathBuf> {
        None
    }

    fn shut_out(&self, account: &Account, path: &Path) -> Result<Option<PathBuf>> {
        let mut way: Vec<&Path> = path.ancestors().collect();
        way.reverse();
        Ok(way.into_iter().find_map(|part| {
            let seen = self.things.get(&self.resolved(part))?;
            let needed = if seen.kind == FileKind::Directory { 0o001 } else { 0o004 };
            let shut = seen.uid != account.uid && seen.gid != account.gid && seen.mode & needed == 0;
            shut.then(|| part.to_owned())
        }))
    }

    fn ask(
        &self,
        _account: &Account,
        program: &str,
        _arguments: &[&str],
        _input: &[u8],
    ) -> Result<Option<Finished>> {
        let said = self.says.get(program).cloned();
        let code = Some(i32::from(said.is_none()));
        Ok(Some(Finished { code, stdout: said.unwrap_or_default(), stderr: String::new() }))
    }

    fn scan_host_keys(&self, _host: &str, _port: u16) -> Result<String> {
        Ok(self.scanned.clone())
    }

    fn host_name(&self) -> Result<String> {
        Ok("runner-host".to_owned())
    }
}
