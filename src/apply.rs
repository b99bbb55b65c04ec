//! The only writer: stages all changes, has them checked, commits them, and takes all back on an error.
//!
//! Before anything goes live the journal has the former state. Knows the closed set of operations and no resource.

mod explain;
mod in_progress;
mod register;
mod retry;
mod steps;

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use explain::of_change;
use steps::{Committed, Settled, Worker};

use crate::change::{Change, ChangeOutcome, Harm, Note, Op, Outcome, Place};
use crate::facts::Facts;
use crate::facts::sudo_policy::{self, NO_RULE};
use crate::fault::{Fault, fault};
use crate::journal::{self, Id, Journal, RunState};
use crate::plan::check_state;
use crate::sys::accounts::{tools, unfinished};
use crate::sys::dir::Dir;
use crate::sys::lock::{Lock, PolicyLock};
use crate::sys::root::Root;
use crate::sys::sudo::PolicyCheckers;
use crate::sys::waiting::Waiting;
use crate::sys::{keygen, shared, staged};
use crate::text::key_pair::{self, KeyKind, KeyPair};

pub use retry::takes_rights_away;

pub use crate::plan::STATE;

/// How long we wait for another run to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// How far the time that the kernel gives a file may lie behind the clock.
const TICK: Duration = Duration::from_millis(20);

/// Holds the lock; made only when there is something to write.
#[derive(Debug)]
pub struct Session<'a> {
    root: &'a Root,
    machine: &'a Root,
    state: Rc<Dir>,
    waiting: Waiting,
    journal: Journal<'a>,
    repaired: Vec<Note>,
    lock: Lock,
}

/// What an earlier run left, or one that is at it now.
#[derive(Debug, Default)]
pub struct Leftovers {
    /// What that run did, where [`Session::open`] has to repair it before anybody can plan.
    pub broken: Option<&'static str>,
    /// It may not have cleaned up after itself: its files may be as wanted, but not what lies beside them.
    pub unswept: bool,
}

impl Leftovers {
    /// Look for it. Whoever may not look there may not repair either, and finds nothing.
    pub fn find(root: &Root) -> Self {
        let found = root.entries(Path::new(STATE)).ok().flatten().unwrap_or_default();
        let is_there = |is_it: fn(&OsStr) -> bool| found.iter().any(|(name, _)| is_it(name));
        let broken = if is_there(shared::is_copy) {
            Some("was killed while it wrote a file in place")
        } else {
            is_there(unfinished::is_note).then_some("did not finish making an account")
        };
        Self { broken, unswept: is_there(in_progress::is_mark) }
    }
}

/// True when another run was at work since then: what was read meanwhile may be half before and half after it. Waits for
/// one that is at it. Not for who holds the lock.
pub fn was_disturbed(root: &Root, since: SystemTime, waiting: &Waiting) -> bool {
    let Ok(Some(state)) = root.dir(Path::new(STATE)) else { return false };
    let was_held = Lock::watch(&state, PATIENCE, waiting).unwrap_or_default();
    // Whoever is at work makes its mark in there, and takes it away.
    let is_since = |(seconds, nanoseconds): (i64, i64)| {
        let whole = Duration::from_secs(seconds.try_into().unwrap_or_default());
        let part = Duration::from_nanos(nanoseconds.try_into().unwrap_or_default());
        UNIX_EPOCH + whole + part + TICK >= since
    };
    was_held || state.stat().is_ok_and(|stat| is_since(stat.modified))
}

impl<'a> Session<'a> {
    /// Take the lock, keep signals from ending the work half way until the process exits, repair what killed runs left
    /// half written, and remove what else they left. `waiting` hears what has to be waited for, now and later.
    ///
    /// # Errors
    /// When the state directory can't be used or another run holds the lock too long.
    pub fn open(root: &'a Root, machine: &'a Root, waiting: Waiting) -> Result<Self> {
        let state = state_directory(root, machine)?;
        let lock = Lock::take(&state, PATIENCE, &waiting)?;
        in_progress::hold_signals()?;
        let mut repaired = shared::repair(root, &state, &waiting)?;
        let place = tools::AccountsPlace { root, machine, state: &state };
        repaired.extend(unfinished::finish(place, &waiting)?);
        let journal = Journal::make(root, &state)?;
        let mut session = Self { root, machine, state, waiting, journal, repaired: Vec::new(), lock };
        let kept = session.sweep_after_killed()?;
        session.repaired = repaired.into_iter().chain(kept).map(note).collect();
        Ok(session)
    }

    /// What killed runs had left that a person should know of.
    pub fn repaired(&self) -> &[Note] {
        &self.repaired
    }

