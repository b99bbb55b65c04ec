//! Where a command works: the tree, and the machine whose tools are used; for whom, who reads what it says, and which options
//! let another command work on the same.

use std::path::Path;
use std::time::SystemTime;

use anyhow::Result;

use super::exit::Call;
use super::spinner::waiting;
use crate::apply::{Session, was_disturbed};
use crate::cli::{Environment, HostOptions, Selection};
use crate::facts::Facts;
use crate::fault::Nature;
use crate::keys::Version;
use crate::repair::{Reader, quoted};
use crate::report::text::Details;
use crate::resource::Target;
use crate::sys::identity::{self, is_root};
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

/// Who reads the repairs, and what the options of the command were that say where it works.
pub(super) fn reader(call: Call<'_>, profiles: &[String], options: Vec<(&str, String)>) -> Reader {
    let tree =
        (call.cli.global.root != Path::new("/")).then(|| Root::open(&call.cli.global.root).ok()).flatten();
    let tree = tree.and_then(|root| root.prefix().map(Path::to_owned));
    let root = tree.as_ref().map(|tree| ("--root", tree.display().to_string()));
    let words = root.into_iter().chain(options);
    let options = words.map(|(option, value)| [" ", option, " ", &quoted(&value)].concat()).collect();
    let by_sudo = call.environment.sudo_uid.is_some_and(|uid| uid != 0);
    let chroots_by_sudo = tree.is_some() && !is_root();
    let (profiles, wants_all) = (profiles.join(","), call.style.details == Details::Checks);
    Reader { by_sudo, chroots_by_sudo, tree, profiles, wants_all, options }
}

/// The options that let another command work on the same.
pub(super) fn options(selection: &Selection) -> Vec<(&'static str, String)> {
    same_options(&selection.host, selection.runner_version)
}

pub(super) fn same_options(host: &HostOptions, version: Option<Version>) -> Vec<(&'static str, String)> {
    let config = host.config.as_ref().map(|path| ("--config", path.display().to_string()));
    let user = host.user.clone().map(|name| ("--user", name));
    let runners = host.runner.iter().map(|name| ("--runner", name.clone()));
    let version = version.map(|version| ("--runner-version", version.to_string()));
    config.into_iter().chain(user).chain(runners).chain(version).collect()
}

/// What works on the whole host needs all of root's rights.
pub(super) fn require_root(root: &Root, command: &str) -> Result<()> {
    if !root.is_host() || root.owner().uid == 0 {
        return Ok(());
    }
    Err(Nature::NotRoot.fault(
        "not-root",
        "runner-prep works on the whole host and must be root",
        mend!("call it with sudo, or give it a tree of your own with --root: $ sudo runner-prep {}", command),
    ))
}
