//! The end of an application: everything stays, or everything is taken back.

use std::io;
use std::rc::Rc;

use anyhow::{Context, Result};

use super::{DirectoryChange, Rollback, Worker};
use crate::sys::{shared, staged};

/// A run whose changes are live and hold. It has nothing with which one could be taken back: whatever fails from
/// here on is a warning.
#[derive(Debug)]
pub(in crate::apply) struct Committed {
    files: Vec<staged::FileCommit>,
    shared: Vec<shared::SharedCommit>,
    last: Vec<DirectoryChange>,
}

/// The last look found nothing: only then may the way back be given up.
#[derive(Debug)]
pub(in crate::apply) struct Settled(());

impl Committed {
    /// Drop the old files, then change the directories that had to wait. Goes on after an error and returns the
    /// first one; what is left is swept by the next run.
    pub(in crate::apply) fn finish(self) -> Result<()> {
        let mut first = Ok(());
        let mut dirs: Vec<_> = self.files.iter().map(|file| Rc::clone(file.dir())).collect();
        dirs.extend(self.shared.iter().map(|file| Rc::clone(file.dir())));
        let files = self.files.into_iter().map(|file| file.finish().map_err(anyhow::Error::from));
        for finished in files.chain(self.shared.into_iter().map(shared::SharedCommit::finish)) {
            first = first.and(finished.context("cannot remove the former version of a file"));
        }
        for dir in dirs {
            let durable = dir.sync();
            first =
                first.and(durable.with_context(|| format!("cannot make {} durable", dir.path().display())));
        }
        for last in self.last {
            let path = last.dir.path().join(&last.name);
            first = first.and(last.change().with_context(|| format!("cannot change {}", path.display())));
        }
        first
    }
}

impl Worker<'_> {
    /// The last look at the files that other programs write to; the way back is open until then.
    pub(in crate::apply) fn final_check(&mut self) -> Result<Settled> {
        for step in &mut self.steps {
            if let Rollback::Shared(shared) = &mut step.rollback {
                self.reached = step.index;
                shared.final_check()?;
            }
        }
        Ok(Settled(()))
    }

    /// Everything stays: the way back is given up.
    pub(in crate::apply) fn hold(self, _: Settled) -> Committed {
        let mut held = Committed { files: Vec::new(), shared: Vec::new(), last: Vec::new() };
        for step in self.steps {
            match step.rollback {
                Rollback::File(mut staged) => held.files.push(staged.keep()),
                Rollback::Shared(shared) => held.shared.push(shared.keep()),
                Rollback::Deferred(last) => held.last.push(last),
                Rollback::None | Rollback::Made(..) | Rollback::Repaired(_) => {}
            }
        }
        held
    }

    /// Take everything back, the last first; goes on after an error and returns the first one.
    pub(in crate::apply) fn roll_back(mut self) -> Result<()> {
        let mut first = None;
        for step in self.steps.iter_mut().rev() {
            let undone = match &mut step.rollback {
                Rollback::None | Rollback::Deferred(_) => Ok(()),
                Rollback::File(staged) => staged.roll_back().map_err(anyhow::Error::from),
                Rollback::Shared(shared) => shared.roll_back(),
                Rollback::Made(dir, name) => dir.remove_child(name).map_err(anyhow::Error::from),
                Rollback::Repaired(back) => back.change().map_err(anyhow::Error::from),
            };
            first = first.or(undone.err());
        }
        self.sync().ok();
        first.map_or(Ok(()), Err)
    }
}

impl DirectoryChange {
    fn change(&self) -> io::Result<()> {
        let Self { dir, name, identity, after } = self;
        if let Some((owner, mode)) = after {
            return dir.repair(name, *identity, *owner, *mode);
        }
        match dir.remove_child(name) {
            // Somebody put something there meanwhile, and that stays.
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
            removed => removed.and_then(|()| dir.sync()),
        }
    }
}
