//! Where a command works: the tree, and the machine whose tools are used; and for whom.

use std::path::Path;

use anyhow::Result;

use crate::cli::Environment;
use crate::facts::Facts;
use crate::resource::Target;
use crate::sys::identity;
use crate::sys::root::Root;

/// Open the tree at a path, and the machine where that is another one. `user` is the account that `--user` names.
pub(super) fn open(
    path: &Path,
    environment: Environment,
    user: Option<&str>,
) -> Result<(Root, Option<Root>)> {
    let machine = machine(environment, user)?;
    // Nearly always the host itself.
    if path == Path::new("/") {
        return Ok((machine, None));
    }
    let tree = machine.tree(path)?;
    Ok(if tree.is_host() { (machine, None) } else { (tree, Some(machine)) })
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
