//! From what is wanted and what there is to the changes: it widens to what is asked, and narrows and removes nothing.

use anyhow::Result;
use serde_json::{Value, json};

use super::branch::{self, role_name};
use super::change::{Operation, ProjectChange};
use super::section::{Access, Project, Role};
use super::state::{DeployKey, ProjectState};
use crate::change::Notes;
use crate::fault::{Nature, fault};
use crate::keys::Version;
use crate::sys::waiting::now;
use crate::text::public_key::PublicLine;
use crate::text::time;

/// The kind of all changes here.
pub const KIND: &str = "gitlab";

/// As long a title of a key may be.
const MOST_TITLE: usize = 255;

/// The setting of the least role for variables, since 17.1.
const LEAST_ROLE: &str = "ci_pipeline_variables_minimum_override_role";

/// What has to be changed in one project.
///
/// # Errors
/// When GitLab does not show what has to be known.
pub fn plan(
    wanted: &Project,
    keys: &[PublicLine],
    state: &ProjectState,
    notes: &mut Notes,
) -> Result<Vec<ProjectChange>> {
    let mut plan = Planned { path: wanted.path.as_str(), state, changes: Vec::new() };
    if let Some(access) = wanted.deploy_key {
        for key in keys {
            plan.deploy_key(key, access == Access::Push, notes);
        }
    }
    plan.job_tokens(wanted, notes);
    if let Some(role) = wanted.pipeline_variables {
        plan.variables(role, notes)?;
    }
    if wanted.push_by_job_token {
        plan.push_by_job_token(notes)?;
    }
    let (project, path) = (&state.project, plan.path);
    let is_push = wanted.push_by_job_token || wanted.deploy_key == Some(Access::Push);
    let is_triggered = !wanted.job_tokens_from.is_empty() || wanted.pipeline_variables.is_some();
    let is_off = |level: &Option<String>| level.as_deref() == Some("disabled");
    let visibility = "Visibility, project features, permissions";
    let closed = [
        (
            project.archived && (is_push || !plan.changes.is_empty()),
            "is archived: nobody can push to it, or change its settings",
            "Advanced > Unarchive project".to_owned(),
        ),
        (
            is_off(&project.repository) && (is_push || wanted.deploy_key.is_some()),
            "has no repository: nobody can clone it, or push to it",
            format!("{visibility} > Repository"),
        ),
        (
            is_off(&project.builds) && is_triggered,
            "has CI/CD switched off: nobody starts a pipeline in it",
            format!("{visibility} > CI/CD"),
        ),
    ];
    if let Some((_, why, place)) = closed.into_iter().find(|(is_closed, ..)| *is_closed) {
        let repair = mend!("in {}: Settings > General > {}; or take it out of the profile", path, place);
        return Err(fault("gitlab-refused", format!("{path} {why}"), repair));
    }
    Ok(plan.changes)
}

struct Planned<'a> {
    path: &'a str,
    state: &'a ProjectState,
    changes: Vec<ProjectChange>,
}

