//! The account that jobs run as: which one it is, and what is known of it.
//!
//! Found once, before any resource plans, so that all of them mean the same account.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use anyhow::Result;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::change::{Notes, Place};
use crate::facts::ssh::{self, Client};
use crate::facts::{Account, Facts, service};
use crate::fault::Nature;
use crate::text::known_hosts::HostName;
use crate::text::sudo_rule::is_account_name;

/// The names that GitLab's package looks for, the newer one first.
pub(super) const USUAL_NAMES: [&str; 2] = ["gitlab-runner", "gitlab_ci_multi_runner"];

/// The account that jobs run as, whether it exists yet or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Login name.
    pub name: String,
    /// Home directory: the account's own, or the one that `useradd` will give it.
    pub home: PathBuf,
    /// The account when it exists.
    pub account: Option<Account>,
    /// The installed service, when there is one.
    pub service: Option<service::Service>,
    /// What configures ssh of the account, read once.
    ssh: OnceCell<Vec<ssh::ConfigText>>,
}

impl Target {
    /// Find the account: the one that was asked for (by `--user` or the profile), that the service runs
    /// jobs as, or a usual one.
    ///
    /// # Errors
    /// When the name is none that can be used, or is root's.
    pub fn find(facts: &Facts<'_>, asked: Option<String>) -> Result<Self> {
        let service = service::observe(facts)?;
        let candidates: Vec<String> = if let Some(name) = asked {
            vec![name]
        } else {
            // Without --user jobs run as whoever gitlab-runner itself runs as.
            let itself = |service: &service::Service| {
                service.run_as.clone().filter(|name| name != "root" && check_name(name).is_ok())
            };
            let user = |service: &service::Service| service.user.clone().or_else(|| itself(service));
            let by_service = service.as_ref().and_then(user);
            by_service.into_iter().chain(USUAL_NAMES.map(str::to_owned)).collect()
        };
        for name in &candidates {
            check_name(name)?;
        }
        for name in &candidates {
            if let Some(account) = facts.account(name)? {
                if account.uid == 0 {
                    let what = format!("the account {name} has uid 0: jobs would be root");
                    let repair = "name another account with --user, or correct --user in the service's unit";
                    return Err(Nature::NoAccount.fault("account-is-root", what, repair));
                }
                return Ok(Self {
                    name: name.clone(),
                    home: account.home.clone(),
                    account: Some(account),
                    service,
                    ssh: OnceCell::new(),
                });
            }
        }
        let name = candidates.into_iter().next().unwrap_or_else(|| USUAL_NAMES[0].to_owned());
        Ok(Self { home: home_base(facts)?.join(&name), name, account: None, service, ssh: OnceCell::new() })
    }

    /// Say it once where the service does not show which account and which file it uses.
    pub(super) fn warn_if_unclear(&self, notes: &mut Notes) {
        let unclear = self.service.as_ref().filter(|service| service.is_unclear);
        if let Some(service) = unclear {
            notes.warn(
                "service-unclear",
                format!(
                    "the command in {} does not show which account and file gitlab-runner uses; this prepares {}",
                    service.unit.display(),
                    self.name
                ),
                "start it with `gitlab-runner run` itself in the unit, or see that both are right: $ runner-prep doctor",
            );
        }
    }

    /// True when the account is in this group, as its own or as a further one.
    ///
    /// # Errors
    /// When the groups can't be read.
    pub fn is_in(&self, facts: &Facts<'_>, group: &str) -> Result<bool> {
        let own = self.account.as_ref().map(|account| account.gid);
        let members = facts.members(group)?.unwrap_or_default();
        Ok(members.contains(&self.name) || (own.is_some() && facts.group_id(group)? == own))
    }

    /// A place below the account's home.
    pub fn place(&self, relative: &str) -> Place {
        Place::Home { account: self.name.clone(), home: self.home.clone(), relative: relative.into() }
    }

    /// What ssh of the account does for a server.
    ///
    /// # Errors
    /// When its files can't be read, or it can't be started.
    pub fn ssh(&self, facts: &Facts<'_>, server: &HostName) -> Result<Client> {
        Client::of(facts, self.account.as_ref(), &self.home, self.ssh_texts(facts)?, server)
    }

    /// What configures ssh of the account.
    ///
    /// # Errors
    /// When one of the system's files can't be read.
    pub(super) fn ssh_texts(&self, facts: &Facts<'_>) -> Result<&[ssh::ConfigText]> {
        if self.ssh.get().is_none() {
            self.ssh.set(ssh::texts(facts, self.account.as_ref())?).ok();
        }
        Ok(self.ssh.get().map(Vec::as_slice).unwrap_or_default())
    }
}

/// A checked name of an account or group.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(inline, extend("pattern" = "^[a-z_][a-z0-9_-]{0,31}$"))]
pub struct AccountName(String);

impl TryFrom<String> for AccountName {
    type Error = anyhow::Error;
    fn try_from(name: String) -> Result<Self> {
        check_name(&name)?;
        Ok(Self(name))
    }
}

impl AccountName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Refuse names that mean something else in a sudoers file: `ALL`, `#0`, `%group`, `!name`.
///
/// # Errors
/// When it is not `[a-z_][a-z0-9_-]*` with at most 32 characters.
pub fn check_name(name: &str) -> Result<()> {
    if is_account_name(name) {
        return Ok(());
    }
    let what = format!(
        "{name:?} can't be the name of the account: that is [a-z_][a-z0-9_-]*, at most 32 characters"
    );
    Err(Nature::NoAccount.fault("account-name", what, "see which accounts there are: $ getent passwd"))
}

/// Where `useradd` makes homes: `HOME` in `/etc/default/useradd`, else `/home` (useradd(8)).
fn home_base(facts: &Facts<'_>) -> Result<PathBuf> {
    let text = facts.text(Path::new("/etc/default/useradd"))?;
    let set = text.lines().filter_map(|line| line.trim().strip_prefix("HOME=")).next_back();
    let set = set.map(str::trim).filter(|path| path.starts_with('/'));
    Ok(PathBuf::from(set.unwrap_or("/home")))
}
