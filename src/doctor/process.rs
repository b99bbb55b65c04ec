//! The process that takes jobs: which one it is, whether it is what the unit starts, and whether it works with the file that
//! is on disk.

use anyhow::Result;

use super::context::{DoctorContext, Running};
use crate::facts::machine::{self, RunningRunner};
use crate::facts::service::Service;
use crate::fault::quoted;
use crate::finding::Findings;

/// gitlab-runner runs, and as its unit says.
pub(super) fn look(context: &DoctorContext<'_>, findings: &mut Findings) -> Result<()> {
    let start = "$ systemctl start gitlab-runner; $ systemctl status gitlab-runner";
    match context.running()? {
        Running::Service(process) => compare(context, &process, findings),
        Running::Own(RunningRunner { pid, uid, .. }) => findings.note(
            "runner-user-mode",
            format!("gitlab-runner (process {pid}) runs as uid {uid}, not as root: its shell jobs run as that user"),
            "its own config.toml is ~/.gitlab-runner/config.toml unless its unit says --config; name it here with --config",
        ),
        Running::Contained(RunningRunner { pid, .. }) => findings.note(
            "runner-in-container",
            format!(
                "gitlab-runner runs in a container (process {pid}): its shell jobs run there, and its config.toml is \
                 the one that is mounted there"
            ),
            "name with --config where that file lies on this host",
        ),
        Running::Stranger(RunningRunner { pid, uid, .. }) => findings.problem(
            "runner-not-running",
            format!("gitlab-runner does not run: only process {pid} of uid {uid} calls itself so, which is not a service"),
            start,
        ),
        Running::Nowhere => {
            findings.problem("runner-not-running", "gitlab-runner does not run: no job is taken", start);
        }
    }
    Ok(())
}

/// The running service against what its unit says now, and where there is none, against what is looked at.
fn compare(context: &DoctorContext<'_>, process: &RunningRunner, findings: &mut Findings) {
    let RunningRunner { pid, says, .. } = process;
    let differs = |one: &Service| says.user != one.user || says.config != one.config;
    let user = says.user.as_deref().unwrap_or("root");
    match context.service().filter(|service| !service.masked) {
        Some(service) if differs(service) => findings.problem(
            "process-outdated",
            format!("gitlab-runner (process {pid}) was started with other --user or --config than its unit says now"),
            "when no job runs: $ systemctl daemon-reload && systemctl restart gitlab-runner",
        ),
        None if user != context.name() => findings.problem(
            "process-user",
            format!("gitlab-runner (process {pid}) runs jobs as {user}, not as {}", context.name()),
            mend!("look at that account: $ runner-prep doctor --user {}; or start it with --user {}", user, context.name()),
        ),
        None if says.config.as_ref().is_some_and(|path| *path != context.config.path) => findings.problem(
            "process-config",
            format!("gitlab-runner (process {pid}) reads another file than {}", context.shown()),
            mend!("look at that file: $ runner-prep doctor --config {}", says.config.as_deref().map(quoted).unwrap_or_default()),
        ),
        _ => findings.fine(format!("process {pid}, as root, jobs as {user}")),
    }
}

/// Seconds between gitlab-runner's looks at the file, with some to spare.
const RELOAD: i64 = 10;
/// `/proc` and file systems count seconds from different ends.
const SLACK: i64 = 1;

/// What the journal says since a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LoggedSince {
    Loaded,
    Failed,
    Silent,
}

/// The running process works with the file as it is on disk. Only what is proven is called fine.
pub(super) fn loaded(context: &DoctorContext<'_>, findings: &mut Findings) -> Result<()> {
    let process = match context.running()? {
        Running::Service(process) => process,
        Running::Own(process) if process.says.config.is_some() => process,
        Running::Contained(_) => {
            findings.unknown(
                "runner-in-container",
                "whether a gitlab-runner in a container has loaded the file is in the container's log",
                "docker logs CONTAINER",
            );
            return Ok(());
        }
        _ => {
            findings.unknown("runner-not-running", "gitlab-runner does not run as a service", "");
            return Ok(());
        }
    };
    let path = process.says.config.as_ref().unwrap_or(&context.config.path);
    let Some(seen) = context.facts.stat(path)? else {
        findings.unknown("runner-not-registered", format!("{} does not exist", path.display()), "");
        return Ok(());
    };
    let shown = path.display();
    if seen.changed.0 <= process.started + SLACK {
        findings.fine(format!("{shown} was there when gitlab-runner started"));
        return Ok(());
    }
    let log = format!("journalctl -u gitlab-runner --since @{}", seen.changed.0);
    match journal(context, process.pid, seen.changed.0)? {
        LoggedSince::Loaded => findings.fine(format!("the journal says that {shown} was loaded again")),
        LoggedSince::Failed => findings.problem(
            "config-not-loaded",
            format!("gitlab-runner could not load {shown} as it is, and goes on with the old one"),
            mend!("see why: $ {}; then correct the file", log),
        ),
        LoggedSince::Silent if seen.modified.0 <= process.started => findings.unknown(
            "config-old-mtime",
            format!(
                "{shown} was changed after gitlab-runner started, but its time is older: if its text is new (a backup \
                 that was put back), it is not loaded"
            ),
            mend!("to be sure that it is: $ touch {}", quoted(&context.config.path)),
        ),
        LoggedSince::Silent if machine::now() - seen.modified.0 < RELOAD => findings.unknown(
            "config-just-changed",
            format!("{shown} was written a moment ago; gitlab-runner looks every 3 seconds"),
            "ask again in ten seconds: $ sleep 10 && runner-prep doctor",
        ),
        LoggedSince::Silent => findings.unknown(
            "config-load-unproven",
            format!("{shown} was written after gitlab-runner started, and no journal says that it was loaded"),
            mend!("see its log: $ {}; or restart it when no job runs", log),
        ),
    }
    Ok(())
}

/// The last word of that process in the journal on loading the file: the unit has jobs, too, which can write there what
/// they like. Its lines may hold values of the file: not shown.
fn journal(context: &DoctorContext<'_>, pid: u32, since: i64) -> Result<LoggedSince> {
    let (since, process) = (format!("--since=@{since}"), format!("_PID={pid}"));
    let arguments = [&process, &since, "--output=cat", "--no-pager", "--quiet", "--lines=2000"];
    let said = context.facts.ask_tool("journalctl", &arguments, &[])?;
    Ok(said.map_or(LoggedSince::Silent, |said| last_word(&said.stdout)))
}

fn last_word(log: &str) -> LoggedSince {
    let word = |line: &str| {
        if line.contains("Configuration loaded") {
            Some(LoggedSince::Loaded)
        } else if line.contains("Failed to load config") {
            Some(LoggedSince::Failed)
        } else {
            None
        }
    };
    log.lines().rev().find_map(word).unwrap_or(LoggedSince::Silent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_of_the_journal_counts() {
        let (loaded, failed) =
            ("Configuration loaded     builds=0\n", "ERROR: Failed to load config Near line 20 (last key)\n");
        assert_eq!(last_word(&[loaded, failed, "Checking for jobs\n"].concat()), LoggedSince::Failed);
        assert_eq!(last_word(&[failed, loaded].concat()), LoggedSince::Loaded);
        assert_eq!(last_word("Checking for jobs... received\n"), LoggedSince::Silent);
    }
}
