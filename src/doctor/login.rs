//! The login shell of the account, started as gitlab-runner starts it for a job of the shell executor.

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

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
pub(super) const PROGRAMS: [&str; 4] = ["git", "ssh", "rsync", "docker"];

/// Marks our lines in what the account's own files may print.
const MARK: &str = "runner-prep-finds:";

/// What the script says at its end, as if it were a program.
const END: &str = "/";

/// What says that.
const SAY_END: &str = "printf \"\\nrunner-prep-finds:/\\n\"";

/// Marks the places in what a shell tells of its way.
const AT: &str = "runner-prep-at:";

/// What GitLab sets for every job, and the first that a job does: a login file may keep it from that.
const EXPORTS: &str = "export CI=true GITLAB_CI=true CI_SERVER=yes CI_JOB_ID=1 GIT_DEPTH=20";

/// The code with which a script ends that can't be heard, and more by one bit for each program that it finds.
const UNHEARD: i32 = 64;

/// How many lines of login files are taken out to find the one that is at fault, and for how long.
const MOST_LINES: usize = 12;
const SEARCH: Duration = Duration::from_secs(20);

/// `su -s /bin/bash ACCOUNT -c "bash -l"`, as the shell executor has it. Its scripts begin with
/// `set -eo pipefail`, so that a command that fails in `~/.bash_logout` fails the job; this one says
/// which programs it finds and ends. What it says is the account's word, and only a word on itself.
///
/// Where it does not come to its end, the shell is started once more to tell its way.
pub(super) fn tried<'p>(context: &'p DoctorContext<'_>) -> Result<&'p Login> {
    if let Some(login) = context.login.get() {
        return Ok(login);
    }
    if !context.facts.is_host() {
        return Ok(context.login.get_or_init(|| Login::NotTried("this is a tree".to_owned())));
    }
    let name = job_shell(context).unwrap_or("bash");
    let ask = |command: &str, script: &str| {
        context.facts.ask_tool(
            "su",
            &["-s", &format!("/bin/{name}"), context.name(), "-c", command],
            script.as_bytes(),
        )
    };
    let (plain, said) = (format!("{name} -l"), script(name, SAY_END));
    let way = || (name == "bash").then(|| ask(&telling(), &said).ok().flatten()).flatten();
    let spot = |told: Option<Finished>| LoginLine::last(&told?.stderr, &context.account()?.home);
    let login = match ask(&plain, &said) {
        Ok(None) => Login::NotTried("su is not installed".to_owned()),
        Ok(Some(done)) if done.success() => {
            let found = done.stdout.lines().filter_map(|line| line.strip_prefix(MARK));
            let found: Vec<String> = found.map(str::to_owned).collect();
            let unheard = || ask(&plain, &script(name, "exit $runner_prep_found")).ok().flatten()?.code;
            match programs(&found, unheard) {
                Some(found) => Login::Good(found),
                None => Login::Skips(spot(way())),
            }
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

/// A job that says which programs it finds, and does this then.
fn script(shell: &str, then: &str) -> String {
    // `$'…'` is how a job's script stands there: of the usual shells bash, ksh and zsh read it.
    let (begin, text) = match shell {
        "sh" => ("set -e", format!("'{then}'")),
        _ => ("set -eo pipefail\nset +o noclobber", format!("$'{}\\n'", then.replace('\\', "\\\\"))),
    };
    // What stands for a program need not be one: that every job begins with is called. What git thinks of its own files
    // others say.
    format!(
        "{begin}\n{EXPORTS}\necho\nrunner_prep_found={UNHEARD} runner_prep_bit=1\nfor runner_prep_name in {}; do\n\
         if command -v \"$runner_prep_name\" >/dev/null; then\nprintf '\\n{MARK}%s\\n' \"$runner_prep_name\"\n\
         runner_prep_found=$((runner_prep_found + runner_prep_bit))\nfi\n\
         runner_prep_bit=$((runner_prep_bit * 2))\ndone\n\
         case $(command -v git) in\n\
         /*) env HOME=/ XDG_CONFIG_HOME= GIT_CONFIG_NOSYSTEM=1 git --version >/dev/null ;;\n\
         ?*) git --version >/dev/null ;;\nesac\n: | eval {text}\nexit 0\n",
        PROGRAMS.join(" ")
    )
}

/// The programs that a job finds, which said them or, where nobody hears it, ends with their code; `None` where it does
/// not come to its end.
fn programs(said: &[String], code: impl FnOnce() -> Option<i32>) -> Option<Vec<String>> {
    if said.iter().any(|name| name == END) {
        return Some(said.to_vec());
    }
    let bits = code()?.checked_sub(UNHEARD).filter(|bits| (0..1 << PROGRAMS.len()).contains(bits))?;
    let found = PROGRAMS.iter().enumerate().filter(|(at, _)| bits >> at & 1 == 1);
    Some(found.map(|(_, name)| (*name).to_owned()).collect())
}

/// The login shell that tells its way. Only bash tells the file.
fn telling() -> String {
    format!("PS4='+{AT}${{BASH_SOURCE}}:${{LINENO}}:' bash -lx")
}

/// The line of the account's own login files without which all is well with a job of bash, the last one that it comes to.
/// What is known already is told, whatever becomes of a job without some line: one that does not end is not well.
pub(super) fn at_fault(
    context: &DoctorContext<'_>,
    job: &str,
    is_well: &dyn Fn(&Finished) -> Result<bool>,
) -> Option<LoginLine> {
    let begun = Instant::now();
    let account = context.account().filter(|_| job_shell(context) == Some("bash"))?;
    let rehearse = |command: &str, before: &str| {
        context.facts.rehearse_job(account, ("bash", command), before, job).ok().flatten()
    };
    let told = rehearse(&telling(), ":")?;
    let mut lines = Vec::new();
    for line in LoginLine::all(&told.stderr, &account.home).rev() {
        if line.file.starts_with(&account.home) && !lines.contains(&line) {
            lines.push(line);
        }
    }
    let is_it = |line: &LoginLine| {
        begun.elapsed() < SEARCH
            && rehearse("bash -l", &line.gone()).is_some_and(|then| is_well(&then).unwrap_or_default())
    };
    lines.into_iter().take(MOST_LINES).find(is_it)
}

/// What mends that a job does not find these programs, and the line that hides them.
pub(super) fn hides(context: &DoctorContext<'_>, names: &[&str]) -> Option<(Repair, LoginLine)> {
    let finds = |said: &Finished, name| said.stdout.lines().any(|line| line.strip_prefix(MARK) == Some(name));
    let is_well = |said: &Finished| Ok(said.success() && names.iter().all(|name| finds(said, *name)));
    let line = at_fault(context, &script("bash", SAY_END), &is_well)?;
    Some((line.without(context)?, line))
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
    let Some(account) = context.account() else { return Ok(()) };
    let Some(name) = job_shell(context) else {
        findings.fine("the shell of its jobs is PowerShell, which reads no login file");
        return Ok(());
    };
    let user = context.name();
    let command = format!("su -s /bin/{name} {user} -c '{name} -lx'");
    let job = script(name, SAY_END);
    let is_well = |said: &Finished| Ok(said.success() && said.stdout.contains(&format!("{MARK}{END}")));
    let without = |line: Option<LoginLine>| line.and_then(|line| Some((line.without(context)?, line)));
    let by_line = || without(at_fault(context, &job, &is_well));
    let (what, spot) = match tried(context)? {
        Login::Good(_) => {
            findings.fine("it starts and ends as jobs need it");
            return Ok(());
        }
        Login::NotTried(why) => {
            let what = format!("the login shell was not tried: {why}");
            findings.unknown("login-shell-untried", what, install(context.facts, &["su"])?);
            return Ok(());
        }
        Login::Skips(spot) => {
            let found = by_line().or_else(|| without(spot.clone()));
            let line = found.as_ref().map(|(_, line)| line).or(spot.as_ref());
            let at = line.map(|line| format!(", at {line}")).unwrap_or_default();
            findings.problem(
                "login-shell-skips",
                format!("the login shell of {user} ends with 0 before it reads a job's script{at}: every job does nothing, and is green"),
                found.map_or_else(
                    || mend!("see which login file ends it, and correct that: $ printf 'echo here\\n' | {}", command),
                    |(repair, _)| repair,
                ),
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
    if let Some((repair, line)) = by_line() {
        let what = format!("the login shell of {user} {what}; so it is by {line}");
        findings.problem("login-shell-fails", what, repair);
        return Ok(());
    }
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
    let what = format!("the login shell of {user} {what}; it reads /etc/profile, what that names{own}");
    findings.problem("login-shell-fails", what, see + " the file that it stops at");
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
        let own = self.file.starts_with(&context.account()?.home);
        own.then(|| mend!("take that line out: $ sudo -u {} {}", context.name(), self.gone()))
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
