//! The account that jobs run as: its home and its groups.

use anyhow::Result;

use super::DoctorContext;
use crate::change::{FileKind, Owner, Seen};
use crate::facts::Account;
use crate::facts::before_rules::barred;
use crate::facts::checkouts::{BUILDS, CACHE};
use crate::fault::{AtHome, make_home, quoted};
use crate::finding::Findings;
use crate::policy::ROOT_GROUPS;
use crate::runner_config::Runner;

/// The home exists, belongs to the account, and nobody else can put anything into it.
pub(super) fn home(context: &DoctorContext<'_>, findings: &mut Findings) -> Result<()> {
    let Some(account) = context.account() else { return Ok(()) };
    let (user, path) = (&account.name, account.home.display().to_string());
    if let Some((code, what, repair)) = context.facts.lacks_home(account)? {
        findings.problem(code, what, repair);
        return Ok(());
    }
    let Some(seen) = context.facts.stat(&account.home)? else { return Ok(()) };
    let owner = context.facts.ids(&Owner::Account(user.clone()))?.map(|(uid, _)| uid);
    if owner.is_some_and(|owner| owner != seen.uid) {
        let what =
            format!("the home of {user} belongs to uid {}: jobs of {user} can't build in {path}", seen.uid);
        let repair = make_home(user, account.gid, &account.home, AtHome::Foreign);
        findings.problem("home-owner", what, repair);
        return Ok(());
    }
    if is_writable_by_others(&seen, account) {
        let what = format!("others than {user} can write in its home {path}: mode {:04o}", seen.mode);
        let repair = mend!("$ sudo -u {} chmod go-w {}", user, quoted(&account.home));
        findings.problem("home-writable", what, repair);
    }
    for name in [BUILDS, CACHE].into_iter().filter(|name| is_used(context, account, name)) {
        if let Some((what, repair)) = context.facts.unusable(account, name)? {
            findings.problem("builds-unusable", what, repair);
        }
    }
    let ssh = context.facts.home_file(account, ".ssh")?;
    let is_open = |seen: &Seen| seen.kind == FileKind::Directory && is_writable_by_others(seen, account);
    if let Some(seen) = ssh.filter(is_open) {
        let what = format!("others than {user} can write in {path}/.ssh: mode {:04o}", seen.mode);
        let repair = mend!("$ sudo -u {} chmod 0700 {}", user, quoted(account.home.join(".ssh")));
        findings.problem("ssh-directory-writable", what, repair);
    }
    let shell = account.shell.display();
    findings.else_fine(format!("{user}, uid {}, home {path}, shell {shell}", account.uid));
    Ok(())
}

/// Whether jobs have their checkouts or caches in this directory of the home, as far as is known: where the service
/// has no other working directory, and a runner of the shell executor names no other place.
fn is_used(context: &DoctorContext<'_>, account: &Account, name: &str) -> bool {
    let directory = context.service().and_then(|service| service.directory.as_ref());
    if directory.is_some_and(|directory| *directory != account.home) {
        return false;
    }
    let key = if name == BUILDS { "builds_dir" } else { "cache_dir" };
    // What is wrong with the file is found by the checks of it.
    let runners = context.all_runners().unwrap_or_default();
    let is_here = |runner: &Runner<'_>| runner.has_executor("shell") && runner.text(key).is_none();
    runners.is_empty() || runners.iter().any(is_here)
}

fn is_writable_by_others(seen: &Seen, account: &Account) -> bool {
    seen.mode & 0o002 != 0 || (seen.mode & 0o020 != 0 && seen.gid != account.gid && seen.gid != 0)
}

/// The dates of shadow(5): past one of them su starts nothing as the account.
pub(super) fn expiry(context: &DoctorContext<'_>, findings: &mut Findings) -> Result<()> {
    for (code, what, repair) in barred(context.facts, context.name())? {
        findings.problem(code, what, repair);
    }
    findings.else_fine(format!("{} has no date after which it ends", context.name()));
    Ok(())
}

/// Names the groups of the account that make every job root.
pub(super) fn groups(context: &DoctorContext<'_>, findings: &mut Findings) -> Result<()> {
    for (group, way) in ROOT_GROUPS {
        if context.target.is_in(context.facts, group)? {
            findings.note(
                "root-equivalent-group",
                format!("{} is in the group {group}, which makes every job root: {way}", context.name()),
                mend!(
                    "unless the jobs are trusted like root: $ gpasswd --delete {} {}",
                    context.name(),
                    group
                ),
            );
        }
    }
    findings.else_fine("in no group that equals root");
    Ok(())
}
