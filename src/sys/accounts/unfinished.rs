//! An account that `useradd` began and did not finish, because it was killed or failed in the middle.
//!
//! `useradd` writes `/etc/passwd`, `/etc/shadow`, `/etc/group` and `/etc/gshadow` one after the other, each whole,
//! and then makes the home (shadow 4.13, seen with strace). A note in the state directory says what it was asked
//! for; with it the next run adds what is missing, in the same order. Nothing is taken away, the numbers stay, and
//! each step may be the last one again. An account that is not exactly what was asked for is left alone.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::super::dir::{Dir, FileKind};
use super::super::identity::{Identity, is_root};
use super::super::process_list::{self, Process};
use super::super::root::Root;
use super::super::staged::{self, Staged};
use super::super::waiting::Waiting;
use super::tools::{self, AccountsPlace, call};
use super::{DATABASES, MOST_BYTES, home_mode, is_somebody, lines, row, setting, text};
use crate::fault::{self, Fault, Nature, fault};
use crate::repair::Repair;

/// How the names of notes begin.
const NOTE: &str = "account-";

/// A password that nobody has. Distributions write it in other ways, too (`!!`).
const LOCKED: &str = "!";

/// A lock of shadow's tools holds a process id and NUL, and is no longer.
pub(super) const MOST_LOCK: u64 = 32;

/// A `useradd` that outlived its run is waited for as long as a run would wait.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often it is looked for.
const PAUSE: Duration = Duration::from_millis(50);

/// An account that is to be made, and what `/etc/passwd` will say of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct New {
    /// Login name.
    pub name: String,
    /// The comment (GECOS) field.
    pub comment: String,
    /// Login shell.
    pub shell: PathBuf,
    /// The home directory that `useradd` gives it.
    pub home: PathBuf,
}

/// True for the name of a note: [`finish`] has to come before anybody plans.
pub fn is_note(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(NOTE.as_bytes())
}

/// Make an account. Where that ends in the middle, the next [`finish`] goes on.
///
/// # Errors
/// When the note can't be kept, or `useradd` fails.
pub fn create(place: AccountsPlace<'_>, new: &New, waiting: &Waiting) -> Result<()> {
    let AccountsPlace { root, machine, state } = place;
    let make = || tools::create(place, &new.name, &new.comment, &new.shell);
    // A useradd looks whether the name is free before it has the lock: of two, the later one changes the numbers.
    wait_for_useradd(machine, &new.name, waiting)?;
    // What is there already is somebody's, and what comes of it could not be told from a half made account.
    let is_free = row(root, "/etc/passwd", &new.name)?.is_none()
        && row(root, "/etc/group", &new.name)?.is_none()
        && root.stat(&new.home, false)?.is_none();
    if !is_free {
        return make();
    }
    let note = OsString::from(format!("{NOTE}{}", new.name));
    let cannot = || format!("cannot note in {} that an account is made", state.path().display());
    let bytes = serde_json::to_vec(new).with_context(cannot)?;
    let mut staged = Staged::create(state, &note, &bytes, None, 0o600, None).with_context(cannot)?;
    staged.replace().and_then(|()| state.sync()).with_context(cannot)?;
    let outcome = make();
    wait_for_useradd(machine, &new.name, waiting)?;
    match outcome {
        Err(error) if fault::is(&error, Nature::Raced) => {
            place.complete(new, false)?;
            place.tidy(&note)?;
            return Err(error);
        }
        Err(error) if row(root, "/etc/passwd", &new.name)?.is_some() => {
            let what = format!("{error:#}; a part of it is there");
            return Err(fault(
                "account-half-made",
                what,
                "run the same command again: it finishes what is half made",
            ));
        }
        Err(error) => {
            place.tidy(&note)?;
            return Err(error);
        }
        Ok(()) => {}
    }
    // useradd does not look whether the home became the account's.
    place.complete(new, true)?;
    place.tidy(&note)
}

