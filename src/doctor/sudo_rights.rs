//! What the account may run as root without a password, beside what the profile gives it: all of it that
//! equals root, named.

use std::path::Path;

use anyhow::Result;

use super::DoctorContext;
use super::sudo::listed;
use crate::finding::{COULD_NOT_LOOK, Findings};
use crate::policy::{OURS, way_to_root};
use crate::text::sudo_list::{ListedCommand, Question, SudoVerdict, entries, verdict};

/// Every rule that hands out root, in sudo's own words: also those of groups and aliases.
pub(super) fn look(context: &DoctorContext<'_>, findings: &mut Findings) -> Result<()> {
    let text = match listed(context) {
        Ok(text) => text,
        Err(error) => {
            let name = context.name();
            findings.unknown(
                COULD_NOT_LOOK,
                format!("{error:#}"),
                mend!("see what sudo says; where it speaks of PAM or of the account, correct /etc/pam.d/sudo or the dates of \
                     the account: $ sudo -n -l -U {}", name),
            );
            return Ok(());
        }
    };
    // Whatever name it was given.
    let identity = |path: &Path| context.facts.stat(path).ok().flatten().map(|seen| seen.identity);
    let own = context.facts.program().and_then(|path| identity(&path));
    let is_own = |program: &str| own.is_some() && identity(Path::new(program)) == own;
    judge(context.name(), &context.sudo_programs.as_anybody, &entries(&text), &is_own, findings);
    findings.else_fine("no rule beside the profile's equals root");
    Ok(())
}

/// `known` are commands that the profile wants, of which its own resource warns. `is_own` knows this very program.
fn judge(
    account: &str,
    known: &[String],
    rules: &[ListedCommand],
    is_own: &dyn Fn(&str) -> bool,
    findings: &mut Findings,
) {
    let mut told = Vec::new();
    for rule in rules.iter().filter(|rule| rule.free && rule.lets_become("root") != Some(false)) {
        let (program, arguments) = rule.words();
        let Some(way) = way(&program, arguments.as_deref(), is_own) else { continue };
        if known.contains(&program) || told.contains(&program) {
            continue;
        }
        // A later rule may take it away again, or ask for a password.
        if program != "ALL" && !program.ends_with('/') {
            let same = |one: &str, other: &str| one == other;
            let question =
                Question { run_as: "root", program: &program, arguments: arguments.as_deref(), same: &same };
            if matches!(
                verdict(rules, &question),
                SudoVerdict::Denied(_) | SudoVerdict::Asks(_) | SudoVerdict::Unknown
            ) {
                continue;
            }
        }
        let place = rule.file.as_ref().map(|file| format!(" ({file})")).unwrap_or_default();
        findings.note(
            "root-equivalent-rule",
            format!("{account} may run {program} as root without a password{place}: {way}"),
            mend!("unless the jobs are trusted like root, take that rule out: $ sudo -ll -U {}", account),
        );
        told.push(program);
    }
}

/// How a command of a rule hands out root. Fixed arguments leave nothing to choose, but for rsync, which
/// brings a setuid file from the checkout.
fn way(program: &str, arguments: Option<&str>, is_own: &dyn Fn(&str) -> bool) -> Option<&'static str> {
    if program == "ALL" {
        return Some("everything");
    }
    if program.ends_with('/') || program.contains(['*', '?', '[']) {
        return Some("several programs, some of which give root");
    }
    let name = program.rsplit('/').next().unwrap_or(program);
    let is_fixed = arguments.is_some_and(|text| !text.contains(['*', '?', '[']) && !text.starts_with('^'));
    let found = if is_own(program) { Some(OURS) } else { way_to_root(name) };
    found.filter(|_| !is_fixed || name == "rsync")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(rules: &[(&str, &str)], known: &[&str]) -> Vec<String> {
        let block = |(options, command): &(&str, &str)| {
            format!(
                "Sudoers entry:\n    RunAsUsers: ALL\n    Options: {options}\n    Commands:\n\t{command}\n"
            )
        };
        let text: String = rules.iter().map(block).collect();
        let known: Vec<String> = known.iter().map(|program| (*program).to_owned()).collect();
        let mut findings = Findings::of("x");
        judge("ci", &known, &entries(&text), &|program| program == "/opt/rp", &mut findings);
        findings.into_list().into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn what_gives_root_is_named() {
        let free = "!authenticate";
        for command in [
            "ALL",
            "/bin/bash",
            "/usr/bin/python3.11",
            "/usr/bin/",
            "/usr/bin/*",
            "/usr/bin/tar *",
            "/usr/bin/runner-prep",
            "/opt/rp",
            "/usr/bin/rsync -a x y",
        ] {
            assert_eq!(named(&[(free, command)], &[]).len(), 1, "{command}");
        }
        for command in [
            "/usr/bin/id",
            "/usr/bin/systemctl restart app",
            "!/bin/bash",
            "/usr/local/bin/runner-deploy app",
        ] {
            assert_eq!(named(&[(free, command)], &[]), Vec::<String>::new(), "{command}");
        }
        assert_eq!(named(&[("", "ALL")], &[]).len(), 0);
        assert_eq!(named(&[(free, "/usr/bin/rsync")], &["/usr/bin/rsync"]).len(), 0);
    }

    #[test]
    fn what_a_later_rule_takes_away_is_not() {
        assert_eq!(named(&[("!authenticate", "/bin/bash"), ("", "!/bin/bash")], &[]).len(), 0);
        assert_eq!(named(&[("!authenticate", "/bin/bash"), ("", "ALL")], &[]).len(), 0);
        assert_eq!(named(&[("!authenticate", "ALL"), ("!authenticate", "ALL")], &[]).len(), 1);
    }
}
