//! A job of the shell executor, gone through in the account's login shell: it writes, commits, and pushes as far as to
//! ssh. Nothing of it stays, and no server hears of it.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::context::{DoctorContext, Login};
use super::login::{self, job_shell};
use crate::change::{FileKind, Note};
use crate::facts::Account;
use crate::facts::rehearsal::{
    GIT, PushAnswer, Pushed, STEP, ServerCall, complaint, pushed, pushes, script, step, steps,
};
use crate::facts::ssh::{self, Client};
use crate::finding::{Findings, Verdict};
use crate::repair::Repair;
use crate::text::known_hosts::HostName;

/// What is done, and how it is told where it fails.
const STEPS: [(&str, &str); 7] = [
    ("begin", "begin"),
    ("write", "write files"),
    ("words", "name a path without quotes"),
    ("repository", "make a repository"),
    ("add", "add a file to it"),
    ("commit", "commit"),
    ("sudo", "start sudo"),
];

/// How many lines of login files are taken out to find the one that is at fault.
const MOST_LINES: usize = 12;

/// None is, where a job that does nothing takes longer than this.
const QUICK: Duration = Duration::from_secs(2);

/// One thing that a job can't do, or that is not known of it: its code, and what is so.
type JobAnswer = (&'static str, String);

/// Go through it.
pub(super) fn look(context: &DoctorContext<'_>, findings: &mut Findings) -> Result<()> {
    let (Some(account), Some(shell)) = (context.account, job_shell(context)) else { return Ok(()) };
    let home = context.facts.stat(&account.home)?;
    let has_home = home.is_some_and(|home| home.kind == FileKind::Directory);
    // What is wrong with these is told by others.
    if !has_home || !matches!(login::tried(context)?, Login::Good(_)) {
        return Ok(());
    }
    let begun = Instant::now();
    let Some(said) = gone_through(context, account, shell, ":")? else {
        findings.unknown(
            "job-untried",
            "no job was gone through: here what it writes would stay, or its shell needs to write elsewhere",
            mend!(
                "see whether one can write and commit: $ su -s /bin/{} {} -c '{} -l'",
                shell,
                account.name,
                shell
            ),
        );
        return Ok(());
    };
    let is_quick = begun.elapsed() < QUICK;
    let mut at_fault = None;
    let is_of_login = |(code, _): &JobAnswer| *code != "ssh-config-unknown";
    if said.iter().any(is_of_login) && shell == "bash" && is_quick {
        for line in login::own_lines(context).into_iter().take(MOST_LINES) {
            if gone_through(context, account, shell, &line.gone())?.is_some_and(|then| then.is_empty()) {
                at_fault = Some(line);
                break;
            }
        }
    }
    for (code, what) in said {
        let verdict = if code == "job-fails" { Verdict::Problem } else { Verdict::Unknown };
        let message =
            at_fault.as_ref().map_or_else(|| what.clone(), |line| format!("{what}; so it is by {line}"));
        let without = at_fault.as_ref().and_then(|line| line.without(context));
        findings.add(verdict, code, message, without.unwrap_or_else(|| see(account, shell)));
    }
    findings.else_fine("one writes, commits, and comes as far as to ssh");
    Ok(())
}

/// What is said of a job, after the account did something; `None` where there was none.
fn gone_through(
    context: &DoctorContext<'_>,
    account: &Account,
    shell: &str,
    before: &str,
) -> Result<Option<Vec<JobAnswer>>> {
    let hosts: Vec<HostName> =
        context.wanted_hosts().into_iter().filter_map(|host| HostName::parse(host).ok()).collect();
    let calls = pushes(&hosts);
    let job = job(context, account, shell, &calls);
    let said = context.facts.rehearse_job(account, shell, before, &job)?;
    let Some(said) = said.filter(|said| said.stderr.contains(STEP)) else { return Ok(None) };
    let user = &account.name;
    let steps = steps(&said);
    let mut all = Vec::new();
    let last =
        steps.last().and_then(|(last, told)| Some((STEPS.iter().find(|(name, _)| name == last)?.1, told)));
    if let Some((what, told)) = last {
        all.push((
            "job-fails",
            format!("a job of {user} can't {what} in its login shell: {}", complaint(told)),
        ));
    }
    let plans = context.plans.iter().filter_map(|(_, plan)| plan.as_ref().ok());
    let told: Vec<&Note> = plans.flat_map(|plan| plan.pending.iter().chain(&plan.warnings)).collect();
    let is_told = told.iter().any(|note| note.code == "git-hooks-unknown");
    if steps.iter().any(|(name, _)| *name == "hook") && !is_told {
        let what = "whether they let it commit and push is not known";
        all.push(("git-hooks-unknown", format!("git runs hooks in every job of {user}: {what}")));
    }
    for (call, pushed) in pushed(context.facts, account, &calls, &said)? {
        let host = call.host;
        let Some((code, why)) = judged(context, account, host, &pushed)? else { continue };
        let what = (code, format!("what git of {user} does with git@{} {why}", host.host()));
        // By git's own files.
        let is_of_git = |note: &&Note| note.code == "git-push-refused" && note.message.ends_with(&why);
        if !told.iter().any(is_of_git) && !all.contains(&what) {
            all.push(what);
        }
    }
    Ok(Some(all))
}

/// What shows the values by which a job goes.
fn see(account: &Account, shell: &str) -> Repair {
    mend!(
        "see what its login files, PAM and git's files set, and correct that: $ printf 'env\\numask\\nulimit -a\\ngit config --list --show-origin\\n' | su -s /bin/{} {} -c '{} -l'",
        shell,
        account.name,
        shell
    )
}

/// The script of the whole job.
fn job(context: &DoctorContext<'_>, account: &Account, shell: &str, calls: &[ServerCall<'_>]) -> String {
    let place = account.home.join("builds/runner-prep/0/group/project").display().to_string();
    let mut text = vec![step("begin"), "d=/tmp/job\n".to_owned()];
    // Where jobs have theirs, if that is in the home.
    if !place.contains(['\'', '\\', '"', '$', '`']) {
        text.push(format!("mkdir -p \"{place}\" && d=\"{place}\" || true\n"));
    }
    text.extend([
        step("write"),
        "mkdir -p \"$d\"\ncd \"$d\"\necho x >file\ncat file >/dev/null\n".to_owned(),
        step("words"),
        "p=/srv/www/app\nset -- $p/\ntest $# = 1 || { echo \"IFS takes it apart\" >&2; exit 1; }\n"
            .to_owned(),
    ]);
    if context.wants("git") {
        text.extend([
            step("repository"),
            format!("{GIT} init -q .\nfor h in \"$(git rev-parse --git-path hooks)\"/*; do\n"),
            "case $h in *.sample) ;; *) if test -f \"$h\" && test -x \"$h\"; then\n".to_owned(),
            step("hook") + "fi ;; esac; done\n",
            step("add") + GIT + " add -f file\n",
            step("commit") + GIT + " commit -q -m x\n",
            script(calls),
        ]);
    }
    if !context.wanted_strings("sudoers", "commands").is_empty() {
        text.push(step("sudo") + "sudo -V >/dev/null\n");
    }
    text.push(step("end"));
    let text = text.concat();
    let (begin, quoted) = match shell {
        "sh" => ("set -e", format!("'{text}'")),
        _ => ("set -eo pipefail\nset +o noclobber", format!("$'{}'", text.replace('\n', "\\n"))),
    };
    format!("{begin}\n: | eval {quoted}\nexit 0\n")
}

/// What a push came to, held against what ssh is known to do for that server: what else it does, with its code.
fn judged(
    context: &DoctorContext<'_>,
    account: &Account,
    host: &HostName,
    pushed: &Pushed,
) -> Result<Option<JobAnswer>> {
    let texts = ssh::texts(context.facts, Some(account))?;
    let client = Client::of(context.facts, Some(account), &account.home, &texts, host)?;
    let Client::Does(known) = client else { return Ok(None) };
    Ok(match (pushed.answer(context.facts, account, &known)?, pushed) {
        (Some(PushAnswer::Fails(why)), _) => Some(("job-fails", why)),
        (Some(PushAnswer::Unclear(why)), _) => Some(("push-elsewhere", why)),
        (None, Pushed::ToSsh(job)) if job.command || !job.ways.is_empty() => {
            let command = job.command.then_some("KnownHostsCommand");
            let ways: Vec<&str> = job.ways.iter().copied().chain(command).collect();
            let ways = ways.join(", ");
            let why = format!("takes a way of which only a connection tells whether it leads there ({ways})");
            Some(("ssh-config-unknown", why))
        }
        (None, _) => None,
    })
}
