//! Replacing a file that another program rewrites in place, without a lock, at any time.
//!
//! gitlab-runner loads `config.toml`, thinks (asks a server), then truncates and writes it. Comparing
//! bytes before a rename is not enough: a writer that opened the old inode just before would write to a
//! file without a name. So: a lease on the old file makes writers wait in the kernel; under it the file is
//! compared once more and exchanged with the candidate; then a look back. Whoever came to the old file
//! meanwhile wins: it gets its place back and the caller plans again on what that writer wrote. Where both
//! files were written, both are kept. A file that is a mount of its own is written in place (`in_place`).
//!
//! Owns the order of these steps and every way back. Must not know what is written.

mod in_place;
mod target;

use std::fs::File;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Result;
use nix::errno::Errno;
use nix::sys::stat::fstat;

use super::dir::{Dir, FileKind, Seen, Stat};
use super::lease::{LeaseKind, Watch};
use super::mounts;
use super::root::Root;
use super::staged::{self, Staged};
use super::waiting::now;
use crate::fault::Fault;
use in_place::InPlace;
pub use in_place::{is_copy, repair};
pub use target::{After, SharedTarget, sweep};
use target::{conflict, in_use, is_same, not_taken_back, refuse, stamp, writers};

/// Between finding a path's inode and waiting for its lease, a writer is in the kernel for microseconds.
const LOOK_BACK: Duration = Duration::from_millis(20);

/// A candidate for the place of a file that others write to. Dropped before [`Shared::keep`], it leaves the
/// host as it was.
#[derive(Debug)]
pub struct Shared {
    target: SharedTarget,
    before: Seen,
    after: Secret<After>,
    staged: Staged,
    /// The old file, watched since the exchange.
    old: Option<Watch>,
    /// Set when the file is, or turns out to be, a mount of its own.
    in_place: Option<InPlace>,
    /// The new file's time has to be later.
    not_before: (i64, i64),
    warnings: Vec<Fault>,
    details: Vec<String>,
}

/// A commit that holds. All that is left to do is to drop what was kept to take it back.
#[must_use]
#[derive(Debug)]
pub struct SharedCommit {
    target: SharedTarget,
    staged: staged::FileCommit,
    in_place: Option<InPlace>,
}

impl SharedCommit {
    /// Drop the old file, or the copy of its bytes.
    pub fn finish(self) -> Result<()> {
        self.staged.finish()?;
        self.in_place.map_or(Ok(()), |mut in_place| in_place.finish(&self.target))
    }

    /// The directory that the file lies in.
    pub fn dir(&self) -> &Rc<Dir> {
        &self.target.dir
    }
}

/// A value that `Debug` does not show.
struct Secret<T>(T);

impl<T> std::fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

/// Which file has the place after the exchange was given up.
enum Withdrawn {
    /// The old one, as it was or as a writer leaves it.
    Old,
    /// Ours, which somebody wrote to; nobody wrote to the old one.
    Ours,
    /// Both were written; the one that lost its name is kept at this path.
    Both(PathBuf),
}

