//! From what is wanted and what there is to the changes: it widens to what is asked, and narrows and removes nothing.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use serde_json::{Value, json};

use super::change::{Change, Deed};
use super::section::{Access, Project, Role};
use super::state::{DeployKey, State, role_name};
use crate::change::Notes;
use crate::fault::fault;
use crate::keys::Version;
use crate::text::public_key::PublicLine;

/// The kind of all changes here.
pub const KIND: &str = "gitlab";

/// As many projects GitLab takes into one list.
const MOST_ENTRIES: usize = 200;

/// The setting of the least role for variables, since 17.1.
const LEAST_ROLE: &str = "ci_pipeline_variables_minimum_override_role";

/// What has to be changed in one project.
///
/// # Errors
/// When GitLab does not show what has to be known.
pub fn plan(wanted: &Project, keys: &[PublicLine], state: &State, notes: &mut Notes) -> Result<Vec<Change>> {
    let mut plan = Planned { path: wanted.path.as_str(), state, changes: Vec::new() };
    if let Some(access) = wanted.deploy_key {
        for key in keys {
            plan.deploy_key(key, access == Access::Push, notes);
        }
    }
    plan.job_tokens(wanted, notes)?;
    if let Some(role) = wanted.pipeline_variables {
        plan.variables(role, notes)?;
    }
    if wanted.push_by_job_token {
        plan.push_by_job_token(notes)?;
    }
    Ok(plan.changes)
}

struct Planned<'a> {
    path: &'a str,
    state: &'a State,
    changes: Vec<Change>,
}

impl Planned<'_> {
    fn add(&mut self, what: String, why: &str, (before, after): (Option<&str>, &str), deed: Deed) {
        self.changes.push(Change {
            path: self.path.to_owned(),
            project: self.state.id.to_string(),
            what,
            why: why.to_owned(),
            before: before.map(str::to_owned),
            after: after.to_owned(),
            deed,
        });
    }

    fn deploy_key(&mut self, key: &PublicLine, push: bool, notes: &mut Notes) {
        let path = self.path;
        let what = format!("deploy key {}", key.key().fingerprint());
        let may = if push { "may push" } else { "may read" };
        let of = |keys: &[DeployKey]| keys.iter().find(|known| known.is(key.key())).cloned();
        let here = of(&self.state.keys);
        match (&here, of(&self.state.elsewhere)) {
            (Some(known), _) if push && !known.can_push => self.add(
                what,
                "it may only read, and jobs are to push with it",
                (Some("may read"), may),
                Deed::RaiseKey { id: known.id },
            ),
            (Some(_), _) => notes.right(KIND, format!("{path}: {what} {may}")),
            (None, Some(known)) => self.add(
                what,
                "it is a deploy key of another project, and not of this one",
                (None, may),
                Deed::EnableKey { id: known.id, push },
            ),
            (None, None) => {
                let deed = Deed::AddKey { line: key.to_string(), title: title(key), push };
                self.add(what, "it is not a deploy key of the project", (None, may), deed);
            }
        }
        if here.as_ref().is_some_and(has_expired) {
            notes.wait(
                "gitlab-key-expired",
                format!("the deploy key {} of {path} has expired, and GitLab can't make it longer", key.key().fingerprint()),
                format!("in {path}: Settings > Repository > Deploy keys: remove it there, then run the same command again"),
            );
        }
        if push {
            self.branch(here.as_ref(), key, notes);
        }
    }

    /// A push to a protected branch needs the right of the key's creator, or of the key itself.
    fn branch(&self, here: Option<&DeployKey>, key: &PublicLine, notes: &mut Notes) {
        let (Some(branch), Some(pushers)) = (&self.state.branch, &self.state.pushers) else { return };
        let path = self.path;
        let is_listed = here.is_some_and(|key| pushers.iter().any(|pusher| pusher.key() == Some(key.id)));
        if is_listed || pushers.iter().any(super::state::Pusher::is_unclear) {
            return;
        }
        let least = pushers.iter().filter_map(super::state::Pusher::role).min();
        let why = match (least, self.state.role) {
            (None, _) => "nobody may push there".to_owned(),
            // Who made a key that is there already, GitLab does not say.
            (Some(least), Some(role)) if here.is_none() && role < least => format!(
                "pushes with the key have the rights of its creator, the token's user, who is {}",
                role_name(role).unwrap_or("of a lower role")
            ),
            _ => return,
        };
        notes.wait(
            "gitlab-branch",
            format!(
                "jobs can't push to the protected branch {branch} of {path} with the key {}: {why}",
                key.key().fingerprint()
            ),
            format!(
                "in {path}: Settings > Repository > Protected branches: add the deploy key \"{}\" to \"Allowed to push and merge\" of {branch}",
                title(key)
            ),
        );
    }

    fn job_tokens(&mut self, wanted: &Project, notes: &mut Notes) -> Result<()> {
        let (path, state) = (self.path, self.state);
        if wanted.job_tokens_from.is_empty() {
            return Ok(());
        }
        if !state.inbound {
            notes.warn(
                "gitlab-open",
                format!("{path} lets in the job tokens of all projects: nothing has to be allowed, and nothing is changed"),
                format!("in {path}, where that is not meant: Settings > CI/CD > Job token permissions: \"Only this project and any groups and projects in the allowlist\""),
            );
            return Ok(());
        }
        let projects = state.missing.iter().filter(|source| !source.group).count();
        if projects > 0 && state.entries + projects > MOST_ENTRIES {
            return Err(fault(
                "gitlab-refused",
                format!(
                    "the job token allowlist of {path} has {} entries, and GitLab takes {MOST_ENTRIES}",
                    state.entries
                ),
                format!(
                    "name a group in place of its projects, or remove entries in {path}: Settings > CI/CD > Job token permissions"
                ),
            ));
        }
        for source in &state.missing {
            let what = format!("job tokens of {}", source.path);
            let why = if source.group { "the group" } else { "neither the project nor a group above it" };
            let why =
                format!("{why} is {}on the job token allowlist", if source.group { "not " } else { "" });
            self.add(what, &why, (None, "allowed"), Deed::Allow { id: source.id, group: source.group });
        }
        for from in &wanted.job_tokens_from {
            if !state.missing.iter().any(|source| source.path == from.as_str()) {
                notes.right(KIND, format!("{path}: job tokens of {from} are let in"));
            }
        }
        Ok(())
    }

    fn variables(&mut self, wanted: Role, notes: &mut Notes) -> Result<()> {
        let (path, state) = (self.path, self.state);
        let is_old = state.version.is_some_and(|version| version < Version(17, 1, 0));
        let (name, before, after) = match (state.variables.as_deref(), state.restricted) {
            (Some(now), _) => (LEAST_ROLE, json!(now), json!(role_of(wanted))),
            (None, Some(now)) if is_old => {
                ("restrict_user_defined_variables", json!(now), json!(wanted != Role::Developer))
            }
            (None, _) => return Err(self.hidden("who may start pipelines with variables")),
        };
        let Some(now) = rank(&before) else {
            return Err(fault(
                "gitlab-refused",
                format!(
                    "the least role for pipeline variables of {path} is {before}, which this version of runner-prep does not know"
                ),
                format!(
                    "set it by hand in {path}: Settings > CI/CD > Variables > Minimum role to use pipeline variables"
                ),
            ));
        };
        let shown = WORDS.get(now).copied().unwrap_or_default();
        if now <= wanted as usize {
            let wider = if now < wanted as usize { ", wider than asked, and left so" } else { "" };
            notes.right(KIND, format!("{path}: pipeline variables from {shown} on{wider}"));
            return Ok(());
        }
        if now >= 2 && state.role == Some(40) {
            notes.warn(
                "gitlab-owner",
                format!("the least role for pipeline variables of {path} is {shown}, and the token's user is Maintainer there: from GitLab 18 on only an Owner may change that"),
                "if GitLab refuses it, take a token of an Owner of the project",
            );
        }
        let why = "who starts the upstream pipeline has a role that is too low to hand variables on";
        let after_shown = WORDS.get(wanted as usize).copied().unwrap_or_default();
        let what = "least role for pipeline variables".to_owned();
        self.add(what, why, (Some(shown), after_shown), Deed::Set { name, before, after });
        Ok(())
    }

    fn push_by_job_token(&mut self, notes: &mut Notes) -> Result<()> {
        let what = "pushes by job tokens".to_owned();
        match self.state.push_by_job_token {
            Some(true) => notes.right(KIND, format!("{}: {what} are allowed", self.path)),
            Some(false) => self.add(
                what,
                "jobs of the project are to push to it without a key",
                (Some("refused"), "allowed"),
                Deed::Set {
                    name: "ci_push_repository_for_job_token_allowed",
                    before: json!(false),
                    after: json!(true),
                },
            ),
            None => return Err(self.hidden("whether jobs may push to it")),
        }
        Ok(())
    }

    /// What only a Maintainer sees.
    fn hidden(&self, what: &str) -> anyhow::Error {
        let role = self.state.role.and_then(role_name).map(|role| format!(" (role: {role})"));
        fault(
            "gitlab-refused",
            format!(
                "GitLab does not show to the token's user{} {what}: {}",
                role.unwrap_or_default(),
                self.path
            ),
            "take a token of a Maintainer of the project; roles stand in the project under Manage > Members",
        )
    }
}

