//! The `[gitlab]` section: what a profile wants of projects in GitLab.
//!
//! Owns its form. `runner-prep gitlab` alone acts on it; the commands that work on a host only check it.

use anyhow::{Result, bail};
use schemars::JsonSchema;
use serde::Deserialize;
use ureq::http::Uri;

use super::full_path::FullPath;
use crate::profile::Profile;
use crate::repair::quoted;

/// The section's name.
pub const NAME: &str = "gitlab";

/// What it is, for people.
pub const SUMMARY: &str = "projects in GitLab, for runner-prep gitlab alone";

/// As long the name of a file may be, with its ending.
const MOST_NAME: usize = 200;

/// What is wanted of GitLab.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(try_from = "GivenSection")]
#[schemars(with = "GivenSection")]
pub struct GitlabSection {
    /// Where it is.
    pub url: Url,
    /// What is wanted of each project, no path twice.
    pub projects: Vec<Project>,
    /// What is wanted of each runner, no name twice.
    pub runners: Vec<GitlabRunner>,
}

impl GitlabSection {
    /// Nothing is wanted of GitLab.
    pub fn is_empty(&self) -> bool {
        self.projects.is_empty() && self.runners.is_empty()
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct GivenSection {
    /// Where GitLab is; <https://gitlab.com> unless it is said. `http://` only on this machine itself.
    #[serde(default)]
    url: Url,
    /// The projects.
    #[serde(default)]
    project: Vec<Project>,
    /// The runners that GitLab is to know.
    #[serde(default)]
    runner: Vec<GitlabRunner>,
}

/// What is wanted of a project: that of the repository which jobs clone, trigger and push to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Project {
    /// Its path, as in the address of its page: `group/name`.
    pub path: FullPath,
    /// The accounts' public keys are its deploy keys.
    pub deploy_key: Option<Access>,
    /// Projects and groups whose job tokens may clone it and trigger its pipelines.
    #[serde(default)]
    pub job_tokens_from: Vec<FullPath>,
    /// The least role that may start its pipelines with variables, as a trigger job does.
    pub pipeline_variables: Option<Role>,
    /// Its own jobs may push to it with their job token; GitLab 18.4 and newer.
    #[serde(default)]
    pub push_by_job_token: bool,
}

/// What is wanted of a runner.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GitlabRunner {
    /// What GitLab calls it: its description. With `project` or `group` it says whether the runner is there already.
    pub name: String,
    /// The project whose jobs it runs; or `group`.
    pub project: Option<FullPath>,
    /// The group whose projects' jobs it runs; or `project`.
    pub group: Option<FullPath>,
    /// The tags of jobs that it takes.
    #[serde(default)]
    pub tags: Vec<String>,
    /// It takes jobs without tags, too, as it does where it has no tags itself.
    #[serde(default)]
    pub run_untagged: bool,
}

impl GitlabRunner {
    /// See that GitLab could take it, and that its name can be that of a file.
    pub(super) fn check(&self) -> Result<()> {
        let name = &self.name;
        let is_file = !name.starts_with(['.', '-']) && !name.contains('/') && name.len() <= MOST_NAME;
        if name.trim() != name || name.is_empty() || name.contains(char::is_control) || !is_file {
            bail!("`name` of a runner is in one line, without / and not with . or - at its begin: {name:?}");
        }
        match (&self.project, &self.group) {
            (Some(path), None) if !path.as_str().contains('/') => {
                bail!("the runner {name}: {path} is not a path of a project, which is like group/name");
            }
            (Some(_), None) | (None, Some(_)) => {}
            _ => bail!("the runner {name}: one of `project` and `group` is wanted"),
        }
        if let Some(tag) =
            self.tags.iter().find(|tag| tag.trim() != *tag || tag.is_empty() || tag.contains(','))
        {
            bail!("the runner {name}: {tag:?} can't be a tag");
        }
        Ok(())
    }

    /// Join what another profile wants of it.
    pub(super) fn join(&mut self, other: Self) -> Result<()> {
        if (&self.project, &self.group) != (&other.project, &other.group) {
            bail!("the runner {} stands there twice, in two places", self.name);
        }
        self.run_untagged = self.takes_untagged() || other.takes_untagged();
        self.tags.extend(other.tags);
        Ok(())
    }

    /// The path of the project or group.
    pub(super) fn path(&self) -> &str {
        self.project.as_ref().or(self.group.as_ref()).map_or("", FullPath::as_str)
    }

