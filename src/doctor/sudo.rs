//! sudo: there, reading the rules that were written, and letting the account do what the profile wants.

use std::path::Path;

use anyhow::Result;

use super::Patient;
use crate::change::FileKind;
use crate::facts::MOST_BYTES;
use crate::facts::machine::Finished;
use crate::facts::programs::install;
use crate::finding::Findings;
use crate::policy::{RUST_SUDOERS, SECURE_PATH, SUDOERS_DIRECTORY, includes_drop_ins};
use crate::text::sudo_list::{Entry, Verdict, entries, verdict};

const MAIN: &str = "/etc/sudoers";
/// The name of our file in the directory.
const OURS: &str = "gitlab-runner";

/// The program is there and can become root.
pub(super) fn installed(patient: &Patient<'_>, findings: &mut Findings) -> Result<()> {
    let Some(path) = patient.find(SECURE_PATH.split(':'), "sudo") else {
        return Ok(());
    };
    let shown = path.display();
    let seen = patient.facts.stat(&path)?;
    let (root, _) = patient.facts.ids(&crate::change::Owner::Root)?.unwrap_or_default();
    if seen.is_some_and(|seen| seen.mode & 0o4000 == 0 || seen.uid != root) {
        findings.problem(
            "sudo-not-setuid",
            format!("{shown} can't become root: it is not a setuid program of root's"),
            format!("chown root: {shown}; chmod 4755 {shown}"),
        );
    }
    let said = match patient.machine {
        Some(machine) => machine.ask("sudo", &["--version"], &[])?,
        None => None,
    };
    // sudo-rs 0.2.5 says it on standard error.
    let first = |said: Finished| said.stdout.lines().chain(said.stderr.lines()).next().map(str::to_owned);
    let version = said.and_then(first);
    let is_rust = version.as_ref().is_some_and(|version| version.starts_with("sudo-rs"));
    let main = patient.facts.stat(Path::new(RUST_SUDOERS))?.filter(|_| is_rust);
    if main.is_some() && !includes_drop_ins(&text(patient, Path::new(RUST_SUDOERS))?) {
        findings.problem(
            "sudoers-rs",
            format!(
                "sudo-rs reads {RUST_SUDOERS} instead of {MAIN}, and it does not include {SUDOERS_DIRECTORY}: rules there are dead"
            ),
            format!("add this line at its end: @includedir {SUDOERS_DIRECTORY}; or remove {RUST_SUDOERS}"),
        );
    }
    if findings.is_empty() {
        findings.fine(
            version.filter(|version| !version.is_empty()).unwrap_or_else(|| format!("{shown} is there")),
        );
    }
    Ok(())
}

/// What the files themselves show: rules in files that sudo skips, later ones that take rights away.
pub(super) fn files(patient: &Patient<'_>, findings: &mut Findings) -> Result<()> {
    let directory = Path::new(SUDOERS_DIRECTORY);
    let mut names = patient.facts.names(directory)?;
    names.sort();
    let has_ours = names.iter().any(|name| name == OURS);
    let mut texts = vec![(MAIN.to_owned(), text(patient, Path::new(MAIN))?)];
    for name in &names {
        let path = directory.join(name);
        let shown = path.display().to_string();
        let text = text(patient, &path)?;
        let is_skipped = name.contains('.') || name.ends_with('~');
        let rules = text.lines().filter(|line| first_word(line) == patient.name).count();
        if is_skipped && rules > 0 {
            let message =
                format!("sudo skips {shown}, whose name has a dot or ends in `~`: its rules are dead");
            let repair = format!("remove it once the rules are in {SUDOERS_DIRECTORY}/{OURS}: rm {shown}");
            if has_ours {
                findings.note("sudoers-name-skipped", message, repair);
            } else {
                findings.problem("sudoers-name-skipped", message, repair);
            }
        }
        if !is_skipped {
            let takes_away = |line: &str| {
                first_word(line) == patient.name && !line.contains("NOPASSWD") && line.contains('=')
            };
            if has_ours && name.as_str() > OURS && text.lines().any(takes_away) {
                findings.note(
                    "sudo-later-rule",
                    format!("{shown} comes after our file and has a rule of {} with a password: the last match wins", patient.name),
                    format!("see what sudo makes of it: sudo -l -U {}", patient.name),
                );
            }
            texts.push((shown, text));
        }
    }
    for (shown, text) in texts {
        if text.lines().any(|line| demands_terminal(line, patient.name)) {
            findings.problem(
                "sudo-requiretty",
                format!("{shown} says `Defaults requiretty`: jobs have no terminal"),
                format!("take it out with visudo, or add: Defaults:{} !requiretty", patient.name),
            );
        }
    }
    if findings.is_empty() {
        findings.fine("no file stands in the way of the rule");
    }
    Ok(())
}

