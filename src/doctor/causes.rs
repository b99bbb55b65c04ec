//! Which findings follow from which others: a table, so that no check has to know of another.

use std::collections::BTreeMap;

use crate::finding::{Because, FINE, Finding, NEEDS_HOST};

/// As data: the head of the file says what its columns mean.
const CAUSES: &str = include_str!("causes.tsv");

/// Tell each finding that follows from another which one that is, and give it the repair of that one.
pub(super) fn connect(findings: &mut [Finding]) {
    let mut cause_of: Vec<Option<usize>> = vec![None; findings.len()];
    for line in CAUSES.lines().filter(|line| !line.starts_with('#')) {
        let Some((cause, consequences)) = line.split_once('\t') else { continue };
        // What follows and has no cause yet, by what it is about.
        let mut open: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (at, finding) in findings.iter().enumerate() {
            if cause_of[at].is_none() && consequences.split(' ').any(|code| is(finding, code)) {
                open.entry(&finding.subject).or_default().push(at);
            }
        }
        for (at, finding) in findings.iter().enumerate().filter(|(_, finding)| is(finding, cause)) {
            let Some(open) = open.get_mut(finding.subject.as_str()) else { continue };
            // What is told first is the cause of what says the same again.
            let first = root(&cause_of, at);
            let kept = open.iter().copied().filter(|other| *other == at || *other == first).collect();
            for other in std::mem::replace(open, kept) {
                if other != at && other != first {
                    cause_of[other] = Some(at);
                }
            }
        }
    }
    for at in 0..findings.len() {
        if cause_of[at].is_some() {
            let cause = findings[root(&cause_of, at)].clone();
            findings[at].because_of = Some(Because { check: cause.check, code: cause.code });
            findings[at].repair = cause.repair;
        }
    }
}

/// The finding at the beginning.
fn root(cause_of: &[Option<usize>], mut at: usize) -> usize {
    while let Some(cause) = cause_of[at] {
        at = cause;
    }
    at
}

/// A finding with this `CODE` or `CODE@CHECK`.
fn is(finding: &Finding, wanted: &str) -> bool {
    let (code, check) = wanted.split_once('@').map_or((wanted, None), |(code, check)| (code, Some(check)));
    let is_said = ![FINE, NEEDS_HOST].contains(&finding.code.as_str());
    is_said && (code == "*" || finding.code == code) && check.is_none_or(|check| finding.check == check)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::finding::Findings;

    fn connected(said: &[(&str, &str, &str)]) -> Vec<String> {
        let mut all = Findings::of("x");
        for (check, code, subject) in said {
            let mut one = Findings::of(check);
            one.about(*subject).problem(code, "m", mend!("repair of {}", check));
            all.extend(one);
        }
        let mut all = all.into_list();
        connect(&mut all);
        let because = |finding: Finding| {
            finding.because_of.map(|because| [because.check, finding.repair.text()].join(": "))
        };
        all.into_iter().map(|finding| because(finding).unwrap_or_default()).collect()
    }

    #[test]
    fn a_cause_is_found_at_its_root_and_in_any_order() {
        assert_eq!(
            connected(&[
                ("ssh-key", "ssh-key-missing", ""),
                ("git", "home-missing", ""),
                ("home", "home-missing", "")
            ]),
            ["home: repair of home", "home: repair of home", ""]
        );
        assert_eq!(
            connected(&[
                ("sudoers", "sudoers-mode", ""),
                ("p", "policy-broken", ""),
                ("e", "rule-without-effect", "")
            ]),
            ["", "sudoers: repair of sudoers", "sudoers: repair of sudoers"]
        );
    }

    #[test]
    fn what_is_about_something_else_stands_for_itself() {
        assert_eq!(connected(&[("a", "tls-cert-path", "1"), ("b", "tls-cert-path", "2")]), ["", ""]);
        assert_eq!(connected(&[("a", "policy-broken", ""), ("b", "token-missing", "")]), ["", ""]);
        assert_eq!(connected(&[("a", "no-runner", "")]), [""]);
    }

    #[test]
    fn the_table_names_what_there_is() {
        let codes: BTreeSet<&str> = crate::doctor::explain::codes().map(|(code, _)| code).collect();
        for line in CAUSES.lines().filter(|line| !line.starts_with('#')) {
            for name in line.split(['\t', ' ']) {
                let (code, check) = name.split_once('@').unwrap_or((name, ""));
                assert!(
                    ["*", crate::finding::COULD_NOT_LOOK].contains(&code) || codes.contains(code),
                    "{code}"
                );
                let online = crate::doctor::online::CHECKS;
                let known = crate::doctor::CHECKS.iter().chain(online).map(|check| check.name);
                let of_plan = ["ssh-key", "known-hosts", "sudoers", "git", "account", "config"];
                assert!(
                    check.is_empty() || of_plan.contains(&check) || known.clone().any(|name| name == check),
                    "{name}"
                );
            }
        }
    }
}
