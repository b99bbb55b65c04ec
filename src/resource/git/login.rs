//! An identity that none of git's usual files gives, and jobs have all the same: by what their login reads.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::change::Seen;
use crate::facts::MOST_BYTES;
use crate::facts::rehearsal::{step, steps};
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
    if !is_spoken_of(context)? {
        return Ok(false);
    }
    let asks =
        ["AUTHOR", "COMMITTER"].map(|who| format!("git -c user.useConfigOnly=true var GIT_{who}_IDENT && "));
    let job = format!("cd /\n{}{}", asks.concat(), step("known"));
    let said = context.facts.rehearse_job(account, ("bash", "bash -l"), ":", &job)?;
    Ok(said.is_some_and(|said| steps(&said).iter().any(|(name, _)| *name == "known")))
}

fn is_spoken_of(context: &Context<'_>) -> Result<bool> {
    let facts = context.facts;
    let mut texts: Vec<Seen> = context.home(&OWN)?.into_iter().flatten().collect();
    let more = facts.names(Path::new(MORE))?.into_iter().map(|name| Path::new(MORE).join(name));
    for file in SYSTEM.iter().map(PathBuf::from).chain(more) {
        texts.extend(facts.file(&file, MOST_BYTES)?);
    }
    let speaks = |line: &str| ["GIT_", "XDG_CONFIG_HOME"].iter().any(|word| line.contains(word));
    Ok(texts
        .iter()
        .any(|text| text.text().lines().any(|line| !line.trim_start().starts_with('#') && speaks(line))))
}
