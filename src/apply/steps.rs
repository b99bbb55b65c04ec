//! The steps of an application, each with the way back.

mod ending;

pub(super) use ending::{Committed, Settled};

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::rc::Rc;

use anyhow::{Context, Result};

use super::explain::{changed, explained, of_change};
use crate::change::{AccountOp, Change, ChangeOutcome, FileOp, Meta, Op, Owner, Place, Seen, Swap};
use crate::fault::{AtHome, Fault, fault, make_home};
use crate::sys::accounts::{self, tools, unfinished};
use crate::sys::dir::{Dir, FileKind};
use crate::sys::identity::{self, Identity};
use crate::sys::root::{Root, below};
use crate::sys::shared::{self, After, Shared, SharedTarget};
use crate::sys::staged::{self, Staged};
use crate::sys::waiting::Waiting;

/// Something that was done for the change of that index, with what is needed to take it back.
#[derive(Debug)]
struct DoneStep {
    index: usize,
    rollback: Rollback,
}

#[derive(Debug)]
enum Rollback {
    /// An account was made or extended; stays.
    None,
    /// A file is staged, then committed.
    File(Staged),
    /// A file that other programs write to is staged, then committed.
    Shared(Box<Shared>),
    /// A directory was made.
    Made(Rc<Dir>, OsString),
    /// A directory that changes at the very end: until then what is in it may have to be reached.
    Deferred(DirectoryChange),
    /// Owner and mode were changed; with the change back.
    Repaired(DirectoryChange),
}

type Directory = ((u64, u64), (u32, u32, u32));

/// A directory, or another entry, that was checked, and what is done to it.
#[derive(Debug)]
struct DirectoryChange {
    dir: Rc<Dir>,
    name: OsString,
    identity: (u64, u64),
    /// Owner and mode that it gets; `None` removes it, if it is empty.
    after: Option<(Option<Identity>, u32)>,
}

/// Does the steps and remembers them.
#[derive(Debug)]
pub(super) struct Worker<'a> {
    root: &'a Root,
    machine: &'a Root,
    state: &'a Rc<Dir>,
    waiting: &'a Waiting,
    steps: Vec<DoneStep>,
    reached: usize,
}

impl<'a> Worker<'a> {
    pub(super) fn new(root: &'a Root, machine: &'a Root, state: &'a Rc<Dir>, waiting: &'a Waiting) -> Self {
        Self { root, machine, state, waiting, steps: Vec::new(), reached: 0 }
    }

    fn shared(&self) -> impl Iterator<Item = (usize, &Shared)> {
        self.steps.iter().filter_map(|step| match &step.rollback {
            Rollback::Shared(shared) => Some((step.index, &**shared)),
            _ => None,
        })
    }

    /// What a person should know of the files that other programs write to.
    pub(super) fn warnings(&self) -> Vec<Fault> {
        self.shared().flat_map(|(_, shared)| shared.warnings().iter().cloned()).collect()
    }

    /// How changes were made, for those who ask for details; each with its change.
    pub(super) fn details(&self) -> Vec<(usize, String)> {
        self.shared()
            .flat_map(|(index, shared)| shared.details().iter().map(move |detail| (index, detail.clone())))
            .collect()
    }

    /// The change that is worked on, for the report of an error.
    pub(super) fn reach(&mut self, index: usize) {
        self.reached = index;
    }

    fn done(&mut self, rollback: Rollback) {
        self.steps.push(DoneStep { index: self.reached, rollback });
    }

    /// What becomes of each change when everything is taken back now.
    pub(super) fn fates(&self, count: usize) -> Vec<ChangeOutcome> {
        let mut fates = vec![ChangeOutcome::NotReached; count];
        for step in &self.steps {
            if let Some(fate) = fates.get_mut(step.index) {
                *fate = if matches!(step.rollback, Rollback::None) {
                    ChangeOutcome::Applied
                } else {
                    ChangeOutcome::RolledBack
                };
            }
        }
        if let Some(fate) = fates.get_mut(self.reached) {
            *fate = ChangeOutcome::Failed;
        }
        fates
    }

    /// Make or extend an account.
    pub(super) fn account(&mut self, index: usize, operation: &AccountOp) -> Result<()> {
        self.reach(index);
        let place = tools::AccountsPlace { root: self.root, machine: self.machine, state: self.state };
        match operation {
            AccountOp::Create { name, comment, shell, home } => {
                let (name, comment) = (name.clone(), comment.clone());
                let new = unfinished::New { name, comment, shell: shell.clone(), home: home.clone() };
                unfinished::create(place, &new, self.waiting)?;
            }
            AccountOp::Join { name, group } => {
                tools::join(place, name, group)?;
            }
        }
        self.done(Rollback::None);
        Ok(())
    }

    /// Prepare a change: a file beside its target, a directory and a repair at once; where `late`, the repair of
    /// a directory at the end.
    pub(super) fn stage(&mut self, index: usize, change: &Change, late: bool) -> Result<()> {
        self.reach(index);
        let Some(place) = change.op.place() else {
            return Ok(());
        };
        self.prepare(place, change, late).map_err(|error| explained(error, place))
    }

