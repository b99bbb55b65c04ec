//! The service: installed, running, and running with the file that is on disk.

use anyhow::Result;

use super::{Patient, refuse};
use crate::facts::machine::{Machine, RunningRunner};
use crate::facts::service::Service;
use crate::finding::Findings;
use crate::policy::SECURE_PATH;

/// Seconds between gitlab-runner's looks at the file, with some to spare.
const RELOAD: i64 = 10;
/// `/proc` and file systems count seconds from different ends.
const SLACK: i64 = 1;

/// The program is there.
pub(super) fn installed(patient: &Patient<'_>, findings: &mut Findings) -> Result<()> {
    let program = patient.find(SECURE_PATH.split(':'), "gitlab-runner");
    let version = match &patient.version {
        Ok(version) => *version,
        Err(error) => {
            refuse(findings, error);
            return Ok(());
        }
    };
    match (version, program) {
        (Some(version), _) => findings.fine(format!("gitlab-runner {version}")),
        (None, Some(path)) => {
            findings.note(
                "runner-version-unknown",
                format!("{} is there, of a version that is not known here", path.display()),
                "say it: --runner-version X.Y.Z",
            );
        }
        (None, None) => findings.problem(
            "runner-missing",
            "gitlab-runner is not installed",
            "install it: https://docs.gitlab.com/runner/install/",
        ),
    }
    Ok(())
}

/// The unit starts it for the right account, with the right file.
pub(super) fn unit(patient: &Patient<'_>, findings: &mut Findings) -> Result<()> {
    let Some(service) = patient.service else {
        if let Some(process) = patient.machine.map(running).transpose()?.flatten() {
            findings.note(
                "service-other",
                format!("gitlab-runner runs (process {}), but not by a unit of systemd", process.pid),
                "see that whatever started it does so after the next start of the machine, too",
            );
            return Ok(());
        }
        findings.problem(
            "service-missing",
            "there is no unit gitlab-runner.service: nothing starts gitlab-runner with the machine",
            format!(
                "gitlab-runner install --user={0} --working-directory=$(getent passwd {0} | cut -d: -f6) && \
                 gitlab-runner start",
                patient.name
            ),
        );
        return Ok(());
    };
    let unit = service.unit.display();
    if let Some(user) = &service.user {
        if patient.facts.account(user)?.is_none() {
            findings.problem(
                "service-user-missing",
                format!("{unit} runs jobs as {user}, and there is no such account"),
                patient.apply(),
            );
        } else if user != patient.name {
            findings.problem(
                "service-user",
                format!("{unit} runs jobs as {user}, not as {}", patient.name),
                format!("correct --user in {unit}, or say --user {user}"),
            );
        }
    }
    if service.config.as_ref().is_some_and(|path| *path != patient.config.path) {
        findings.problem(
            "service-config",
            format!("{unit} reads another file than {}", patient.shown()),
            format!("correct --config in {unit}, or leave --config away here"),
        );
    }
    if findings.is_empty() {
        findings
            .fine(format!("{unit}, jobs as {}", service.user.as_deref().unwrap_or("the service's own user")));
    }
    Ok(())
}

/// The process that takes jobs: root's own first; a job can start one of that name, too.
fn running(machine: &Machine<'_>) -> Result<Option<RunningRunner>> {
    let mut all = machine.runners()?;
    all.sort_by_key(|runner| runner.uid != 0);
    Ok(all.into_iter().next())
}

/// It runs, as the unit says.
pub(super) fn process(patient: &Patient<'_>, findings: &mut Findings) -> Result<()> {
    let Some(machine) = patient.machine else { return Ok(()) };
    let Some(RunningRunner { pid, uid, says, .. }) = running(machine)? else {
        findings.problem(
            "runner-not-running",
            "gitlab-runner does not run: no job is taken",
            "systemctl start gitlab-runner; systemctl status gitlab-runner",
        );
        return Ok(());
    };
    if uid != 0 {
        findings.note(
            "runner-user-mode",
            format!(
                "gitlab-runner (process {pid}) runs as uid {uid}, not as root: it has its own config.toml"
            ),
            "see which one: ~/.gitlab-runner/config.toml of that user; or run it as a service",
        );
        return Ok(());
    }
    let differs = |one: &Service| says.user != one.user || says.config != one.config;
    if patient.service.is_some_and(differs) {
        findings.problem(
            "process-outdated",
            format!("gitlab-runner (process {pid}) was started with other --user or --config than its unit says now"),
            "when no job runs: systemctl daemon-reload && systemctl restart gitlab-runner",
        );
    } else {
        findings.fine(format!("process {pid}, as root, jobs as {}", says.user.as_deref().unwrap_or("root")));
    }
    Ok(())
}

