//! What keeps jobs from starting as an account that is there: a directory on the way to its home, and what the password
//! database says of it. Both are somebody's decision, and wait for that person.

use std::path::Path;

use anyhow::Result;

use crate::change::Notes;
use crate::facts::{Account, MOST_BYTES};
use crate::fault::quoted;
use crate::resource::Context;

const SHADOW: &str = "/etc/shadow";

/// Tell what keeps them from it. Only the running host has jobs.
pub(super) fn look(context: &Context<'_>, account: &Account, notes: &mut Notes) -> Result<()> {
    if context.facts.is_host() {
        tell_shut(context, account, notes)?;
        tell_expired(context, account, notes)?;
    }
    Ok(())
}

/// A directory above the home that the account can't pass. The account itself is asked only where modes leave a doubt.
fn tell_shut(context: &Context<'_>, account: &Account, notes: &mut Notes) -> Result<()> {
    let facts = context.facts;
    let mut is_doubtful = false;
    for above in account.home.ancestors().skip(1) {
        is_doubtful |= facts.stat(above)?.is_some_and(|seen| seen.mode & 0o001 == 0);
    }
    if !is_doubtful {
        return Ok(());
    }
    let Some(shut) = facts.shut_out(account, &account.home)?.filter(|shut| *shut != account.home) else {
        return Ok(());
    };
    notes.wait(
        "home-shut",
        format!(
            "{} can't enter {}: no job gets to its home {}",
            account.name,
            shut.display(),
            account.home.display()
        ),
        format!("chmod a+x {}", quoted(&shut)),
    );
    Ok(())
}

/// The ages in `/etc/shadow`, in days: su(1), by which gitlab-runner starts jobs, refuses an account that has expired or
/// whose password has.
fn tell_expired(context: &Context<'_>, account: &Account, notes: &mut Notes) -> Result<()> {
    let Some(shadow) = context.facts.file(Path::new(SHADOW), MOST_BYTES)? else { return Ok(()) };
    let text = shadow.text();
    let Some(line) = text.lines().find(|line| line.split(':').next() == Some(&account.name)) else {
        return Ok(());
    };
    let fields: Vec<&str> = line.split(':').collect();
    let days =
        |field: usize| fields.get(field).and_then(|days| days.parse::<i64>().ok()).filter(|days| *days >= 0);
    let today = context.facts.today();
    let (changed, most, expires) = (days(2), days(4), days(7));
    let why = if expires.is_some_and(|day| day <= today) {
        "the account has expired"
    } else if changed == Some(0) {
        "its password must be changed first"
    } else if changed.zip(most).is_some_and(|(changed, most)| changed + most < today) {
        "its password has expired"
    } else {
        return Ok(());
    };
    let name = &account.name;
    notes.wait(
        "account-expired",
        format!("su starts no job of {name}: {why} ({SHADOW})"),
        format!("let it not expire, as for an account of the system: chage -d -1 -M -1 -E -1 {name}"),
    );
    Ok(())
}
