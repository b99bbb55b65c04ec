//! A job of the shell executor, gone through in the account's login shell: it writes, commits, and pushes as far as to
//! ssh. Nothing of it stays, and no server hears of it.

use std::path::Path;

use anyhow::Result;

use super::context::{DoctorContext, Login};
use super::login::{self, job_shell};
use crate::change::{FileKind, Note};
use crate::facts::rehearsal::{
    FILES, GIT, PushAnswer, Pushed, STEP, ServerCall, complaint, pushed, pushes, script, step, steps,
};
use crate::facts::ssh::Client;
use crate::facts::{Account, Finished};
use crate::finding::{Findings, Verdict};
use crate::repair::{Repair, quoted};
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

/// One thing that a job can't do, or that is not known of it: its code, and what is so.
type JobAnswer = (&'static str, String);

/// Go through it.
pub(super) fn look(context: &DoctorContext<'_>, findings: &mut Findings) -> Result<()> {
    let (Some(account), Some(shell)) = (context.account(), job_shell(context)) else { return Ok(()) };
    let home = context.facts.stat(&account.home)?;
    let has_home = home.is_some_and(|home| home.kind == FileKind::Directory);
    // What is wrong with these is told by others.
    if !has_home || !matches!(login::tried(context)?, Login::Good(_)) {
        return Ok(());
    }
    let calls = pushes(&context.options.servers);
    let job = job(context, account, shell, &calls);
    let rehearsed = context.facts.rehearse_job(account, (shell, &format!("{shell} -l")), ":", &job)?;
    let Some(said) = rehearsed.filter(|said| said.stderr.contains(STEP)) else {
        findings.unknown(
            "job-untried",
            "no job was gone through: here what it writes would stay, its shell needs to write elsewhere, or nobody hears what it says",
            mend!(
                "see whether one can write and commit: $ su -s /bin/{} {} -c '{} -l'",
                shell,
                account.name,
                shell
            ),
        );
        return Ok(());
    };
    let all = |said: &Finished| answers(context, account, &calls, said);
    tell_ignored(account, &said, findings);
    let said = all(&said)?;
    let mut at_fault = None;
    let plans = context.plans.iter().filter(|(kind, _)| *kind == "git").map(|(_, plan)| plan.as_ref());
    // What is by git's own files is told with them.
    let is_git_well = plans
        .into_iter()
        .all(|plan| plan.is_ok_and(|plan| plan.changes.is_empty() && plan.notes.pending.is_empty()));
    if is_git_well && said.iter().any(|(code, _)| *code != "ssh-config-unknown") {
        let is_well = |then: &Finished| Ok(then.stderr.contains(STEP) && all(then)?.is_empty());
        at_fault = login::at_fault(context, &job, &is_well);
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

/// What is said of a job that was gone through.
fn answers(
    context: &DoctorContext<'_>,
    account: &Account,
    calls: &[ServerCall<'_>],
    said: &Finished,
) -> Result<Vec<JobAnswer>> {
    let user = &account.name;
    let steps = steps(said);
    let mut all = Vec::new();
    // sudo has not its rights here, and a plugin of it may miss them: whether jobs can use it is told by its own check.
    let is_well = |(step, told): &&(&str, &str)| {
        *step == "end" || *step == "sudo" && told.contains("sudo: error initializing")
    };
    if let Some((last, told)) = steps.last().filter(|step| !is_well(step)) {
        let what = STEPS.iter().find(|(name, _)| name == last).map_or("come to its end", |(_, what)| what);
        all.push((
            "job-fails",
            format!("a job of {user} can't {what} in its login shell: {}", complaint(told)),
        ));
    }
    let plans = context.plans.iter().filter_map(|(_, plan)| plan.as_ref().ok());
    let told: Vec<&Note> =
        plans.flat_map(|plan| plan.notes.pending.iter().chain(&plan.notes.warnings)).collect();
    let is_told = told.iter().any(|note| note.code == "git-hooks-unknown");
    if steps.iter().any(|(name, _)| *name == "hook") && !is_told {
        let what = "whether they let it commit and push is not known";
        all.push(("git-hooks-unknown", format!("git runs hooks in every job of {user}: {what}")));
    }
    for (call, pushed) in pushed(context.facts, account, calls, said)? {
        let host = call.host;
        let Some((code, why)) = judged(context, account, host, &pushed)? else { continue };
        let what = (code, format!("what git of {user} does with git@{} {why}", host.host()));
        // By git's own files.
        let is_of_git = |note: &&Note| note.code == "git-push-refused" && note.message.ends_with(&why);
        if !told.iter().any(is_of_git) && !all.contains(&what) {
            all.push(what);
        }
    }
    Ok(all)
}

/// Say which new file `git add` would pass over, as git tells it: `PLACE:LINE:PATTERN`, a tab, and the file. What is in a
/// project already is added all the same.
fn tell_ignored(account: &Account, said: &Finished, findings: &mut Findings) {
    let ignored = |told: &str| {
        let (why, file) = told.lines().find_map(|line| line.split_once('\t'))?;
        let (place, line) = why.rsplit_once(':')?.0.rsplit_once(':')?;
        Some((place.to_owned(), line.parse::<u32>().ok()?, file.to_owned()))
    };
    let found = steps(said).into_iter().find_map(|(name, told)| ignored(told).filter(|_| name == "ignore"));
    let Some((place, line, file)) = found else { return };
    let user = &account.name;
    let out = if Path::new(&place).starts_with(&account.home) {
        mend!("take that line out: $ sudo -u {} sed -i '{}d' {}", user, line, quoted(&place))
    } else {
        Repair::from("let them say so: git add -f")
    };
    let what = format!("git add of {user} passes over new files such as {file}, by {place}, line {line}");
    findings.note("git-ignores-files", what, Repair::from("if jobs add such files: ") + out);
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
    let mut text = vec![step("begin"), "job_dir=/tmp/job\n".to_owned()];
    // Where jobs have theirs, if that is in the home.
    if !place.contains(['\'', '\\', '"', '$', '`']) {
        text.push(format!("mkdir -p \"{place}\" && job_dir=\"{place}\" || true\n"));
    }
    text.extend([
        step("write"),
        format!("mkdir -p \"$job_dir\"\ncd \"$job_dir\"\nfor job_file in {FILES}; do echo x >$job_file; done\ncat {FILES} >/dev/null\n"),
        step("words"),
        "job_path=/srv/www/app\nset -- $job_path/\ntest $# = 1 || { echo \"IFS takes it apart\" >&2; exit 1; }\n"
            .to_owned(),
    ]);
    if context.wants("git") {
        text.extend([
            step("repository"),
            format!(
                "{GIT} init -q .\nfor job_hook in \"$(git rev-parse --git-path hooks || echo hooks)\"/*; do\n"
            ),
            "case $job_hook in *.sample) ;; *) if test -f \"$job_hook\" && test -x \"$job_hook\"; then\n"
                .to_owned(),
            step("hook") + "fi ;; esac; done\n",
            step("add") + GIT + " add -f " + FILES + "\n",
            step("commit") + GIT + " commit -q -m x\n",
            step("ignore") + "git check-ignore -v --no-index " + FILES + " >&2 || :\n",
            script(calls),
        ]);
    }
    if !context.sudo_programs.as_anybody.is_empty() {
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
    let Client::Does(known) = context.target.ssh(context.facts, host)? else { return Ok(None) };
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
