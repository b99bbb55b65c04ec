//! What a check is, and what its error means.

use anyhow::Result;

use super::context::DoctorContext;
use crate::fault::{self, Nature};
use crate::finding::{COULD_NOT_LOOK, Findings};

/// One check.
pub struct Check {
    /// Its name: an interface.
    pub name: &'static str,
    /// The sections of a profile that need it; empty: every profile does.
    pub sections: &'static [&'static str],
    /// What must be there before it makes sense.
    pub needs: &'static [Need],
    /// Looks, and answers. No answer at all means fine; an error means that it could not look, or, as a
    /// [`fault::Fault`], what stands in the way.
    pub(super) look: fn(&DoctorContext<'_>, &mut Findings) -> Result<()>,
}

/// What must be there before a check makes sense. Where something of it is missing, another check says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// The account.
    Account,
    /// A `config.toml` that could be read.
    Config,
    /// gitlab-runner, installed or running.
    Program,
    /// sudo.
    Sudo,
    /// The profile's sudo rules as they are wanted, and nothing known that takes their effect away.
    Rules,
    /// The running machine: a tree can't answer it.
    Machine,
}

pub(super) const fn check(
    name: &'static str,
    sections: &'static [&'static str],
    needs: &'static [Need],
    look: fn(&DoctorContext<'_>, &mut Findings) -> Result<()>,
) -> Check {
    Check { name, sections, needs, look }
}

pub(super) const ALL: &[&str] = &[];
pub(super) const SHELL: &[&str] = &["account", "ssh_key", "known_hosts", "git", "sudoers", "deploy"];
pub(super) const KEY: &[&str] = &["ssh_key"];
pub(super) const SUDO: &[&str] = &["sudoers", "deploy"];
pub(super) const CONFIG: &[&str] = &["config"];

/// What an error means: something that is wrong, or that nobody could look.
pub(super) fn refuse(findings: &mut Findings, error: &anyhow::Error) {
    match fault::find(error) {
        Some(fault) if matches!(fault.nature, Nature::Obstacle | Nature::Hangs) => {
            findings.unknown(COULD_NOT_LOOK, format!("{error:#}"), &fault.repair);
        }
        Some(fault) => findings.problem(fault.code, format!("{error:#}"), &fault.repair),
        None => findings.unknown(COULD_NOT_LOOK, format!("{error:#}"), fault::repair(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Verdict;

    #[test]
    fn what_is_wrong_and_what_could_not_be_seen_are_told_apart() {
        let verdict = |error: anyhow::Error| {
            let mut findings = Findings::of("x");
            refuse(&mut findings, &error);
            let finding = findings.into_list().remove(0);
            (finding.status, finding.code)
        };
        let fault = |nature: Nature| nature.fault("code", "what", "repair");
        assert_eq!(verdict(fault(Nature::Wrong)), (Verdict::Problem, "code".to_owned()));
        assert_eq!(verdict(fault(Nature::Obstacle)), (Verdict::Unknown, COULD_NOT_LOOK.to_owned()));
        assert_eq!(verdict(anyhow::anyhow!("EIO")), (Verdict::Unknown, COULD_NOT_LOOK.to_owned()));
    }
}