impl Shared {
    /// Stage the candidate, and refuse what can't be replaced before anything is written.
    ///
    /// With `machine`, the processes of the host are looked at.
    pub fn create(target: SharedTarget, before: Seen, after: After, machine: Option<&Root>) -> Result<Self> {
        let mut warnings = sweep(&target)?;
        let path = target.path();
        let old = target.dir.open(&target.name)?;
        let stat = Stat::from(fstat(&old)?);
        if stat.kind != FileKind::Regular || stat.identity != before.identity {
            return Err(target.changed());
        }
        refuse(&old, stat, &path)?;
        let (holder, running) = match machine {
            Some(machine) => (mounts::holder(machine, &old), writers(machine)),
            None => (Ok(None), Ok(Vec::new())),
        };
        let is_blind = running.is_err();
        for (pid, command) in running.unwrap_or_default() {
            warnings.push(Fault::new(
                "runner-command-running",
                format!(
                    "`gitlab-runner {command}` runs (process {pid}) and will write {} from what it read before",
                    path.display()
                ),
                "wait until it is done, then run the same command again",
            ));
        }
        let not_before = stat.modified.max(now());
        let staged =
            Staged::create(&target.dir, &target.name, &after.bytes, after.owner, after.mode, Some(&old))?;
        let mut shared = Self {
            target,
            before,
            after: Secret(after),
            staged,
            old: None,
            in_place: None,
            not_before,
            warnings,
            details: Vec::new(),
        };
        if is_blind {
            shared.details.push("/proc does not tell who else will write this file".to_owned());
        }
        match holder {
            Ok(None) => {}
            Ok(Some(pid)) => shared.go_in_place(&format!("process {pid} has it as a mount of its own")),
            // In place is right with and without such a mount.
            Err(error) => shared.go_in_place(&format!("who else has it mounted is unknown: {error}")),
        }
        Ok(shared)
    }

    /// The directory that the file lies in.
    pub fn dir(&self) -> &Rc<Dir> {
        &self.target.dir
    }

    /// What a person should know: codes, sentences, repairs.
    pub fn warnings(&self) -> &[Fault] {
        &self.warnings
    }

    /// What only those want to know who asked for details.
    pub fn details(&self) -> &[String] {
        &self.details
    }

    /// Make the candidate live. `changed-meanwhile` means: plan again on what is there now.
    pub fn commit(&mut self) -> Result<()> {
        if self.in_place.is_some() {
            return self.write_in_place();
        }
        let old = self.watch(self.target.dir.open(&self.target.name)?)?;
        if !old.is_leased() {
            self.details
                .push("this file system has no leases: compared and looked back without one".to_owned());
        }
        self.recheck(&old)?;
        stamp(&self.staged.set_aside()?, self.not_before)?;
        match self.staged.commit(Some(self.before.identity)) {
            Ok(()) => self.old = Some(old),
            Err(error) if error.raw_os_error() == Some(Errno::EBUSY as i32) => {
                drop(old);
                self.go_in_place("the kernel says that it is a mount of its own");
                return self.write_in_place();
            }
            // Somebody put another file there in that instant.
            Err(_) if self.staged.is_exchanged() => return Err(self.give_up()),
            Err(error) => return Err(error.into()),
        }
        let disturbed = self.looked_back()?;
        if disturbed { Err(self.give_up()) } else { Ok(()) }
    }

    /// The last look before the old file goes; the way back is open until then.
    pub fn final_check(&mut self) -> Result<()> {
        match &self.old {
            Some(old) if old.is_disturbed()? => Err(self.give_up()),
            _ => Ok(()),
        }
    }

    /// The commit holds: from here on there is no way back.
    pub fn keep(mut self) -> SharedCommit {
        // Whoever waits for the old file need not wait longer.
        self.old = None;
        let in_place = self.in_place.take();
        SharedCommit { target: self.target.clone(), staged: self.staged.keep(), in_place }
    }

    /// Put the former bytes back, unless somebody wrote to the file since.
    pub fn roll_back(&mut self) -> Result<()> {
        if let Some(mut in_place) = self.in_place.take() {
            return in_place.roll_back(&self.target, &self.before, &self.after.0);
        }
        if !self.staged.is_exchanged() {
            return Ok(self.staged.roll_back()?);
        }
        let path = self.target.path();
        match self.withdraw() {
            Ok(Withdrawn::Old) => Ok(()),
            Ok(Withdrawn::Ours) => Err(not_taken_back(&path)),
            Ok(Withdrawn::Both(kept)) => Err(conflict(&path, &kept)),
            Err(error) => Err(self.leave(error)),
        }
    }

    fn watch(&self, file: File) -> Result<Watch> {
        let path = self.target.path();
        let watch = Watch::over(file, &path, LeaseKind::Writers, &self.target.waiting)?;
        watch.ok_or_else(|| in_use(&path))
    }

