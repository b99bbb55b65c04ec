//! Whether shadow's tools could change the databases of accounts, asked before anything is made.
//!
//! They look for that themselves one file after the other, and where the last one refuses, an account is half made.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use super::super::dir::{FileKind, READ};
use super::super::lock::whole_file;
use super::super::root::Root;
use super::super::waiting::rest;
use super::super::writable::check_below;
use super::unfinished::{MOST_LOCK, is_gone};
use super::{DATABASES, irregular};
use crate::fault::{Fault, look_and_move};
use crate::repair::Repair;

/// What a tool writes while somebody waits for it is written by then.
const LOOKS: u32 = 30;
const PAUSE: Duration = Duration::from_millis(100);

/// The lock that lckpwdf(3) takes, of the machine that the tools run on.
const OF_ALL: &str = "/etc/.pwd.lock";

/// Refuse databases that could not be changed.
///
/// # Errors
/// What stands in the way of one of them: as for any file that is replaced, or a lock that somebody keeps.
pub fn check(root: &Root, machine: &Root, confined: bool) -> Result<()> {
    let files = DATABASES[..4].iter().flat_map(|name| [format!("/etc/{name}"), format!("/etc/{name}-")]);
    for path in files {
        let path = Path::new(&path);
        check_below(path, true, confined, |above| root.dir(above))?;
        // On the host they follow a link; of a tree they get a copy.
        let found =
            root.stat(path, root.is_host()).with_context(|| format!("cannot look at {}", path.display()))?;
        if found.is_some_and(|stat| stat.kind != FileKind::Regular) {
            return Err(irregular(path));
        }
    }
    if root.is_host() {
        check_below(Path::new(OF_ALL), false, confined, |above| root.dir(above))?;
    }
    for look in 1.. {
        let Some(held) = held(root, machine)? else { break };
        if look == LOOKS || !held.may_go {
            return Err(held.fault.into());
        }
        rest(PAUSE);
    }
    Ok(())
}

/// A lock that is taken.
struct Held {
    fault: Fault,
    /// A process holds it, and may let it go.
    may_go: bool,
}

fn held(root: &Root, machine: &Root) -> Result<Option<Held>> {
    for database in &DATABASES[..4] {
        let lock = format!("/etc/{database}.lock");
        let path = Path::new(&lock);
        let cannot = || format!("cannot look at {lock}");
        if root.stat(path, false).with_context(cannot)?.is_none() {
            continue;
        }
        check_below(path, false, false, |above| root.dir(above))?;
        let read = match root.read(path, MOST_LOCK) {
            Err(error) if error.kind() == ErrorKind::FileTooLarge => None,
            read => read.with_context(cannot)?.filter(|entry| entry.kind == FileKind::Regular),
        };
        match read.and_then(|entry| number(&entry.bytes)) {
            Some(pid) if is_gone(pid) => {}
            Some(pid) => {
                let what = format!("{lock} is held by the process {pid}: nobody else can change accounts");
                let repair = mend!(
                    "see what that is: $ ps -fp {}; if it changes no accounts, the lock was left behind: $ rm {}",
                    pid,
                    lock
                );
                return Ok(Some(Held { fault: locked(what, repair), may_go: true }));
            }
            None => {
                let what = format!("{lock} is in the way of useradd: it names no process that could hold it");
                return Ok(Some(Held { fault: locked(what, look_and_move(path)), may_go: false }));
            }
        }
    }
    let Some(pid) = holder(machine)? else { return Ok(None) };
    let who = if pid > 0 { format!("the process {pid}") } else { "another process".to_owned() };
    // The shell's `command` says that it is of the machine, whatever tree is worked on.
    let command = if root.is_host() { "" } else { "command " };
    let repair = mend!("see who it is, and run again when it has ended: $ {}fuser -v {}", command, OF_ALL);
    let what = format!("{OF_ALL} is held by {who}: nobody else can change accounts");
    Ok(Some(Held { fault: locked(what, repair), may_go: true }))
}

fn locked(what: String, repair: Repair) -> Fault {
    Fault::new("accounts-locked", what, repair)
}

/// The process id in a lock, as shadow's tools read it: nothing may follow it but NUL.
fn number(bytes: &[u8]) -> Option<i32> {
    let text = bytes.split(|byte| *byte == 0).next()?;
    std::str::from_utf8(text).ok()?.trim_start().parse().ok()
}

/// Who has the lock of lckpwdf(3). It is a file that root alone can open.
fn holder(machine: &Root) -> Result<Option<i32>> {
    let cannot = || format!("cannot look at {OF_ALL}");
    let Some(dir) = machine.dir(Path::new("/etc")).with_context(cannot)? else { return Ok(None) };
    let name = OF_ALL.rsplit('/').next().unwrap_or_default();
    let Ok(file) = nix::fcntl::openat(&*dir, name, READ, nix::sys::stat::Mode::empty()) else {
        return Ok(None);
    };
    let mut lock = whole_file()?;
    fcntl(&file, FcntlArg::F_GETLK(&mut lock)).map_err(std::io::Error::from).with_context(cannot)?;
    Ok((i32::from(lock.l_type) != libc::F_UNLCK).then_some(lock.l_pid))
}
