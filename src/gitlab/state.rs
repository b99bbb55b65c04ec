//! What GitLab says of a project: read with requests that change nothing, and only what the profile asks about.

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;

use super::change::encoded;
use super::connection::Connection;
use super::section::{FullPath, Project, is_same};
use crate::fault::fault;
use crate::keys::Version;
use crate::text::public_key::{PublicKey, PublicLine, public_line};

/// A project as it is.
#[derive(Debug, Default)]
pub struct State {
    /// Its number.
    pub id: u64,
    /// The role of the token's user in it: 30 is Developer, 40 Maintainer, 50 Owner. An administrator may have none.
    pub role: Option<u64>,
    /// The version of GitLab.
    pub version: Option<Version>,
    /// The least role for variables, in GitLab's words; `None` where GitLab does not show it.
    pub variables: Option<String>,
    /// Its form before 17.1: true from Maintainer on.
    pub restricted: Option<bool>,
    /// Jobs may push to it; `None` where GitLab does not show it.
    pub push_by_job_token: Option<bool>,
    /// Its deploy keys.
    pub keys: Vec<DeployKey>,
    /// Deploy keys of other projects that the token's user may enable here.
    pub elsewhere: Vec<DeployKey>,
    /// What of `job_tokens_from` is not on the list yet, with its number.
    pub missing: Vec<Source>,
    /// The list is in force: false lets every project's jobs in.
    pub inbound: bool,
    /// As many entries the list has.
    pub entries: usize,
    /// The branch that pushes go to by default.
    pub branch: Option<String>,
    /// Who may push to it; `None` when it is not protected, or could not be seen.
    pub pushers: Option<Vec<Pusher>>,
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

/// A project or group whose job tokens are to be accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its path.
    pub path: String,
    /// Its number.
    pub id: u64,
    /// It is a group.
    pub group: bool,
}

/// Who may push to a protected branch.
#[derive(Debug, Clone, Deserialize)]
pub struct Pusher {
    access_level: Option<u64>,
    deploy_key_id: Option<u64>,
    #[serde(default)]
    user_id: Option<u64>,
    #[serde(default)]
    group_id: Option<u64>,
}

impl Pusher {
    /// The deploy key that this is about.
    pub fn key(&self) -> Option<u64> {
        self.deploy_key_id
    }

    /// The role from which on one may push; 0 is nobody.
    pub fn role(&self) -> Option<u64> {
        let is_role = self.deploy_key_id.or(self.user_id).or(self.group_id).is_none();
        self.access_level.filter(|level| is_role && *level > 0)
    }

    /// A person or a group of the list: whether the key's creator is meant can't be seen.
    pub fn is_unclear(&self) -> bool {
        self.user_id.or(self.group_id).is_some()
    }
}

#[derive(Deserialize)]
struct ProjectAnswer {
    id: u64,
    default_branch: Option<String>,
    permissions: Option<Permissions>,
    ci_pipeline_variables_minimum_override_role: Option<String>,
    restrict_user_defined_variables: Option<bool>,
    ci_push_repository_for_job_token_allowed: Option<bool>,
}

#[derive(Deserialize)]
struct Permissions {
    project_access: Option<Level>,
    group_access: Option<Level>,
}

#[derive(Deserialize)]
struct Level {
    access_level: u64,
}

#[derive(Deserialize)]
struct Numbered {
    id: u64,
}

#[derive(Deserialize)]
struct Mode {
    inbound_enabled: bool,
}

#[derive(Deserialize)]
struct AllowedProject {
    id: u64,
    path_with_namespace: String,
}

#[derive(Deserialize)]
struct AllowedGroup {
    id: u64,
    web_url: String,
}

#[derive(Deserialize)]
struct Protected {
    name: String,
    push_access_levels: Vec<Pusher>,
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
) -> Result<State> {
    let path = &wanted.path;
    check_version(version, wanted)?;
    let cannot = || format!("cannot look at the project {path}");
    let found: ProjectAnswer =
        gitlab.get(&format!("projects/{}", encoded(path.as_str()))).with_context(cannot)?;
    let levels = found.permissions.into_iter().flat_map(|all| [all.project_access, all.group_access]);
    let mut state = State {
        id: found.id,
        role: levels.flatten().map(|level| level.access_level).max(),
        version,
        variables: found.ci_pipeline_variables_minimum_override_role,
        restricted: found.restrict_user_defined_variables,
        push_by_job_token: found.ci_push_repository_for_job_token_allowed,
        branch: found.default_branch,
        ..State::default()
    };
    let role = state.role.and_then(role_name).map(|role| format!(", where the token's user is {role}"));
    let cannot = || cannot() + role.as_deref().unwrap_or_default();
    if wanted.deploy_key.is_some() {
        read_keys(gitlab, &mut state, keys).with_context(cannot)?;
    }
    if !wanted.job_tokens_from.is_empty() {
        read_allowlist(gitlab, &mut state, wanted).with_context(cannot)?;
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
                format!("take `{key}` out of the profile, or update GitLab"),
            ));
        }
    }
    Ok(())
}

