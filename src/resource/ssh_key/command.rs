//! What git of the jobs calls instead of plain `ssh`: `GIT_SSH_COMMAND` of a login, or git's `core.sshCommand`. With `-i`
//! it names the key itself, and ssh then tries no other.

use std::path::PathBuf;

use anyhow::Result;

use super::found::{Usable, observe};
use crate::change::{FileKind, Notes, Seen};
use crate::facts::rehearsal::{Pushed, calls, pushed, script};
use crate::facts::ssh::Client;
use crate::facts::{Finished, MOST_BYTES};
use crate::resource::Context;

/// The files of which a login of bash reads the first that is there.
const LOGIN: [&str; 3] = [".bash_profile", ".bash_login", ".profile"];
/// The account's own files of git.
const GIT: [&str; 2] = [".config/git/config", ".gitconfig"];

/// What a command of git's says about the key.
pub(super) enum ByCommand {
    /// Nothing: ssh does what its configuration says.
    Nothing,
    /// It names this one.
    Key(Box<Usable>),
    /// It decides, and only the command itself can tell, or jobs can't use the key.
    Unknown,
}

/// The key that git's command names, where it decides on the key: a job that asks the server is gone through.
pub(super) fn by_command(context: &Context<'_>, notes: &mut Notes) -> Result<ByCommand> {
    let (facts, target) = (context.facts, context.target);
    let (Some(account), Some(by)) = (&target.account, set(context)?) else { return Ok(ByCommand::Nothing) };
    let servers = context.options.pushed_to();
    let asked = calls(&servers[0], "git ls-remote -q ADDRESS");
    let said = facts.rehearse_job(account, ("bash", "bash -l"), ":", &script(&asked))?;
    let answer = said.map(|said| pushed(facts, account, &asked, &said)).transpose()?.unwrap_or_default();
    let mut names = Vec::new();
    if let Some((_, Pushed::ToSsh(job))) = answer.into_iter().next() {
        if matches!(target.ssh(facts, &servers[0])?, Client::Does(known) if known.keys == job.keys) {
            return Ok(ByCommand::Nothing);
        }
        let below = |key: PathBuf| Some(key.strip_prefix(&target.home).ok()?.to_str()?.to_owned());
        names.extend(job.keys.into_iter().flatten().filter_map(below));
    }
    let found = observe(facts, account, false, &names)?;
    if let Some((_, (message, _))) = found.weak.first() {
        notes.harm("ssh-key-weak", message.clone(), "make a stronger key, and let that command name it");
    }
    let found = found.all().next();
    let see = match by {
        "core.sshCommand" => context.as_account("git config --show-origin --get core.sshCommand"),
        _ => format!("su -l {} -c env", account.name),
    };
    let see = mend!("see what git calls: $ {}", see);
    match &found {
        Some(usable) => {
            notes.warn("ssh-key-configured", format!("{by} names the key: ~/{}", usable.name), see);
        }
        None => notes.warn(
            "ssh-config-unknown",
            format!("which key git of {} offers is not known: {by} decides on it", account.name),
            see,
        ),
    }
    Ok(found.map_or(ByCommand::Unknown, |usable| ByCommand::Key(Box::new(usable))))
}

/// Where a command is set.
fn set(context: &Context<'_>) -> Result<Option<&'static str>> {
    let Some(account) = &context.target.account else { return Ok(None) };
    let mut texts: Vec<Seen> = context.home(&LOGIN)?.into_iter().flatten().take(1).collect();
    texts.extend(context.facts.file("/etc/profile".as_ref(), MOST_BYTES)?);
    let sets = |line: &str| !line.trim_start().starts_with('#') && line.contains("GIT_SSH");
    if texts.iter().any(|text| text.text().lines().any(sets)) {
        return Ok(Some("GIT_SSH_COMMAND or GIT_SSH of its login files"));
    }
    if !context.facts.is_host() {
        return Ok(None);
    }
    // What git can't read to its end is for those to tell who look at git.
    let own = context.home(&GIT)?;
    if own.iter().flatten().any(|seen| seen.kind != FileKind::Regular) {
        return Ok(None);
    }
    let ask = ["config", "--includes", "--get", "core.sshCommand"];
    let Ok(asked) = context.facts.ask(account, "git", &ask, b"") else { return Ok(None) };
    Ok(asked.filter(Finished::success).map(|_| "core.sshCommand"))
}