    /// GitLab refuses one that takes no jobs at all.
    pub(super) fn takes_untagged(&self) -> bool {
        self.run_untagged || self.tags.is_empty()
    }
}

/// What a deploy key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Clone.
    Read,
    /// Clone and push.
    Push,
}

/// A role in a project, from the one that more people have to the one that fewer have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Developers and all above.
    Developer,
    /// Maintainers and owners.
    Maintainer,
    /// Owners.
    Owner,
}

/// The address of a GitLab server.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
pub struct Url {
    /// Without a slash at its end.
    text: String,
    host: String,
    is_local: bool,
}

impl Url {
    /// The address, without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The name of the server, with its port where one is given.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// GitLab's own program, for a call of the API. Below which path GitLab stands it is told apart.
    pub fn glab(&self) -> String {
        let below = self.text.split_once(&self.host).map_or("", |(_, below)| below);
        let api = format!("GITLAB_API_HOST={} ", quoted(format!("{}{below}", self.host)));
        format!("{}glab api --hostname {}", if below.is_empty() { "" } else { &api }, quoted(&self.host))
    }

    /// `http://` to this machine itself: no TLS and no proxy.
    pub fn is_local(&self) -> bool {
        self.is_local
    }
}

impl Default for Url {
    fn default() -> Self {
        Self { text: "https://gitlab.com".to_owned(), host: "gitlab.com".to_owned(), is_local: false }
    }
}

impl TryFrom<String> for Url {
    type Error = anyhow::Error;
    fn try_from(text: String) -> Result<Self> {
        let wrong =
            "the address of GitLab is like https://gitlab.example.com, without user, query and fragment";
        let Ok(uri) = text.parse::<Uri>() else { bail!(wrong) };
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { bail!(wrong) };
        if authority.as_str().contains('@') || uri.query().is_some() || text.contains('#') {
            bail!(wrong);
        }
        for (part, what) in
            [("/api/v4", "pages, without the API"), ("/-/", "first page"), ("/users/", "first page")]
        {
            if let Some((own, _)) = text.split_once(part) {
                bail!("the address of GitLab is that of its {what}: {own}");
            }
        }
        let bare = authority.host().trim_matches(['[', ']']);
        let is_loopback = bare == "localhost"
            || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        match scheme {
            "https" => {}
            "http" if is_loopback => {}
            "http" => bail!("http:// would show the token to everybody on the way; https:// is wanted"),
            _ => bail!(wrong),
        }
        Ok(Self {
            host: authority.as_str().to_owned(),
            is_local: scheme == "http",
            text: text.trim_end_matches('/').to_owned(),
        })
    }
}

impl TryFrom<GivenSection> for GitlabSection {
    type Error = anyhow::Error;
    fn try_from(section: GivenSection) -> Result<Self> {
        let mut projects: Vec<Project> = Vec::new();
        for project in section.project {
            if !project.path.as_str().contains('/') {
                bail!("{:?} is not a path of a project, which is like group/name", project.path.as_str());
            }
            match projects.iter_mut().find(|known| known.path == project.path) {
                // Of two profiles.
                Some(known) => known.join(project)?,
                None => projects.push(project),
            }
        }
        let mut runners: Vec<GitlabRunner> = Vec::new();
        for runner in section.runner {
            runner.check()?;
            match runners.iter_mut().find(|known| known.name == runner.name) {
                Some(known) => known.join(runner)?,
                None => runners.push(runner),
            }
        }
        Ok(Self { url: section.url, projects, runners })
    }
}

impl Project {
    fn join(&mut self, other: Self) -> Result<()> {
        let path = &self.path;
        self.deploy_key = one_of(path, "deploy_key", self.deploy_key, other.deploy_key)?;
        self.pipeline_variables =
            one_of(path, "pipeline_variables", self.pipeline_variables, other.pipeline_variables)?;
        self.push_by_job_token |= other.push_by_job_token;
        self.job_tokens_from.extend(other.job_tokens_from);
        Ok(())
    }
}

fn one_of<T: PartialEq>(path: &FullPath, key: &str, one: Option<T>, other: Option<T>) -> Result<Option<T>> {
    if one.is_some() && other.is_some() && one != other {
        bail!("the project {path} stands there twice, with two values of `{key}`");
    }
    Ok(one.or(other))
}

/// The section of a profile; `None` when it has none.
///
/// # Errors
/// When it is not valid, with its place.
pub fn of(profile: &Profile) -> Result<Option<GitlabSection>> {
    profile.section(NAME)
}
