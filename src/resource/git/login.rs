//! An identity that none of git's usual files gives, and jobs have all the same: by what their login reads.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::facts::rehearsal::{step, steps};
use crate::facts::{Account, MOST_BYTES};
use crate::resource::Context;

/// The files of a login of bash that are the account's own.
const OWN: [&str; 4] = [".bash_profile", ".bash_login", ".profile", ".bashrc"];
/// Those of everybody, and a directory of more.
const SYSTEM: [&str; 3] = ["/etc/environment", "/etc/profile", "/etc/bash.bashrc"];
const MORE: &str = "/etc/profile.d";

/// Whether git finds an identity in a job's login, and makes none up. Only where a login file has a word on it a job is
/// gone through.
pub(super) fn identifies(context: &Context<'_>) -> Result<bool> {
    let Some(account) = context.target.account.as_ref().filter(|_| context.facts.is_host()) else {
        return Ok(false);
    };
    if !is_spoken_of(context, account) {
        return Ok(false);
    }
    let asks =
        ["AUTHOR", "COMMITTER"].map(|who| format!("git -c user.useConfigOnly=true var GIT_{who}_IDENT && "));
    let job = format!("cd /\n{}{}", asks.concat(), step("known"));
    let said = context.facts.rehearse_job(account, ("bash", "bash -l"), ":", &job)?;
    Ok(said.is_some_and(|said| steps(&said).iter().any(|(name, _)| *name == "known")))
}

/// A file that can't be looked at is no reason to give up: git then has the identity that it is given.
fn is_spoken_of(context: &Context<'_>, account: &Account) -> bool {
    let facts = context.facts;
    let own = OWN.iter().filter_map(|name| facts.home_file(account, name).ok().flatten());
    let more =
        facts.names(Path::new(MORE)).unwrap_or_default().into_iter().map(|name| Path::new(MORE).join(name));
    let system = SYSTEM.iter().map(PathBuf::from).chain(more);
    let all = own.chain(system.filter_map(|file| facts.file(&file, MOST_BYTES).ok().flatten()));
    let speaks = |line: &str| ["GIT_", "XDG_CONFIG_HOME"].iter().any(|word| line.contains(word));
    let is_code = |line: &&str| !line.trim_start().starts_with('#');
    all.into_iter().any(|file| file.text().lines().filter(is_code).any(speaks))
}