/// Finish the accounts whose making was interrupted, and say which. Under the lock only.
///
/// # Errors
/// When what is missing can't be added; the note stays then.
pub fn finish(place: AccountsPlace<'_>, waiting: &Waiting) -> Result<Vec<Fault>> {
    let AccountsPlace { machine, state, .. } = place;
    let mut finished = Vec::new();
    tools::forget(state)?;
    let cannot = || format!("cannot read what a killed run left in {}", state.path().display());
    for note in state.names().with_context(cannot)?.iter().filter(|name| is_note(name)) {
        let Some(read) = state.read(note, MOST_BYTES).with_context(cannot)? else { continue };
        let new: New = serde_json::from_slice(&read.bytes).with_context(|| {
            format!("{} is not a note of ours; move it away", state.path().join(note).display())
        })?;
        wait_for_useradd(machine, &new.name, waiting)?;
        if place.complete(&new, false)? {
            let name = &new.name;
            finished.push(Fault::new(
                "account-half-made",
                format!("a run that was killed or failed left the account {name} half made; it is whole now"),
                "nothing is left to do",
            ));
        }
        place.tidy(note)?;
    }
    Ok(finished)
}

impl AccountsPlace<'_> {
    /// Add what is missing of an account; false when that is nothing, or it is none of ours. A `fresh` one was made by
    /// this very run.
    fn complete(&self, new: &New, fresh: bool) -> Result<bool> {
        let Some((uid, gid)) = made_of(self.root, new)? else { return Ok(false) };
        Unfinished { place: *self, new, fresh, owner: Identity { uid, gid } }.finish()
    }

    /// Nothing of the making is left, and the note goes last.
    fn tidy(&self, note: &OsStr) -> Result<()> {
        remove_temporary(self.root)?;
        let gone = self.state.unlink(note).and_then(|()| self.state.sync());
        gone.with_context(|| format!("cannot remove {}", self.state.path().join(note).display()))
    }
}

/// The numbers of an account that is exactly what was asked for, and that nobody gave a password: whoever did either
/// has taken it over.
fn made_of(root: &Root, new: &New) -> Result<Option<(u32, u32)>> {
    let Some(fields) = row(root, "/etc/passwd", &new.name)? else { return Ok(None) };
    let [_, password, uid, gid, comment, home, shell] = fields.as_slice() else { return Ok(None) };
    let is_as_asked = password == "x"
        && *comment == new.comment
        && Path::new(home) == new.home
        && Path::new(shell) == new.shell;
    let secret = row(root, "/etc/shadow", &new.name)?.map(|fields| fields.into_iter().nth(1));
    let is_locked = secret.is_none_or(|password| {
        password.is_some_and(|password| !password.is_empty() && password.chars().all(|c| "!*".contains(c)))
    });
    let numbers = uid.parse().ok().zip(gid.parse().ok()).filter(|(uid, gid)| *uid != 0 && *gid != 0);
    Ok(numbers.filter(|_| is_as_asked && is_locked))
}

/// The process may have been started by a run that was killed, and go on.
fn wait_for_useradd(machine: &Root, name: &str, waiting: &Waiting) -> Result<()> {
    let running = || {
        let running = process_list::named(machine, &["useradd"]).unwrap_or_default();
        // Any account can start one that fails.
        let is_it = |it: &Process| {
            it.uid == 0 && !it.elsewhere && it.arguments.iter().skip(1).any(|word| word == name)
        };
        running.into_iter().find(is_it)
    };
    let what = format!("useradd to make the account {name}");
    let ended = || Ok::<_, anyhow::Error>(running().is_none().then_some(()));
    if waiting.until(&what, PATIENCE, PAUSE, ended)?.is_some() {
        return Ok(());
    }
    let Some(process) = running() else { return Ok(()) };
    Err(Nature::Hangs.fault(
        "tool-hangs",
        format!("useradd has been making the account {name} for {} s", PATIENCE.as_secs()),
        mend!("see what it waits for: $ ps -fp {}", process.pid),
    ))
}