/// What a key is called in GitLab.
pub(super) fn title(key: &PublicLine) -> String {
    let comment = key.comment().trim();
    if comment.is_empty() { "gitlab-runner".to_owned() } else { comment.to_owned() }
}

/// The least roles as the web page calls them, by how many people are kept out.
const WORDS: [&str; 4] = ["Developer", "Maintainer", "Owner", "No one allowed"];

/// A least role in the API's words.
pub(super) fn role_of(role: Role) -> &'static str {
    match role {
        Role::Developer => "developer",
        Role::Maintainer => "maintainer",
        Role::Owner => "owner",
    }
}

/// How many people a value of either setting keeps out.
fn rank(value: &Value) -> Option<usize> {
    match value {
        Value::Bool(restricted) => Some(usize::from(*restricted)),
        value => ["developer", "maintainer", "owner", "no_one_allowed"].iter().position(|name| value == name),
    }
}

/// True when a key's last day is over.
fn has_expired(key: &DeployKey) -> bool {
    let Some(date) = &key.expires_at else { return false };
    let mut parts = date.get(..10).unwrap_or_default().split('-').map(|part| part.parse::<i64>().ok());
    let mut next = || parts.next().flatten();
    let (Some(year), Some(month), Some(day)) = (next(), next(), next()) else { return false };
    // Days since 1970 in the Gregorian calendar, with years that begin in March.
    let (year, month) = if month < 3 { (year - 1, month + 9) } else { (year, month - 3) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 719_469;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map(|since| since.as_secs() / 86400);
    now.is_ok_and(|today| i64::try_from(today).is_ok_and(|today| days < today))
}