    /// Under the lease the file must still be, to the byte, what the plan saw.
    fn recheck(&self, old: &Watch) -> Result<()> {
        let before = &self.before;
        let entry = self.target.dir.stat_entry(&self.target.name)?;
        let now = old.begun();
        let same = entry.is_some_and(|entry| entry.identity == now.identity)
            && now.identity == before.identity
            && (now.mode, now.uid, now.gid) == (before.mode, before.uid, before.gid)
            && now.links == 1
            && is_same(old.file(), &before.bytes)?
            && !old.is_disturbed()?;
        if same { Ok(()) } else { Err(self.target.changed()) }
    }

    /// True when somebody came to the old file.
    fn looked_back(&self) -> Result<bool> {
        let Some(old) = &self.old else {
            return Ok(false);
        };
        // Without a lease, a write within one tick of the file system's clock shows in the bytes alone.
        Ok(old.is_disturbed_within(LOOK_BACK)?
            || (!old.is_leased() && !is_same(old.file(), &self.before.bytes)?))
    }

    fn give_up(&mut self) -> anyhow::Error {
        let path = self.target.path();
        match self.withdraw() {
            Ok(Withdrawn::Old | Withdrawn::Ours) => self.target.changed(),
            Ok(Withdrawn::Both(kept)) => conflict(&path, &kept),
            Err(error) => error,
        }
    }

    /// Undo the exchange, by the same rules as it was done.
    fn withdraw(&mut self) -> Result<Withdrawn> {
        let old = self.old.take();
        let ours = self.watch(self.target.dir.open(&self.target.name)?)?;
        let untouched =
            ours.begun().identity == self.staged.made() && is_same(ours.file(), &self.after.0.bytes)?;
        if untouched {
            if let Some(old) = &old {
                // gitlab-runner may have loaded ours, and loads only what is newer.
                stamp(old.file(), ours.begun().modified)?;
            }
            self.staged.retreat()?;
            if !ours.is_disturbed_within(LOOK_BACK)? {
                self.staged.roll_back()?;
                return Ok(Withdrawn::Old);
            }
        }
        // Whoever waits may go on now; what they make of the file without the place is read when they are done.
        drop((old, ours));
        self.keep_aside(untouched).map_err(|error| self.leave(error))
    }

    /// Keep what was written to the file that has not the place, and drop that file.
    fn keep_aside(&mut self, old_is_live: bool) -> Result<Withdrawn> {
        let aside = self.watch(self.staged.set_aside()?)?;
        let pristine = if old_is_live { &self.after.0.bytes } else { &self.before.bytes };
        let kept =
            if is_same(aside.file(), pristine)? { None } else { Some(self.target.keep(aside.file())?) };
        drop(aside);
        if old_is_live {
            self.staged.roll_back()?;
        } else {
            self.staged.finish()?;
        }
        Ok(match kept {
            Some(path) => Withdrawn::Both(path),
            None if old_is_live => Withdrawn::Old,
            None => Withdrawn::Ours,
        })
    }

    /// Both files may hold what must not be lost, and to go on could take one from under a writer.
    fn leave(&mut self, error: anyhow::Error) -> anyhow::Error {
        let (path, aside) = (self.target.path(), self.staged.path());
        self.staged.leave();
        let (path, aside) = (path.display(), aside.display());
        error.context(format!("{path} stays as it is, and the other version in {aside}"))
    }

    fn go_in_place(&mut self, why: &str) {
        self.in_place = Some(InPlace::default());
        self.details.push(format!("written in place, not replaced: {why}"));
    }

    fn write_in_place(&mut self) -> Result<()> {
        // The candidate was there to be checked.
        self.staged.roll_back()?;
        match &mut self.in_place {
            Some(in_place) => in_place.write(&self.target, &self.before, &self.after.0, self.not_before),
            None => Ok(()),
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Errors were reported by whoever called roll_back; here only the last chance is taken.
        self.roll_back().ok();
    }
}