    /// Do all changes or none, and keep in the journal what is needed to undo them. Accounts that were made
    /// stay: they may own files by then.
    pub fn apply(&self, changes: &[Change], profiles: &[String]) -> Outcome {
        let begin = || {
            in_progress::begin(&self.state).map_err(journal::explain)?;
            self.make_keys(changes)?;
            self.journal.begin(profiles, changes)
        };
        let id = match caught(begin) {
            Ok(id) => id,
            Err(error) => return Outcome::not_begun(changes, error),
        };
        let outcome = self.carry_out(changes, Purpose::Apply(&id));
        // Neither is a reason to fail: the undoing of an incomplete entry finds nothing to do.
        if outcome.taken_back {
            caught(|| self.journal.remove(&id).and_then(|()| in_progress::end(&self.state))).ok();
        }
        caught(|| self.journal.prune()).ok();
        outcome
    }

    /// Make the keys that the changes write, where they are not made yet: an RSA key takes seconds.
    ///
    /// # Errors
    /// When one can't be made.
    pub fn make_keys(&self, changes: &[Change]) -> Result<()> {
        for key in changes.iter().filter_map(|change| change.op.unmade_key()) {
            let pair = match key.kind {
                KeyKind::Ed25519 => key_pair::ed25519(&key.comment)?,
                KeyKind::Rsa { bits } => {
                    KeyPair::of(keygen::rsa(self.root, self.machine, &self.state, bits, &key.comment)?)?
                }
            };
            key.made.get_or_init(|| pair);
        }
        Ok(())
    }

    /// Do the changes that undo others, all or none. `places` are swept of what a killed undo left there.
    pub fn undo(&self, changes: &[Change], places: &[Place]) -> Outcome {
        let mut kept = Vec::new();
        for place in places {
            match self.worker().sweep(place) {
                Ok(mut faults) => kept.append(&mut faults),
                Err(error) => return Outcome::not_begun(changes, error),
            }
        }
        let mut outcome = self.carry_out(changes, Purpose::Undo);
        outcome.warnings.extend(kept.into_iter().map(note));
        outcome
    }

    /// The journal, for reading and for marking what was undone.
    pub fn journal(&self) -> &Journal<'a> {
        &self.journal
    }

    /// Old bytes that a killed run left beside its files hold secrets and room. Returns what had to be kept.
    fn sweep_after_killed(&self) -> Result<Vec<Fault>> {
        let mut kept = Vec::new();
        if !in_progress::is_set(&self.state)? {
            return Ok(kept);
        }
        keygen::sweep(&self.state)?;
        staged::sweep(&self.state, in_progress::TEMPLATE.as_ref())
            .context("cannot remove what a killed run left")?;
        for entry in self.journal.unswept()? {
            let worker = self.worker();
            for thing in entry.changes.iter().filter_map(|record| record.op.file()) {
                kept.append(&mut worker.sweep(&thing.place)?);
            }
            self.journal.mark_swept(&entry.id)?;
        }
        in_progress::end(&self.state)?;
        Ok(kept)
    }

    fn worker(&self) -> Worker<'_> {
        Worker::new(self.root, self.machine, &self.state, &self.waiting)
    }

    fn carry_out(&self, changes: &[Change], purpose: Purpose<'_>) -> Outcome {
        let mut worker = self.worker();
        let late = matches!(purpose, Purpose::Undo);
        let settled = caught(|| self.work(changes, &mut worker, late));
        let (mut warnings, details) = (worker.warnings(), worker.details());
        let mut outcome = match settled {
            Ok(settled) => {
                let mut outcome =
                    Outcome { fates: vec![ChangeOutcome::Applied; changes.len()], ..Outcome::default() };
                match (self.end(worker.hold(settled), purpose), purpose) {
                    (None, _) => {}
                    (Some(left), Purpose::Apply(_)) => warnings.push(left),
                    // Not marked as undone then: undone once more, it finds what is left.
                    (Some(left), Purpose::Undo) => outcome.error = Some(left.into()),
                }
                outcome
            }
            Err(error) => {
                let fates = worker.fates(changes.len());
                // Of two errors the second is the one to act on.
                let (error, taken_back) = match worker.roll_back() {
                    Ok(()) => (error, true),
                    Err(second) => {
                        (second.context(format!("{error:#}; and taking the changes back failed")), false)
                    }
                };
                Outcome { fates, error: Some(error), taken_back, ..Outcome::default() }
            }
        };
        outcome.warnings = warnings.into_iter().map(note).collect();
        Outcome { details, ..outcome }
    }

    /// Clean up after changes that hold; what can't be done is returned.
    fn end(&self, committed: Committed, purpose: Purpose<'_>) -> Option<Fault> {
        let finished = caught(|| committed.finish());
        // Marked last: until then the next run knows that something may be left to sweep.
        let (ended, repair) = match purpose {
            Purpose::Apply(id) => {
                let mark =
                    || self.journal.mark(id, RunState::Complete).and_then(|()| in_progress::end(&self.state));
                (finished.and_then(|()| caught(mark)), "the next apply or undo does it")
            }
            Purpose::Undo => (finished, "run the same command again, it goes on where this one ended"),
        };
        let error = ended.err()?;
        Some(Fault::new("left-behind", format!("not all was cleaned up: {error:#}"), repair))
    }

    /// Make all changes live and check them. Whatever fails in here is taken back.
    fn work(&self, changes: &[Change], worker: &mut Worker<'_>, late: bool) -> Result<Settled> {
        // Asked before anything is touched: a refusal leaves not even a newer mtime.
        let judges = self.judge(changes, worker)?;
        // What lies outside the home needs no account, and is staged before one is made.
        for (index, change) in changes.iter().enumerate().filter(|(_, change)| change.op.is_system()) {
            worker.stage(index, change, late).map_err(|error| of_change(error, change.kind, &change.id))?;
        }
        for (index, change) in changes.iter().enumerate() {
            if let Op::Account(account) = &change.op {
                worker.account(index, account)?;
            }
        }
        for (index, change) in changes.iter().enumerate().filter(|(_, change)| change.op.is_home()) {
            worker.stage(index, change, late).map_err(|error| of_change(error, change.kind, &change.id))?;
        }
        worker.commit(changes)?;
        for judged in &judges {
            worker.reach(judged.index);
            judged.judge.check_not_worse(&judged.before)?;
        }
        worker.final_check()
    }

    /// Put every sudoers candidate before all judges; returns them for the look at the live policy.
    fn judge(&self, changes: &[Change], worker: &mut Worker<'_>) -> Result<Vec<Judged<'a>>> {
        let mut judges = Vec::new();
        for (index, change) in changes.iter().enumerate() {
            let Some(file) = change.op.sudoers() else { continue };
            worker.reach(index);
            let path = file.place.path();
            let lock = PolicyLock::take(self.root, &path)?;
            let mut judge = PolicyCheckers::find(self.root, self.machine)?;
            let facts = Facts::new(self.root, self.machine);
            judge.keep_content(&self.state, &sudo_policy::whole(&facts, &path, NO_RULE)?)?;
            if let Some(content) = &file.after {
                let bytes = content.bytes()?;
                let alone = sudo_policy::merged(&facts, &path, bytes, &path, bytes);
                judge.check(&self.state, &alone, &sudo_policy::whole(&facts, &path, bytes)?)?;
            }
            let before = judge.live()?;
            judges.push(Judged { index, judge, before, _lock: lock });
        }
        Ok(judges)
    }
}

