//! The end of an application: everything stays, or everything is taken back.

use std::io;

use anyhow::{Context, Result};

use super::{Last, WayBack, Worker};

impl Worker<'_> {
    /// The last look at the files that other programs write to; the way back is open until then.
    pub(in crate::apply) fn settle(&mut self) -> Result<()> {
        for step in &mut self.steps {
            if let WayBack::Shared(shared) = &mut step.way_back {
                self.reached = step.index;
                shared.settle()?;
            }
        }
        Ok(())
    }

    /// Nothing is taken back any more: drop the old files, then change the directories that had to wait. Goes on
    /// after an error and returns the first one; what is left is swept by the next run.
    pub(in crate::apply) fn finish(&mut self) -> Result<()> {
        let mut first = Ok(());
        for step in &mut self.steps {
            let finished = match &mut step.way_back {
                WayBack::File(staged) => staged.finish().map_err(anyhow::Error::from),
                WayBack::Shared(shared) => shared.finish(),
                _ => continue,
            };
            first = first.and(finished.context("cannot remove the former version of a file"));
        }
        first = first.and(self.sync());
        for step in &self.steps {
            if let WayBack::Last(last) = &step.way_back {
                let path = last.dir.path().join(&last.name);
                first = first.and(last.change().with_context(|| format!("cannot change {}", path.display())));
            }
        }
        first
    }

    /// Take everything back, the last first; goes on after an error and returns the first one.
    pub(in crate::apply) fn roll_back(mut self) -> Result<()> {
        let mut first = None;
        for step in self.steps.iter_mut().rev() {
            let undone = match &mut step.way_back {
                WayBack::None | WayBack::Last(_) => Ok(()),
                WayBack::File(staged) => staged.roll_back().map_err(anyhow::Error::from),
                WayBack::Shared(shared) => shared.roll_back(),
                WayBack::Made(dir, name) => dir.remove_child(name).map_err(anyhow::Error::from),
                WayBack::Repaired { dir, name, identity, owner, mode } => {
                    dir.repair(name, *identity, *owner, *mode).map_err(anyhow::Error::from)
                }
            };
            first = first.or(undone.err());
        }
        self.sync().ok();
        first.map_or(Ok(()), Err)
    }
}

impl Last {
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
