//! What is known of the host, read-only.
//!
//! Resources see the host through [`Facts`] alone. No method writes, so that a plan can't change
//! anything by construction.

pub mod before_rules;
pub mod checkouts;
mod confined;
mod home;
mod home_reads;
mod live;
pub mod machine;
mod package;
pub mod programs;
pub mod rehearsal;
pub mod service;
mod shut;
pub mod ssh;
pub mod sudo_policy;
mod unit;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::Result;

use crate::change::Seen;
use crate::fault::{self, Fault, Nature};
use crate::repair::Repair;
pub use crate::sys::accounts::{Account, PASSWD};
pub use crate::sys::confine::Supposed;
use crate::sys::dir::Dir;
pub use crate::sys::exec::Finished;
use crate::sys::identity::Identity;
use crate::sys::root::Root;
pub use crate::sys::sudo::broken;
pub use home_reads::unreadable;
pub use unit::UnitState;

/// No file in a home or under `/etc` that we read is larger; a sparse one must not fill the memory.
pub const MOST_BYTES: u64 = 1024 * 1024;

/// A `config.toml` of 50,000 runners is a legitimate one.
pub const MOST_CONFIG_BYTES: u64 = 64 * 1024 * 1024;

/// How long a program may take that only answers a question.
pub const ASKING: std::time::Duration = std::time::Duration::from_secs(15);

/// The read-only view of a host or of a tree.
#[derive(Debug)]
pub struct Facts<'a> {
    root: &'a Root,
    /// Where tools are taken from: the machine itself, also for a tree.
    machine: &'a Root,
    /// Asked of NSS once; only accounts that exist, since a missing one may be made.
    known: RefCell<Vec<Account>>,
    /// The account's home and its mode, opened once; only one that exists.
    opened: RefCell<Option<(PathBuf, Rc<Dir>, u32)>>,
    /// What was read because it will be asked for, by its path as bytes, as often as it will be.
    ahead: RefCell<BTreeMap<OsString, Vec<Option<Seen>>>>,
    /// What was found readable for the account because it will be asked for.
    readable: RefCell<Vec<PathBuf>>,
    /// Programs that did not end when they were asked with the account's rights: the account makes them wait, and once
    /// is enough.
    hung: RefCell<Vec<(PathBuf, Fault)>>,
}

impl<'a> Facts<'a> {
    /// Look at `root` with the tools of `machine`.
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
}

fn rights(account: &Account) -> Identity {
    Identity { uid: account.uid, gid: account.gid }
}

/// The user id of this process: whoever prepares a tree owns what is in it.
pub fn caller() -> u32 {
    crate::sys::identity::user()
}

/// The commands after which only root can change what is found at a path.
///
/// # Errors
/// When it can't be looked at.
pub fn close(facts: &Facts<'_>, path: &Path) -> Result<Repair> {
    facts.root.close(path).map_err(|error| unreadable(Some(facts.root), path, 0, error))
}

/// What in a home belongs to somebody else and can't be used. It is never given to the account: whoever moved it
/// to that name can't be told.
pub fn foreign_owner(account: &Account, path: &Path, uid: u32) -> anyhow::Error {
    let (name, aside, place) = (&account.name, fault::move_aside(&account.name, path), fault::quoted(path));
    // Not chown(1): the account can lay a link on the way before a person comes to it.
    let repair = if uid == 0 {
        mend!(
            "see what it is, since {} may have moved it there: $ ls -la {}; if it is meant for jobs, run apply with --adopt; if not, move it away: $ {}",
            name,
            place,
            aside
        )
    } else {
        mend!("see whose it is, and move it away: $ ls -la {}; $ {}", place, aside)
    };
    let what = format!("{} can't be used by {name}: it belongs to uid {uid}, not to {name}", path.display());
    Nature::Foreign.fault("foreign-owner", what, repair)
}
