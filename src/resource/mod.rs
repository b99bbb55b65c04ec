//! The kinds of resources, in the order in which they are applied.
//!
//! A resource turns its section of a profile and the facts of the host into changes. It decides and
//! never writes. A new kind is one file and its two lines here; `git` is a short one to start from.

mod account;
mod config;
mod deploy;
mod drop_in;
mod gate;
mod git;
mod known_hosts;
mod login_shell;
mod register;
mod runner;
mod settings;
mod ssh_key;
mod sudo_effect;
mod sudo_policy;
mod sudoers;
pub mod target;
#[cfg(test)]
mod testing;

use std::path::PathBuf;

use anyhow::Result;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;

use crate::change::{Change, Notes};
use crate::facts::{self, Facts};
use crate::keys::Version;
use crate::profile::Profile;
use crate::text::known_hosts::HostName;
pub use config::look as config_file;
pub use ssh_key::{Rotated, Rotation, public_key, rotation};
pub use target::Target;

/// Something on the host that a profile describes.
pub trait Resource {
    /// The changes that bring the host to the described state; none when it is there already.
    ///
    /// # Errors
    /// When the host can't be read, or holds something that must not be touched.
    fn plan(&self, context: &Context<'_>, notes: &mut Notes) -> Result<Vec<Change>>;

    /// What it will look at below the account's home, in any case; by an absolute path, what it will ask whether the
    /// account can read it.
    fn in_home(&self) -> &'static [&'static str] {
        &[]
    }
}

/// What every resource may ask.
pub struct Context<'a> {
    /// The host.
    pub facts: &'a dyn Facts,
    /// The account that jobs run as.
    pub target: &'a Target,
    /// What the command line said.
    pub options: &'a Options,
}

impl Context<'_> {
    /// A command with the rights of the account.
    fn as_account(&self, command: &str) -> String {
        format!("sudo -u {} {command}", self.target.name)
    }

    /// A command that changes what lies at a path, which is its last word. In the account's home with its rights, since
    /// root would follow the links that it lays there.
    fn command_at(&self, command: &str, path: &std::path::Path) -> String {
        let command = format!("{command} {}", path.display());
        if path.starts_with(&self.target.home) { self.as_account(&command) } else { command }
    }

    /// The command that puts a line first in ssh's configuration, where the first word on a thing counts: into the file
    /// that sets one of these keywords.
    fn first_line(&self, keywords: &[&str], line: &str) -> String {
        let account = self.target.account.as_ref();
        let file = facts::ssh::where_set(self.facts, account, &self.target.home, keywords);
        let file = file.unwrap_or_else(|_| self.target.home.join(facts::ssh::CONFIG));
        self.command_at(&format!("sed -i '1i {line}'"), &file)
    }
}

/// The command line's word on what resources do.
#[expect(clippy::struct_excessive_bools, reason = "each is a word of the command line of its own")]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Take over a sudoers file that somebody else wrote.
    pub adopt: bool,
    /// The configuration file of gitlab-runner, when it is not where the service says.
    pub config: Option<PathBuf>,
    /// Names or ids of the runners that are meant; empty means all of the profile's executors.
    pub runners: Vec<String>,
    /// The profiles as they were asked for, for messages.
    pub profiles: Vec<String>,
    /// The command that applies them here again, without what it leaves out.
    pub command: String,
    /// The server that jobs push to, as ssh is called for it; gitlab.com's where the profile names none.
    pub server: String,
    /// Accept another host key than the known one.
    pub accept_new_host_keys: bool,
    /// Ask servers for their keys where the profile gives a fingerprint.
    pub scan_host_keys: bool,
    /// Ask sudo for the effect of its rules also where its files leave no doubt.
    pub ask_sudo: bool,
    /// The version of gitlab-runner, whatever is installed.
    pub runner_version: Option<Version>,
    /// The command only compares, as `check` does, whose units see the whole host read-only.
    pub confined: bool,
    /// What the profile wants of a runner, for registering one: that of [`template`].
    pub template: Option<String>,
    /// The servers that the profile names, by which ssh chooses among keys.
    pub servers: Vec<HostName>,
}

impl Options {
    /// The name of the server in addresses of the web.
    fn url(&self) -> &str {
        let name = self.server.rsplit('@').next().unwrap_or_default();
        if name.is_empty() { "gitlab.com" } else { name }
    }
}

type Parsed = Result<Option<Box<dyn Resource>>>;

/// A kind of resource: a section of a profile.
pub struct Kind {
    /// The section's name.
    pub name: &'static str,
    /// What it is, for people.
    pub summary: &'static str,
    parse: fn(&Profile, &str) -> Parsed,
    schema: fn(&mut SchemaGenerator) -> Schema,
}