/// What the journal says since a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Journal {
    Loaded,
    Failed,
    Silent,
}

/// The running process works with the file as it is on disk. Only what is proven is called fine.
pub(super) fn loaded(patient: &Patient<'_>, findings: &mut Findings) -> Result<()> {
    let Some(machine) = patient.machine else { return Ok(()) };
    let Some(process) = running(machine)?.filter(|process| process.uid == 0) else {
        findings.unknown("runner-not-running", "gitlab-runner does not run as a service", "");
        return Ok(());
    };
    let path = process.says.config.as_ref().unwrap_or(&patient.config.path);
    let Some(times) = patient.facts.times(path)? else {
        findings.unknown("config-missing", format!("{} does not exist", path.display()), "");
        return Ok(());
    };
    let shown = path.display();
    if times.changed <= process.started + SLACK {
        findings.fine(format!("{shown} was there when gitlab-runner started"));
        return Ok(());
    }
    let log = format!("journalctl -u gitlab-runner --since @{}", times.changed);
    match journal(machine, times.changed)? {
        Journal::Loaded => findings.fine(format!("the journal says that {shown} was loaded again")),
        Journal::Failed => findings.problem(
            "config-not-loaded",
            format!("gitlab-runner could not load {shown} as it is, and goes on with the old one"),
            format!("see why: {log}; then correct the file"),
        ),
        Journal::Silent if times.modified <= process.started => findings.unknown(
            "config-old-mtime",
            format!(
                "{shown} was changed after gitlab-runner started, but its time is older: if its text is new (a backup \
                 that was put back), it is not loaded"
            ),
            format!("to be sure that it is: touch {shown}"),
        ),
        Journal::Silent if machine.now() - times.modified < RELOAD => findings.unknown(
            "config-just-changed",
            format!("{shown} was written a moment ago; gitlab-runner looks every 3 seconds"),
            "ask again in ten seconds",
        ),
        Journal::Silent => findings.unknown(
            "config-load-unproven",
            format!("{shown} was written after gitlab-runner started, and no journal says that it was loaded"),
            format!("see its log: {log}; or restart it when no job runs"),
        ),
    }
    Ok(())
}

/// The last word of the journal on loading the file. Its lines may hold values of it: not shown.
fn journal(machine: &Machine<'_>, since: i64) -> Result<Journal> {
    let since = format!("--since=@{since}");
    let arguments = ["--unit=gitlab-runner", &since, "--output=cat", "--no-pager", "--quiet", "--lines=2000"];
    let said = machine.ask("journalctl", &arguments, &[])?;
    Ok(said.map_or(Journal::Silent, |said| last_word(&said.stdout)))
}

fn last_word(log: &str) -> Journal {
    let word = |line: &str| {
        if line.contains("Configuration loaded") {
            Some(Journal::Loaded)
        } else if line.contains("Failed to load config") {
            Some(Journal::Failed)
        } else {
            None
        }
    };
    log.lines().rev().find_map(word).unwrap_or(Journal::Silent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_of_the_journal_counts() {
        let (loaded, failed) =
            ("Configuration loaded     builds=0\n", "ERROR: Failed to load config Near line 20 (last key)\n");
        assert_eq!(last_word(&[loaded, failed, "Checking for jobs\n"].concat()), Journal::Failed);
        assert_eq!(last_word(&[failed, loaded].concat()), Journal::Loaded);
        assert_eq!(last_word("Checking for jobs... received\n"), Journal::Silent);
    }
}
