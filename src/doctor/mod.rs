//! Would the pipelines of a profile go green on this host, and if not, what is it?
//!
//! One table of small checks ([`CHECKS`]). Each looks at one thing and answers: fine, a problem with its
//! repair, or could not look. Writes nothing, needs no network. What the profile's resources plan is an
//! answer too (`planned`), so that `doctor` and `apply` cannot disagree.

#![expect(clippy::unnecessary_wraps, reason = "all checks have one form, also those that can always look")]

mod account;
mod config_docker;
mod config_file;
mod config_keys;
mod config_runners;
mod config_syntax;
mod docker;
mod key;
mod login;
mod patient;
mod planned;
mod service;
mod sudo;

use anyhow::Result;

use crate::fault;
use crate::finding::{COULD_NOT_LOOK, Finding, Findings};
pub use login::Tried;
pub use patient::{Config, Patient};

/// One check.
pub struct Check {
    /// Its name: an interface.
    pub name: &'static str,
    /// The sections of a profile that need it; empty: every profile does.
    pub sections: &'static [&'static str],
    /// What must be there before it makes sense.
    pub needs: Needs,
    /// Looks, and answers. No answer at all means fine; an error means that it could not look, or, as a
    /// [`fault::Fault`], what stands in the way.
    look: fn(&Patient<'_>, &mut Findings) -> Result<()>,
}

/// What must be there before a check makes sense. Where it is not, another check has said so already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: a tree can answer it, too.
    Nothing,
    /// The account; a tree can answer it.
    Account,
    /// A `config.toml` that could be read; a tree can answer it.
    Config,
    /// The running machine: a tree can't answer it.
    Machine,
    /// The running machine and the account.
    MachineAndAccount,
    /// The running machine and a `config.toml`.
    MachineAndConfig,
}

const fn check(
    name: &'static str,
    sections: &'static [&'static str],
    needs: Needs,
    look: fn(&Patient<'_>, &mut Findings) -> Result<()>,
) -> Check {
    Check { name, sections, needs, look }
}

const ALL: &[&str] = &[];
const SHELL: &[&str] = &["account", "ssh_key", "known_hosts", "git", "sudoers", "deploy"];
const KEY: &[&str] = &["ssh_key"];
const SUDO: &[&str] = &["sudoers", "deploy"];
const CONFIG: &[&str] = &["config"];

/// All checks, in the order in which they are reported.
pub const CHECKS: &[Check] = &[
    check("profile", ALL, Needs::Nothing, planned::look),
    check("home", SHELL, Needs::Account, account::home),
    check("groups", ALL, Needs::Account, account::groups),
    check("login-shell", SHELL, Needs::MachineAndAccount, login::shell),
    check("programs", SHELL, Needs::Account, login::programs),
    check("key-strength", KEY, Needs::Account, key::strength),
    check("key-names", KEY, Needs::Account, key::names),
    check("server-host-key", KEY, Needs::Config, key::server),
    check("sudo", SUDO, Needs::Nothing, sudo::installed),
    check("sudo-files", SUDO, Needs::Nothing, sudo::files),
    check("sudo-policy", SUDO, Needs::Machine, sudo::policy),
    check("sudo-effect", SUDO, Needs::MachineAndAccount, sudo::effect),
    check("runner", ALL, Needs::Nothing, service::installed),
    check("service", ALL, Needs::Nothing, service::unit),
    check("process", ALL, Needs::Machine, service::process),
    check("config-file", ALL, Needs::Nothing, config_file::look),
    check("config-syntax", ALL, Needs::Config, config_syntax::look),
    check("config-keys", ALL, Needs::Config, config_keys::look),
    check("config-runners", ALL, Needs::Config, config_runners::look),
    check("config-tokens", ALL, Needs::Config, config_runners::tokens),
    check("config-docker", CONFIG, Needs::Config, config_docker::look),
    check("config-lint", ALL, Needs::MachineAndConfig, config_file::lint),
    check("config-loaded", ALL, Needs::MachineAndConfig, service::loaded),
    check("docker-daemon", CONFIG, Needs::MachineAndConfig, docker::daemon),
    check("docker-storage", CONFIG, Needs::MachineAndConfig, docker::storage),
    check("kernel", CONFIG, Needs::MachineAndConfig, docker::kernel),
    check("cgroup", CONFIG, Needs::MachineAndConfig, docker::cgroup),
];

/// Make every check that belongs to the profile.
#[must_use]
pub fn examine(patient: &Patient<'_>) -> Vec<Finding> {
    CHECKS
        .iter()
        .filter(|check| patient.wants_any(check.sections))
        .flat_map(|check| ask(check, patient))
        .collect()
}

fn ask(check: &Check, patient: &Patient<'_>) -> Vec<Finding> {
    let mut findings = Findings::of(check.name);
    let (machine, account, config) = match check.needs {
        Needs::Nothing => (false, false, false),
        Needs::Account => (false, true, false),
        Needs::Config => (false, false, true),
        Needs::Machine => (true, false, false),
        Needs::MachineAndAccount => (true, true, false),
        Needs::MachineAndConfig => (true, false, true),
    };
    if (account && patient.account.is_none()) || (config && patient.config.toml().is_none()) {
        return Vec::new();
    }
    if machine && patient.machine.is_none() {
        findings.unknown("needs-host", "a tree can't answer this, only the running host", "");
        return findings.into_list();
    }
    if let Err(error) = (check.look)(patient, &mut findings) {
        refuse(&mut findings, &error);
    }
    if findings.is_empty() {
        findings.fine("nothing to object to");
    }
    findings.into_list()
}

/// Faults that keep from looking; every other one is what is wrong.
const OBSTACLES: [&str; 5] =
    ["not-permitted", "file-too-large", "tool-missing", "tool-hangs", "host-unreachable"];

fn refuse(findings: &mut Findings, error: &anyhow::Error) {
    match fault::find(error) {
        Some(fault) if OBSTACLES.contains(&fault.code) => {
            findings.unknown(COULD_NOT_LOOK, format!("{error:#}"), &fault.repair);
        }
        Some(fault) => findings.problem(fault.code, format!("{error:#}"), &fault.repair),
        None => findings.unknown(COULD_NOT_LOOK, format!("{error:#}"), ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Verdict;

    #[test]
    fn names_are_stable_words_and_stand_once() {
        let mut seen = std::collections::BTreeSet::new();
        for check in CHECKS {
            assert!(seen.insert(check.name), "{}", check.name);
            assert!(check.name.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{}", check.name);
        }
    }

    #[test]
    fn what_is_wrong_and_what_could_not_be_seen_are_told_apart() {
        let verdict = |error: anyhow::Error| {
            let mut findings = Findings::of("x");
            refuse(&mut findings, &error);
            let finding = findings.into_list().remove(0);
            (finding.status, finding.code)
        };
        let fault = |code| fault::fault(code, "what", "repair");
        assert_eq!(verdict(fault("config-invalid")), (Verdict::Problem, "config-invalid".to_owned()));
        assert_eq!(verdict(fault("not-permitted")), (Verdict::Unknown, COULD_NOT_LOOK.to_owned()));
        assert_eq!(verdict(anyhow::anyhow!("EIO")), (Verdict::Unknown, COULD_NOT_LOOK.to_owned()));
    }
}