impl Kind {
    /// What the section may hold, as a JSON Schema.
    #[must_use]
    pub fn schema(&self, generator: &mut SchemaGenerator) -> Schema {
        (self.schema)(generator)
    }
}

/// All kinds, in the order of application.
pub const KINDS: &[Kind] = &[
    kind::<account::Account>("account", "the account that jobs run as"),
    kind::<ssh_key::SshKey>("ssh_key", "the account's SSH key pair"),
    kind::<known_hosts::KnownHosts>("known_hosts", "host keys of the servers that jobs push to"),
    kind::<git::Git>("git", "the identity with which jobs commit"),
    kind::<sudoers::Sudoers>("sudoers", "what jobs may run through sudo without a password"),
    kind::<deploy::Deployments>("deploy", "directories that jobs may put their checkout into"),
    kind::<register::Registrations>("register", "runners that gitlab-runner registers"),
    kind::<config::RunnerConfig>("config", "values of [[runners]] in gitlab-runner's config.toml"),
];

const fn kind<T: Resource + DeserializeOwned + JsonSchema + 'static>(
    name: &'static str,
    summary: &'static str,
) -> Kind {
    Kind { name, summary, parse: parse::<T>, schema: SchemaGenerator::subschema_for::<T> }
}

fn parse<T: Resource + DeserializeOwned + 'static>(profile: &Profile, name: &str) -> Parsed {
    Ok(profile.section::<T>(name)?.map(|resource| Box::new(resource) as Box<dyn Resource>))
}

/// The account's name as the profile gives it.
///
/// # Errors
/// When the section is not valid.
pub fn account_name(profile: &Profile) -> Result<Option<String>> {
    Ok(profile.section::<account::Account>("account")?.and_then(|section| section.name).map(String::from))
}

/// The servers that jobs push to, and of them the one for which ssh is called: of several the first that is not
/// gitlab.com, which profiles take over from the built-in ones.
///
/// # Errors
/// When the section is not valid.
pub fn servers(profile: &Profile) -> Result<Options> {
    let hosts = profile.section::<known_hosts::KnownHosts>("known_hosts")?;
    let server = hosts.as_ref().map_or_else(|| "git@gitlab.com".to_owned(), known_hosts::KnownHosts::server);
    let servers = hosts.map(|hosts| hosts.servers().cloned().collect()).unwrap_or_default();
    Ok(Options { server, servers, ..Options::default() })
}

/// The text for `gitlab-runner register --template-config`; `None` when the profile has nothing to say
/// about `config.toml`.
///
/// # Errors
/// When the section is not valid.
pub fn template(profile: &Profile) -> Result<Option<String>> {
    Ok(profile.section::<settings::Config>("config")?.map(|config| config::template(&config)))
}

/// The names of all kinds: the sections a profile may have.
#[must_use]
pub fn names() -> Vec<&'static str> {
    KINDS.iter().map(|kind| kind.name).collect()
}

/// A profile whose every section was found valid, ready to be held against a host.
pub struct Wanted {
    resources: Vec<(&'static str, Box<dyn Resource>)>,
}

impl Wanted {
    /// Parse all sections; those that `chosen` leaves out are checked all the same.
    ///
    /// # Errors
    /// When a section is not valid, with its place.
    pub fn resolve(profile: &Profile, chosen: &dyn Fn(&str) -> bool) -> Result<Self> {
        let mut resources = Vec::new();
        for kind in KINDS {
            if let Some(resource) = (kind.parse)(profile, kind.name)? {
                if chosen(kind.name) {
                    resources.push((kind.name, resource));
                }
            }
        }
        Ok(Self { resources })
    }

    /// The names of the kinds that are wanted.
    pub fn kinds(&self) -> impl Iterator<Item = &'static str> {
        self.resources.iter().map(|(name, _)| *name)
    }

    /// Hold every resource against the host.
    ///
    /// # Errors
    /// Those of [`Resource::plan`].
    pub fn plan(&self, context: &Context<'_>, notes: &mut Notes) -> Result<Vec<Change>> {
        if let Some(account) = &context.target.account {
            let in_home: Vec<&str> =
                self.resources.iter().flat_map(|(_, resource)| resource.in_home()).copied().collect();
            if !in_home.is_empty() {
                context.facts.expect_home(account, &in_home);
            }
        }
        let mut changes = Vec::new();
        for (_, resource) in &self.resources {
            changes.extend(resource.plan(context, notes)?);
        }
        Ok(changes)
    }
}
