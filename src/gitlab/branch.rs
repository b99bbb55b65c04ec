//! The branch that jobs push to, where it is protected: who may push there.

use anyhow::Result;
use serde::Deserialize;

use super::connection::Connection;

/// The number of the highest role in a project; that of administrators is above.
const OWNER: u64 = 50;

/// A protected branch.
#[derive(Debug)]
pub struct Branch {
    /// Its name.
    pub name: String,
    /// Who may push to it; `None` where that can't be seen.
    pub pushers: Option<Vec<Pusher>>,
}

#[derive(Deserialize)]
struct BranchRule {
    name: String,
    push_access_levels: Vec<Pusher>,
}

/// Who may push there by one rule.
#[derive(Debug, Deserialize)]
pub struct Pusher {
    access_level: Option<u64>,
    deploy_key_id: Option<u64>,
    user_id: Option<u64>,
    group_id: Option<u64>,
}

/// The branch as the rules of a project have it; `None` when it is not protected.
///
/// # Errors
/// When GitLab can't be asked.
pub(super) fn read(gitlab: &Connection, project: u64, name: &str) -> Result<Option<Branch>> {
    // Some roles and fine-grained tokens may not see them.
    let rules = gitlab.list::<BranchRule>(&format!("projects/{project}/protected_branches"), &[403, 404])?;
    let rules = rules.map(|mut rules| {
        rules.retain(|rule| matches(&rule.name, name));
        rules
    });
    let is_free = rules.as_ref().is_some_and(Vec::is_empty);
    let pushers = rules.map(|rules| rules.into_iter().flat_map(|rule| rule.push_access_levels).collect());
    Ok((!is_free).then(|| Branch { name: name.to_owned(), pushers }))
}

/// Why a deploy key can't push there. A new one has no number yet, and pushes with the rights of the token's user, who
/// is at least Maintainer: nobody else sees deploy keys.
pub(super) fn objection(pushers: &[Pusher], key: Option<u64>, is_new: bool) -> Option<&'static str> {
    // Whether the key's creator is one of the people or groups of a list can't be seen.
    let is_clear = |pusher: &Pusher| pusher.user_id.or(pusher.group_id).is_none();
    let is_key = |pusher: &Pusher| key.is_some() && pusher.deploy_key_id == key;
    if pushers.iter().any(|pusher| !is_clear(pusher) || is_key(pusher)) {
        return None;
    }
    let of_roles = pushers.iter().filter(|pusher| pusher.deploy_key_id.is_none());
    match of_roles.filter_map(|pusher| pusher.access_level.filter(|level| *level > 0)).min() {
        None => Some("nobody may push there"),
        // Who made a key that is there already, GitLab does not say.
        Some(least) if is_new && least > OWNER => Some(
            "pushes with the key have the rights of its creator, the token's user, and only administrators may push there",
        ),
        Some(_) => None,
    }
}

/// The name of a role.
pub(super) fn role_name(level: u64) -> Option<&'static str> {
    Some(match level {
        5 => "Minimal Access",
        10 => "Guest",
        15 => "Planner",
        20 => "Reporter",
        30 => "Developer",
        40 => "Maintainer",
        OWNER => "Owner",
        _ => return None,
    })
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
