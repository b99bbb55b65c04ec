//! A wanted change in GitLab as plain data, and the calls that it is made of.

use serde_json::{Value, json};

use super::section::Url;
use crate::repair::quoted;

/// What is to be done in one project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectChange {
    /// The project's path.
    pub path: String,
    /// The project in the addresses of calls: its id where it is known, else its path, encoded.
    pub project: String,
    /// What is changed, for a person.
    pub what: String,
    /// Why, for a person, in one line.
    pub why: String,
    /// The value now; nothing where there is none yet.
    pub before: Option<String>,
    /// The value wanted.
    pub after: String,
    /// What to do.
    pub operation: Operation,
}

/// The closed set of what is ever done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// A new deploy key.
    AddKey {
        /// The public key's line.
        line: String,
        /// Its name in GitLab.
        title: String,
        /// It may push.
        push: bool,
    },
    /// A deploy key of another project, here too.
    EnableKey {
        /// Its number.
        id: u64,
        /// It may push.
        push: bool,
    },
    /// A deploy key that may push from now on.
    RaiseKey {
        /// Its number.
        id: u64,
    },
    /// An entry of the job token allowlist.
    Allow {
        /// The number of the project or group.
        id: u64,
        /// It is a group.
        group: bool,
    },
    /// A setting of the project.
    Set {
        /// Its name in the API.
        name: &'static str,
        /// The value now.
        before: Value,
        /// The value wanted.
        after: Value,
    },
}

/// One call of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiCall {
    /// `POST`, `PUT` or `DELETE`.
    pub method: &'static str,
    /// Below `/api/v4/`.
    pub path: String,
    /// What is sent: an object, or nothing.
    pub body: Option<Value>,
}

impl ApiCall {
    fn new(method: &'static str, path: String, body: Option<Value>) -> Self {
        Self { method, path, body }
    }

    /// The call as a line for a shell.
    pub fn glab(&self, url: &Url) -> String {
        let mut line = format!("{} -X {} {}", url.glab(), self.method, self.path);
        for (name, value) in self.body.iter().filter_map(Value::as_object).flatten() {
            let (option, value) = match value {
                Value::String(text) => ("-f", text.clone()),
                value => ("-F", value.to_string()),
            };
            line.extend([" ", option, " ", &quoted(format!("{name}={value}"))]);
        }
        line
    }
}

impl ProjectChange {
    /// The action in one word.
    pub fn action(&self) -> &'static str {
        if self.before.is_none() { "create" } else { "update" }
    }

    /// The call that does it.
    pub fn call(&self) -> ApiCall {
        let project = &self.project;
        match &self.operation {
            Operation::AddKey { line, title, push } => ApiCall::new(
                "POST",
                format!("projects/{project}/deploy_keys"),
                Some(json!({ "title": title, "key": line, "can_push": push })),
            ),
            Operation::EnableKey { id, .. } => {
                ApiCall::new("POST", format!("projects/{project}/deploy_keys/{id}/enable"), None)
            }
            Operation::RaiseKey { id } => may_push(project, *id, true),
            Operation::Allow { id, group } => {
                let (list, target) = allowlist(*group);
                let path = format!("projects/{project}/job_token_scope/{list}");
                ApiCall::new("POST", path, Some(json!({ target: id })))
            }
            Operation::Set { name, after, .. } => set(project, name, after),
        }
    }

    /// The call that takes it back. `made` is the number that GitLab gave what was added.
    pub fn undo(&self, made: Option<u64>) -> Option<ApiCall> {
        let project = &self.project;
        let delete = |path: String| ApiCall::new("DELETE", format!("projects/{project}/{path}"), None);
        Some(match &self.operation {
            Operation::AddKey { .. } => delete(format!("deploy_keys/{}", made?)),
            Operation::EnableKey { id, .. } => delete(format!("deploy_keys/{id}")),
            Operation::RaiseKey { id } => may_push(project, *id, false),
            Operation::Allow { id, group } => delete(format!("job_token_scope/{}/{id}", allowlist(*group).0)),
            Operation::Set { name, before, .. } => set(project, name, before),
        })
    }
}

/// Whether a key may push from now on.
pub(super) fn may_push(project: &str, id: u64, can_push: bool) -> ApiCall {
    ApiCall::new("PUT", format!("projects/{project}/deploy_keys/{id}"), Some(json!({ "can_push": can_push })))
}

/// The list that projects, or groups, are on, and what a new entry calls them.
fn allowlist(group: bool) -> (&'static str, &'static str) {
    if group { ("groups_allowlist", "target_group_id") } else { ("allowlist", "target_project_id") }
}

fn set(project: &str, name: &str, value: &Value) -> ApiCall {
    ApiCall::new("PUT", format!("projects/{project}"), Some(json!({ name: value })))
}

/// A path as one part of an address: `group%2Fname`.
pub fn encoded(path: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    path.bytes()
        .map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