fn note(fault: Fault) -> Note {
    Note::new(fault.code, fault.what, fault.repair, Harm::None)
}

/// A panic becomes an error.
pub(crate) fn caught<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    let bug = || fault("internal", "a bug in runner-prep ended the work", "please report it");
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(bug()))
}

/// Why changes are made. Those of an undo repair directories late.
#[derive(Debug, Clone, Copy)]
enum Purpose<'a> {
    /// For a profile; the journal entry is there already.
    Apply(&'a Id),
    /// To take others back.
    Undo,
}

/// A sudoers change with its judges and what they said of the live policy before it.
struct Judged<'a> {
    index: usize,
    judge: PolicyCheckers<'a>,
    before: Vec<Option<String>>,
    /// Nobody edits the file until we are done.
    _lock: Option<PolicyLock>,
}

/// The state directory, made when it is missing.
fn state_directory(root: &Root, machine: &Root) -> Result<Rc<Dir>> {
    check_state(&Facts::new(root, machine), false)?;
    let path = Path::new(STATE);
    let cannot = || format!("cannot use the state directory {STATE}");
    let owner = crate::sys::identity::is_root().then(|| root.owner());
    let mut here = Path::new("/").to_path_buf();
    for (level, name) in ["var", "lib", "runner-prep"].iter().enumerate() {
        let parent = root.secure_dir(&here).with_context(cannot)?;
        here.push(name);
        if root.dir(&here).with_context(cannot)?.is_none() {
            let mode = if level == 2 { 0o700 } else { 0o755 };
            match parent.make_child(name.as_ref(), owner, mode) {
                // Another run made it meanwhile: nobody holds the lock yet, because it lies in here.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                other => other.with_context(cannot)?,
            }
            parent.sync().with_context(cannot)?;
        }
    }
    let dir = root.secure_dir(path)?;
    let stat = dir.stat().with_context(cannot)?;
    if stat.mode & 0o077 != 0 {
        let parent = root.secure_dir(Path::new("/var/lib"))?;
        parent.repair("runner-prep".as_ref(), stat.identity, owner, 0o700).with_context(cannot)?;
    }
    Ok(dir)
}
