//! The `[gitlab]` section: what a profile wants of projects in GitLab.
//!
//! Owns its form. `runner-prep gitlab` alone acts on it; the commands that work on a host only check it.

use std::fmt;

use anyhow::{Result, bail};
use schemars::JsonSchema;
use serde::Deserialize;
use ureq::http::Uri;

use crate::profile::Profile;
use crate::repair::quoted;

/// The section's name.
pub const NAME: &str = "gitlab";

/// What it is, for people.
pub const SUMMARY: &str = "projects in GitLab, for runner-prep gitlab alone";

/// What is wanted of GitLab.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(try_from = "GivenSection")]
#[schemars(with = "GivenSection")]
pub struct GitlabSection {
    /// Where it is.
    pub url: Url,
    /// What is wanted of each project, no path twice.
    pub projects: Vec<Project>,
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

/// The path of a project or a group.
#[derive(Debug, Clone, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
pub struct FullPath(String);

impl FullPath {
    /// The path itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True for this path. GitLab takes no notice of capitals in paths.
    pub(super) fn is(&self, path: &str) -> bool {
        self.0.eq_ignore_ascii_case(path)
    }

    /// True when it is the path of this group, or of something below it.
    pub(super) fn is_below(&self, group: &str) -> bool {
        let (head, rest) = (self.0.get(..group.len()), self.0.as_bytes().get(group.len()));
        head.is_some_and(|head| head.eq_ignore_ascii_case(group)) && matches!(rest, None | Some(b'/'))
    }
}

impl PartialEq for FullPath {
    fn eq(&self, other: &Self) -> bool {
        self.is(other.as_str())
    }
}

impl fmt::Display for FullPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for FullPath {
    type Error = anyhow::Error;
    fn try_from(path: String) -> Result<Self> {
        let may_stand = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        let is_name = |part: &str| {
            part.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.')
                && part.chars().all(may_stand)
                && !part.chars().all(|c| c == '.')
        };
        if path.contains("://") {
            bail!("a path in GitLab is wanted, without the server's address: group/name");
        }
        if let Some(name) = path.strip_suffix(".git") {
            bail!("{path:?} can't be a path in GitLab; did you mean {name:?}?");
        }
        if !path.split('/').all(is_name) {
            bail!("{path:?} can't be a path in GitLab, which is like group/name");
        }
        Ok(Self(path))
    }
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
        if let Some((own, _)) = text.split_once("/api/v4") {
            bail!("the address of GitLab is that of its pages, without the API: {own}");
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
        Ok(Self { url: section.url, projects })
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
