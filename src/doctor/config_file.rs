//! `config.toml` as a file: there, readable as TOML, kept from others; and gitlab-runner's own word on it.

use anyhow::Result;

use super::{Patient, refuse};
use crate::finding::Findings;
use crate::keys::Version;

/// The first version with `gitlab-runner lint`.
const HAS_LINT: Version = Version(19, 3, 0);

/// The file itself. What is in it are other checks' questions.
pub(super) fn look(patient: &Patient<'_>, findings: &mut Findings) -> Result<()> {
    let shown = patient.shown();
    let seen = match &patient.config.found {
        Ok(Some((seen, _))) => seen,
        Ok(None) => {
            findings.problem(
                "config-missing",
                format!("{shown} does not exist: gitlab-runner has no runner to take jobs for"),
                "register one: gitlab-runner register",
            );
            return Ok(());
        }
        Err(error) => {
            refuse(findings, error);
            return Ok(());
        }
    };
    if seen.mode & 0o077 != 0 {
        findings.problem(
            "config-mode",
            format!("{shown} has mode {:04o}: others can read the tokens in it", seen.mode),
            format!("chmod 0600 {shown}"),
        );
    }
    let path = seen.resolved.as_ref().unwrap_or(&patient.config.path);
    if let Some(reason) = patient.facts.distrust(path)? {
        findings.problem(
            "config-untrusted",
            format!("others than root can change {shown}, and with it what runs as root: {reason}"),
            format!("chown root: {shown}; chmod 0600 {shown}; and likewise the directories above it"),
        );
    }
    if findings.is_empty() {
        findings.fine(format!("{shown} is root's own"));
    }
    Ok(())
}

/// `gitlab-runner lint`. What it prints may hold lines of the file: only its verdict is used.
pub(super) fn lint(patient: &Patient<'_>, findings: &mut Findings) -> Result<()> {
    let Some(machine) = patient.machine else { return Ok(()) };
    let shown = patient.shown();
    let is_old = patient.version().is_none_or(|version| version < HAS_LINT);
    if is_old {
        findings.unknown("no-lint", format!("gitlab-runner has no `lint` before {HAS_LINT}"), "");
        return Ok(());
    }
    match machine.ask("gitlab-runner", &["lint", "--config", &shown], &[])? {
        None => findings.unknown("tool-missing", "gitlab-runner is not where programs are looked for", ""),
        Some(done) if done.success() => findings.fine("gitlab-runner lint finds nothing wrong"),
        Some(_) => findings.problem(
            "config-lint",
            format!("gitlab-runner lint objects to {shown}"),
            format!("see why: gitlab-runner lint --config {shown}"),
        ),
    }
    Ok(())
}
