//! Whose job tokens a project lets in.

use anyhow::Result;
use serde::Deserialize;

use super::connection::Connection;
use super::full_path::FullPath;
use super::project;
use super::section::Project;
use crate::fault::{Nature, fault};
use crate::keys::Version;

/// As many projects GitLab takes into one list.
const MOST_ENTRIES: usize = 200;

/// The list of a project, as far as a profile asks about it.
#[derive(Debug, Default)]
pub struct Allowlist {
    /// It is in force: false lets every project's jobs in.
    pub inbound: bool,
    /// What of `job_tokens_from` is not on it yet.
    pub missing: Vec<TokenSource>,
}

/// A project or group whose job tokens are to be accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSource {
    /// Its path.
    pub path: FullPath,
    /// Its number. What lists of entries take is a number only.
    pub id: u64,
    /// It is a group.
    pub group: bool,
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

/// Look at the list of the project with this number.
///
/// # Errors
/// When GitLab can't be asked, does not show an upstream, or has no room for it.
pub(super) fn read(
    gitlab: &Connection,
    id: u64,
    version: Option<Version>,
    wanted: &Project,
) -> Result<Allowlist> {
    let scope = format!("projects/{id}/job_token_scope");
    let mut list = Allowlist { inbound: gitlab.get::<Mode>(&scope)?.inbound_enabled, missing: Vec::new() };
    if !list.inbound {
        return Ok(list);
    }
    let projects: Vec<AllowedProject> = gitlab.list(&format!("{scope}/allowlist"), &[])?.unwrap_or_default();
    let has_groups = version.is_none_or(|version| version >= Version(17, 0, 0));
    let groups = if has_groups { gitlab.list(&format!("{scope}/groups_allowlist"), &[404])? } else { None };
    let groups: Vec<AllowedGroup> = groups.unwrap_or_default();
    for path in &wanted.job_tokens_from {
        let is_listed = projects.iter().any(|known| path.is(&known.path_with_namespace));
        let mut above = groups.iter().filter_map(|group| group.web_url.split_once("/groups/"));
        // A project's own jobs are let in anyway.
        if is_listed || above.any(|(_, group)| path.is_below(group)) || path == &wanted.path {
            continue;
        }
        let source = find(gitlab, path)?;
        if source.group && !has_groups {
            return Err(fault(
                "gitlab-too-old",
                format!("{path} is a group, and GitLab lets groups in from 17.0 on; this one is older"),
                mend!("name its projects one by one in `job_tokens_from` of {}", wanted.path),
            ));
        }
        let is_listed = if source.group {
            groups.iter().any(|group| group.id == source.id)
        } else {
            projects.iter().any(|project| project.id == source.id)
        };
        if !is_listed && !list.missing.contains(&source) {
            list.missing.push(source);
        }
    }
    let new = list.missing.iter().filter(|source| !source.group).count();
    // The project itself is listed, and no entry.
    let count = projects.iter().filter(|project| project.id != id).count();
    if new > 0 && count + new > MOST_ENTRIES {
        let path = &wanted.path;
        return Err(fault(
            "gitlab-refused",
            format!("the job token allowlist of {path} has {count} entries, and GitLab takes {MOST_ENTRIES}"),
            mend!(
                "name a group in place of its projects, or remove entries in {}: Settings > CI/CD > Job token permissions",
                path
            ),
        ));
    }
    Ok(list)
}

fn find(gitlab: &Connection, path: &FullPath) -> Result<TokenSource> {
    let of = |id, group| TokenSource { path: path.clone(), id, group };
    if path.as_str().contains('/') {
        if let Some(found) = project::find_seen(gitlab, path)? {
            return Ok(of(found.id, false));
        }
    }
    if let Some(id) = project::find_group(gitlab, path)? {
        return Ok(of(id, true));
    }
    Err(Nature::Obstacle.fault(
        "gitlab-refused",
        format!("{path} of `job_tokens_from` is not there, or the token's user can't see it"),
        "compare the path with the address of the page; if it is right, the token's user needs at least the role Guest there: Manage > Members",
    ))
}
