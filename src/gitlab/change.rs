//! A wanted change in GitLab as plain data, and the calls that it is made of.

use serde_json::{Value, json};

use super::section::Url;
use crate::repair::quoted;

/// What is to be done in one project, or group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectChange {
    /// The path of the project, or of the group.
    pub path: String,
    /// The project, or group, in the addresses of calls: its id where it is known, else its path, encoded.
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
    /// A new runner, whose token is kept in a file.
    MakeRunner {
        /// What it is called, and its file.
        name: String,
        /// All that it is.
        runner: Value,
    },
    /// A runner that takes more jobs from now on.
    ChangeRunner {
        /// Its number.
        id: u64,
        /// The values now.
        before: Value,
        /// The values wanted.
        after: Value,
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
}

impl Operation {
    /// The call that does it in a project.
    pub fn call(&self, project: &str) -> ApiCall {
        let of_project = |method, path: &str, body| {
            let path = format!("projects/{project}{path}");
            ApiCall { method, path, body }
        };
        match self {
            Self::AddKey { line, title, push } => {
                let key = json!({ "title": title, "key": line, "can_push": push });
                of_project("POST", "/deploy_keys", Some(key))
            }
            Self::EnableKey { id, .. } => of_project("POST", &format!("/deploy_keys/{id}/enable"), None),
            Self::RaiseKey { id } => may_push(project, *id, true),
            Self::Allow { id, group } => {
                let (list, target) = allowlist(*group);
                of_project("POST", &format!("/job_token_scope/{list}"), Some(json!({ target: id })))
            }
            Self::MakeRunner { runner, .. } => {
                ApiCall { method: "POST", path: "user/runners".to_owned(), body: Some(runner.clone()) }
            }
            Self::ChangeRunner { id, after, .. } => of_runner("PUT", *id, Some(after.clone())),
            Self::Set { name, after, .. } => of_project("PUT", "", Some(json!({ *name: after }))),
        }
    }

    /// The call that takes it back. `made` is the number that GitLab gave what was added.
    pub fn undo(&self, project: &str, made: Option<u64>) -> Option<ApiCall> {
        let path = match self {
            Self::AddKey { .. } => format!("deploy_keys/{}", made?),
            Self::EnableKey { id, .. } => format!("deploy_keys/{id}"),
            Self::Allow { id, group } => format!("job_token_scope/{}/{id}", allowlist(*group).0),
            Self::RaiseKey { id } => return Some(may_push(project, *id, false)),
            Self::MakeRunner { .. } => return Some(of_runner("DELETE", made?, None)),
            Self::ChangeRunner { id, before, .. } => {
                return Some(of_runner("PUT", *id, Some(before.clone())));
            }
            Self::Set { name, before, .. } => {
                let former = Self::Set { name, before: Value::Null, after: before.clone() };
                return Some(former.call(project));
            }
        };
        Some(ApiCall { method: "DELETE", path: format!("projects/{project}/{path}"), body: None })
    }
}

/// Whether a key may push from now on.
pub(super) fn may_push(project: &str, id: u64, can_push: bool) -> ApiCall {
    let (path, body) = (format!("projects/{project}/deploy_keys/{id}"), json!({ "can_push": can_push }));
    ApiCall { method: "PUT", path, body: Some(body) }
}

/// A call about a runner.
pub(super) fn of_runner(method: &'static str, id: u64, body: Option<Value>) -> ApiCall {
    ApiCall { method, path: format!("runners/{id}"), body }
}

/// The list that projects, or groups, are on, and what a new entry calls them.
fn allowlist(group: bool) -> (&'static str, &'static str) {
    if group { ("groups_allowlist", "target_group_id") } else { ("allowlist", "target_project_id") }
}

/// A path as one part of an address: `group%2Fname`.
pub fn encoded(path: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    path.bytes()
        .map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
