//! What GitLab says of a project itself, and whether it is the one that was asked for.

use anyhow::Result;
use serde::Deserialize;

use super::answer::Answer;
use super::change::encoded;
use super::connection::Connection;
use super::full_path::FullPath;
use crate::fault::fault;

/// A project.
#[derive(Debug, Deserialize)]
pub struct ProjectAnswer {
    /// Its number.
    pub id: u64,
    path_with_namespace: String,
    /// The branch that pushes go to by default.
    pub default_branch: Option<String>,
    /// Nobody changes it or pushes to it.
    #[serde(default)]
    pub archived: bool,
    marked_for_deletion_on: Option<String>,
    /// Who may use these; `disabled` where nobody may.
    #[serde(rename = "repository_access_level")]
    pub repository: Option<String>,
    /// CI/CD.
    #[serde(rename = "builds_access_level")]
    pub builds: Option<String>,
    permissions: Option<Permissions>,
    /// The least role for variables, in GitLab's words; `None` where GitLab does not show it.
    #[serde(rename = "ci_pipeline_variables_minimum_override_role")]
    pub variables: Option<String>,
    /// Whether that counts; before 17.1: true from Maintainer on.
    #[serde(rename = "restrict_user_defined_variables")]
    pub restricted: Option<bool>,
    /// Jobs may push to it; `None` where GitLab does not show it.
    #[serde(rename = "ci_push_repository_for_job_token_allowed")]
    pub push_by_job_token: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct Permissions {
    project_access: Option<Level>,
    group_access: Option<Level>,
}

#[derive(Debug, Deserialize)]
struct Level {
    access_level: u64,
}

impl ProjectAnswer {
    /// The role of the token's user in it: 30 is Developer, 40 Maintainer, 50 Owner. An administrator may have none.
    pub(super) fn role(&self) -> Option<u64> {
        let levels = self.permissions.iter().flat_map(|all| [&all.project_access, &all.group_access]);
        levels.flatten().map(|level| level.access_level).max()
    }
}

#[derive(Deserialize)]
struct GroupAnswer {
    id: u64,
    full_path: String,
}

/// The project of a path.
///
/// # Errors
/// When GitLab can't be asked or does not show it, or has it under another path: the former one is for whoever takes it.
pub(super) fn find(gitlab: &Connection, path: &FullPath) -> Result<ProjectAnswer> {
    read(gitlab, path, &ask(gitlab, path)?)
}

/// The project of a path; `None` where the token's user sees none.
///
/// # Errors
/// As of [`find`].
pub(super) fn find_seen(gitlab: &Connection, path: &FullPath) -> Result<Option<ProjectAnswer>> {
    let answer = ask(gitlab, path)?;
    if answer.status == 404 { Ok(None) } else { read(gitlab, path, &answer).map(Some) }
}

fn ask<'c>(gitlab: &'c Connection, path: &FullPath) -> Result<Answer<'c>> {
    gitlab.ask(&format!("projects/{}", encoded(path.as_str())))
}

fn read(gitlab: &Connection, path: &FullPath, answer: &Answer<'_>) -> Result<ProjectAnswer> {
    let found: ProjectAnswer = match answer.moved_to() {
        Some(id) => gitlab.get(&format!("projects/{id}"))?,
        None => answer.content()?,
    };
    let (id, now) = (found.id, &found.path_with_namespace);
    // From then on it has another path, and newer versions don't call it archived.
    if found.marked_for_deletion_on.is_some() || now.ends_with(&format!("-deletion_scheduled-{id}")) {
        let what = format!("{path} is to be deleted in GitLab: it is {now} until then");
        let repair = mend!(
            "in {}: Settings > General > Advanced > Restore project; or take {} out of the profile",
            now,
            path
        );
        return Err(fault("gitlab-refused", what, repair));
    }
    check(path, now).map(|()| found)
}

/// The number of the group of a path; `None` where none is seen.
///
/// # Errors
/// As of [`find`].
pub(super) fn find_group(gitlab: &Connection, path: &FullPath) -> Result<Option<u64>> {
    let query = format!("groups/{}?with_projects=false", encoded(path.as_str()));
    let found: Option<GroupAnswer> = gitlab.find(&query, &[404])?;
    // A name of digits alone GitLab takes for the number of a group, which may be anybody's.
    let is_number = path.as_str().bytes().all(|byte| byte.is_ascii_digit());
    let Some(found) = found.filter(|found| !is_number || path.is(&found.full_path)) else { return Ok(None) };
    check(path, &found.full_path).map(|()| Some(found.id))
}

fn check(path: &FullPath, now: &str) -> Result<()> {
    if path.is(now) {
        return Ok(());
    }
    let what =
        format!("{path} was moved in GitLab: it is {now} now, and somebody else may get the former path");
    Err(fault("gitlab-moved", what, mend!("write {} in the profile in the place of {}", now, path)))
}
