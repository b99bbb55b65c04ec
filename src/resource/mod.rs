//! The kinds of resources, in the order in which they are applied.
//!
//! A resource turns its section of a profile and the facts of the host into changes. It decides and
//! never writes. A new kind is one file and its two lines here; `ca` is a short one to start from.

mod account;
mod ca;
mod config;
mod context;
mod deploy;
mod drop_in;
mod gate;
mod git;
mod known_hosts;
mod login_shell;
mod register;
mod root_file;
mod runner;
mod service;
mod settings;
mod ssh_key;
mod sudo_effect;
mod sudo_policy;
mod sudoers;
pub mod target;

use anyhow::Result;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;

use crate::change::{Change, Notes};
use crate::profile::Profile;
pub use config::ExaminedConfig;
pub use context::{Context, Options, Resource};
pub use settings::ConfigSection;
pub use ssh_key::{ROTATED, Rotated, Rotation, public_key, rotation, weakness};
pub use sudoers::SudoPrograms;
pub use target::Target;

type Parsed = Result<Option<Box<dyn Resource>>>;

/// A kind of resource: a section of a profile.
pub struct ResourceKind {
    /// The section's name.
    pub name: &'static str,
    /// What it is, for people.
    pub summary: &'static str,
    parse: fn(&Profile, &str) -> Parsed,
    schema: fn(&mut SchemaGenerator) -> Schema,
}

impl ResourceKind {
    /// What the section may hold, as a JSON Schema.
    pub fn schema(&self, generator: &mut SchemaGenerator) -> Schema {
        (self.schema)(generator)
    }
}

/// All kinds, in the order of application.
pub const KINDS: &[ResourceKind] = &[
    kind::<account::AccountSection>("account", "the account that jobs run as"),
    kind::<ssh_key::SshKey>("ssh_key", "the account's SSH key pair"),
    kind::<known_hosts::KnownHosts>("known_hosts", "host keys of the servers that jobs push to"),
    kind::<git::Git>("git", "the identity with which jobs commit"),
    kind::<sudoers::Sudoers>("sudoers", "what jobs may run through sudo without a password"),
    kind::<deploy::Deployments>("deploy", "directories that jobs may put their checkout into"),
    kind::<ca::Ca>("ca", "the authority of one's own GitLab server, where gitlab-runner looks for it"),
    kind::<register::Registrations>("register", "runners that gitlab-runner registers"),
    kind::<settings::ConfigSection>("config", "values of gitlab-runner's config.toml"),
    kind::<service::ServiceSection>(
        "service",
        "settings of gitlab-runner's service, in a drop-in of its systemd unit",
    ),
];

const fn kind<T: Resource + DeserializeOwned + JsonSchema + 'static>(
    name: &'static str,
    summary: &'static str,
) -> ResourceKind {
    ResourceKind { name, summary, parse: parse::<T>, schema: SchemaGenerator::subschema_for::<T> }
}

fn parse<T: Resource + DeserializeOwned + 'static>(profile: &Profile, name: &str) -> Parsed {
    Ok(profile.section::<T>(name)?.map(|resource| Box::new(resource) as Box<dyn Resource>))
}

/// The account's name: the one that was asked for, or as the profile gives it.
///
/// # Errors
/// When the section is not valid.
pub fn account_name(profile: &Profile, asked: Option<&String>) -> Result<Option<String>> {
    let section = profile.section::<account::AccountSection>("account")?;
    Ok(asked.cloned().or_else(|| section?.name.map(|name| name.as_str().to_owned())))
}

/// What a profile says to all resources: the servers that jobs push to, and of them the one for which ssh is called (of
/// several the first that is not gitlab.com, which profiles take over from the built-in ones); what registering a runner
/// needs; and whether `[config]` gives runners the certificates of `[ca]`, as it does unless it names a file itself.
///
/// # Errors
/// When a section is not valid.
pub fn options(profile: &Profile) -> Result<Options> {
    let hosts = profile.section::<known_hosts::KnownHosts>("known_hosts")?;
    let server = hosts.as_ref().map_or_else(|| "git@gitlab.com".to_owned(), known_hosts::KnownHosts::server);
    let mut servers: Vec<_> = hosts.map(|hosts| hosts.servers().cloned().collect()).unwrap_or_default();
    servers.sort_by_key(|server: &crate::text::known_hosts::HostName| server.host() == "gitlab.com");
    let registers = profile.section::<register::Registrations>("register")?;
    let registers = registers.map(|all| all.addresses()).unwrap_or_default();
    let ca = profile.section::<ca::Ca>("ca")?.map(ca::Ca::file);
    let config = profile.section::<ConfigSection>("config")?;
    let trusts_authority = ca.is_some() && !config.is_some_and(|config| config.names_authority());
    let template = template(profile)?;
    Ok(Options { server, template, registers, trusts_authority, ca, servers, ..Options::default() })
}

/// The text for `gitlab-runner register --template-config`; `None` when the profile has nothing to say
/// about `config.toml`.
///
/// # Errors
/// When the section is not valid.
pub fn template(profile: &Profile) -> Result<Option<String>> {
    let config = profile.section::<ConfigSection>("config")?.filter(ConfigSection::is_for_runners);
    Ok(config.map(|config| config::template(&config)))
}

/// What a profile wants in `config.toml`, and what jobs start through sudo.
///
/// # Errors
/// When a section is not valid.
pub fn wanted_of(profile: &Profile) -> Result<(ConfigSection, SudoPrograms)> {
    let sudoers = profile.section::<sudoers::Sudoers>("sudoers")?;
    let config = profile.section("config")?;
    Ok((config.unwrap_or_default(), sudoers.map(SudoPrograms::from).unwrap_or_default()))
}

/// The names of all kinds: the sections a profile may have.
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
            let parsed = match (kind.parse)(profile, kind.name)? {
                _ if kind.name == "config" && profile.section::<ca::Ca>("ca")?.is_some() => {
                    let mut config = profile.section::<ConfigSection>("config")?.unwrap_or_default();
                    config.trusts_authority = !config.names_authority();
                    Some(Box::new(config) as Box<dyn Resource>)
                }
                parsed => parsed,
            };
            if let Some(resource) = parsed {
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
