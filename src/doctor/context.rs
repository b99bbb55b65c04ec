//! What every check may ask: the host, and what the profile wants of it.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use anyhow::Result;
use toml_edit::{Item, TableLike};

use crate::change::FileKind;
use crate::facts::machine::{Machine, RunningRunner};
use crate::facts::service::Service;
use crate::facts::{Account, Facts};
use crate::keys::Version;
use crate::plan::Plan;
use crate::repair::{Repair, run};
use crate::resource::ExaminedConfig;
use crate::runner_config::{self, Runner};
use crate::text::deployment::ENTRY;
use crate::text::toml_patch::Toml;

/// The host or tree, and what is wanted of it.
pub struct DoctorContext<'a> {
    /// The host or tree.
    pub facts: &'a Facts<'a>,
    /// The running machine; `None` for a tree.
    pub machine: Option<&'a Machine<'a>>,
    /// The profiles, by name.
    pub profiles: &'a [String],
    /// The command that applies the profiles here.
    pub command: String,
    /// The merged profile.
    pub wanted: &'a Toml,
    /// What each of its sections plans.
    pub plans: Vec<(&'static str, Result<Plan>)>,
    /// The name of the account that jobs run as.
    pub name: &'a str,
    /// The account, when it exists.
    pub account: Option<&'a Account>,
    /// The installed service.
    pub service: Option<&'a Service>,
    /// The configuration file.
    pub config: ExaminedConfig,
    /// Names or ids of the runners that are meant; empty: all of the profile's executors.
    pub runners: &'a [String],
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

impl<'a> DoctorContext<'a> {
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

    /// True when the account is in this group, as its own or as a further one.
    pub(super) fn is_in(&self, group: &str) -> Result<bool> {
        let own = self.account.map(|account| account.gid);
        let members = self.facts.members(group)?.unwrap_or_default();
        Ok(members.iter().any(|member| member == self.name)
            || (own.is_some() && self.facts.group_id(group)? == own))
    }

    /// The process that takes jobs; of several the most trustworthy one.
    pub(super) fn running(&self) -> Result<Running> {
        let Some(machine) = self.machine else { return Ok(Running::Nowhere) };
        let uid_of = |name: &String| self.facts.account(name);
        let by_unit = self.service.and_then(|service| service.run_as.as_ref()).map(uid_of).transpose()?;
        let by_unit = by_unit.flatten().map(|account| account.uid);
        let of_jobs = self.account.map(|account| account.uid);
        let rank = |one: &RunningRunner| match (one.elsewhere, one.uid) {
            (false, 0) => 0,
            (false, uid) if by_unit == Some(uid) => 1,
            // The account can make containers of its own, too, and of the numbers that it has beside its own.
            (true, uid) if ![Some(uid), one.maker].contains(&of_jobs) && one.maker.is_some() => 2,
            _ => 3,
        };
        Ok(machine.runners()?.into_iter().min_by_key(rank).map_or(Running::Nowhere, |one| match rank(&one) {
            0 => Running::Service(one),
            1 => Running::Own(one),
            2 => Running::Contained(one),
            _ => Running::Stranger(one),
        }))
    }

    /// The list of strings at a place of the profile.
    pub(super) fn wanted_strings(&self, section: &str, key: &str) -> Vec<&str> {
        let section = self.wanted.root().get(section).and_then(Item::as_table_like);
        runner_config::strings_at(section, key)
    }

    /// The servers in the profile's `[known_hosts]`, by name.
    pub(super) fn wanted_hosts(&self) -> Vec<&str> {
        let hosts = || self.wanted.root().get("known_hosts")?.as_table_like()?.get("hosts");
        let Some(hosts) = hosts() else { return Vec::new() };
        let name = |table: &'a dyn TableLike| table.get("host")?.as_str();
        // Names, or tables in either notation, or both in one list.
        let listed = hosts.as_array().into_iter().flatten();
        let listed = listed.filter_map(|host| host.as_str().or_else(|| name(host.as_inline_table()?)));
        let tables = hosts.as_array_of_tables().into_iter().flatten();
        listed.chain(tables.filter_map(|table| name(table))).collect()
    }

    /// What the sections with sudo rules plan.
    pub(super) fn sudo_plans(&self) -> impl Iterator<Item = Result<&Plan, &anyhow::Error>> {
        let has_rules = |kind: &str| ["sudoers", "deploy"].contains(&kind);
        self.plans.iter().filter(move |(kind, _)| has_rules(kind)).map(|(_, plan)| plan.as_ref())
    }

    /// The commands of the profile's `[[sudoers.rule]]` and `[[deploy]]`, each with the account that it runs as.
    pub(super) fn wanted_rules(&self) -> Vec<(String, String)> {
        let root = self.wanted.root();
        let rules = || runner_config::tables(root.get("sudoers")?.as_table_like()?.get("rule")?);
        let mut found = Vec::new();
        for rule in rules().unwrap_or_default() {
            let Some(run_as) = rule.get("run_as").and_then(Item::as_str) else { continue };
            let commands = runner_config::strings_at(Some(rule), "commands");
            found.extend(commands.into_iter().map(|command| (run_as.to_owned(), command.to_owned())));
        }
        let deployments = || runner_config::tables(root.get("deploy")?);
        for deployment in deployments().unwrap_or_default() {
            if let Some(name) = deployment.get("name").and_then(Item::as_str) {
                found.push(("root".to_owned(), format!("{ENTRY} {name}")));
            }
        }
        found
    }

    /// The `[config.docker]` of the profile.
    pub(super) fn wanted_docker(&self) -> Option<&dyn TableLike> {
        self.wanted.root().get("config")?.as_table_like()?.get("docker")?.as_table_like()
    }

    /// True when the profile wants something of runners that start containers with the usual daemon.
    pub(super) fn wants_usual_daemon(&self) -> bool {
        let is_usual = |docker: &dyn TableLike| {
            docker.get("host").and_then(Item::as_str).is_none_or(runner_config::is_usual_daemon)
        };
        self.wanted_strings("config", "executors").contains(&"docker")
            && self.wanted_docker().is_some_and(is_usual)
    }

    /// True when the profile wants Docker-in-Docker: privileged services.
    pub(super) fn wants_dind(&self) -> bool {
        let on = |key: &str| self.wanted_docker()?.get(key)?.as_bool();
        on("privileged").unwrap_or_default() || on("services_privileged").unwrap_or_default()
    }

    /// `runner-prep apply` as this profile needs it.
    pub(super) fn apply(&self) -> Repair {
        run(&self.command)
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
        let executors = self.wanted_strings("config", "executors");
        let is_meant = |runner: &Runner<'_>| match self.runners {
            [] => runner.text("executor").is_some_and(|executor| executors.contains(&executor)),
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
        for directory in directories.into_iter().filter(|directory| directory.starts_with('/')) {
            let path = Path::new(directory).join(name);
            // Directories that nobody but their owner can enter are no reason to stop looking.
            let Ok(seen) = self.facts.stat(&path) else { continue };
            if seen.is_some_and(|seen| seen.kind == FileKind::Regular && seen.mode & 0o111 != 0) {
                return Some(path);
            }
        }
        None
    }
}
