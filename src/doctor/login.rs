//! The login shell of the account, started as gitlab-runner starts it for a job of the shell executor.

use anyhow::Result;

use super::patient::{Login, Patient};
use crate::facts::programs::install;
use crate::fault;
use crate::finding::Findings;

/// Files of the account that a login shell reads, the usual culprit first.
const DOTFILES: [&str; 7] =
    [".bash_logout", ".bash_profile", ".bash_login", ".profile", ".bashrc", ".condarc", ".rvmrc"];

/// The programs that jobs call by name.
const PROGRAMS: [&str; 4] = ["git", "ssh", "rsync", "docker"];

/// Marks our lines in what the account's own files may print.
const MARK: &str = "runner-prep-finds:";

/// `su -s /bin/bash ACCOUNT -c "bash -l"`, as the shell executor has it. Its scripts begin with
/// `set -eo pipefail`, so that a command that fails in `~/.bash_logout` fails the job; this one says
/// which programs it finds and ends. What it says is the account's word, and only a word on itself.
pub(super) fn tried<'p>(patient: &'p Patient<'_>) -> Result<&'p Login> {
    if let Some(login) = patient.login.get() {
        return Ok(login);
    }
    let Some(machine) = patient.machine else {
        return Ok(patient.login.get_or_init(|| Login::NotTried("this is a tree".to_owned())));
    };
    let script = format!(
        "set -eo pipefail\nfor p in {}; do\nif command -v \"$p\" >/dev/null; then printf '\\n{MARK}%s\\n' \"$p\"; \
         fi\ndone\nexit 0\n",
        PROGRAMS.join(" ")
    );
    let arguments = ["-s", "/bin/bash", patient.name, "-c", "bash -l"];
    let login = match machine.ask("su", &arguments, script.as_bytes()) {
        Ok(None) => Login::NotTried("su is not installed".to_owned()),
        Ok(Some(done)) if done.success() => {
            let found = done.stdout.lines().filter_map(|line| line.strip_prefix(MARK));
            Login::Good(found.map(str::to_owned).collect())
        }
        Ok(Some(done)) => Login::Ended(done.code),
        Err(error) if fault::is(&error, "tool-hangs") => Login::Hangs,
        Err(error) => return Err(error),
    };
    Ok(patient.login.get_or_init(|| login))
}

/// A shell that fails at its beginning or end fails every job before its first line.
pub(super) fn shell(patient: &Patient<'_>, findings: &mut Findings) -> Result<()> {
    let Some(account) = patient.account else { return Ok(()) };
    let command = format!("su -s /bin/bash {} -c 'bash -l'", patient.name);
    let what = match tried(patient)? {
        Login::Good(_) => {
            findings.fine("it starts and ends as jobs need it");
            return Ok(());
        }
        Login::NotTried(why) => {
            findings.unknown(
                "login-shell-untried",
                format!("the login shell was not tried: {why}"),
                install(patient.facts, &["su"])?,
            );
            return Ok(());
        }
        Login::Ended(Some(code)) => format!("ended with code {code} where jobs need 0"),
        Login::Ended(None) => "was ended by a signal".to_owned(),
        Login::Hangs => "does not end".to_owned(),
    };
    // What it printed is the account's word, and may hold anything: not shown.
    let there = patient.facts.home(account, &DOTFILES)?;
    let culprits: Vec<&str> =
        DOTFILES.iter().zip(there).filter(|(_, seen)| seen.is_some()).map(|(name, _)| *name).collect();
    let culprits = if culprits.is_empty() { "/etc/profile".to_owned() } else { culprits.join(", ") };
    findings.problem(
        "login-shell-fails",
        format!("the login shell of {} {what}; it reads {culprits}", patient.name),
        format!(
            "see why: printf 'set -e\\nexit 0\\n' | {command}; then correct the file in {}",
            account.home.display()
        ),
    );
    Ok(())
}
