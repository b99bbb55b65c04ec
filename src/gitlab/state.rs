//! What GitLab says of a project: read with requests that change nothing, and only what the profile asks about.

use anyhow::{Context, Result};
use serde::Deserialize;

use super::allowlist::{self, Allowlist};
use super::branch::{self, Branch, role_name};
use super::connection::Connection;
use super::project::{self, ProjectAnswer};
use super::section::{Access, Project};
use crate::change::Notes;
use crate::fault::fault;
use crate::keys::Version;
use crate::text::public_key::{PublicKey, PublicLine, public_line};

/// A project as it is.
#[derive(Debug)]
pub struct ProjectState {
    /// What it says of itself.
    pub project: ProjectAnswer,
    /// The version of GitLab.
    pub version: Option<Version>,
    /// Its deploy keys.
    pub keys: Vec<DeployKey>,
    /// Deploy keys of other projects that the token's user may enable here.
    pub elsewhere: Vec<DeployKey>,
    /// Whose token it is; asked where a key is not there.
    pub user: Option<User>,
    /// Whose job tokens it lets in.
    pub allowlist: Allowlist,
    /// The branch that pushes go to by default, where it is protected, or that can't be seen.
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

/// The token's user.
#[derive(Debug, Deserialize)]
pub struct User {
    id: u64,
    /// The token is one of a project or a group: its user goes when it ends.
    #[serde(default)]
    pub bot: bool,
    /// Told of administrators alone.
    #[serde(default)]
    pub is_admin: bool,
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

/// Say it where GitLab would refuse what is planned, because the token may only read. Tokens of other kinds than a
/// person's or a project's, and old servers, do not tell.
pub(super) fn warn_of_scope(gitlab: &Connection, notes: &mut Notes) {
    #[derive(Deserialize)]
    struct Token {
        scopes: Vec<String>,
    }
    let token = gitlab.find::<Token>("personal_access_tokens/self", &[400, 401, 403, 404]);
    let Ok(Some(token)) = token else { return };
    let has = |scope: &str| token.scopes.iter().any(|known| known == scope);
    if has("read_api") && !has("api") {
        notes.warn(
            "gitlab-token",
            "the token may only read (scope read_api): GitLab will refuse all changes with it",
            "for `runner-prep gitlab apply` take one of the scope api",
        );
    }
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
    let project = project::find(gitlab, path).with_context(cannot)?;
    let role = project.role().and_then(role_name).map(|role| format!(", where the token's user is {role}"));
    let cannot = || cannot() + role.as_deref().unwrap_or_default();
    let (keys, elsewhere, user) = match wanted.deploy_key {
        Some(_) => read_keys(gitlab, project.id, keys).with_context(cannot)?,
        None => Default::default(),
    };
    let branch = match (wanted.deploy_key, &project.default_branch) {
        (Some(Access::Push), Some(name)) => branch::read(gitlab, project.id, name).with_context(cannot)?,
        _ => None,
    };
    let allowlist = if wanted.job_tokens_from.is_empty() {
        Allowlist::default()
    } else {
        allowlist::read(gitlab, project.id, version, wanted).with_context(cannot)?
    };
    Ok(ProjectState { project, version, keys, elsewhere, user, allowlist, branch })
}

/// What a GitLab of this version can't do at all.
fn check_version(version: Option<Version>, wanted: &Project) -> Result<()> {
    let needs = [
        (!wanted.job_tokens_from.is_empty(), "job_tokens_from", Version(16, 1, 0)),
        (wanted.push_by_job_token, "push_by_job_token", Version(18, 4, 0)),
    ];
    for (_, key, since) in needs.into_iter().filter(|(is_wanted, ..)| *is_wanted) {
        if let Some(version) = version.filter(|version| *version < since) {
            let what = format!("`{key}` of {} needs GitLab {since}, and this is {version}", wanted.path);
            let repair = mend!("take `{}` out of the profile, or update GitLab", key);
            return Err(fault("gitlab-too-old", what, repair));
        }
    }
    Ok(())
}

/// The deploy keys of a project, those of others that may be enabled there, and the token's user.
fn read_keys(
    gitlab: &Connection,
    project: u64,
    wanted: &[PublicLine],
) -> Result<(Vec<DeployKey>, Vec<DeployKey>, Option<User>)> {
    let here: Vec<DeployKey> =
        gitlab.list(&format!("projects/{project}/deploy_keys"), &[])?.unwrap_or_default();
    let is_here = |key: &PublicLine| here.iter().any(|known| known.is(key.key()));
    if wanted.iter().all(is_here) {
        return Ok((here, Vec::new(), None));
    }
    // Those of all projects in which the token's user is a maintainer; none where GitLab is too old to say.
    let Some(user) = gitlab.find::<User>("user", &[403, 404])? else { return Ok((here, Vec::new(), None)) };
    let found = gitlab.list(&format!("users/{}/project_deploy_keys", user.id), &[403, 404])?;
    Ok((here, found.unwrap_or_default(), Some(user)))
}