/// Locks are made under the name `/etc/passwd.PID`, hold that number, and a tool that was killed meanwhile leaves
/// them. The lock itself is broken by the next tool of shadow's that wants it. An administrator's copy,
/// `/etc/passwd.20240229`, has such a name and holds something else.
fn remove_temporary(root: &Root) -> Result<()> {
    let etc = root.secure_dir(Path::new("/etc"))?;
    let cannot = || "cannot remove what useradd left in /etc";
    for database in DATABASES {
        for name in [database.to_owned(), format!("{database}-")] {
            staged::sweep(&etc, OsStr::new(&name)).with_context(cannot)?;
        }
    }
    for name in etc.names().with_context(cannot)? {
        let parts = name.to_str().and_then(|name| name.split_once('.'));
        let Some((_, pid)) = parts.filter(|(database, _)| DATABASES.contains(database)) else { continue };
        if !pid.parse().is_ok_and(is_gone) {
            continue;
        }
        let stat = etc.stat_entry(&name).with_context(cannot)?;
        if stat.is_none_or(|stat| stat.kind != FileKind::Regular || stat.size > MOST_LOCK) {
            continue;
        }
        let Some(held) = etc.read(&name, MOST_LOCK).with_context(cannot)?.map(|entry| entry.bytes) else {
            continue;
        };
        // Empty, where it was killed before it wrote.
        if held.is_empty() || held.strip_suffix(b"\0").unwrap_or(&held) == pid.as_bytes() {
            etc.unlink(&name).with_context(cannot)?;
        }
    }
    Ok(())
}

/// True when there is no process of that number, as shadow's tools ask it of a lock.
pub(super) fn is_gone(pid: i32) -> bool {
    pid > 0 && kill(Pid::from_raw(pid), None) == Err(Errno::ESRCH)
}

struct Unfinished<'a> {
    place: AccountsPlace<'a>,
    new: &'a New,
    fresh: bool,
    owner: Identity,
}

