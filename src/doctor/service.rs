//! The service: gitlab-runner is installed, and something starts it with the machine.

use anyhow::Result;

use super::context::refuse;
use super::context::{DoctorContext, Running};
use crate::facts::programs::update_runner;
use crate::finding::Findings;
use crate::policy::SECURE_PATH;
use crate::repair::{quoted, run};
use crate::runner_config::EXECUTORS;

/// Releases with a known fault, as data: the head of the file says what its columns mean.
const KNOWN_BAD: &str = include_str!("known_bad.tsv");

/// gitlab-runner is there.
pub(super) fn installed(context: &DoctorContext<'_>, findings: &mut Findings) -> Result<()> {
    let program = context.find(SECURE_PATH.split(':'), "gitlab-runner");
    let version = match &context.version {
        Ok(version) => *version,
        Err(error) => {
            refuse(findings, error);
            return Ok(());
        }
    };
    match (version, program) {
        (Some(version), _) => {
            known_bad(context, &version.to_string(), findings)?;
            findings.else_fine(format!("gitlab-runner {version}"));
        }
        (None, Some(path)) => {
            let what = format!("{} is there, of a version that is not known here", path.display());
            findings.note("runner-version-unknown", what, "say it with --runner-version");
        }
        // The check of the process tells it.
        (None, None) if matches!(context.running()?, Running::Contained(_)) => {
            findings.fine("it is in a container's image, not on this machine");
        }
        (None, None) => {}
    }
    Ok(())
}

/// A release with a known fault: a problem where jobs of this host meet the fault, a note where that can't be seen.
fn known_bad(context: &DoctorContext<'_>, version: &str, findings: &mut Findings) -> Result<()> {
    for line in KNOWN_BAD.lines().filter(|line| !line.starts_with('#')) {
        let [release, meets, what, mended] = line.split('\t').collect::<Vec<_>>()[..] else { continue };
        if release != version {
            continue;
        }
        let runners = context.all_runners()?;
        let message = format!("gitlab-runner {version}: {what}");
        let repair = update_runner(context.facts, mended)?;
        let is_met = runners.iter().any(|runner| runner.has_executor(meets));
        if is_met || runners.is_empty() || !EXECUTORS.contains(&meets) {
            findings.weigh(is_met, "runner-known-bad", message, repair);
        }
    }
    Ok(())
}

/// The unit starts gitlab-runner for the right account, with the right file.
pub(super) fn unit(context: &DoctorContext<'_>, findings: &mut Findings) -> Result<()> {
    let user = context.name();
    let home = context.account().map_or_else(|| format!("/home/{user}"), |account| quoted(&account.home));
    let install =
        format!("gitlab-runner install --user {user} --working-directory {home} && gitlab-runner start");
    let Some(service) = context.service() else {
        match context.running()? {
            Running::Service(process) => findings.note(
                "service-other",
                format!("gitlab-runner runs (process {}), but not by a unit of systemd", process.pid),
                "see that whatever started it does so after the next start of the machine, too",
            ),
            Running::Contained(_) => findings.fine("the container's own matter"),
            _ => findings.problem(
                "service-missing",
                "there is no unit gitlab-runner.service: nothing starts gitlab-runner with the machine",
                run(install),
            ),
        }
        return Ok(());
    };
    let unit = service.unit.display();
    if service.masked {
        findings.problem(
            "service-masked",
            format!("{unit} is empty or leads to /dev/null: systemd never starts gitlab-runner"),
            "$ systemctl unmask gitlab-runner; $ systemctl start gitlab-runner",
        );
        return Ok(());
    }
    let jobs_as = service.user.as_ref().or(service.run_as.as_ref()).filter(|user| *user != "root");
    let runners = context.all_runners().unwrap_or_default();
    if jobs_as.is_none() && runners.iter().any(|runner| runner.has_executor("shell")) {
        let what =
            format!("{unit} has no --user: shell jobs run as root, and as root they lack what {user} has");
        findings.problem("service-jobs-as-root", what, mend!("$ gitlab-runner uninstall; $ {}", install));
    }
    let has_jobs = runners.is_empty() || runners.iter().any(|runner| runner.has_executor("shell"));
    let account = context.account().filter(|_| has_jobs && context.wants("account"));
    if let Some((what, repair)) = account.and_then(|account| service.confines(account)) {
        findings.problem("service-confined", what, repair);
    }
    if let Some(user) = &service.user {
        if context.facts.account(user)?.is_none() {
            findings.problem(
                "service-user-missing",
                format!("{unit} runs jobs as {user}, and there is no such account"),
                if *user == context.name() {
                    context.apply()
                } else {
                    mend!("$ {} --user {}", context.options.command, user)
                },
            );
        } else if user != context.name() {
            let what = format!("{unit} runs jobs as {user}, not as {}", context.name());
            let repair = mend!("correct --user in {}, or say --user {}", unit, user);
            findings.problem("service-user", what, repair);
        }
    }
    if service.config.as_ref().is_some_and(|path| *path != context.config.path) {
        let what = format!("{unit} reads another file than {}", context.shown());
        let repair = mend!("correct --config in {}, or leave --config away here", unit);
        findings.problem("service-config", what, repair);
    }
    findings.else_fine(format!("{unit}, jobs as {}", jobs_as.map_or("root", String::as_str)));
    Ok(())
}