impl Planned<'_> {
    fn add(&mut self, what: String, why: &str, (before, after): (Option<&str>, &str), operation: Operation) {
        self.changes.push(ProjectChange {
            path: self.path.to_owned(),
            project: self.state.project.id.to_string(),
            what,
            why: why.to_owned(),
            before: before.map(str::to_owned),
            after: after.to_owned(),
            operation,
        });
    }

    fn deploy_key(&mut self, key: &PublicLine, push: bool, notes: &mut Notes) {
        let path = self.path;
        let fingerprint = key.key().fingerprint();
        let what = format!("deploy key {fingerprint}");
        let may = if push { "may push" } else { "may read" };
        let of = |keys: &[DeployKey]| keys.iter().find(|known| known.is(key.key())).cloned();
        let (here, elsewhere) = (of(&self.state.keys), of(&self.state.elsewhere));
        match (&here, &elsewhere) {
            (Some(known), _) if push && !known.can_push => self.add(
                what,
                "it may only read, and jobs are to push with it",
                (Some("may read"), may),
                Operation::RaiseKey { id: known.id },
            ),
            (Some(known), _) => {
                let until = known.expires_at.as_deref().and_then(|date| date.get(..10));
                let until = until.map(|date| format!(", until {date}")).unwrap_or_default();
                notes.right(KIND, format!("{path}: {what} {may}{until}"));
            }
            (None, Some(known)) => self.add(
                what,
                "it is a deploy key of another project, and not of this one",
                (None, may),
                Operation::EnableKey { id: known.id, push },
            ),
            (None, None) => {
                let operation = Operation::AddKey { line: key.to_string(), title: title(key), push };
                self.add(what, "it is not a deploy key of the project", (None, may), operation);
            }
        }
        let known = here.as_ref().or(elsewhere.as_ref());
        if known.is_some_and(has_expired) {
            notes.wait(
                "gitlab-key-expired",
                format!("the deploy key {fingerprint} of {path} has expired, and GitLab can't make it longer"),
                mend!("in {}, and in every other project that has it: Settings > Repository > Deploy keys: remove it there, then run the same command again", path),
            );
        }
        let user = self.state.user.as_ref();
        if push && known.is_none() && user.is_some_and(|user| user.bot) {
            notes.harm(
                "gitlab-bot",
                format!("the deploy key {fingerprint} of {path} will be one of the token's own user, and jobs push with it only as long as that token lives"),
                "take a token of a person, or of a service account, that is to stay a Maintainer of the project",
            );
        }
        let Some(branch) = self.state.branch.as_ref().filter(|_| push) else { return };
        let name = &branch.name;
        let Some(pushers) = &branch.pushers else {
            notes.warn(
                "gitlab-branch",
                format!("whether jobs may push to the branch {name} of {path} is not known: its protection can't be seen with this token"),
                mend!("see in {}: Settings > Repository > Protected branches; or take a token of the scope api", path),
            );
            return;
        };
        let is_new = known.is_none() && user.is_some_and(|user| !user.is_admin);
        let Some(why) = branch::objection(pushers, here.map(|key| key.id), is_new) else { return };
        notes.wait(
            "gitlab-branch",
            format!("jobs can't push to the protected branch {name} of {path} with the key {fingerprint}: {why}"),
            mend!("in {}: Settings > Repository > Protected branches: add the deploy key \"{}\" to \"Allowed to push and merge\" of {}", path, title(key), name),
        );
    }

    fn job_tokens(&mut self, wanted: &Project, notes: &mut Notes) {
        let (path, list) = (self.path, &self.state.allowlist);
        if wanted.job_tokens_from.is_empty() {
            return;
        }
        if !list.inbound {
            notes.warn(
                "gitlab-open",
                format!("{path} lets in the job tokens of all projects: nothing has to be allowed, and nothing is changed"),
                mend!("in {}, where that is not meant: Settings > CI/CD > Job token permissions: \"Only this project and any groups and projects in the allowlist\"", path),
            );
            return;
        }
        for source in &list.missing {
            let why = if source.group {
                "the group is not on the job token allowlist"
            } else {
                "neither the project nor a group above it is on the job token allowlist"
            };
            let operation = Operation::Allow { id: source.id, group: source.group };
            self.add(format!("job tokens of {}", source.path), why, (None, "allowed"), operation);
        }
        for from in &wanted.job_tokens_from {
            if !list.missing.iter().any(|source| source.path == *from) {
                // What a fine-grained entry allows, the list does not tell.
                notes.right(
                    KIND,
                    format!("{path}: job tokens of {from} are let in, as far as its entry allows"),
                );
            }
        }
    }

    fn variables(&mut self, wanted: Role, notes: &mut Notes) -> Result<()> {
        let (path, project) = (self.path, &self.state.project);
        let is_old = self.state.version.is_some_and(|version| version < Version(17, 1, 0));
        let (name, before, after) = match (project.variables.as_deref(), project.restricted) {
            // Then GitLab asks for no role.
            (Some(_), Some(false)) => (LEAST_ROLE, json!("developer"), json!(role_of(wanted))),
            (Some(now), _) => (LEAST_ROLE, json!(now), json!(role_of(wanted))),
            (None, Some(now)) if is_old => {
                ("restrict_user_defined_variables", json!(now), json!(wanted != Role::Developer))
            }
            (None, _) => return Err(self.hidden("who may start pipelines with variables")),
        };
        let Some(now) = rank(&before) else {
            let what = format!(
                "the least role for pipeline variables of {path} is {before}, which this version of runner-prep does not know"
            );
            let repair = mend!(
                "set it by hand in {}: Settings > CI/CD > Variables > Minimum role to use pipeline variables",
                path
            );
            return Err(Nature::Obstacle.fault("gitlab-refused", what, repair));
        };
        let shown = LEAST_ROLES[now].1;
        if now <= wanted as usize {
            let wider = if now < wanted as usize { ", wider than asked, and left so" } else { "" };
            notes.right(KIND, format!("{path}: pipeline variables from {shown} on{wider}"));
            return Ok(());
        }
        if now >= 2 && project.role() == Some(40) {
            notes.warn(
                "gitlab-owner",
                format!("the least role for pipeline variables of {path} is {shown}, and the token's user is Maintainer there: from GitLab 18 on only an Owner may change that"),
                "if GitLab refuses it, take a token of an Owner of the project",
            );
        }
        let why = "who starts the upstream pipeline has a role that is too low to hand variables on";
        let what = "least role for pipeline variables".to_owned();
        let values = (Some(shown), LEAST_ROLES[wanted as usize].1);
        self.add(what, why, values, Operation::Set { name, before, after });
        Ok(())
    }

    fn push_by_job_token(&mut self, notes: &mut Notes) -> Result<()> {
        let what = "pushes by job tokens".to_owned();
        match self.state.project.push_by_job_token {
            Some(true) => notes.right(KIND, format!("{}: {what} are allowed", self.path)),
            Some(false) => self.add(
                what,
                "jobs of the project are to push to it without a key",
                (Some("refused"), "allowed"),
                Operation::Set {
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
        let role = self
            .state
            .project
            .role()
            .and_then(role_name)
            .map(|role| format!(" (role: {role})"))
            .unwrap_or_default();
        Nature::Obstacle.fault(
            "gitlab-refused",
            format!("GitLab does not show to the token's user{role} {what}: {}", self.path),
            "take a token of a Maintainer of the project; roles stand in the project under Manage > Members",
        )
    }
}

/// What a key is called in GitLab, which takes so many letters.
pub(super) fn title(key: &PublicLine) -> String {
    let comment = key.comment().trim();
    let comment = if comment.is_empty() { "gitlab-runner" } else { comment };
    comment.chars().take(MOST_TITLE).collect()
}

/// The least roles in the words of the API and of the web page, by how many people are kept out.
const LEAST_ROLES: [(&str, &str); 4] = [
    ("developer", "Developer"),
    ("maintainer", "Maintainer"),
    ("owner", "Owner"),
    ("no_one_allowed", "No one allowed"),
];

/// A least role in the API's words.
pub(super) fn role_of(role: Role) -> &'static str {
    LEAST_ROLES[role as usize].0
}

/// How many people a value of either setting keeps out.
fn rank(value: &Value) -> Option<usize> {
    match value {
        Value::Bool(restricted) => Some(usize::from(*restricted)),
        value => LEAST_ROLES.iter().position(|(name, _)| value == name),
    }
}

/// True when a key's time is over.
fn has_expired(key: &DeployKey) -> bool {
    key.expires_at.as_deref().and_then(time::iso).is_some_and(|end| end <= now().0)
}
