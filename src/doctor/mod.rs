//! Would the pipelines of a profile go green on this host, and if not, what is it?
//!
//! One table of small checks ([`CHECKS`]). Each looks at one thing and answers: fine, a problem with its
//! repair, or could not look. Writes nothing, needs no network. What the profile's resources plan is an
//! answer too (`planned`), so that `doctor` and `apply` cannot disagree.

#![expect(clippy::unnecessary_wraps, reason = "all checks have one form, also those that can always look")]

mod account;
mod causes;
mod config_docker;
mod config_file;
mod config_keys;
mod config_runners;
mod config_syntax;
mod context;
mod dind;
mod disk;
mod docker;
pub mod explain;
mod job;
mod kernel;
mod key;
mod login;
mod online;
mod planned;
mod process;
mod programs;
mod service;
mod sudo;
mod sudo_rights;

use std::collections::BTreeSet;

use crate::change::Harm;
use crate::facts::programs::is_had;
use crate::finding::{Finding, Findings, NEEDS_HOST, Verdict};
use crate::policy::SECURE_PATH;
use context::Need::{Account, Config as ConfigFile, Machine, Program, Rules, Sudo};
use context::{ALL, CONFIG, KEY, SHELL, SUDO, check, refuse};
pub use context::{Check, DoctorContext, Need};

/// All checks, in the order in which they are made.
pub const CHECKS: &[Check] = &[
    // What is missing is installed before anything else is done.
    check("programs", ALL, &[], programs::look),
    check("profile", ALL, &[], planned::look),
    check("home", SHELL, &[Account], account::home),
    check("expiry", SHELL, &[Account, Machine], account::expiry),
    check("groups", ALL, &[Account], account::groups),
    check("login-shell", SHELL, &[Account, Machine], login::shell),
    check("key-strength", KEY, &[Account], key::strength),
    check("server-host-key", KEY, &[Account, ConfigFile], key::server),
    check("job", SHELL, &[Account, Machine], job::look),
    check("sudo", SUDO, &[Sudo], sudo::installed),
    check("sudo-files", SUDO, &[Sudo], sudo::files),
    check("sudo-policy", SUDO, &[Sudo, Machine], sudo::policy),
    check("sudo-effect", SUDO, &[Account, Sudo, Rules, Machine], sudo::effect),
    check("sudo-rights", ALL, &[Account, Machine], sudo_rights::look),
    check("runner", ALL, &[Program], service::installed),
    check("service", ALL, &[Program], service::unit),
    check("process", ALL, &[Program, Machine], process::look),
    check("config-file", ALL, &[], config_file::look),
    check("config-syntax", ALL, &[ConfigFile], config_syntax::look),
    check("config-keys", ALL, &[ConfigFile], config_keys::look),
    check("config-runners", ALL, &[ConfigFile], config_runners::look),
    check("config-tokens", ALL, &[ConfigFile], config_runners::tokens),
    check("config-docker", CONFIG, &[ConfigFile], config_docker::look),
    check("config-lint", ALL, &[ConfigFile, Program, Machine], config_file::lint),
    check("config-loaded", ALL, &[ConfigFile, Program, Machine], process::loaded),
    check("docker-daemon", CONFIG, &[ConfigFile, Machine], docker::daemon),
    check("docker-storage", CONFIG, &[ConfigFile, Machine], docker::storage),
    check("docker-images", CONFIG, &[ConfigFile, Machine], docker::missing_images),
    check("dind-network", CONFIG, &[ConfigFile, Machine], dind::packets),
    check("dind-kernel", CONFIG, &[ConfigFile, Machine], dind::rootless),
    check("docker-volumes", CONFIG, &[ConfigFile, Machine], dind::volumes),
    check("disk", ALL, &[ConfigFile, Machine], disk::look),
    check("kernel", CONFIG, &[ConfigFile, Machine], kernel::modules),
    check("cgroup", CONFIG, &[ConfigFile, Machine], kernel::cgroup),
];

/// Make every check that belongs to the profile.
pub fn examine(context: &DoctorContext<'_>) -> Vec<Finding> {
    let online = if context.online { online::CHECKS } else { &[] };
    let checks = CHECKS.iter().chain(online).filter(|check| context.wants_any(check.sections));
    let (mut findings, mut said) = (Vec::new(), BTreeSet::new());
    for finding in checks.flat_map(|check| ask(check, context)) {
        // What stands in the way of several checks is told by the first.
        let is_new = said.insert((finding.code.clone(), finding.message.clone()));
        if finding.status != Verdict::Problem || is_new {
            findings.push(finding);
        }
    }
    causes::connect(&mut findings);
    findings
}

/// Of the errors of resources, each with its kind, those that follow from no other one.
pub fn root_causes(errors: Vec<(&str, anyhow::Error)>) -> Vec<anyhow::Error> {
    let finding = |(kind, error): &(&str, anyhow::Error)| {
        let mut own = Findings::of(&planned::check_of(kind));
        refuse(&mut own, error);
        own.into_list()
    };
    let mut findings: Vec<Finding> = errors.iter().flat_map(finding).collect();
    causes::connect(&mut findings);
    let is_root = |(_, finding): &(_, Finding)| finding.because_of.is_none();
    errors.into_iter().zip(findings).filter(is_root).map(|((_, error), _)| error).collect()
}

fn ask(check: &Check, context: &DoctorContext<'_>) -> Vec<Finding> {
    let mut findings = Findings::of(check.name);
    let is_there = |need: &Need| match need {
        Account => context.account().is_some(),
        ConfigFile => context.config.toml().is_some(),
        // What could not be looked at may be there.
        Program => is_had(context.facts, context.service(), "gitlab-runner").unwrap_or(true),
        Sudo => context.find(SECURE_PATH.split(':'), "sudo").is_some(),
        Rules => context.sudo_plans().all(|plan| {
            plan.is_ok_and(|plan| {
                plan.changes.is_empty() && plan.notes.pending.iter().all(|note| note.harm == Harm::Unknown)
            })
        }),
        Machine => true,
    };
    if !check.needs.iter().all(is_there) {
        return Vec::new();
    }
    if check.needs.contains(&Machine) && !context.facts.is_host() {
        findings.unknown(NEEDS_HOST, "a tree can't answer this, only the running host", "");
        return findings.into_list();
    }
    if let Err(error) = (check.look)(context, &mut findings) {
        refuse(&mut findings, &error);
    }
    findings.else_fine("nothing to object to");
    findings.into_list()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_stable_words_and_stand_once() {
        let mut seen = std::collections::BTreeSet::new();
        for check in CHECKS {
            assert!(seen.insert(check.name), "{}", check.name);
            assert!(check.name.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{}", check.name);
        }
    }
}
