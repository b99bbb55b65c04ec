//! The login shell of the account, started as gitlab-runner starts it for a job of the shell executor.

use std::fmt;
use std::path::Path;

use anyhow::Result;

use super::context::{DoctorContext, Login, LoginLine};
use crate::facts::Finished;
use crate::facts::programs::install;
use crate::fault::{self, Nature, quoted};
use crate::finding::Findings;
use crate::repair::Repair;

/// Files of the account that a login shell reads, the usual culprit first.
const DOTFILES: [&str; 7] =
    [".bash_logout", ".bash_profile", ".bash_login", ".profile", ".bashrc", ".condarc", ".rvmrc"];

/// The programs that jobs call by name.
const PROGRAMS: [&str; 4] = ["git", "ssh", "rsync", "docker"];

/// Marks our lines in what the account's own files may print.
const MARK: &str = "runner-prep-finds:";

/// What the script says at its end, as if it were a program.
const END: &str = "/";

/// Marks the places in what a shell tells of its way.
const AT: &str = "runner-prep-at:";

/// `su -s /bin/bash ACCOUNT -c "bash -l"`, as the shell executor has it. Its scripts begin with
/// `set -eo pipefail`, so that a command that fails in `~/.bash_logout` fails the job; this one says
/// which programs it finds and ends. What it says is the account's word, and only a word on itself.
///
/// Where it does not come to its end, the shell is started once more to tell its way.
pub(super) fn tried<'p>(context: &'p DoctorContext<'_>) -> Result<&'p Login> {
    if let Some(login) = context.login.get() {
        return Ok(login);
    }
    let Some(machine) = context.machine else {
        return Ok(context.login.get_or_init(|| Login::NotTried("this is a tree".to_owned())));
    };
    // `$'…'` is how a job's script stands there: of the usual shells bash, ksh and zsh read it.
    let name = job_shell(context).unwrap_or("bash");
    let (begin, text) = if name == "sh" {
        ("set -e", format!("'printf \"\\n{MARK}{END}\\n\"'"))
    } else {
        ("set -eo pipefail\nset +o noclobber", format!("$'printf \"\\\\n{MARK}{END}\\\\n\"\\n'"))
    };
    // What stands for a program need not be one: that every job begins with is called.
    let script = format!(
        "{begin}\nfor p in {}; do\nif command -v \"$p\" >/dev/null; then \
         printf '\\n{MARK}%s\\n' \"$p\"; fi\ndone\n\
         if command -v git >/dev/null; then git --version >/dev/null; fi\n: | eval {text}\nexit 0\n",
        PROGRAMS.join(" ")
    );
    let ask = |command: &str| {
        machine.ask("su", &["-s", &format!("/bin/{name}"), context.name, "-c", command], script.as_bytes())
    };
    let way = || (name == "bash").then(|| ask(&telling()).ok().flatten()).flatten();
    let spot = |told: Option<Finished>| LoginLine::last(&told?.stderr, &context.account?.home);
    let login = match ask(&format!("{name} -l")) {
        Ok(None) => Login::NotTried("su is not installed".to_owned()),
        Ok(Some(done)) if done.success() => {
            let found = done.stdout.lines().filter_map(|line| line.strip_prefix(MARK));
            let found: Vec<String> = found.map(str::to_owned).collect();
            if found.iter().any(|name| name == END) { Login::Good(found) } else { Login::Skips(spot(way())) }
        }
        Ok(Some(done)) => match way() {
            // Nothing of the account's has run.
            Some(told) if !told.success() && !told.stderr.contains(AT) => Login::Refused(told.complaint()),
            told => Login::Ended(done.code, spot(told)),
        },
        Err(error) if fault::is(&error, Nature::Hangs) => Login::Hangs,
        Err(error) => return Err(error),
    };
    Ok(context.login.get_or_init(|| login))
}

/// The login shell that tells its way. Only bash tells the file.
fn telling() -> String {
    format!("PS4='+{AT}${{BASH_SOURCE}}:${{LINENO}}:' bash -lx")
}

