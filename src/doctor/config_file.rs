//! `config.toml` as a file: there, readable as TOML, kept from others; and gitlab-runner's own word on it.

use anyhow::Result;

use super::context::DoctorContext;
use super::context::refuse;
use crate::facts::close;
use crate::fault::quoted;
use crate::finding::Findings;
use crate::keys::Version;
use crate::repair::Registration;
use crate::runner_config::USUAL_PATH;

/// The first version with `gitlab-runner lint`.
const HAS_LINT: Version = Version(19, 3, 0);

/// The file itself. What is in it are other checks' questions.
pub(super) fn look(context: &DoctorContext<'_>, findings: &mut Findings) -> Result<()> {
    let shown = context.shown();
    let seen = match &context.config.found {
        Ok(Some((seen, _))) => seen,
        Ok(None) => {
            // The section of the profile says it, where it has one.
            if context.wants("config") {
                findings.fine("there is none yet");
            } else {
                let commands = Registration {
                    profiles: None,
                    server: "gitlab.com",
                    config: Some(shown.as_str()).filter(|path| *path != USUAL_PATH),
                    executor: "shell",
                    image: None,
                    then: &context.options.command,
                };
                let what = format!("{shown} does not exist: gitlab-runner has no runner to take jobs for");
                findings.problem("runner-not-registered", what, commands.commands());
            }
            return Ok(());
        }
        Err(error) => {
            refuse(findings, error);
            return Ok(());
        }
    };
    if seen.mode & 0o077 != 0 {
        let what = format!("{shown} has mode {:04o}: others can read the tokens in it", seen.mode);
        findings.problem("config-mode", what, mend!("$ chmod 0600 {}", quoted(&context.config.path)));
    }
    let path = seen.resolved.as_ref().unwrap_or(&context.config.path);
    if let Some(reason) = context.facts.distrust(path)? {
        findings.problem(
            "config-untrusted",
            format!("others than root can change {shown}, and with it what runs as root: {reason}"),
            mend!("$ chmod 0600 {}; ", quoted(&context.config.path)) + close(context.facts, path)?,
        );
    }
    if let Some(pid) = context.facts.mounted_alone(path)? {
        findings.note(
            "config-mounted-alone",
            format!(
                "{shown} alone is mounted in a container (process {pid}): an editor that replaces the file leaves the \
                 container with the old one"
            ),
            "mount the directory with it instead, or restart the container after each change",
        );
    }
    findings.else_fine(format!("{shown} is root's own"));
    Ok(())
}

/// `gitlab-runner lint`. What it prints may hold lines of the file: only its verdict is used.
pub(super) fn lint(context: &DoctorContext<'_>, findings: &mut Findings) -> Result<()> {
    let shown = context.shown();
    match context.version() {
        Some(version) if version < HAS_LINT => {
            findings.fine(format!("gitlab-runner {version} has no `lint`, which came with {HAS_LINT}"));
            return Ok(());
        }
        Some(_) => {}
        None => {
            let message = "gitlab-runner does not say its version, so `lint` was not tried";
            findings.unknown("no-lint", message, "say it with --runner-version");
            return Ok(());
        }
    }
    match context.facts.ask_tool("gitlab-runner", &["lint", "--config", &shown], &[])? {
        None => findings.unknown(
            "no-lint",
            "gitlab-runner is not where programs are looked for",
            "see where it is: $ command -v gitlab-runner",
        ),
        Some(done) if done.success() => findings.fine("gitlab-runner lint finds nothing wrong"),
        Some(_) => {
            let message = format!("gitlab-runner lint objects to {shown}");
            let repair = mend!("see why: $ gitlab-runner lint --config {}", shown);
            // lint objects to every unknown key, which gitlab-runner ignores when it runs.
            let mut keys = Findings::of("");
            super::config_keys::look(context, &mut keys)?;
            let is_new = keys.is_all_fine();
            let too = if is_new { "" } else { ", as config-keys does" };
            findings.weigh(is_new, "config-lint", format!("{message}{too}"), repair);
        }
    }
    Ok(())
}
