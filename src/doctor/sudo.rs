//! sudo: there, reading the rules that were written, and letting the account do what the profile wants.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::DoctorContext;
use crate::change::{FileKind, Harm, Seen};
use crate::facts::MOST_BYTES;
use crate::facts::machine::Finished;
use crate::facts::programs::{self, install};
use crate::fault::quoted;
use crate::finding::Findings;
use crate::policy::{EFFECT, SECURE_PATH, SUDOERS_DIRECTORY};

/// The name of our file in the directory.
const OURS: &str = "gitlab-runner";

/// The program is there and can become root.
pub(super) fn installed(context: &DoctorContext<'_>, findings: &mut Findings) -> Result<()> {
    let Some(sudo) = programs::located_in(context.facts, SECURE_PATH.split(':'), "sudo") else {
        return Ok(());
    };
    if let Some((what, repair)) = programs::powerless(context.facts, &sudo)? {
        findings.problem("sudo-not-setuid", what, repair);
    }
    let said = context.facts.ask_tool("sudo", &["--version"], &[])?;
    // sudo-rs 0.2.5 says it on standard error.
    let first = |said: Finished| said.stdout.lines().chain(said.stderr.lines()).next().map(str::to_owned);
    let version = said.and_then(first);
    findings.else_fine(
        version
            .filter(|version| !version.is_empty())
            .unwrap_or_else(|| format!("{} is there", sudo.0.display())),
    );
    Ok(())
}

/// Rules in files that sudo skips.
pub(super) fn files(context: &DoctorContext<'_>, findings: &mut Findings) -> Result<()> {
    let directory = Path::new(SUDOERS_DIRECTORY);
    let mut names = context.facts.names(directory)?;
    names.sort();
    let has_ours = names.iter().any(|name| name == OURS);
    for name in names.iter().filter(|name| name.contains('.') || name.ends_with('~')) {
        let path = directory.join(name);
        let shown = path.display();
        let text = text(context, &path)?;
        if text.lines().any(|line| line.split_whitespace().next() == Some(context.name())) {
            let message =
                format!("sudo skips {shown}, whose name has a dot or ends in `~`: its rules are dead");
            let live = directory.join(OURS);
            let repair = mend!("remove it once the rules are in {}: $ rm {}", live.display(), quoted(&path));
            findings.weigh(!has_ours, "sudoers-name-skipped", message, repair);
        }
    }
    findings.else_fine("no rule of the account lies in a file that sudo skips");
    Ok(())
}

fn text(context: &DoctorContext<'_>, path: &Path) -> Result<String> {
    let seen = match context.facts.stat(path)? {
        Some(seen) if seen.kind == FileKind::Regular => context.facts.file(path, MOST_BYTES)?,
        _ => None,
    };
    Ok(seen.map(|seen| seen.text().into_owned()).unwrap_or_default())
}

/// The whole policy, in visudo's own eyes.
pub(super) fn policy(context: &DoctorContext<'_>, findings: &mut Findings) -> Result<()> {
    match context.facts.ask_tool("visudo", &["-c"], &[])? {
        None => findings.unknown(
            "visudo-missing",
            "visudo is not installed: nobody can judge the policy",
            install(context.facts, &["sudo"])?,
        ),
        Some(done) if done.success() || done.is_silent() => findings.fine("visudo finds nothing wrong"),
        Some(done) => match lax(context, &done)? {
            Some(files) => findings.note(
                "sudoers-lax",
                format!("visudo wants another group or mode, and sudo reads them all the same: {files}"),
                mend!("$ chown root:root {0}; $ chmod 0440 {0}", files),
            ),
            None => findings.problem(
                "policy-broken",
                format!("visudo objects: {}", done.complaint()),
                "see all of it, and correct that file with visudo: $ visudo -c",
            ),
        },
    }
    Ok(())
}

/// The files of whose mode or group alone visudo complains, where nobody else can write them and sudo reads them; `None` where there
/// is more to it.
fn lax(context: &DoctorContext<'_>, done: &Finished) -> Result<Option<String>> {
    let mut files: Vec<String> = Vec::new();
    for line in done.stdout.lines().chain(done.stderr.lines()).map(str::trim) {
        if line.is_empty() || line.ends_with(": parsed OK") {
            continue;
        }
        let file = [": bad permissions, should be mode 0440", ": wrong owner (uid, gid) should be (0, 0)"];
        let Some(file) = file.into_iter().find_map(|end| line.strip_suffix(end)) else { return Ok(None) };
        let seen = context.facts.stat(Path::new(file))?;
        let by_group = |seen: &Seen| seen.mode & 0o020 != 0 && seen.gid != 0;
        if seen.is_none_or(|seen| seen.uid != 0 || seen.mode & 0o002 != 0 || by_group(&seen)) {
            return Ok(None);
        }
        let file = quoted(file);
        if !files.contains(&file) {
            files.push(file);
        }
    }
    Ok(Some(files.join(" ")).filter(|files| !files.is_empty()))
}

/// The rules of the account as sudo itself reads them; an empty text when sudo is not installed.
///
/// # Errors
/// When sudo does not list them.
pub(super) fn listed(context: &DoctorContext<'_>) -> Result<String> {
    let by_root = context.facts.sudo(None, &["-n", "-ll", "-U", context.name()], &[])?;
    let Some(by_root) = by_root else { return Ok(String::new()) };
    if by_root.success() {
        return Ok(by_root.stdout);
    }
    // Some policies let everybody use sudo but root.
    let by_itself = context.facts.sudo(context.account(), &["-n", "-ll"], &[])?.filter(Finished::success);
    let said = by_root.complaint();
    by_itself
        .map(|said| said.stdout)
        .with_context(|| format!("sudo does not list the rules of {}: {said}", context.name()))
}

/// The effect of rules that are as wanted, as their own resources asked it of sudo. What takes it away is told there.
pub(super) fn effect(context: &DoctorContext<'_>, findings: &mut Findings) -> Result<()> {
    for plan in context.sudo_plans().flatten() {
        for (_, what) in plan.notes.right.iter().filter(|(kind, _)| *kind == EFFECT) {
            findings.fine(what);
        }
        for note in
            plan.notes.pending.iter().chain(&plan.notes.warnings).filter(|note| note.harm == Harm::Unknown)
        {
            findings.unknown(note.code, &note.message, &note.repair);
        }
    }
    Ok(())
}
