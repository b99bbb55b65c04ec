//! What has a say before sudo reads a rule: sudo.conf(5), and whom PAM lets in, pam.conf(5). Read as far as to know whether
//! sudo has to be asked.

use std::path::Path;

use anyhow::Result;

use super::{Facts, MOST_BYTES};

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
    let read = |path: &str| facts.file(Path::new(path), MOST_BYTES);
    let is_quiet = |line: &str| {
        let (first, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let is_usual = first == "Plugin" && USUAL.split(", ").any(|usual| usual == rest.trim());
        line.starts_with('#') || is_usual || ["", "Set", "Debug"].contains(&first)
    };
    let conf = read("/etc/sudo.conf")?;
    if conf.is_some_and(|conf| !conf.text().lines().map(str::trim).all(is_quiet)) {
        return Ok(true);
    }
    // Without the file it is that of all others; without the directory there is no PAM.
    let Some(pam) = read("/etc/pam.d/sudo")? else {
        return Ok(facts.stat(Path::new("/etc/pam.d"))?.is_some());
    };
    Ok(pam.text().lines().any(turns_away))
}

/// Whether a line may turn an account away. What it includes su goes by as well.
fn turns_away(line: &str) -> bool {
    let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
    let kind = words.next().unwrap_or_default().trim_start_matches('-');
    ["account", "session"].contains(&kind)
        && !["include", "substack", "optional", "sufficient"].contains(&words.next().unwrap_or_default())
        && !words.any(|word| MODULES.split_whitespace().any(|usual| word.rsplit('/').next() == Some(usual)))
}
