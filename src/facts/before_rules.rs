//! What has a say before sudo reads a rule: sudo.conf(5), and whom PAM lets in, pam.conf(5). Read as far as to know whether
//! sudo has to be asked.

use std::path::Path;

use anyhow::Result;

use super::{Facts, MOST_BYTES, PASSWD};
use crate::change::FileKind;
use crate::fault::{fault, look_and_move};
use crate::repair::Repair;

/// What every sudo does where its file says nothing.
const USUAL: &str = "sudoers_policy sudoers.so, sudoers_io sudoers.so, sudoers_audit sudoers.so";

/// Modules that turn nobody away whom those of su, which starts a job, let in.
const MODULES: &str = "pam_env.so pam_keyinit.so pam_limits.so pam_loginuid.so pam_permit.so pam_systemd.so pam_umask.so pam_unix.so";

/// Whether sudo may refuse the account whatever its rules say.
///
/// # Errors
/// When a file can't be read.
pub fn may_refuse(facts: &Facts<'_>) -> Result<bool> {
    if !facts.is_host() {
        return Ok(false);
    }
    let read = |path: &str| {
        let path = Path::new(path);
        let seen = facts.file(path, MOST_BYTES)?;
        match seen.as_ref().map(|seen| seen.kind) {
            Some(kind @ FileKind::Fifo) => {
                let what = format!("{} is {kind}: sudo waits for it for ever, at every call", path.display());
                Err(fault("sudoers-special-file", what, look_and_move(path)))
            }
            _ => Ok(seen),
        }
    };
    let is_quiet = |line: &str| {
        let (first, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let is_usual = first == "Plugin" && USUAL.split(", ").any(|usual| usual == rest.trim());
        line.starts_with('#') || is_usual || ["", "Set", "Debug"].contains(&first)
    };
    let conf = read("/etc/sudo.conf")?;
    if conf.is_some_and(|conf| conf.kind.is_special() || !conf.text().lines().map(str::trim).all(is_quiet)) {
        return Ok(true);
    }
    // Without the file it is that of all others; without the directory there is no PAM.
    let Some(pam) = read("/etc/pam.d/sudo")? else {
        return Ok(facts.stat(Path::new("/etc/pam.d"))?.is_some());
    };
    Ok(pam.kind.is_special() || pam.text().lines().any(turns_away))
}

/// The fields of an account's line, where it has more than a name and an end.
fn fields_of<'t>(text: &'t str, account: &str) -> Option<Vec<&'t str>> {
    let mut lines = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    lines.find(|fields| fields.len() > 2 && fields[0] == account)
}

/// Whether the account has to have a line in shadow(5): its own in passwd(5) says so, and nothing else is asked for such lines.
fn needs_shadow(facts: &Facts<'_>, account: &str) -> Result<bool> {
    let is_file = |source: &str| ["files", "compat", "systemd"].contains(&source);
    let sources = facts.name_services("shadow")?;
    let passwd = facts.text(Path::new(PASSWD))?;
    Ok(sources.iter().flat_map(|sources| sources.split_whitespace()).all(is_file)
        && fields_of(&passwd, account).is_some_and(|fields| fields[1] == "x"))
}

/// Why the account is let in no more: its line in shadow(5) is missing, or by its dates, as PAM goes by them. With codes
/// and repairs.
///
/// # Errors
/// When the file can't be read.
pub fn barred(facts: &Facts<'_>, account: &str) -> Result<Vec<(&'static str, String, Repair)>> {
    let mut found = Vec::new();
    let path = Path::new("/etc/shadow");
    let text = facts.text(path)?;
    let Some(fields) = fields_of(&text, account) else {
        if needs_shadow(facts, account)? {
            let make = "$ pwconv";
            let is_usable = facts.entry(path)?.is_none_or(|seen| seen.kind == FileKind::Regular);
            found.push((
                "shadow-line-missing",
                format!(
                    "{account} has no line in /etc/shadow: su starts no job (\"Authentication failure\")"
                ),
                if is_usable { make.into() } else { look_and_move(path) + "; " + make },
            ));
        }
        return Ok(found);
    };
    let day = |at: usize| fields.get(at).and_then(|field| field.parse::<i64>().ok()).filter(|day| *day >= 0);
    let (changed, most_days, expires) = (day(2), day(4), day(7));
    let today = crate::sys::waiting::now().0 / 86_400;
    if expires.is_some_and(|expires| today >= expires) {
        found.push((
            "account-expired",
            format!("{account} has expired by its line in /etc/shadow: su starts no job, and sudo refuses every command"),
            mend!("$ chage --expiredate -1 {}", account),
        ));
    }
    let is_old = |(changed, most): (i64, i64)| today - changed > most;
    if changed == Some(0) || changed.zip(most_days).is_some_and(is_old) {
        found.push((
            "password-expired",
            format!("{account} would have to change its password, by its line in /etc/shadow: su starts no job, and sudo refuses every command"),
            mend!("$ chage --lastday -1 --maxdays -1 {}", account),
        ));
    }
    Ok(found)
}

/// Whether a line may turn an account away. What it includes su goes by as well.
fn turns_away(line: &str) -> bool {
    let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
    let kind = words.next().unwrap_or_default().trim_start_matches('-');
    ["account", "session"].contains(&kind)
        && !["include", "substack", "optional", "sufficient"].contains(&words.next().unwrap_or_default())
        && !words.any(|word| MODULES.split_whitespace().any(|usual| word.rsplit('/').next() == Some(usual)))
}