/// The name of a role.
pub fn role_name(level: u64) -> Option<&'static str> {
    Some(match level {
        10 => "Guest",
        15 => "Planner",
        20 => "Reporter",
        30 => "Developer",
        40 => "Maintainer",
        50 => "Owner",
        _ => return None,
    })
}

fn read_keys(gitlab: &Connection, state: &mut State, keys: &[PublicLine]) -> Result<()> {
    let id = state.id;
    state.keys = gitlab.list(&format!("projects/{id}/deploy_keys"), &[])?.unwrap_or_default();
    let is_here = |key: &&PublicLine| state.keys.iter().any(|known| known.is(key.key()));
    if keys.iter().filter(is_here).count() < keys.len() {
        state.elsewhere = keys_elsewhere(gitlab)?;
    }
    let Some(branch) = state.branch.clone() else { return Ok(()) };
    // Some roles may not see them.
    let all = gitlab.list::<Protected>(&format!("projects/{id}/protected_branches"), &[403, 404])?;
    let all = all.unwrap_or_default().into_iter();
    let of_it: Vec<Protected> = all.filter(|rule| matches(&rule.name, &branch)).collect();
    state.pushers =
        (!of_it.is_empty()).then(|| of_it.into_iter().flat_map(|rule| rule.push_access_levels).collect());
    Ok(())
}

/// Deploy keys of all projects in which the token's user is a maintainer; none where GitLab is too old to say.
fn keys_elsewhere(gitlab: &Connection) -> Result<Vec<DeployKey>> {
    let Some(user) = gitlab.find::<Numbered>("user", &[403, 404])? else { return Ok(Vec::new()) };
    let found = gitlab.list(&format!("users/{}/project_deploy_keys", user.id), &[403, 404])?;
    Ok(found.unwrap_or_default())
}

fn read_allowlist(gitlab: &Connection, state: &mut State, wanted: &Project) -> Result<()> {
    let scope = format!("projects/{}/job_token_scope", state.id);
    state.inbound = gitlab.get::<Mode>(&scope)?.inbound_enabled;
    if !state.inbound {
        return Ok(());
    }
    let projects: Vec<AllowedProject> = gitlab.list(&format!("{scope}/allowlist"), &[])?.unwrap_or_default();
    let has_groups = state.version.is_none_or(|version| version >= Version(17, 0, 0));
    let groups = if has_groups { gitlab.list(&format!("{scope}/groups_allowlist"), &[404])? } else { None };
    let groups: Vec<AllowedGroup> = groups.unwrap_or_default();
    state.entries = projects.len();
    for path in &wanted.job_tokens_from {
        let name = path.as_str();
        let is_listed = projects.iter().any(|known| known.path_with_namespace.eq_ignore_ascii_case(name));
        let mut above = groups.iter().filter_map(|group| group.web_url.split_once("/groups/"));
        // A project's own jobs are let in anyway.
        if is_listed || above.any(|(_, group)| is_below(name, group)) || is_same(path, &wanted.path) {
            continue;
        }
        let source = find_source(gitlab, path)?;
        if source.group && !has_groups {
            return Err(fault(
                "gitlab-too-old",
                format!("{path} is a group, and GitLab lets groups in from 17.0 on; this one is older"),
                format!("name its projects one by one in `job_tokens_from` of {}", wanted.path),
            ));
        }
        let is_listed = if source.group {
            groups.iter().any(|group| group.id == source.id)
        } else {
            projects.iter().any(|project| project.id == source.id)
        };
        if !is_listed && !state.missing.contains(&source) {
            state.missing.push(source);
        }
    }
    Ok(())
}

/// The number of a project or group. What lists of entries take is a number only.
fn find_source(gitlab: &Connection, path: &FullPath) -> Result<Source> {
    let found = |id, group| Source { path: path.as_str().to_owned(), id, group };
    if path.as_str().contains('/') {
        if let Some(project) =
            gitlab.find::<Numbered>(&format!("projects/{}", encoded(path.as_str())), &[404])?
        {
            return Ok(found(project.id, false));
        }
    }
    let group = format!("groups/{}?with_projects=false", encoded(path.as_str()));
    if let Some(group) = gitlab.find::<Numbered>(&group, &[404])? {
        return Ok(found(group.id, true));
    }
    Err(fault(
        "gitlab-refused",
        format!("{path} of `job_tokens_from` is not there, or the token's user can't see it"),
        "compare the path with the address of the page; if it is right, the token's user needs at least the role Guest there: Manage > Members",
    ))
}

/// True for a group itself and for all below it.
fn is_below(path: &str, group: &str) -> bool {
    let head = path.get(..group.len());
    head.is_some_and(|head| head.eq_ignore_ascii_case(group))
        && matches!(path.as_bytes().get(group.len()), None | Some(b'/'))
}

/// True when a name of a protected branch, in which `*` stands for anything, is about this branch.
fn matches(pattern: &str, branch: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == branch };
    let Some(mut left) = branch.strip_prefix(head) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = left.find(part) else { return false };
        left = &left[at + part.len()..];
    }
    left.ends_with(last)
}

/// The entry that an answer holds, for keys that were just added.
pub(super) fn key_of(answer: &Value) -> Option<DeployKey> {
    DeployKey::deserialize(answer).ok()
}
