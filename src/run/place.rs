//! Where a command works: the tree, and the machine whose tools are used; and for whom.

use std::path::Path;
use std::time::SystemTime;

use anyhow::Result;

use super::exit::Call;
use super::spinner::waiting;
use crate::apply::{Session, was_disturbed};
use crate::cli::Environment;
use crate::facts::Facts;
use crate::resource::Target;
use crate::sys::identity;
use crate::sys::root::Root;

/// More runs than this are not at work one after another on the same things.
const MOST_LOOKS: u32 = 5;

/// The tree that is worked on, and the machine.
pub(super) struct Site {
    pub(super) root: Root,
    /// The machine, where the tree is another one.
    other: Option<Root>,
    /// Who called.
    pub(super) environment: Environment,
}

impl Site {
    /// What the command line names. `user` is the account of `--user`.
    pub(super) fn open(call: Call<'_>, user: Option<&str>) -> Result<Self> {
        Self::at(&call.cli.global.root, call.environment, user)
    }

    /// The tree at a path.
    pub(super) fn at(path: &Path, environment: Environment, user: Option<&str>) -> Result<Self> {
        identity::harden()?;
        let root = machine(environment, user)?;
        // Nearly always the host itself.
        if path == Path::new("/") {
            return Ok(Self { root, other: None, environment });
        }
        let tree = root.tree(path)?;
        let (root, other) = if tree.is_host() { (root, None) } else { (tree, Some(root)) };
        Ok(Self { root, other, environment })
    }

    pub(super) fn machine(&self) -> &Root {
        self.other.as_ref().unwrap_or(&self.root)
    }

    pub(super) fn facts(&self) -> Facts<'_> {
        Facts::new(&self.root, self.machine())
    }

    /// Look at the host without the lock. What `is_wrong` counts where no other run was at work meanwhile.
    pub(super) fn look<T>(&self, call: Call<'_>, look: impl Fn() -> T, is_wrong: impl Fn(&T) -> bool) -> T {
        for _ in 1..MOST_LOOKS {
            let began = SystemTime::now();
            let seen = look();
            if !is_wrong(&seen) || !was_disturbed(&self.root, began, &waiting(call)) {
                return seen;
            }
        }
        look()
    }

    /// Take the lock, and repair what a killed run left.
    pub(super) fn session(&self, call: Call<'_>) -> Result<Session<'_>> {
        Session::open(&self.root, self.machine(), waiting(call))
    }
}

/// The machine, pointed at files of root's and of whoever called root.
pub(crate) fn machine(environment: Environment, user: Option<&str>) -> Result<Root> {
    let machine = Root::open(Path::new("/"))?;
    let caller = caller(&machine, environment, user);
    Ok(machine.called_by(caller))
}

/// The user behind `sudo`, but never the account that jobs run as: a rule that lets it call this program would let it
/// choose what root does. Where that can't be told, nobody.
fn caller(machine: &Root, environment: Environment, user: Option<&str>) -> Option<u32> {
    let uid = environment.sudo_uid.filter(|uid| identity::is_root() && ![0, u32::MAX].contains(uid))?;
    let facts = Facts::new(machine, machine);
    let is_of_jobs = |user: Option<&str>| -> Result<bool> {
        let account = Target::find(&facts, user.map(str::to_owned))?.account;
        Ok(account.is_some_and(|account| account.uid == uid))
    };
    let asked = match user {
        Some(_) => is_of_jobs(user).ok()?,
        None => false,
    };
    (!asked && !is_of_jobs(None).ok()?).then_some(uid)
}