/// The lines of the account's own files that its login shell comes to, the last one first.
pub(super) fn own_lines(context: &DoctorContext<'_>) -> Vec<LoginLine> {
    let (Some(machine), Some(account)) = (context.machine, context.account) else { return Vec::new() };
    let arguments = ["-s", "/bin/bash", context.name, "-c", &telling()];
    let told = machine.ask("su", &arguments, b"exit 0\n").ok().flatten().map(|said| said.stderr);
    let told = told.unwrap_or_default();
    let own = LoginLine::all(&told, &account.home).filter(|spot| spot.file.starts_with(&account.home));
    let mut lines = Vec::new();
    for line in own.rev() {
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines
}

/// The shell of jobs of the shell executor, as `shell` of the runners has it; `None` where all have PowerShell.
pub(super) fn job_shell(context: &DoctorContext<'_>) -> Option<&'static str> {
    let runners = context.all_runners().unwrap_or_default();
    let of_shells = runners.iter().filter(|runner| runner.has_executor("shell"));
    let shells: Vec<&str> = of_shells.map(|runner| runner.text("shell").unwrap_or("bash")).collect();
    let all = |names: &[&str]| !shells.is_empty() && shells.iter().all(|shell| names.contains(shell));
    match () {
        () if all(&["pwsh", "powershell"]) => None,
        () if all(&["sh", "pwsh", "powershell"]) => Some("sh"),
        () => Some("bash"),
    }
}

/// A shell that fails at its beginning or end fails every job before its first line.
pub(super) fn shell(context: &DoctorContext<'_>, findings: &mut Findings) -> Result<()> {
    let Some(account) = context.account else { return Ok(()) };
    let Some(name) = job_shell(context) else {
        findings.fine("the shell of its jobs is PowerShell, which reads no login file");
        return Ok(());
    };
    let user = context.name;
    let command = format!("su -s /bin/{name} {user} -c '{name} -lx'");
    let (what, spot) = match tried(context)? {
        Login::Good(_) => {
            findings.fine("it starts and ends as jobs need it");
            return Ok(());
        }
        Login::NotTried(why) => {
            findings.unknown(
                "login-shell-untried",
                format!("the login shell was not tried: {why}"),
                install(context.facts, &["su"])?,
            );
            return Ok(());
        }
        Login::Skips(spot) => {
            let at = spot.as_ref().map(|spot| format!(", at {spot}")).unwrap_or_default();
            findings.problem(
                "login-shell-skips",
                format!("the login shell of {user} ends with 0 before it reads a job's script{at}: every job does nothing, and is green"),
                spot.as_ref().and_then(|spot| spot.without(context)).unwrap_or_else(|| {
                    mend!("see which login file ends it, and correct that: $ printf 'echo here\\n' | {}", command)
                }),
            );
            return Ok(());
        }
        Login::Refused(why) => {
            let see = mend!(
                "see what keeps it from that, in /etc/pam.d/su, /etc/security/limits.conf, /etc/nologin or /etc/environment: $ su -s /bin/{} {} -c true",
                name,
                user
            );
            let message = format!("no job of {user} starts, because su can't start its shell: {why}");
            findings.problem("login-shell-fails", message, see);
            return Ok(());
        }
        Login::Ended(Some(code), spot) => {
            (format!("ended with code {code} where jobs need 0"), spot.as_ref())
        }
        Login::Ended(None, spot) => ("was ended by a signal".to_owned(), spot.as_ref()),
        Login::Hangs => ("does not end".to_owned(), None),
    };
    let see = mend!("see why: $ printf 'set -e\\ngit --version\\nexit 0\\n' | {}; then correct", command);
    if let Some(spot) = spot {
        let message =
            format!("the login shell of {user} {what}; the last that it read of a login file is {spot}");
        findings.problem("login-shell-fails", message, see + mend!(" {}", spot.file.display()));
        return Ok(());
    }
    // What it printed is the account's word, and may hold anything: not shown.
    let there = context.facts.home(account, &DOTFILES)?;
    let culprits: Vec<&str> =
        DOTFILES.iter().zip(there).filter(|(_, seen)| seen.is_some()).map(|(name, _)| *name).collect();
    let home = account.home.display();
    let own =
        if culprits.is_empty() { String::new() } else { format!(", and in {home}: {}", culprits.join(", ")) };
    findings.problem(
        "login-shell-fails",
        format!("the login shell of {user} {what}; it reads /etc/profile, what that names{own}"),
        see + " the file that it stops at",
    );
    Ok(())
}

impl LoginLine {
    /// Those in what the shell told, in their order. It is the account's word from the first of its own files on: only
    /// names that login files have are taken.
    fn all<'t>(told: &'t str, home: &'t Path) -> impl DoubleEndedIterator<Item = Self> {
        told.lines().filter_map(move |line| {
            let (file, rest) = line.split_once(AT)?.1.split_once(':')?;
            let line = rest.split_once(':')?.0.parse().ok()?;
            let is_usual = |name: &str| {
                !name.starts_with("..")
                    && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-+@".contains(c))
            };
            let of_all = ["/etc/profile", "/etc/bash.bashrc", "/etc/bashrc"].contains(&file)
                || file.strip_prefix("/etc/profile.d/").is_some_and(is_usual);
            let below = Path::new(file).strip_prefix(home).ok().and_then(Path::to_str);
            let is_own = below.is_some_and(|below| !below.is_empty() && below.split('/').all(is_usual));
            (of_all || is_own).then(|| Self { file: file.into(), line })
        })
    }

    /// The last one: of the account's own files, if there is one.
    fn last(told: &str, home: &Path) -> Option<Self> {
        let mut own = Self::all(told, home).filter(|spot| spot.file.starts_with(home));
        own.next_back().or_else(|| Self::all(told, home).next_back())
    }

    /// The command that takes the line out and leaves the others in their place, with the account's rights. What all
    /// accounts read is for a person to look at: that this line is at fault is only what the account says.
    pub(super) fn without(&self, context: &DoctorContext<'_>) -> Option<Repair> {
        let own = self.file.starts_with(&context.account?.home);
        own.then(|| mend!("take that line out: $ sudo -u {} {}", context.name, self.gone()))
    }

    /// The command that does that.
    pub(super) fn gone(&self) -> String {
        format!("sed -i '{}s/.*/:/' {}", self.line, quoted(&self.file))
    }
}

impl fmt::Display for LoginLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, line {}", self.file.display(), self.line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_login_file_is_named() {
        let last = |told: &str| LoginLine::last(told, Path::new("/home/ci")).map(|spot| spot.to_string());
        let told = "+runner-prep-at:/etc/profile:3: . x\n++runner-prep-at:/home/ci/.profile:7: exit 0\n+runner-prep-at::1: x\n";
        assert_eq!(last(told).as_deref(), Some("/home/ci/.profile, line 7"));
        let forged = format!("{told}+runner-prep-at:/etc/profile:3:");
        assert_eq!(last(&forged).as_deref(), Some("/home/ci/.profile, line 7"));
        let of_all =
            last("+runner-prep-at:/etc/profile:3: . x\n+runner-prep-at:/etc/profile.d/x.sh:4: exit 1\n");
        assert_eq!(of_all.as_deref(), Some("/etc/profile.d/x.sh, line 4"));
        for told in [
            "",
            "runner-prep-at:/etc/a b:1:",
            "runner-prep-at:/tmp/x:1:",
            "runner-prep-at:/etc/profile:y:",
            "runner-prep-at:/etc/passwd:1:",
            "runner-prep-at:/etc/profile.d/../shadow:1:",
            "runner-prep-at:/etc/profile.d/..:1:",
            "runner-prep-at:/home/ci/../../etc/passwd:1:",
            "runner-prep-at:/home/ci:1:",
        ] {
            assert_eq!(last(told), None, "{told}");
        }
    }
}
