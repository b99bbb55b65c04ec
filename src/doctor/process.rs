//! The process that takes jobs: which one it is, and whether it is what the unit starts.

use anyhow::Result;

use super::context::{DoctorContext, Running};
use crate::facts::machine::RunningRunner;
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
