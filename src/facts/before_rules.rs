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
    let text = pam.text();
    // Those of every distribution are taken for there.
    let is_usual = |file: &&str| file.starts_with("common-") || file.starts_with("system-");
    for file in text.lines().filter_map(included).filter(|file| !is_usual(file)) {
        if facts.stat(&Path::new("/etc/pam.d").join(file))?.is_none() {
            return Ok(true);
        }
    }
    Ok(pam.kind.is_special() || text.split('\n').any(turns_away))
}

/// The fields of an account's first line of which this is true.
fn fields_of<'t>(text: &'t str, account: &str, is_it: impl Fn(&[&str]) -> bool) -> Option<Vec<&'t str>> {
    let mut lines = text.split('\n').map(|line| line.split(':').collect::<Vec<_>>());
    lines.find(|fields| fields[0] == account && is_it(fields))
}

/// Whether the C library reads a line of shadow(5) with these fields; it passes over others.
fn is_read(fields: &[&str]) -> bool {
    let is_number = |field: &&str| field.is_empty() || field.trim_start().parse::<u32>().is_ok();
    let (numbers, has_end) = match fields {
        // The old form ends with the most days.
        [.., last] if fields.len() == 5 => (&fields[2..], !last.is_empty()),
        [.., last] if fields.len() == 6 => (&fields[2..5], last.trim().is_empty()),
        [.., last] if fields.len() == 8 => (&fields[2..], !last.is_empty()),
        _ => (fields.get(2..).unwrap_or_default(), fields.len() == 9),
    };
    has_end && numbers.iter().all(is_number)
}

/// Whether the account has to have a line in shadow(5): its own in passwd(5) says so, and nothing else is asked for such lines.
fn needs_shadow(facts: &Facts<'_>, account: &str) -> Result<bool> {
    let is_file = |source: &str| ["files", "compat", "systemd"].contains(&source);
    let sources = facts.name_services("shadow")?;
    let passwd = facts.text(Path::new(PASSWD))?;
    Ok(sources.iter().flat_map(|sources| sources.split_whitespace()).all(is_file)
        && fields_of(&passwd, account, |fields| fields.get(1) == Some(&"x")).is_some())
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
    let Some(fields) = fields_of(&text, account, is_read) else {
        if needs_shadow(facts, account)? {
            let make = "$ pwconv";
            let is_usable = facts.entry(path)?.is_none_or(|seen| seen.kind == FileKind::Regular);
            found.push((
                "shadow-line-missing",
                format!(
                    "{account} has no line in /etc/shadow that can be read: su starts no job (\"Authentication failure\")"
                ),
                if is_usable { make.into() } else { look_and_move(path) + "; " + make },
            ));
        }
        return Ok(found);
    };
    let day = |at: usize| fields.get(at).and_then(|field| field.trim_start().parse::<i64>().ok());
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

/// The words of a line of PAM: neither the case of the first ones counts, nor a comment.
fn pam_words(line: &str) -> impl Iterator<Item = &str> {
    line.split('#').next().unwrap_or_default().split_whitespace()
}

/// The file that a line includes.
fn included(line: &str) -> Option<&str> {
    let mut words = pam_words(line);
    if words.next()? == "@include" {
        return words.next();
    }
    words.next().filter(|word| ["include", "substack"].iter().any(|how| word.eq_ignore_ascii_case(how)))?;
    words.next()
}

/// Whether a line may turn an account away. What it includes su goes by as well, where it is there.
fn turns_away(line: &str) -> bool {
    if included(line).is_some() {
        return line.ends_with('\r');
    }
    let mut words = pam_words(line).map(str::to_ascii_lowercase);
    let kind = words.next().unwrap_or_default();
    let is_about = ["account", "session"].contains(&kind.trim_start_matches('-'));
    let control = words.next().unwrap_or_default();
    let is_usual =
        |word: &String| MODULES.split_whitespace().any(|usual| word.rsplit('/').next() == Some(usual));
    // A jump can lead past the module that lets in.
    is_about
        && !["optional", "sufficient"].contains(&&*control)
        && (control.starts_with('[')
            || !words.next().is_some_and(|word| is_usual(&word))
            || words.any(|word| word.starts_with("conf=")))
}