fn text(patient: &Patient<'_>, path: &Path) -> Result<String> {
    let seen = match patient.facts.stat(path)? {
        Some(seen) if seen.kind == FileKind::Regular => patient.facts.file(path, MOST_BYTES)?,
        _ => None,
    };
    Ok(seen.map(|seen| seen.text().into_owned()).unwrap_or_default())
}

fn first_word(line: &str) -> &str {
    line.split_whitespace().next().unwrap_or_default()
}

/// `Defaults requiretty`, or the same for the account alone.
fn demands_terminal(line: &str, account: &str) -> bool {
    let Some(rest) = line.trim().strip_prefix("Defaults") else { return false };
    let settings = match rest.strip_prefix(':') {
        Some(rest) => rest.trim_start().strip_prefix(account).unwrap_or_default(),
        None => rest,
    };
    settings.starts_with([' ', '\t']) && settings.split([',', ' ', '\t']).any(|word| word == "requiretty")
}

/// The whole policy, in visudo's own eyes.
pub(super) fn policy(patient: &Patient<'_>, findings: &mut Findings) -> Result<()> {
    let Some(machine) = patient.machine else { return Ok(()) };
    match machine.ask("visudo", &["-c"], &[])? {
        None => findings.unknown(
            "visudo-missing",
            "visudo is not installed: nobody can judge the policy",
            install(patient.facts, &["sudo"])?,
        ),
        Some(done) if done.success() => findings.fine("visudo finds nothing wrong"),
        Some(done) => findings.problem(
            "policy-broken",
            format!("visudo objects: {}", done.complaint()),
            "see all of it, and correct that file with visudo: visudo -c",
        ),
    }
    Ok(())
}

/// The rules of the account as sudo itself reads them; `None` when sudo is not installed.
pub(super) fn listed(patient: &Patient<'_>) -> Result<Option<String>> {
    let Some(machine) = patient.machine else { return Ok(None) };
    let done = machine.ask("sudo", &["-n", "-ll", "-U", patient.name], &[])?;
    Ok(done.map(|done| done.stdout))
}

/// The effect, asked from sudo itself.
pub(super) fn effect(patient: &Patient<'_>, findings: &mut Findings) -> Result<()> {
    let commands = patient.wanted_strings("sudoers", "commands");
    let Some(text) = listed(patient)? else { return Ok(()) };
    let rules = entries(&text);
    for command in commands {
        judge(patient.name, "root", command, &rules, findings);
    }
    for (run_as, command) in patient.wanted_rules() {
        judge(patient.name, &run_as, &command, &rules, findings);
    }
    Ok(())
}

fn judge(account: &str, run_as: &str, command: &str, rules: &[Entry], findings: &mut Findings) {
    let repair = format!("see which rule wins, the last match does: sudo -ll -U {account}");
    let at = |entry: &Entry| entry.file.as_ref().map(|file| format!(" ({file})")).unwrap_or_default();
    match verdict(rules, run_as, command) {
        Verdict::Unknown => findings.problem(
            "rule-without-effect",
            format!("sudo does not let {account} run {command}"),
            repair,
        ),
        Verdict::Denied(entry) => findings.problem(
            "rule-without-effect",
            format!("a rule takes {command} away from {account}{}", at(entry)),
            repair,
        ),
        Verdict::Asks(entry) => findings.problem(
            "sudo-password-asked",
            format!(
                "sudo asks {account} for a password before it runs {command}: another rule comes later{}",
                at(entry)
            ),
            repair,
        ),
        Verdict::Free(_) => findings.fine(format!("{account} runs {command} as {run_as} without a password")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::FINE;

    #[test]
    fn requiretty_is_found_where_it_counts() {
        for (line, expected) in [
            ("Defaults requiretty", true),
            ("Defaults\tenv_reset, requiretty", true),
            ("Defaults:ci requiretty", true),
            ("Defaults:other requiretty", false),
            ("Defaults !requiretty", false),
            ("# Defaults requiretty", false),
            ("Defaultsx requiretty", false),
        ] {
            assert_eq!(demands_terminal(line, "ci"), expected, "{line}");
        }
    }

    #[test]
    fn the_last_rule_about_a_command_counts() {
        let rule = |options: &str, command: &str| {
            format!("Sudoers entry:\n    RunAsUsers: ALL\n{options}    Commands:\n\t{command}\n\n")
        };
        let free = "    Options: !authenticate\n";
        let code = |rules: &[String]| {
            let mut findings = Findings::of("x");
            judge("ci", "root", "/usr/bin/rsync", &entries(&rules.concat()), &mut findings);
            findings.into_list().remove(0).code
        };
        assert_eq!(code(&[rule(free, "/usr/bin/rsync")]), FINE);
        assert_eq!(code(&[rule(free, "ALL")]), FINE);
        assert_eq!(code(&[]), "rule-without-effect");
        assert_eq!(code(&[rule(free, "ALL"), rule("", "!/usr/bin/rsync")]), "rule-without-effect");
        assert_eq!(code(&[rule(free, "/usr/bin/rsync"), rule("", "ALL")]), "sudo-password-asked");
    }
}