    fn prepare(&mut self, place: &Place, change: &Change, late: bool) -> Result<()> {
        let (dir, name) = self.locate(place)?;
        match &change.op {
            Op::Account(_) | Op::Register(_) => {}
            Op::RemoveDirectory { before, .. } => {
                let (identity, _) = self.directory(&dir, &name, before, place)?;
                self.done(Rollback::Deferred(DirectoryChange { dir, name, identity, after: None }));
            }
            Op::Directory { before: None, after, .. } => {
                let owner = self.owner(&after.owner)?;
                dir.make_child(&name, inside(&dir, owner), after.mode)?;
                self.done(Rollback::Made(dir, name));
            }
            Op::Directory { before: Some(before), after, .. } => {
                let (identity, old) = self.directory(&dir, &name, before, place)?;
                if late {
                    let after = Some((self.owner(&after.owner)?, after.mode));
                    self.done(Rollback::Deferred(DirectoryChange { dir, name, identity, after }));
                } else {
                    self.repair(dir, name, identity, after, old)?;
                }
            }
            Op::Metadata { before, after, .. } => {
                recheck(&dir, &name, Some(before), place)?;
                let old = (before.uid, before.gid, before.mode);
                self.repair(dir, name, before.identity, after, old)?;
            }
            Op::File(file) => self.stage_file(file, &dir, &name)?,
        }
        Ok(())
    }

    /// A file that other programs write to.
    fn target(&self, dir: Rc<Dir>, name: OsString) -> SharedTarget {
        SharedTarget { dir, name, state: Rc::clone(self.state), waiting: self.waiting.clone() }
    }

    /// Remove what a killed run left beside a file. A place that is gone has nothing beside it. Returns what had
    /// to be kept, because another program wrote it.
    pub(super) fn sweep(&self, place: &Place) -> Result<Vec<Fault>> {
        let Ok((dir, name)) = self.locate(place) else {
            return Ok(Vec::new());
        };
        if matches!(place, Place::System(_)) {
            return shared::sweep(&self.target(dir, name));
        }
        staged::sweep(&dir, &name)
            .with_context(|| format!("cannot remove what a killed run left beside {place}"))?;
        Ok(Vec::new())
    }

    fn stage_file(&mut self, file: &FileOp, dir: &Rc<Dir>, name: &OsString) -> Result<()> {
        if let (Swap::Shared, Some(before), Some(content)) = (&file.swap, &file.before, &file.after) {
            return self.stage_shared(file, before, content.bytes()?, dir, name);
        }
        staged::sweep(dir, name).context("cannot remove what a killed run left behind")?;
        recheck(dir, name, file.before.as_ref(), &file.place)?;
        let staged = match (&file.after, &file.before) {
            (Some(content), _) => {
                let owner = self.owner(&file.meta.owner)?;
                // A mode without the ACL that goes with it would let the group do what the ACL lets others do.
                let like = file.before.as_ref().map(|_| dir.open(name)).transpose();
                let like = like.map_err(|error| match error.kind() {
                    std::io::ErrorKind::NotFound => changed(&file.place),
                    _ => error.into(),
                })?;
                Staged::create(dir, name, content.bytes()?, owner, file.meta.mode, like.as_ref())?
            }
            (None, Some(before)) => match &file.swap {
                Swap::Aside(aside) => Staged::aside(dir, name, aside.as_ref(), before.identity),
                _ => Staged::removal(dir, name, before.identity)?,
            },
            (None, None) => return Ok(()),
        };
        self.done(Rollback::File(staged));
        Ok(())
    }

    fn stage_shared(
        &mut self,
        file: &FileOp,
        before: &Seen,
        bytes: &[u8],
        dir: &Rc<Dir>,
        name: &OsString,
    ) -> Result<()> {
        let target = self.target(Rc::clone(dir), name.clone());
        let after =
            After { bytes: bytes.to_vec(), owner: self.owner(&file.meta.owner)?, mode: file.meta.mode };
        // The processes of this machine have nothing to do with another tree.
        let machine = self.root.is_host().then_some(self.machine);
        let shared = Shared::create(target, before.clone(), after, machine)?;
        self.done(Rollback::Shared(Box::new(shared)));
        Ok(())
    }

    /// Make all staged files live, in order, and make that durable.
    pub(super) fn commit(&mut self, changes: &[Change]) -> Result<()> {
        for position in 0..self.steps.len() {
            let Some(DoneStep { index, rollback }) = self.steps.get_mut(position) else {
                continue;
            };
            let Some(Change { op: Op::File(file), kind, id, .. }) = changes.get(*index) else {
                continue;
            };
            self.reached = *index;
            let committed = match rollback {
                Rollback::File(staged) => commit(staged, file).map_err(anyhow::Error::from),
                Rollback::Shared(shared) => shared.commit(),
                _ => continue,
            };
            committed
                .map_err(|error| explained(error, &file.place))
                .map_err(|error| of_change(error, kind, id))?;
        }
        self.sync()
    }

