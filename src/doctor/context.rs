//! What a check is, what every check may ask (the host, and what the profile wants of it), and what its error means.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::facts::machine::RunningRunner;
use crate::facts::service::Service;
use crate::facts::{Account, Facts};
use crate::fault::{self, Nature};
use crate::finding::{COULD_NOT_LOOK, Findings};
use crate::keys::Version;
use crate::plan::Plan;
use crate::repair::{Repair, run};
use crate::resource::{ConfigSection, ExaminedConfig, Options, SudoPrograms, Target};
use crate::runner_config::Runner;

/// The host or tree, and what is wanted of it.
pub struct DoctorContext<'a> {
    /// The host or tree.
    pub facts: &'a Facts<'a>,
    /// The account that jobs run as, and the installed service.
    pub target: &'a Target,
    /// What the command line and the profile say.
    pub options: &'a Options,
    /// What the profile wants in `config.toml`.
    pub wanted: ConfigSection,
    /// What jobs of the profile start through sudo.
    pub sudo_programs: SudoPrograms,
    /// GitLab's address and the paths of projects in the profile's `[gitlab]`.
    pub projects: Option<(&'a str, Vec<&'a str>)>,
    /// What each of its sections plans.
    pub plans: Vec<(&'static str, Result<Plan>)>,
    /// The configuration file.
    pub config: ExaminedConfig,
    /// The version of gitlab-runner, where it is known.
    pub version: Result<Option<Version>>,
    /// Servers are asked, too.
    pub online: bool,
    /// The registries that are then asked.
    pub registries: &'a [String],
    /// The account's login shell, tried once.
    pub login: OnceCell<Login>,
}

/// The last line of a login file that a shell came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginLine {
    /// The file.
    pub file: PathBuf,
    /// Its line.
    pub line: u32,
}

/// How the login shell did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// It ended with 0, and finds these programs.
    Good(Vec<String>),
    /// It ended with 0 before it had read what a job wants.
    Skips(Option<LoginLine>),
    /// It was not started, because of this.
    Refused(String),
    /// It ended with another code, or by a signal.
    Ended(Option<i32>, Option<LoginLine>),
    /// It did not end.
    Hangs,
    /// It could not be tried.
    NotTried(String),
}

/// The process that takes jobs. A job can start one of any name: who runs it decides what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Running {
    /// Root's own on this machine: the service.
    Service(RunningRunner),
    /// The one of the user that the unit names (`User=`).
    Own(RunningRunner),
    /// One in a container.
    Contained(RunningRunner),
    /// One of some user's, which nobody but that user vouches for.
    Stranger(RunningRunner),
    /// None.
    Nowhere,
}

impl DoctorContext<'_> {
    /// The name of the account that jobs run as.
    pub(super) fn name(&self) -> &str {
        &self.target.name
    }

    /// The account, when it exists.
    pub(super) fn account(&self) -> Option<&Account> {
        self.target.account.as_ref()
    }

    /// The installed service.
    pub(super) fn service(&self) -> Option<&Service> {
        self.target.service.as_ref()
    }

    /// True when the profile has one of these sections; every profile has none of them.
    pub fn wants_any(&self, sections: &[&str]) -> bool {
        sections.is_empty() || sections.iter().any(|section| self.wants(section))
    }

    /// The version of gitlab-runner, where it could be read.
    pub(super) fn version(&self) -> Option<Version> {
        self.version.as_ref().ok().copied().flatten()
    }

    /// True when the profile has this section.
    pub fn wants(&self, section: &str) -> bool {
        self.plans.iter().any(|(kind, _)| *kind == section)
    }

    /// The process that takes jobs; of several the most trustworthy one.
    pub(super) fn running(&self) -> Result<Running> {
        if !self.facts.is_host() {
            return Ok(Running::Nowhere);
        }
        let uid_of = |name: &String| self.facts.account(name);
        let by_unit = self.service().and_then(|service| service.run_as.as_ref()).map(uid_of).transpose()?;
        let by_unit = by_unit.flatten().map(|account| account.uid);
        let of_jobs = self.account().map(|account| account.uid);
        let rank = |one: &RunningRunner| match (one.elsewhere, one.uid) {
            (false, 0) => 0,
            (false, uid) if by_unit == Some(uid) => 1,
            // The account can make containers of its own, too, and of the numbers that it has beside its own.
            (true, uid) if ![Some(uid), one.maker].contains(&of_jobs) && one.maker.is_some() => 2,
            _ => 3,
        };
        Ok(self.facts.runners()?.into_iter().min_by_key(rank).map_or(Running::Nowhere, |one| {
            match rank(&one) {
                0 => Running::Service(one),
                1 => Running::Own(one),
                2 => Running::Contained(one),
                _ => Running::Stranger(one),
            }
        }))
    }

    /// What the sections with sudo rules plan.
    pub(super) fn sudo_plans(&self) -> impl Iterator<Item = Result<&Plan, &anyhow::Error>> {
        let has_rules = |kind: &str| ["sudoers", "deploy"].contains(&kind);
        self.plans.iter().filter(move |(kind, _)| has_rules(kind)).map(|(_, plan)| plan.as_ref())
    }

    /// `runner-prep apply` as this profile needs it.
    pub(super) fn apply(&self) -> Repair {
        run(&self.options.command)
    }

    /// The path of the configuration, for messages.
    pub(super) fn shown(&self) -> String {
        self.config.shown()
    }

    /// All runners.
    pub(super) fn all_runners(&self) -> Result<Vec<Runner<'_>>> {
        self.config.runners()
    }

    /// The runners that the profile means.
    pub(super) fn meant_runners(&self) -> Result<Vec<Runner<'_>>> {
        let is_meant = |runner: &Runner<'_>| match &self.options.runners[..] {
            [] => self.wanted.executors.iter().any(|executor| runner.has_executor(executor)),
            names => names.iter().any(|name| runner.is_called(name)),
        };
        Ok(self.all_runners()?.into_iter().filter(is_meant).collect())
    }

    /// The runners that the profile means and that start containers.
    pub(super) fn docker_runners(&self) -> Result<Vec<Runner<'_>>> {
        Ok(self.meant_runners()?.into_iter().filter(Runner::starts_containers).collect())
    }

    /// The first of these directories that has a program of this name.
    pub(super) fn find<'d>(
        &self,
        directories: impl IntoIterator<Item = &'d str>,
        name: &str,
    ) -> Option<PathBuf> {
        let absolute = directories.into_iter().filter(|directory| directory.starts_with('/'));
        absolute.map(|directory| Path::new(directory).join(name)).find(|path| self.facts.is_program(path))
    }
}

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