impl Unfinished<'_> {
    /// Add what is missing; false when that is nothing.
    fn finish(&self) -> Result<bool> {
        let name = self.new.name.as_str();
        let shadow =
            row(self.place.root, "/etc/shadow", name)?.is_none() || self.is_locked(["passwd", "shadow"])?;
        if shadow {
            self.call("usermod", &["--password", LOCKED, name])?;
        }
        let group = self.needs_group()?;
        if group {
            self.call("groupadd", &["--system", "--gid", &self.owner.gid.to_string(), name])?;
        }
        let gshadow = self.needs_group_secret()? || self.is_locked(["group", "gshadow"])?;
        if gshadow {
            self.call("groupmod", &["--password", LOCKED, name])?;
        }
        Ok(self.home()? || shadow || group || gshadow)
    }

    /// Somebody has, or had when they were killed, one of these locks.
    fn is_locked(&self, databases: [&str; 2]) -> Result<bool> {
        for database in databases {
            if self.place.root.stat(&Path::new("/etc").join(format!("{database}.lock")), false)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The group of the account's own is missing. An account whose number another group has by now would share that
    /// group's files: nobody but a person can tell which of the two has to go.
    fn needs_group(&self) -> Result<bool> {
        let (name, gid) = (&self.new.name, self.owner.gid.to_string());
        let groups = text(self.place.root, "/etc/group")?;
        let named = row(self.place.root, "/etc/group", name)?;
        let holder = lines(&groups).find(|line| line.split(':').nth(2) == Some(&gid));
        let holder = holder.and_then(|line| line.split(':').next());
        let is_own = setting(self.place.root, "USERGROUPS_ENAB")?
            .is_some_and(|value| value.eq_ignore_ascii_case("yes"));
        match (named, holder) {
            (None, None) => Ok(is_own),
            (None, Some(_)) if !is_own => Ok(false),
            (Some(group), _) if group.get(2) == Some(&gid) => Ok(false),
            (named, holder) => {
                let holder =
                    holder.map_or_else(|| "nobody".to_owned(), |holder| format!("the group {holder}"));
                let prefix = self.place.root.prefix().map(|path| format!("--prefix {} ", path.display()));
                let prefix = prefix.unwrap_or_default();
                let make = if named.is_some() {
                    Repair::default()
                } else {
                    mend!("$ groupadd {}--system {}; ", prefix, name)
                };
                Err(fault(
                    "account-half-made",
                    format!(
                        "the account {name} was left half made, and the number of its group, {gid}, belongs to {holder} by now"
                    ),
                    Repair::from("give it a group of its own, then run again: ")
                        + make
                        + mend!("$ usermod {0}--gid {1} {1}", prefix, name),
                ))
            }
        }
    }

    fn needs_group_secret(&self) -> Result<bool> {
        let group = row(self.place.root, "/etc/group", &self.new.name)?;
        let is_elsewhere = group.is_some_and(|group| group.get(1).is_some_and(|password| password == "x"));
        let has_file = self.place.root.stat(Path::new("/etc/gshadow"), true)?.is_some();
        Ok(is_elsewhere && has_file && row(self.place.root, "/etc/gshadow", &self.new.name)?.is_none())
    }

    /// Make the home, or give the account the empty directory that `useradd` made and did not get to give away: it
    /// was not there before, and only root can make one there. Whatever else is there is for the plan to judge, and
    /// so is all that is in a directory where others make things, too.
    ///
    /// It has the mode that `login.defs` asks for, and the label that a directory made there by root gets from `SELinux`.
    fn home(&self) -> Result<bool> {
        let home = &self.new.home;
        let cannot = || format!("cannot make the home directory {}", home.display());
        let (Some(parent), Some(name)) = (home.parent(), home.file_name()) else { return Ok(false) };
        let dir = self.parent(parent).with_context(cannot)?;
        // Of what is there others may be the makers; what is not there is made as useradd does.
        let is_there = dir.stat_entry(name).with_context(cannot)?.is_some();
        if (is_there || !self.fresh) && self.place.root.untrusted(&dir).with_context(cannot)?.is_some() {
            return Ok(false);
        }
        let owner = is_root().then_some(self.owner);
        let (mode, _) = home_mode(self.place.root)?;
        let Some(stat) = dir.stat_entry(name).with_context(cannot)? else {
            dir.make_child(name, owner, mode).and_then(|()| dir.sync()).with_context(cannot)?;
            return Ok(true);
        };
        // What useradd opens it with, and what it is made with here, before it gets its mode.
        let is_begun = [0o755, 0o700].contains(&stat.mode);
        let is_given = stat.uid == self.owner.uid && (stat.mode == mode || !is_begun);
        // Of two useradd the earlier one made the home, with a number that nobody has any more.
        let is_somebodys =
            stat.uid != self.owner.uid && stat.uid != 0 && is_somebody(self.place.root, stat.uid)?;
        if stat.kind != FileKind::Directory || is_given || is_somebodys {
            return Ok(false);
        }
        let inside = dir.child(name).and_then(|child| child.map_or(Ok(Vec::new()), |child| child.names()));
        if !inside.with_context(cannot)?.is_empty() {
            return Ok(false);
        }
        dir.repair(name, stat.identity, owner, mode).with_context(cannot)?;
        Ok(true)
    }

    /// The directory of homes, made as useradd makes it where it is missing.
    fn parent(&self, path: &Path) -> std::io::Result<Rc<Dir>> {
        if let Some(dir) = self.place.root.dir(path)? {
            return Ok(dir);
        }
        let (above, name) = path.parent().zip(path.file_name()).ok_or(std::io::ErrorKind::NotFound)?;
        self.parent(above)?.make_child(name, is_root().then(|| self.place.root.owner()), 0o755)?;
        self.place.root.dir(path)?.ok_or_else(|| std::io::ErrorKind::NotFound.into())
    }

    fn call(&self, tool: &str, arguments: &[&str]) -> Result<()> {
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        let done = call(self.place, tool, &arguments)?;
        if done.success() {
            return Ok(());
        }
        let (name, complaint) = (&self.new.name, done.complaint());
        Err(fault(
            "account-half-made",
            format!("the account {name} was left half made, and {tool} could not finish it: {complaint}"),
            "mend what it says, then run again",
        ))
    }
}