    fn sync(&self) -> Result<()> {
        for step in &self.steps {
            let dir = match &step.rollback {
                Rollback::None => continue,
                Rollback::File(staged) => staged.dir(),
                Rollback::Shared(shared) => shared.dir(),
                Rollback::Made(dir, _)
                | Rollback::Deferred(DirectoryChange { dir, .. })
                | Rollback::Repaired(DirectoryChange { dir, .. }) => dir,
            };
            dir.sync().with_context(|| format!("cannot make {} durable", dir.path().display()))?;
        }
        Ok(())
    }

    fn repair(
        &mut self,
        dir: Rc<Dir>,
        name: OsString,
        identity: (u64, u64),
        after: &Meta,
        old: (u32, u32, u32),
    ) -> Result<()> {
        let owner = self.owner(&after.owner)?;
        dir.repair(&name, identity, owner, after.mode)
            .with_context(|| format!("cannot repair {}", dir.path().join(&name).display()))?;
        let was = identity::is_root().then_some(Identity { uid: old.0, gid: old.1 });
        self.done(Rollback::Repaired(DirectoryChange { dir, name, identity, after: Some((was, old.2)) }));
        Ok(())
    }

    /// The open directory and the name for a place; in the home with the account's rights.
    fn locate(&self, place: &Place) -> Result<(Rc<Dir>, OsString)> {
        match place {
            Place::System(path) => {
                let parent = path.parent().unwrap_or(Path::new("/"));
                let name = path.file_name().context("the path has no file name")?;
                Ok((self.root.secure_dir(parent)?, name.to_owned()))
            }
            Place::Home { home, relative, account } => {
                let account = accounts::account(self.root, account)?
                    .with_context(|| format!("the account {account} does not exist"))?;
                let rights = Identity { uid: account.uid, gid: account.gid };
                let rights = if identity::is_root() { rights } else { self.root.owner() };
                let missing = || {
                    let repair = make_home(&account.name, account.gid, home, AtHome::Nothing);
                    let what = format!("the home directory {} does not exist", home.display());
                    fault("home-missing", what, repair)
                };
                let (home_dir, _) = self.root.home(&account.name, home, rights)?.ok_or_else(missing)?;
                below(&home_dir, relative)?
                    .with_context(|| format!("the directory of {place} does not exist"))
            }
        }
    }

    /// The numbers for an owner; `None` when we may not give files away and own everything ourselves.
    fn owner(&self, owner: &Owner) -> Result<Option<Identity>> {
        if !identity::is_root() {
            return Ok(None);
        }
        Ok(Some(match owner {
            Owner::Root => self.root.owner(),
            Owner::Ids(uid, gid) => Identity { uid: *uid, gid: *gid },
            Owner::Account(name) => {
                let account = accounts::account(self.root, name)?
                    .with_context(|| format!("the account {name} does not exist"))?;
                Identity { uid: account.uid, gid: account.gid }
            }
        }))
    }

    /// The directory as it was planned with: its identity, and its owner and mode.
    fn directory(&self, dir: &Dir, name: &OsString, before: &Meta, place: &Place) -> Result<Directory> {
        let now = dir.stat_entry(name)?.filter(|now| now.kind == FileKind::Directory);
        let now = now.ok_or_else(|| changed(place))?;
        let owner = self.owner(&before.owner)?;
        if before.mode != now.mode || owner.is_some_and(|owner| (owner.uid, owner.gid) != (now.uid, now.gid))
        {
            return Err(changed(place));
        }
        Ok((now.identity, (now.uid, now.gid, now.mode)))
    }
}

/// The entry must still be what the plan saw.
fn recheck(dir: &Dir, name: &OsString, before: Option<&Seen>, place: &Place) -> Result<()> {
    let Some(before) = before else {
        return match dir.stat_entry(name)? {
            None => Ok(()),
            Some(_) => Err(changed(place)),
        };
    };
    let cap = before.bytes.len() as u64 + 1;
    let now = dir.read(name, cap).map_err(|_| changed(place))?.ok_or_else(|| changed(place))?;
    let same = now.identity == before.identity
        && now.bytes == before.bytes
        && (now.mode, now.uid, now.gid) == (before.mode, before.uid, before.gid);
    if same { Ok(()) } else { Err(changed(place)) }
}

/// In the home the account makes the file itself: nothing to give away.
fn inside(dir: &Dir, owner: Option<Identity>) -> Option<Identity> {
    owner.filter(|_| dir.identity().is_none())
}

fn commit(staged: &mut Staged, file: &FileOp) -> io::Result<()> {
    match (&file.before, &file.after) {
        (Some(before), None) => staged.commit_removal(before.identity),
        (Some(_), Some(_)) if file.swap == Swap::Fresh => Err(io::ErrorKind::AlreadyExists.into()),
        (before, _) => staged.commit(before.as_ref().map(|before| before.identity)),
    }
}
