//! The file itself: where it is, what it was, what it becomes, and what can't be done with it.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, Result};
use nix::sys::stat::{fstat, futimens};
use nix::sys::time::TimeSpec;
use rustix::fs::{AtFlags, StatxFlags, statx};

use super::super::dir::{Dir, FileKind, Stat, read_all};
use super::super::identity::Identity;
use super::super::lease::PATIENCE;
use super::super::process_list::{self, Process};
use super::super::root::Root;
use super::super::staged;
use super::super::waiting::{Waiting, now};
use crate::fault::{Fault, Nature, fault, quoted};
use crate::repair::Repair;

/// Where the file is, and where what must not be lost is kept.
#[derive(Debug, Clone)]
pub struct SharedTarget {
    /// The directory that the file lies in.
    pub dir: Rc<Dir>,
    /// Its name there.
    pub name: OsString,
    /// Root's own directory on the host, 0700.
    pub state: Rc<Dir>,
    /// Who is told when another program has to be waited for.
    pub waiting: Waiting,
}

/// What it becomes.
#[derive(Clone, PartialEq, Eq)]
pub struct After {
    /// The new bytes.
    pub bytes: Vec<u8>,
    /// The owner, when files can be given away.
    pub owner: Option<Identity>,
    /// Permission bits.
    pub mode: u32,
}

impl SharedTarget {
    /// The file's path in the tree.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join(&self.name)
    }

    pub(super) fn changed(&self) -> anyhow::Error {
        let what = format!("{} was changed since it was looked at", self.path().display());
        Nature::Raced.fault("changed-meanwhile", what, "run the same command again")
    }

    /// Keep the bytes of a file that loses its name in the state directory, never beside the target: others
    /// may publish what lies there.
    pub(super) fn keep(&self, file: &File) -> Result<PathBuf> {
        let mut name = self.name.clone();
        let (seconds, nanos) = now();
        name.push(format!(".conflict-{seconds}.{nanos:09}"));
        let bytes = read_all(file, Stat::from(fstat(file)?).size, u64::MAX)?;
        staged::write(&self.state, &name, &bytes, 0o600)?;
        self.state.sync()?;
        Ok(self.state.path().join(name))
    }
}

/// Hard links would be split, and an immutable file can't be replaced: say so before anything is written.
pub(super) fn refuse(file: &File, stat: Stat, path: &Path) -> Result<()> {
    if stat.links > 1 {
        let (shown, path) = (path.display(), quoted(path));
        return Err(fault(
            "hard-links",
            format!("{shown} has {} names (hard links), and a new file would get only this one", stat.links),
            mend!("find the others and leave one: $ find / -xdev -samefile {}", path),
        ));
    }
    crate::sys::writable::refuse_flags(file, path)
}

/// The commands of gitlab-runner that load `config.toml`, take their time, and write it whole: those that run.
pub(super) fn writers(machine: &Root) -> io::Result<Vec<(u32, &'static str)>> {
    const COMMANDS: [&str; 4] = ["register", "unregister", "verify", "reset-token"];
    // An account's own can't write the file, whatever it was asked to do.
    let command = |process: &Process| {
        let mut arguments = process.arguments.iter().skip(1);
        let found = arguments.find_map(|argument| COMMANDS.into_iter().find(|command| command == argument));
        Some((process.pid, found?))
    };
    let runners = process_list::named(machine, &["gitlab-runner", "gitlab-ci-multi-runner"])?;
    Ok(runners.iter().filter(|process| process.uid == 0).filter_map(command).collect())
}

pub(super) fn in_use(path: &Path) -> anyhow::Error {
    let path = path.display();
    let what = format!("another program has kept {path} open for {} s", PATIENCE.as_secs());
    fault("in-use", what, mend!("see who it is, and run the same command again: $ fuser -v {}", path))
}

pub(super) fn conflict(path: &Path, kept: &Path) -> anyhow::Error {
    let shown = path.display();
    let what =
        format!("two programs wrote {shown} in the same instant; one version is live, the other is kept");
    fault("conflict", what, compare(path, kept))
}

/// What a person does with a live file and another version of it.
pub(super) fn compare(live: &Path, kept: &Path) -> Repair {
    mend!(
        "compare them, move what is missing to the live file, then remove the other: $ diff {} {}",
        quoted(live),
        quoted(kept)
    )
}

pub(super) fn is_same(file: &File, bytes: &[u8]) -> io::Result<bool> {
    let size = Stat::from(fstat(file)?).size;
    Ok(size == bytes.len() as u64 && read_all(file, size, size)? == bytes)
}

/// Set the modification time to now, and in any case later than `than`: gitlab-runner reloads only what is
/// newer, also when the clock was set back or the file system counts in seconds.
pub(super) fn stamp(file: &File, than: (i64, i64)) -> io::Result<()> {
    let wanted = now();
    let next = (than.0.saturating_add(1), than.1);
    for (seconds, nanos) in [if wanted > than { wanted } else { next }, next] {
        futimens(file, &TimeSpec::UTIME_OMIT, &TimeSpec::new(seconds, nanos))?;
        if Stat::from(fstat(file)?).modified > than {
            break;
        }
    }
    Ok(())
}

pub(super) fn not_taken_back(path: &Path) -> anyhow::Error {
    let path = path.display();
    fault(
        "not-taken-back",
        format!(
            "{path} was written by another program after our change, so it stays as that program left it"
        ),
        "look at what it holds now: $ runner-prep plan",
    )
}

/// Remove what a run that was killed between two steps left beside the file. Only an old file that somebody wrote to after it had been exchanged is kept first: that writer
/// believes in its update.
pub fn sweep(target: &SharedTarget) -> Result<Vec<Fault>> {
    let mut kept = Vec::new();
    let cannot = || format!("cannot remove what a killed run left in {}", target.dir.path().display());
    for name in staged::leftovers(&target.dir, &target.name).with_context(cannot)? {
        if holds_an_update(target, &name).with_context(cannot)? {
            let (live, path) = (target.path(), target.keep(&target.dir.open(&name)?)?);
            let shown = live.display();
            kept.push(Fault::new(
                "conflict",
                format!(
                    "an earlier run was killed while another program wrote {shown}; what it wrote is kept"
                ),
                compare(&live, &path),
            ));
        }
        target.dir.unlink(&name).with_context(cannot)?;
    }
    Ok(kept)
}

/// The live file was made later (so the leftover had the place), but the leftover was written later.
fn holds_an_update(target: &SharedTarget, leftover: &OsStr) -> io::Result<bool> {
    let (Some(live), Some(left)) = (target.dir.stat_entry(&target.name)?, target.dir.stat_entry(leftover)?)
    else {
        return Ok(false);
    };
    if left.kind != FileKind::Regular || left.identity == live.identity || left.modified <= live.modified {
        return Ok(false);
    }
    let (born, left_born) = (birth(&target.dir, &target.name)?, birth(&target.dir, leftover)?);
    // Where birth is not recorded, better one copy too many.
    Ok(left_born.is_none() || left_born < born)
}

fn birth(dir: &Dir, name: &OsStr) -> io::Result<Option<(i64, u32)>> {
    let stat = match statx(dir, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BTIME) {
        Ok(stat) => stat,
        Err(rustix::io::Errno::NOSYS) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let known = stat.stx_mask & StatxFlags::BTIME.bits() != 0;
    Ok(known.then_some((stat.stx_btime.tv_sec, stat.stx_btime.tv_nsec)))
}
