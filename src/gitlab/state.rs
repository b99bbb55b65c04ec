//! What GitLab says of a project: read with requests that change nothing, and only what the profile asks about.

use anyhow::{Context, Result};
use serde::Deserialize;

use super::allowlist::{self, Allowlist};
use super::branch::{self, Branch, role_name};
use super::connection::Connection;
use super::project;
use super::section::{Access, Project};
use crate::fault::fault;
use crate::keys::Version;
use crate::text::public_key::{PublicKey, PublicLine, public_line};

/// A project as it is.
#[derive(Debug, Default)]
pub struct ProjectState {
    /// Its number.
    pub id: u64,
    /// The role of the token's user in it: 30 is Developer, 40 Maintainer, 50 Owner. An administrator may have none.
    pub role: Option<u64>,
    /// Nobody changes it or pushes to it.
    pub archived: bool,
    /// The version of GitLab.
    pub version: Option<Version>,
    /// The least role for variables, in GitLab's words; `None` where GitLab does not show it.
    pub variables: Option<String>,
    /// Whether that counts; before 17.1: true from Maintainer on.
    pub restricted: Option<bool>,
    /// Jobs may push to it; `None` where GitLab does not show it.
    pub push_by_job_token: Option<bool>,
    /// Its deploy keys.
    pub keys: Vec<DeployKey>,
    /// Deploy keys of other projects that the token's user may enable here.
    pub elsewhere: Vec<DeployKey>,
    /// The token is one of a project or a group: its user goes when it ends.
    pub is_bot: bool,
    /// Whose job tokens it lets in.
    pub allowlist: Allowlist,
    /// The branch that pushes go to by default, where it is protected.
    pub branch: Option<Branch>,
}

/// A deploy key in GitLab.
#[derive(Debug, Clone, Deserialize)]
pub struct DeployKey {
    /// Its number.
    pub id: u64,
    key: String,
    fingerprint_sha256: Option<String>,
    /// It may push; not told of keys of other projects.
    #[serde(default)]
    pub can_push: bool,
    /// When it ends to work, in ISO 8601.
    pub expires_at: Option<String>,
}

impl DeployKey {
    /// True for the entry of this key, whatever it is called.
    pub fn is(&self, key: &PublicKey) -> bool {
        match &self.fingerprint_sha256 {
            Some(fingerprint) => fingerprint.trim_end_matches('=') == key.fingerprint(),
            None => public_line(self.key.as_bytes()).is_ok_and(|line| line.key() == key),
        }
    }
}

#[derive(Deserialize)]
struct User {
    id: u64,
    #[serde(default)]
    bot: bool,
}

#[derive(Deserialize)]
struct Server {
    version: String,
}

/// The version of GitLab; `None` where the token may not ask for it.
///
/// # Errors
/// When GitLab can't be asked, or does not know the token.
pub fn version(gitlab: &Connection) -> Result<Option<Version>> {
    let server: Option<Server> = gitlab.find("version", &[403, 404])?;
    Ok(server.and_then(|server| server.version.parse().ok()))
}

/// Look at a project.
///
/// # Errors
/// When something that matters can't be seen.
pub fn read(
    gitlab: &Connection,
    version: Option<Version>,
    wanted: &Project,
    keys: &[PublicLine],
) -> Result<ProjectState> {
    let path = &wanted.path;
    check_version(version, wanted)?;
    let cannot = || format!("cannot look at the project {path}");
    let found = project::find(gitlab, path).with_context(cannot)?;
    let role = found.role().and_then(role_name).map(|role| format!(", where the token's user is {role}"));
    let cannot = || cannot() + role.as_deref().unwrap_or_default();
    let mut state = ProjectState {
        id: found.id,
        role: found.role(),
        archived: found.archived,
        version,
        variables: found.ci_pipeline_variables_minimum_override_role,
        restricted: found.restrict_user_defined_variables,
        push_by_job_token: found.ci_push_repository_for_job_token_allowed,
        ..ProjectState::default()
    };
    if wanted.deploy_key.is_some() {
        state.read_keys(gitlab, keys).with_context(cannot)?;
    }
    if let (Some(Access::Push), Some(name)) = (wanted.deploy_key, found.default_branch) {
        state.branch = branch::read(gitlab, found.id, name).with_context(cannot)?;
    }
    if !wanted.job_tokens_from.is_empty() {
        state.allowlist = allowlist::read(gitlab, found.id, version, wanted).with_context(cannot)?;
    }
    Ok(state)
}

/// What a GitLab of this version can't do at all.
fn check_version(version: Option<Version>, wanted: &Project) -> Result<()> {
    let needs = [
        (!wanted.job_tokens_from.is_empty(), "job_tokens_from", Version(16, 1, 0)),
        (wanted.push_by_job_token, "push_by_job_token", Version(18, 4, 0)),
    ];
    for (_, key, since) in needs.into_iter().filter(|(is_wanted, ..)| *is_wanted) {
        if let Some(version) = version.filter(|version| *version < since) {
            return Err(fault(
                "gitlab-too-old",
                format!("`{key}` of {} needs GitLab {since}, and this is {version}", wanted.path),
                mend!("take `{}` out of the profile, or update GitLab", key),
            ));
        }
    }
    Ok(())
}

impl ProjectState {
    fn read_keys(&mut self, gitlab: &Connection, keys: &[PublicLine]) -> Result<()> {
        self.keys = gitlab.list(&format!("projects/{}/deploy_keys", self.id), &[])?.unwrap_or_default();
        let is_here = |key: &PublicLine| self.keys.iter().any(|known| known.is(key.key()));
        if keys.iter().all(is_here) {
            return Ok(());
        }
        // Those of all projects in which the token's user is a maintainer; none where GitLab is too old to say.
        let Some(user) = gitlab.find::<User>("user", &[403, 404])? else { return Ok(()) };
        let found = gitlab.list(&format!("users/{}/project_deploy_keys", user.id), &[403, 404])?;
        self.elsewhere = found.unwrap_or_default();
        self.is_bot = user.bot;
        Ok(())
    }
}
